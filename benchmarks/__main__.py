"""`python -m benchmarks [--quick]`: measures everything in one run, and writes benchmarks/report.md and its plots.

The report goes to standard output too, and progress to standard error. The first run installs Node-RED. What was
measured is kept in .build/benchmarks.json, from which --again writes the report anew. Exit code 0 when everything was
measured, whatever came of it; 1 when a part did not come up, did not get there or left wrong rows, and when it was
stopped.
"""

import datetime as dt
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec
import requests
from azure.core.exceptions import AzureError

from benchmarks.bare_tables import CallError
from benchmarks.command import measured, options, publish
from benchmarks.drawing import draw_plots
from benchmarks.found import Run
from benchmarks.record_measurements import WrongRowsError
from benchmarks.report import write_report
from benchmarks.run import FULL, QUICK, measure
from benchmarks.sections import commit
from local.processes import ROOT, ProcessError
from local.writer import LedgerRefusedError

FOLDER = Path(__file__).parent
KEPT = ROOT / ".build" / "benchmarks.json"
FAULTS = (
    ProcessError,
    LedgerRefusedError,
    WrongRowsError,
    CallError,
    AzureError,
    aiohttp.ClientError,
    requests.RequestException,
    subprocess.SubprocessError,
)
"""What a measurement may fail by."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = options("benchmarks", __doc__)
    parser.add_argument("--again", action="store_true", help="measure nothing, write the last run's report anew")
    asked = parser.parse_args(arguments)
    if asked.again:
        if not KEPT.exists():
            print(f"there is no {KEPT.relative_to(ROOT)}: nothing was measured here yet", file=sys.stderr)
            return 1
        run = msgspec.json.decode(KEPT.read_bytes(), type=Run)
    else:
        scale = QUICK if asked.quick else FULL
        found = measured(lambda folder, say: measure(folder, scale, say), FAULTS)
        if found is None:
            return 1
        today = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
        run = Run(asked.quick, commit("webjob", "functions"), found.minutes, today, found.values)
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(msgspec.json.encode(run))
    draw_plots(run, FOLDER / "svg")
    publish(write_report(run), FOLDER / "report.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
