"""Command line of the local ledger: reads the arguments, binds the two sockets, configures the server, serves.

It knows nothing of how the ledger works; the order of the steps is its one secret. A port of zero is known only once
its socket is bound, the server must be configured with it, and the server can be imported only then.
"""

import argparse
import asyncio
import errno
import logging
import math
import socket
import sys
from collections.abc import Sequence
from typing import Never

from local.ledger.configuration import configure_server

ANY_ADDRESS = "0.0.0.0"
BACKLOG = 128  # connections that may wait to be accepted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the ledger until it is told to stop; its exit code. Exits with 2 when an argument is wrong."""
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with (
        _listener(parser, "--port", options.host, options.port) as http_listener,
        _listener(parser, "--stream-port", options.host, options.stream_port) as stream_listener,
    ):
        # Listening on every address, it is reached at this one for certain.
        reached_at = "127.0.0.1" if options.host == ANY_ADDRESS else options.host
        configure_server(reached_at, stream_listener.getsockname()[1])
        # These import the server, which has to find itself configured.
        from local.ledger.consensus import BlockRules
        from local.ledger.serving import serve
        from local.ledger.stream import Dispatcher, HardenedDispatcher

        return asyncio.run(
            serve(
                host=reached_at,
                http_listener=http_listener,
                stream_listener=stream_listener,
                rules=BlockRules(options.block_time, options.max_transactions, options.proof_blocks),
                dispatcher=Dispatcher if options.stream_bugs else HardenedDispatcher,
                with_parent=options.with_parent,
            )
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.ledger",
        description="A BigchainDB 2.2.2 for development: one process, in memory, without consensus.",
        epilog="It stops on SIGTERM and SIGINT, and keeps nothing.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="IPv4 address or name to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=0, help="port of the HTTP API; 0 takes a free one (%(default)s)")
    parser.add_argument(
        "--stream-port", type=_port, default=0, help="port of the event stream; 0 takes a free one (%(default)s)"
    )
    parser.add_argument(
        "--block-time",
        type=_seconds,
        default=0.2,
        metavar="SECONDS",
        help="time from a block's first transaction to its commit (%(default)s)",
    )
    parser.add_argument(
        "--max-transactions", type=_count, default=1000, metavar="N", help="transactions in a block (%(default)s)"
    )
    parser.add_argument(
        "--no-proof-blocks",
        dest="proof_blocks",
        action="store_false",
        help="do not make an empty block after each full one",
    )
    parser.add_argument(
        "--stream-bugs",
        action="store_true",
        help="leave BigchainDB's own faults in the event stream: one bad subscriber silences it for all",
    )
    parser.add_argument(
        "--with-parent",
        action="store_true",
        help="stop at end-of-file on standard input: for a parent that holds a pipe to it open (local/processes.py). "
        "Without it standard input is not read, so a terminal or /dev/null does no harm",
    )
    return parser


def _listener(parser: argparse.ArgumentParser, argument: str, host: str, port: int) -> socket.socket:
    """A socket that listens, so that its port is certain; the parser's error, naming the argument, if it cannot."""

    def refuse(blamed: str, reason: str) -> Never:
        parser.error(f"argument {blamed}: cannot listen on {host}:{port}: {reason}")

    try:
        address = socket.gethostbyname(host)
    except OSError as error:
        refuse("--host", str(error.strerror))
    try:
        return socket.create_server((address, port), backlog=BACKLOG)
    except OSError as error:
        refuse("--host" if error.errno == errno.EADDRNOTAVAIL else argument, str(error.strerror).partition(" (")[0])


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, zero or more")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
