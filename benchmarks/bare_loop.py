"""The limit of reading: a loop that reads a ledger's blocks one after the other, and does nothing with them.

`python -m benchmarks.bare_loop [--raw] URL` prints what it reached as one JSON line. It is what the simplest program
can do that asks a node for every block over one connection, and parses each answer; with --raw it parses nothing, and
reads by http.client alone.
"""

import argparse
import http.client
import sys
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
import requests

TIMEOUT_S = 60.0
BLOCKS = "/api/v1/blocks/"
IN_EACH_TRANSACTION = b'"operation":'


class Read(msgspec.Struct, frozen=True):
    """How many transactions were read, and the seconds they took."""

    events: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Transactions a second."""
        return self.events / self.seconds


def read_all(url: str) -> int:
    """Read every block from the first to the tip; how many transactions they hold."""
    height, transactions = 1, 0
    with requests.Session() as session:
        while (answer := session.get(f"{url}{BLOCKS}{height}", timeout=TIMEOUT_S)).status_code != 404:
            answer.raise_for_status()
            transactions += len(answer.json()["transactions"])
            height += 1
    return transactions


def read_all_raw(url: str) -> int:
    """The same without requests, and without parsing: transactions are counted by a word that each has once."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    height, transactions = 1, 0
    while True:
        connection.request("GET", f"{BLOCKS}{height}")
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 404:
            connection.close()
            return transactions
        transactions += text.count(IN_EACH_TRANSACTION)
        height += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_loop", description=__doc__.partition("\n")[0])
    parser.add_argument("url", help="the node's HTTP address")
    parser.add_argument("--raw", action="store_true", help="parse nothing")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    events = (read_all_raw if asked.raw else read_all)(asked.url)
    print(msgspec.json.encode(Read(events, time.monotonic() - began)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
