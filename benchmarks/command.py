"""What the commands that measure share: their options, their progress, their folder, and how they end."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

Say = Callable[[str], None]
"""Tells on standard error what is measured next."""


class Measured[Values](msgspec.Struct, frozen=True):
    """What was measured, the load before it began, and how many minutes it took."""

    values: Values
    load: float
    minutes: float


def options(program: str, description: str) -> argparse.ArgumentParser:
    """A command line that knows --quick."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and short repetitions, no basis for claims")
    return parser


def measured[Values](
    measure: Callable[[Path, Say], Values], faults: tuple[type[Exception], ...]
) -> Measured[Values] | None:
    """Measure in a folder of its own; None when it failed by one of the faults, or was stopped, which is then said."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load, began = os.getloadavg()[0], time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    folder = Path(tempfile.mkdtemp(prefix="leasehook-bench-"))
    try:
        values = measure(folder, say)
    except faults as error:
        print(f"the measurement failed: {error}\nlogs are in {folder}", file=sys.stderr)
        return None
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        print("stopped", file=sys.stderr)
        return None
    shutil.rmtree(folder)
    return Measured(values, load, (time.monotonic() - began) / 60)


def publish(report: str, place: Path) -> None:
    """Write the report where it belongs, and show it."""
    place.write_text(report, encoding="utf-8")
    print(report)
