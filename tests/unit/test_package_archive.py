"""The written archive follows from its entries and one time alone, and is whole or not there."""

import os
import time
import zipfile
from pathlib import Path

import pytest

from local.package.archive import PROGRAM, Entry, write_archive
from local.package.errors import PackageError

EPOCH = 1_700_000_000  # 2023-11-14T22:13:20Z


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    for name in ("b", "a", "run.sh"):
        (tmp_path / name).write_text(name * 1000)
    return [Entry("x/b", tmp_path / "b"), Entry("x/a", tmp_path / "a"), Entry("run.sh", tmp_path / "run.sh", PROGRAM)]


@pytest.mark.parametrize("change", ["order", "time zone", "modes and times of the files", "place"])
def test_what_is_not_content_changes_no_byte(
    tmp_path: Path, entries: list[Entry], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_archive(tmp_path / "first.zip", entries, EPOCH)
    target = tmp_path / "second.zip"
    match change:
        case "order":
            entries.reverse()
        case "time zone":
            monkeypatch.setenv("TZ", "Pacific/Kiritimati")
            time.tzset()
        case "place":
            target = tmp_path / "new" / "folder" / "first.zip"
        case _:
            for entry in entries:
                entry.path.chmod(0o400)
                os.utime(entry.path, (1, 1))
    second = write_archive(target, entries, EPOCH)
    monkeypatch.undo()
    time.tzset()
    assert second.digest == first.digest
    assert target.read_bytes() == first.path.read_bytes()


def test_entries_are_sorted_stamped_in_utc_and_have_their_modes(tmp_path: Path, entries: list[Entry]) -> None:
    written = write_archive(tmp_path / "one.zip", entries, EPOCH)
    with zipfile.ZipFile(written.path) as archive:
        assert [(one.filename, one.external_attr >> 16) for one in archive.infolist()] == [
            ("run.sh", 0o100755),
            ("x/a", 0o100644),
            ("x/b", 0o100644),
        ]
        assert {one.date_time for one in archive.infolist()} == {(2023, 11, 14, 22, 13, 20)}
        assert archive.read("x/a") == b"a" * 1000
    assert (written.size, written.files) == (written.path.stat().st_size, 3)


@pytest.mark.parametrize("name", ["x/a", "X/A"])
def test_two_names_that_kudu_takes_for_one_are_refused(tmp_path: Path, entries: list[Entry], name: str) -> None:
    with pytest.raises(PackageError, match=r"(?i)x/a and x/a cannot both stand in a package"):
        write_archive(tmp_path / "one.zip", [*entries, Entry(name, tmp_path / "b")], EPOCH)


def test_a_failure_leaves_what_was_there(tmp_path: Path, entries: list[Entry]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one.zip").write_bytes(b"the one before")
    with pytest.raises(FileNotFoundError):
        write_archive(tmp_path / "out" / "one.zip", [*entries, Entry("gone", tmp_path / "gone")], EPOCH)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one.zip"]
    assert (tmp_path / "out" / "one.zip").read_bytes() == b"the one before"
