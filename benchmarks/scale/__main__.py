"""`python -m benchmarks.scale [--quick]`: counts what an event costs, and writes benchmarks/scale/report.md.

The report goes to standard output too, and progress to standard error. Exit code 0 when everything was counted, 1 when
a part did not come up or an event was not applied, and when it was stopped.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import requests
from azure.core.exceptions import AzureError

from benchmarks.command import measured, options, publish
from benchmarks.scale.measurements import FULL, QUICK, measure
from benchmarks.scale.report import write_report
from local.processes import ProcessError

REPORT = Path(__file__).parent / "report.md"
FAULTS = (ProcessError, AzureError, requests.RequestException)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    asked = options("benchmarks.scale", __doc__).parse_args(arguments)
    found = measured(lambda folder, say: measure(folder, QUICK if asked.quick else FULL, say), FAULTS)
    if found is None:
        return 1
    publish(write_report(found.values, " --quick" if asked.quick else "", found.load), REPORT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
