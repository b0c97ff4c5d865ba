"""The sections that every report has: its head, the goals, and the machine it was made on. And a table's row."""

import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from local.processes import ROOT

UNKNOWN = "unknown"


def head(title: str, command: str, repetitions: int, minutes: float) -> Iterator[str]:
    """The lines of the first section. `command` is what the report was made by, with its options."""
    kind = "A quick run, which is no basis for claims" if "--quick" in command else "A full run"
    yield f"# {title}"
    yield ""
    yield f"{kind}, written by `{command}`."
    yield f"{repetitions} repetitions, interleaved; {minutes:.0f} minutes."
    yield ""


def goals(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of the section on the goals: what, goal, median, least, most and verdict of each."""
    yield "## Goals"
    yield ""
    yield "A goal is reached when every repetition reached it, and missed when every one missed it. Where some did and"
    yield "some did not, the noise hides the answer: too noisy."
    yield ""
    yield "| what | goal | median | least | most | |"
    yield "|---|---|---|---|---|---|"
    yield from map(row, rows)
    yield ""


def machine(load: float, packages: Sequence[str], folder: str) -> Iterator[str]:
    """The lines of the report's last section. `folder` is what was measured: whether it was changed is told."""
    yield "## The machine"
    yield ""
    yield f"- {os.cpu_count()} cores, {_processor()}; {platform.system()}"
    yield f"- load average before the run: {load:.2f}"
    yield f"- Python {platform.python_version()}; " + ", ".join(f"{one} {_version(one)}" for one in packages)
    yield f"- commit {_commit(folder)}, {dt.datetime.now(dt.UTC):%Y-%m-%d}"


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"


def _commit(folder: str) -> str:
    commit = _git("rev-parse", "--short", "HEAD")
    is_changed = commit != UNKNOWN and _git("status", "--porcelain", folder)
    return f"{commit} with changes to {folder}/" if is_changed else commit


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return UNKNOWN
    argv = [git, "--no-optional-locks", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else UNKNOWN
