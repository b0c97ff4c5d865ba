"""The files that packages are made of, and the time that stands in them: from git, or without it from the tree itself.

It does not know which files go into which package.
"""

import os
import shutil
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pathspec

from local.package.errors import SourceError, ToolError

DOS_EPOCH = 315_532_800  # 1980-01-01T00:00:00Z, the first time that a ZIP file can hold
DOS_END = 4_354_819_198  # 2107-12-31T23:59:58Z, the last one (APPNOTE.TXT 4.4.6: MS-DOS date and time)
STAMP = "SOURCE_DATE_EPOCH"
PACKAGED = ("functions/", "webjob/", "function_app.py", "host.json", "requirements.txt", ".funcignore")
NAMED = 5  # files that a note names


@dataclass(frozen=True, slots=True)
class Source:
    """The files of the work tree, and how they are stamped.

    `files` are paths below `root`, with slashes, sorted; `epoch` is in seconds since 1970; `origin` says where the
    files come from, and `notes` what whoever makes the packages should know of them.
    """

    root: Path
    files: tuple[str, ...]
    epoch: int
    origin: str
    notes: tuple[str, ...] = ()

    def below(self, folder: str) -> tuple[str, ...]:
        """The files below a folder (a path that ends with a slash)."""
        return tuple(file for file in self.files if file.startswith(folder))


def read_source(root: Path, environ: Mapping[str, str]) -> Source:
    """Read what git tracks below `root`; where `root` is no repository, what .gitignore does not name.

    Files are stamped with SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/), else with the
    commit's time, else with 1980-01-01. Raises SourceError, and ToolError when git is missing.
    """
    asked = asked_epoch(environ)
    return _from_git(root, environ, asked) if (root / ".git").exists() else _from_tree(root, asked)


def asked_epoch(environ: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH as a number of seconds, None when it is not set. Raises SourceError when it is none."""
    text = environ.get(STAMP, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or not DOS_EPOCH <= int(text) <= DOS_END:
        raise SourceError(
            f"{STAMP}: found {text!r}; allowed are seconds since 1970, {DOS_EPOCH} to {DOS_END}: what a ZIP file holds"
        )
    return int(text)


def in_a_zip_file(epoch: int) -> int:
    """The nearest time that a ZIP file can hold."""
    return min(max(epoch, DOS_EPOCH), DOS_END)


def changed(status: str) -> tuple[list[str], list[str]]:
    """The packaged files that differ from the commit, and those that git does not track.

    `status` is the output of `git status --porcelain=v1 -z`: two letters, a space and a path, ended by NUL; a renamed
    file is followed by its old name.
    """
    differing: list[str] = []
    untracked: list[str] = []
    entries = iter(status.split("\0"))
    for entry in entries:
        letters, path = entry[:2], entry[3:]
        paths = [path]
        if "R" in letters or "C" in letters:
            paths.append(next(entries, ""))
        (untracked if letters == "??" else differing).extend(path for path in paths if path.startswith(PACKAGED))
    return differing, untracked


def ignored_by(file: Path) -> pathspec.GitIgnoreSpec:
    """What a file of git's ignore rules names. Raises SourceError when it cannot be read."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}") from error
    return pathspec.GitIgnoreSpec.from_lines(lines)


def _from_git(root: Path, environ: Mapping[str, str], asked: int | None) -> Source:
    if shutil.which("git") is None:
        raise ToolError("git is missing, and this is a git repository: install git")
    tracked = [file for file in _git(root, environ, "ls-files", "-z").split("\0") if file]
    commit, _, committed = _git(root, environ, "log", "-1", "--format=%h %ct").strip().partition(" ")
    # Without its lock, git status leaves the index alone: another git may be at work.
    status = _git(root, environ, "--no-optional-locks", "status", "--porcelain=v1", "-z", "--untracked-files=all")
    differing, untracked = changed(status)
    files = [file for file in tracked if (root / file).is_file()]
    notes = []
    if differing:
        notes.append(f"the work tree is dirty, these files differ from commit {commit}: {_named(differing)}")
    if untracked:
        notes.append(f"left out, git does not track them: {_named(untracked)}")
    # App Service keeps a file that it has where the new one is stamped the same: what differs needs a time of its own.
    times = [int(committed), *((root / file).stat().st_mtime for file in differing if (root / file).is_file())]
    epoch = in_a_zip_file(int(max(times))) if asked is None else asked
    return Source(root, tuple(sorted(files)), epoch, f"commit {commit}", tuple(notes))


def _from_tree(root: Path, asked: int | None) -> Source:
    files = sorted(_walk(root, ignored_by(root / ".gitignore")))
    notes = []
    if asked is None:
        notes.append(
            "no git repository, so that all files are stamped 1980-01-01. App Service keeps a file that it has where "
            f"the new one is stamped the same: to publish over an earlier version, set {STAMP}"
        )
    return Source(root, tuple(files), DOS_EPOCH if asked is None else asked, f"folder {root}", tuple(notes))


def _walk(root: Path, ignored: pathspec.GitIgnoreSpec) -> Iterable[str]:
    for folder, folders, names in os.walk(root):
        below = Path(folder).relative_to(root).as_posix().removeprefix(".")
        prefix = f"{below}/" if below else ""
        folders[:] = [name for name in folders if not ignored.match_file(f"{prefix}{name}/")]
        yield from (prefix + name for name in names if not ignored.match_file(prefix + name))


def _git(root: Path, environ: Mapping[str, str], *arguments: str) -> str:
    # A git hook names another repository's index in GIT_*.
    clean = {name: value for name, value in environ.items() if not name.startswith("GIT_")}
    command: Sequence[str] = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, errors="surrogateescape", check=False)
    if done.returncode:
        raise SourceError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _named(files: Collection[str]) -> str:
    shown = ", ".join(sorted(files)[:NAMED])
    return f"{shown} and {len(files) - NAMED} more" if len(files) > NAMED else shown
