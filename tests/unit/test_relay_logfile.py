"""The copy of the relay's log in a file: whole lines, turned over, and nobody waits for the disk."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import logfile
from relay.logfile import LogFile
from relay.logs import fields, formatter

PATIENCE_S = 10.0


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger of this test's own."""
    own = logging.getLogger("leasehook.test_relay_logfile")
    own.setLevel(logging.INFO)
    own.propagate = False
    yield own
    own.handlers = []


def opened(log: logging.Logger, path: Path, log_format: str = "text") -> LogFile:
    log_file = LogFile(str(path), formatter(log_format))
    log.addHandler(log_file)
    return log_file


@pytest.mark.parametrize(("log_format", "part"), [("text", "delivered events=3"), ("json", '"events": 3')])
def test_the_file_has_the_lines_as_they_are_printed(
    log: logging.Logger, tmp_path: Path, log_format: str, part: str
) -> None:
    path = tmp_path / "relay.log"
    log_file = opened(log, path, log_format)

    log.info("delivered", extra=fields(events=3))
    try:
        dict[str, int]()["no such block"]
    except KeyError:
        log.exception("the relay itself is at fault, and ends")
    log_file.wait(PATIENCE_S)

    text = path.read_text()
    assert part in text.splitlines()[0]
    assert "the relay itself is at fault, and ends" in text
    assert "KeyError: 'no such block'" in text


def test_an_earlier_runs_lines_stay(log: logging.Logger, tmp_path: Path) -> None:
    path = tmp_path / "relay.log"
    path.write_text("of an earlier run\n")
    log_file = opened(log, path)
    log.info("relay started")
    log_file.wait(PATIENCE_S)
    assert path.read_text().splitlines()[0] == "of an earlier run"
    assert "relay started" in path.read_text()


def test_it_is_turned_over_and_the_oldest_goes(
    log: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfile, "MAX_BYTES", 500)
    log_file = opened(log, tmp_path / "relay.log")
    for number in range(100):
        log.info("line %s", number)
    log_file.wait(PATIENCE_S)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["relay.log", *(f"relay.log.{number}" for number in range(1, 5))]
    assert all(file.stat().st_size <= 500 for file in files)
    assert "line 99" in files[0].read_text()
    assert "line 0\n" not in "".join(file.read_text() for file in files)


def test_nobody_waits_for_a_disk_that_hangs(
    log: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads stands for the disk: a write blocks when it is full."""
    monkeypatch.setattr(logfile, "MAX_WAITING", 100)
    monkeypatch.setattr(logfile, "MAX_BYTES", 0)  # a pipe has no length to look at
    path = tmp_path / "relay.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        log_file = opened(log, path)
        for _ in range(300):
            log.info("x" * 1_000)
        log_file.wait(0.05)
        log.info("and goes on")
        assert len(os.read(reader, 1_000_000)) < 300_000, "the pipe took it all, and nothing hung"
    finally:
        os.close(reader)  # the write that hangs fails, and its thread is free


def test_a_full_disk_costs_the_lines_and_says_nothing_for_each(
    log: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log_file = opened(log, Path("/dev/full"))
    log.info("delivered")
    log_file.wait(PATIENCE_S)
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogFile(str(tmp_path / "none" / "relay.log"), formatter("text"))
