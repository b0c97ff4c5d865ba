"""A Function that keeps no record: it acknowledges every batch, and notes what came when.

`python -m benchmarks.stub_function [--delay SECONDS] [--keep-arrivals]`. By the contract an event that came before is
`duplicate`, and every other one `applied`. GET /figures says how many there were of either. It checks neither the key
nor the evidence.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

import msgspec
from aiohttp import web

from benchmarks.serving import serve

MAX_BODY = 1_048_576
"""Bytes of a batch that the contract allows."""
ID_DIGITS = 16
"""Digits of an id by which it is remembered: 64 bits tell a million apart, in a third of the memory."""


class Event(msgspec.Struct):
    """What the stub reads of a CloudEvent."""

    id: str
    sequence: str

    @property
    def height(self) -> int:
        """Height of the block that holds the transaction."""
        return int(self.sequence.partition("-")[0])


class Arrival(msgspec.Struct, frozen=True):
    """When an event came for the first time, and of which block it is."""

    time: float
    height: int


class Figures(msgspec.Struct):
    """What came so far. Times are those of time.monotonic, one clock for all processes; those of the first arrivals."""

    now: float = 0.0
    batches: int = 0
    distinct: int = 0
    repeated: int = 0
    first: float = 0.0
    last: float = 0.0
    arrivals: dict[str, Arrival] = {}


class Result(msgspec.Struct, frozen=True):
    """What the stub answers to one event."""

    id: str
    outcome: str
    detail: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What the stub answers to a batch."""

    results: list[Result]


class StubFunction:
    """Acknowledges each batch `delay` seconds after it came, however many are under way."""

    def __init__(self, delay: float, *, keeps_arrivals: bool) -> None:
        self._delay = delay
        self._keeps_arrivals = keeps_arrivals
        self._seen: set[int] = set()
        self._figures = Figures()
        self._batch = msgspec.json.Decoder(list[Event])

    def app(self) -> web.Application:
        """The application that serves it."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/api/ledger-events", self._acknowledge)
        app.router.add_get("/figures", self._tell)
        return app

    async def _acknowledge(self, request: web.Request) -> web.Response:
        body = await request.read()
        now = time.monotonic()
        results = [Result(event.id, self._note(event, now)) for event in self._batch.decode(body)]
        self._figures.batches += 1
        if self._delay:
            await asyncio.sleep(self._delay)
        return web.Response(body=msgspec.json.encode(Answer(results)), content_type="application/json")

    def _note(self, event: Event, now: float) -> str:
        """Note one event; its outcome."""
        figures, digits = self._figures, int(event.id[:ID_DIGITS], 16)
        if digits in self._seen:
            figures.repeated += 1
            return "duplicate"
        self._seen.add(digits)
        figures.first = figures.first or now
        figures.last = now
        figures.distinct += 1
        if self._keeps_arrivals:
            figures.arrivals[event.id] = Arrival(now, event.height)
        return "applied"

    async def _tell(self, request: web.Request) -> web.Response:
        """The figures; with their arrivals where the question has ?arrivals."""
        told = msgspec.structs.replace(self._figures, now=time.monotonic())
        if "arrivals" not in request.query:
            told.arrivals = {}
        return web.Response(body=msgspec.json.encode(told), content_type="application/json")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stub_function", description=__doc__.partition("\n")[0])
    parser.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="how long a batch takes")
    parser.add_argument("--keep-arrivals", action="store_true", help="note when each event came")
    asked = parser.parse_args(arguments)
    return serve(StubFunction(asked.delay, keeps_arrivals=asked.keep_arrivals).app())


if __name__ == "__main__":
    sys.exit(main())
