"""What reports share: the section on the machine they were made on, and a table's rows."""

import datetime as dt
import importlib.metadata
import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from local.processes import ROOT

UNKNOWN = "unknown"


def machine(load: float, packages: Sequence[str], folder: str) -> Iterator[str]:
    """The lines of the report's last section. `folder` is what was measured: whether it was changed is told."""
    yield "## The machine"
    yield ""
    yield f"- {processor()}"
    yield f"- load average before the run: {load:.2f}"
    yield f"- {versions(packages)}"
    yield f"- commit {commit(folder)}, {dt.datetime.now(dt.UTC):%Y-%m-%d}"


def commit(*folders: str) -> str:
    """The commit that is checked out, and which of the folders were changed since."""
    found = _git("rev-parse", "--short", "HEAD")
    changed = [f"{one}/" for one in folders if found != UNKNOWN and _git("status", "--porcelain", one)]
    return f"{found} with changes to {' and '.join(changed)}" if changed else found


def versions(packages: Sequence[str]) -> str:
    """Python, and these packages, with their versions."""
    return f"Python {platform.python_version()}; " + ", ".join(f"{one} {_version(one)}" for one in packages)


def processor() -> str:
    """Cores, processor and system of the machine."""
    return f"{os.cpu_count()} cores, {_processor()}; {platform.system()}"


def row(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table, and an empty one."""
    yield row(columns)
    yield "|---" * len(columns) + "|"
    yield from map(row, rows)
    yield ""


def around(values: Sequence[float], decimals: int) -> str:
    """The median, with least and most."""
    median, least, most = (f"{one:,.{decimals}f}" for one in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least} to {most})"


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


def _git(*arguments: str) -> str:
    git = shutil.which("git")
    if git is None:
        return UNKNOWN
    argv = [git, "--no-optional-locks", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else UNKNOWN
