"""A proxy by hand: `python -m local.faults 127.0.0.1:9984`, then lines on standard input switch its faults.

A line is a fault's name, with its amount and its chance if it has them (`delay 0.5`, `twice 0.1`, `throttled 5 0.3`),
or `clear`, or `hits`, which tells what has happened so far.
"""

import argparse
import sys
from collections.abc import Sequence

from local.faults.fault import Fault, Kind, named
from local.faults.link import Link
from local.faults.proxy import running_proxy


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    kinds = "\n".join(f"  {kind.title:18}{kind.unit:16}{kind.effect}" for kind in Kind)
    parser = argparse.ArgumentParser(
        prog="python -m local.faults",
        description=__doc__,
        epilog=f"faults, with what their amount is:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("server", help="host:port of the part that is to be reached through the proxy")
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1 (default: a free port)")
    asked = parser.parse_args(arguments)
    host, _, port = asked.server.rpartition(":")
    if not host or not port.isdecimal():
        parser.error(f"argument server: found {asked.server!r}; allowed is host:port")
    with running_proxy() as proxy:
        try:
            link = proxy.open(Link("by hand", (host, int(port))), asked.port)
        except OSError as error:
            parser.error(f"argument --port: {error}")
        print(f"{link.address} is carried to {asked.server}; one fault a line, or clear, or hits", flush=True)
        for line in sys.stdin:
            print(obey(link, line.split()), flush=True)
    return 0


def obey(link: Link, words: Sequence[str]) -> str:
    """Do what a line asks; what to tell."""
    match words:
        case ["clear"]:
            link.clear()
            return "no fault"
        case ["hits"] | []:
            return ", ".join(f"{kind.title} {count}" for kind, count in link.hits.items()) or "nothing was hit"
    try:
        link.switch(read_fault(words))
    except ValueError as error:
        return str(error)
    return str(link.fault)


def read_fault(words: Sequence[str]) -> Fault:
    """The fault that words name: its kind, its amount where it has one, its chance. Raises ValueError."""
    kind = named(words[0])
    numbers = [float(word) for word in words[1:]]
    allowed = 2 if kind.unit else 1
    if len(numbers) > allowed or len(numbers) < allowed - 1:
        needed = f"needs an amount, {kind.unit}, " if kind.unit else ""
        raise ValueError(f"{kind.title} {needed}and takes a chance between 0 and 1; found {len(numbers)} numbers")
    amount = numbers.pop(0) if kind.unit else 0.0
    chance = numbers.pop(0) if numbers else 1.0
    if not (0 < chance <= 1 and 0 <= amount < 1e9) or (kind is Kind.BANDWIDTH and not amount):
        raise ValueError(f"{kind.title}: found amount {amount:g} and chance {chance:g}; neither may be that")
    return Fault(kind, amount, chance)


if __name__ == "__main__":
    sys.exit(main())
