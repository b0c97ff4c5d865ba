"""`python -m benchmarks.record [--quick]`: measures how fast the record is written, and writes benchmarks/record.md.

The report goes to standard output too, and progress to standard error. Exit code 0 when everything was measured,
whatever came of the goals; 1 when a part did not come up or left wrong rows, and when it was stopped.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from azure.core.exceptions import AzureError

from benchmarks import record_measurements
from benchmarks.bare_tables import CallError
from benchmarks.record_measurements import FULL, QUICK, Histories, Say, Scale, WrongRowsError
from benchmarks.record_parts import stack
from benchmarks.record_report import Run, write_report
from local.processes import ProcessError

REPORT = Path(__file__).parent / "record.md"


def measure(folder: Path, scale: Scale, say: Say) -> dict[str, list[float]]:
    """Measure everything, in repetitions, each on a stack of its own; the values of each key."""
    say("signing the histories")
    values: dict[str, list[float]] = {}
    histories = Histories(scale)
    for turn in range(scale.repetitions):
        say(f"repetition {turn + 1} of {scale.repetitions}")
        with stack(folder / f"{turn + 1}") as running:
            for found in record_measurements.steps(running, histories, scale, turn, say):
                for key, value in found.items():
                    values.setdefault(key, []).append(value)
    return values


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and short repetitions, no basis for claims")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale, load, began = QUICK if asked.quick else FULL, os.getloadavg()[0], time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    folder = Path(tempfile.mkdtemp(prefix="leasehook-bench-"))
    try:
        values = measure(folder, scale, say)
    except (
        ProcessError,
        WrongRowsError,
        CallError,
        AzureError,
        aiohttp.ClientError,
        subprocess.SubprocessError,
    ) as error:
        print(f"the measurement failed: {error}\nlogs are in {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        print("stopped", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    report = write_report(Run(scale, asked.quick, values, load, (time.monotonic() - began) / 60))
    REPORT.write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
