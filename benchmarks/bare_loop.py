"""The baseline: a loop that reads a ledger's blocks one after the other, and does nothing with them.

`python -m benchmarks.bare_loop URL` prints what it reached as one JSON line. It is what the simplest program can do
that asks a node for every block over one connection, and parses each answer.
"""

import json
import sys
import time
from collections.abc import Sequence

import requests

TIMEOUT_S = 60.0


def read_all(url: str) -> int:
    """Read every block from the first to the tip; how many transactions they hold."""
    height, transactions = 1, 0
    with requests.Session() as session:
        while (answer := session.get(f"{url}/api/v1/blocks/{height}", timeout=TIMEOUT_S)).status_code != 404:
            answer.raise_for_status()
            transactions += len(answer.json()["transactions"])
            height += 1
    return transactions


def main(arguments: Sequence[str]) -> int:
    """The command line; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.bare_loop URL", file=sys.stderr)
        return 2
    began = time.monotonic()
    events = read_all(arguments[0])
    seconds = time.monotonic() - began
    print(json.dumps({"events": events, "seconds": seconds, "events_per_s": events / seconds}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
