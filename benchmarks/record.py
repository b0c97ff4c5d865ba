"""`python -m benchmarks.record [--quick]`: measures how fast the record is written, and writes benchmarks/record.md.

The report goes to standard output too, and progress to standard error. Exit code 0 when everything was measured,
whatever came of the goals; 1 when a part did not come up or left wrong rows, and when it was stopped.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
from azure.core.exceptions import AzureError

from benchmarks import record_measurements
from benchmarks.bare_tables import CallError
from benchmarks.command import Say, measured, options, publish
from benchmarks.record_measurements import FULL, QUICK, Histories, Scale, WrongRowsError
from benchmarks.record_parts import stack
from benchmarks.record_report import Run, write_report
from local.processes import ProcessError

REPORT = Path(__file__).parent / "record.md"
FAULTS = (
    ProcessError,
    WrongRowsError,
    CallError,
    AzureError,
    aiohttp.ClientError,
    subprocess.SubprocessError,
)
"""What a measurement may fail by."""


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
    asked = options("benchmarks.record", __doc__).parse_args(arguments)
    scale = QUICK if asked.quick else FULL
    found = measured(lambda folder, say: measure(folder, scale, say), FAULTS)
    if found is None:
        return 1
    publish(write_report(Run(scale, asked.quick, found.values, found.load, found.minutes)), REPORT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
