"""Which files the packages are made of, and which time stands in them: with git, without it, in a dirty work tree."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from local.package.errors import SourceError, ToolError
from local.package.source import DOS_END, DOS_EPOCH, asked_epoch, changed, read_source

COMMITTED = 1_700_000_000
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SOURCE_DATE_"))},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_DATE": f"{COMMITTED} +0200",
    "GIT_COMMITTER_DATE": f"{COMMITTED} +0200",
}


def git(root: Path, *arguments: str) -> None:
    command = [str(shutil.which("git")), "-C", str(root), *arguments]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=30)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for file in ("functions/a.py", "functions/__pycache__/a.cpython-313.pyc", "webjob/relay/loop.py", "notes.md"):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(file)
    (root / ".gitignore").write_text("__pycache__/\n*.log\n")
    (root / "functions" / "run.log").write_text("")
    return root


@pytest.fixture
def repository(tree: Path) -> Path:
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.com"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        git(tree, *command)
    return tree


FILES = (".gitignore", "functions/a.py", "notes.md", "webjob/relay/loop.py")


def test_a_clean_repository_gives_what_git_tracks_with_the_commits_time(repository: Path) -> None:
    source = read_source(repository, ENVIRONMENT)
    assert (source.files, source.epoch, source.notes) == (FILES, COMMITTED, ())
    assert source.origin.startswith("commit ")


def test_a_change_is_said_and_moves_the_time_so_that_it_is_not_taken_for_the_commit(repository: Path) -> None:
    (repository / "functions" / "a.py").write_text("changed")
    os.utime(repository / "functions" / "a.py", (COMMITTED + 60, COMMITTED + 60))
    source = read_source(repository, ENVIRONMENT)
    assert source.epoch == COMMITTED + 60
    (note,) = source.notes
    assert "the work tree is dirty" in note
    assert note.endswith("functions/a.py")


def test_a_change_of_what_is_not_packaged_is_no_change(repository: Path) -> None:
    (repository / "notes.md").write_text("changed")
    assert read_source(repository, ENVIRONMENT).notes == ()


def test_a_file_that_git_does_not_track_is_left_out_and_said(repository: Path) -> None:
    (repository / "functions" / ".env.py").write_text("KEY = 1")
    source = read_source(repository, ENVIRONMENT)
    assert (source.files, source.notes) == (FILES, ("left out, git does not track them: functions/.env.py",))


def test_a_file_that_was_deleted_is_left_out_and_said(repository: Path) -> None:
    (repository / "functions" / "a.py").unlink()
    source = read_source(repository, ENVIRONMENT)
    assert "functions/a.py" not in source.files
    assert "functions/a.py" in source.notes[0]


def test_the_index_of_the_repository_is_left_alone(repository: Path) -> None:
    os.utime(repository / "functions" / "a.py", (COMMITTED, COMMITTED))  # git status would note the new time
    before = (repository / ".git" / "index").read_bytes()
    read_source(repository, ENVIRONMENT)
    assert (repository / ".git" / "index").read_bytes() == before


def test_without_git_it_is_the_tree_but_for_what_gitignore_names_stamped_1980(tree: Path) -> None:
    source = read_source(tree, ENVIRONMENT)
    assert (source.files, source.epoch) == (FILES, DOS_EPOCH)
    assert "set SOURCE_DATE_EPOCH" in source.notes[0]


@pytest.mark.parametrize("with_git", ["with git", "without git"])
def test_source_date_epoch_wins(with_git: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue("repository" if with_git == "with git" else "tree")
    source = read_source(root, {**ENVIRONMENT, "SOURCE_DATE_EPOCH": "1600000000"})
    assert (source.files, source.epoch, source.notes) == (FILES, 1_600_000_000, ())


@pytest.mark.parametrize("text", ["yesterday", "-1", "1.5", "٣", str(DOS_EPOCH - 1), str(DOS_END + 1)])
def test_a_source_date_epoch_that_no_zip_file_holds_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(SourceError, match=r"SOURCE_DATE_EPOCH: found "):
        asked_epoch({"SOURCE_DATE_EPOCH": text})


def test_a_repository_without_a_commit_says_what_git_says(tree: Path) -> None:
    git(tree, "init", "-q")
    with pytest.raises(SourceError, match="does not have any commits"):
        read_source(tree, ENVIRONMENT)


def test_a_machine_without_git_is_told_to_install_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert shutil.which("git") is None
    with pytest.raises(ToolError, match="install git"):
        read_source(repository, ENVIRONMENT)


def test_a_renamed_file_counts_with_both_of_its_names() -> None:
    status = " M functions/a.py\0R  functions/new.py\0webjob/relay/old.py\0?? webjob/audit/\0?? notes\0 M docs/api.md\0"
    assert changed(status) == (["functions/a.py", "functions/new.py", "webjob/relay/old.py"], ["webjob/audit/"])
