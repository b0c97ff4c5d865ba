"""The fuzzer's command line: `python -m tests.fuzz TARGET [--seconds N]`, or `--all`. Without a target it lists them.

Exit codes: 0 nothing was found, 1 something was (it is then in the corpus, where `make test` replays it), 2 wrong
usage, or there is no atheris for this machine.
"""

import argparse
import contextlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from local.azurite import azurite
from local.processes import ROOT
from tests.fuzz.seeds import CORPUS
from tests.fuzz.targets import TARGETS

MAX_INPUT_BYTES = 65_536
SLOW_S = 10
MAX_MEMORY_MB = 1_500
SHOW_EVERY_S = 5.0
PROGRESS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) .*?corp: (\d+)/")
IDLE = re.compile(r"INFO: |WARNING: |#\d+\s|Done |\s*$")
"""Lines of libFuzzer that tell of no fault."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Fuzz what is asked for, one target after the other."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    names = list(TARGETS) if arguments.all else arguments.target
    if not TARGETS.keys() >= {*names}:
        parser.error(f"the targets are {', '.join(TARGETS)}")
    if not names:
        print("Targets:", *(f"  {name:18} {about}" for name, about in TARGETS.items()), sep="\n")
        sys.exit(0)
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: it is published for Linux on x86-64 alone. `make test` replays the corpus.")
        sys.exit(2)
    with _tables(names) as tables:
        found = [name for name in names if not _fuzz(name, arguments.seconds, tables, arguments.keep)]
    sys.exit(1 if found else 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz parsers and the relay's route.")
    parser.add_argument("target", nargs="*", metavar="TARGET", help="what to fuzz; without any, they are listed")
    parser.add_argument("--all", action="store_true", help="fuzz every target")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder in which what was reached is kept for the next time")
    return parser


@contextlib.contextmanager
def _tables(names: Sequence[str]) -> Iterator[str]:
    """Connection string of an Azurite, where a target needs one."""
    if "ledger-events" not in names:
        yield ""
        return
    with tempfile.TemporaryDirectory() as folder, azurite(Path(folder) / "azurite.log") as connection_string:
        yield connection_string


def _fuzz(name: str, seconds: int, tables: str, keep: Path | None) -> bool:
    """Fuzz one target, telling how it goes; whether nothing was found."""
    with tempfile.TemporaryDirectory() as scratch:
        reached = keep / name if keep else Path(scratch)
        reached.mkdir(parents=True, exist_ok=True)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            f"-timeout={SLOW_S}",
            f"-rss_limit_mb={MAX_MEMORY_MB}",
            f"-artifact_prefix={CORPUS / name}/found-",
            str(reached.resolve()),
            str(CORPUS / name),
        ]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.guided", name, *options],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'webjob'}", "FUZZED_TABLES": tables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        with child:
            return _follow(name, child)


def _follow(name: str, child: subprocess.Popen[str]) -> bool:
    """Show the progress of a fuzzer until it ends; whether it found nothing."""
    began = shown = time.monotonic()
    last, fault = "", list[str]()
    for line in child.stdout or ():
        progress = PROGRESS.match(line)
        if not progress and not IDLE.match(line):
            fault.append(line)
        if progress:
            inputs, places, kinds = map(int, progress.groups())
            last = f"{inputs:,} inputs in {time.monotonic() - began:.0f} s, {places:,} places reached, {kinds:,} kinds"
        if progress and time.monotonic() - shown > SHOW_EVERY_S:
            shown = time.monotonic()
            print(f"{name}: {last}", flush=True)
    if child.wait() == 0:
        print(f"{name}: {last}; nothing found", flush=True)
        return True
    when = f"after {last}; saved in {(CORPUS / name).relative_to(ROOT)}" if last else "by an input of the corpus"
    print(*fault, f"{name}: FOUND {when}", sep="")
    return False


if __name__ == "__main__":
    main()
