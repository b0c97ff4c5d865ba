"""`python -m benchmarks.peers [--quick]`: measures what the usual ways lose, and writes benchmarks/peers/report.md.

The report goes to standard output too, and progress to standard error. The first run installs Node-RED. Exit code 0
when everything was measured; 1 when a part did not come up, when a way did not deliver a quiet history completely, and
when it was stopped.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import requests
from azure.core.exceptions import AzureError

from benchmarks.command import measured, options, publish
from benchmarks.peers.measurements import FULL, QUICK, measure
from benchmarks.peers.report import write_report
from benchmarks.peers.ways import NODE_RED
from local.processes import ProcessError
from local.writer import LedgerRefusedError

REPORT = Path(__file__).parent / "report.md"
FAULTS = (ProcessError, LedgerRefusedError, requests.RequestException, AzureError, subprocess.SubprocessError)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    asked = options("benchmarks.peers", __doc__).parse_args(arguments)
    found = measured(lambda folder, say: measure(folder, QUICK if asked.quick else FULL, say), FAULTS)
    if found is None:
        return 1
    pinned = json.loads((NODE_RED / "package.json").read_text(encoding="utf-8"))["dependencies"]["node-red"]
    told = write_report(found.values, " --quick" if asked.quick else "", pinned, found.load, found.minutes)
    publish(told, REPORT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
