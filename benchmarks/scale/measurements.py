"""Runs the Function app and the relay on Azurite, with a counting proxy in between, and counts what they ask of it.

What is made of the counts is not known here.
"""

import asyncio
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import batched
from pathlib import Path

import msgspec
import requests

from benchmarks.bare_tables import BareTables
from benchmarks.command import Say
from benchmarks.history import LESSOR
from benchmarks.leases import LEDGER, Event, hot_keys
from benchmarks.parts import Bench
from benchmarks.record_parts import CONTENT_TYPE, DONE, Results
from benchmarks.scale.counting_proxy import CountingProxy, counting_proxy, table_origin, through
from benchmarks.scale.entity_size import entity_bytes
from benchmarks.scale.requests_made import Counted, counted
from benchmarks.scale.stories import HANDED_ON, LEASED, REGISTERED, Life, lives
from benchmarks.table_calls import Rows
from functions.records.record import CARS, DRIVERS
from local.azurite import azurite
from local.processes import ROOT, ProcessError, running
from local.scenario import LedgerClient, car

KEY = "key-of-the-benchmark"
AGAIN, HOT = "hand-over, delivered again", "hand-over, hot keys"
TIMEOUT_S = 120.0
SEEDING = 100


class Scale(msgspec.Struct, frozen=True):
    """How much is counted: cars by size of batch, batches by size for the distance, seconds of a relay."""

    cars: dict[int, int]
    hot_events: int
    held_batches: dict[int, int]
    side_by_side: int
    hold_s: float
    relay_s: float


FULL = Scale({1: 20, 10: 100, 100: 200}, 200, {1: 10, 10: 5, 100: 2}, 4, 0.050, 60.0)
QUICK = Scale({1: 4, 10: 20, 100: 100}, 100, {1: 3, 10: 2, 100: 1}, 2, 0.050, 8.0)


class Step(msgspec.Struct, frozen=True):
    """What the batches of one step asked of Table Storage."""

    name: str
    size: int
    events: int
    counted: Counted


class Held(msgspec.Struct, frozen=True):
    """How long a batch of hand-overs took, in seconds (the median), each call being held for a while."""

    size: int
    side_by_side: int
    seconds: float


class Followed(msgspec.Struct, frozen=True):
    """What a relay asked of Table Storage in so many seconds; `events` in `batches` reached the Function meanwhile."""

    name: str
    seconds: float
    events: int
    batches: int
    counted: Counted


class Found(msgspec.Struct, frozen=True):
    """All that was counted; `rows` are the mean bytes of a row by its kind, `event` those of a hand-over's event."""

    scale: Scale
    steps: list[Step]
    held: list[Held]
    followed: list[Followed]
    rows: dict[str, float]
    event: float


class Parts(msgspec.Struct, frozen=True):
    """What runs: the Function app's address, the proxy before its tables, and the tables behind it."""

    folder: Path
    url: str
    proxy: CountingProxy
    tables: str


@contextmanager
def parts(folder: Path) -> Iterator[Parts]:
    """Run Azurite, its data in memory, a proxy before it, and the Function app on the proxy."""
    folder.mkdir()
    with ExitStack() as stack:
        tables = stack.enter_context(azurite(folder / "azurite.log"))
        proxy = stack.enter_context(counting_proxy(table_origin(tables)))
        settings = {
            "LEDGER_NAME": LEDGER,
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "TABLES_CONNECTION_STRING": through(proxy.url, tables),
            "LOCAL_FUNCTIONS_KEY": KEY,
        }
        argv = [sys.executable, "-m", "local.functions_host", str(ROOT), "--with-parent"]
        host = stack.enter_context(running("the Functions host", argv, log=folder / "functions.log", env=settings))
        yield Parts(folder, host.announced["http"], proxy, tables)


def measure(folder: Path, scale: Scale, say: Say) -> Found:
    """Count everything. Raises ProcessError when a part does not come up, or an event is not applied."""
    say("signing")
    needed = sum(scale.cars.values()) + sum(
        size * batches * (scale.side_by_side if size == max(scale.held_batches) else 1)
        for size, batches in scale.held_batches.items()
    )
    needed += max(scale.held_batches) * scale.held_batches[max(scale.held_batches)]
    cars = _Cars(lives(needed))
    with parts(folder / "lives") as running_parts:
        steps: list[Step] = []
        for size, number in scale.cars.items():
            say(f"the lives of {number} cars in batches of {size}")
            steps += _lives(running_parts, cars.next(number), size)
        say("with a distance")
        held = _held(running_parts, cars, scale)
        rows = _row_bytes(asyncio.run(_rows(running_parts.tables)))
        say("a relay at rest, and one that follows")
        followed = _relay(running_parts, scale)
    # Its cars are the first of the others: it has tables of its own.
    say("hot keys")
    with parts(folder / "hot") as running_parts:
        steps += _hot(running_parts, scale)
    sample = [len(event.encoded()) for life in cars.all if life.step == HANDED_ON for event in life.events]
    return Found(scale, steps, held, followed, rows, statistics.mean(sample))


class _Cars:
    """Cars that have not been used yet."""

    def __init__(self, every: Sequence[Life]) -> None:
        self.all = every
        self._used = 0

    def next(self, number: int) -> list[Life]:
        """The lives of the next so many cars."""
        first, self._used = self._used, self._used + number
        return [Life(life.step, life.events[first : self._used]) for life in self.all]


def _lives(parts: Parts, steps: Sequence[Life], size: int) -> list[Step]:
    found = []
    for life in steps:
        found.append(_counted(parts, life.step, life.events, size))
        if life.step == HANDED_ON:
            found.append(_counted(parts, AGAIN, life.events, size))
    return found


def _hot(parts: Parts, scale: Scale) -> list[Step]:
    history = hot_keys(scale.hot_events * len(scale.cars))
    post = _Post(parts.url)
    for some in batched(history.before, SEEDING, strict=False):
        post.send(some)
    shares = batched(history.events, scale.hot_events, strict=True)
    return [_counted(parts, HOT, share, size) for size, share in zip(scale.cars, shares, strict=True)]


def _counted(parts: Parts, name: str, events: Sequence[Event], size: int) -> Step:
    post = _Post(parts.url)
    parts.proxy.take()
    for batch in batched(events, size, strict=False):
        post.send(batch)
    return Step(name, size, len(events), counted(parts.proxy.take()))


def _held(parts: Parts, cars: _Cars, scale: Scale) -> list[Held]:
    found = []
    largest = max(scale.held_batches)
    for size, batches in scale.held_batches.items():
        found.append(_held_batches(parts, cars, size, batches, scale))
    found.append(_held_batches(parts, cars, largest, scale.held_batches[largest], scale, scale.side_by_side))
    return found


def _held_batches(parts: Parts, cars: _Cars, size: int, batches: int, scale: Scale, side_by_side: int = 1) -> Held:
    steps = {life.step: life.events for life in cars.next(size * batches * side_by_side)}
    post = _Post(parts.url)
    for step in (REGISTERED, LEASED):
        for some in batched(steps[step], SEEDING, strict=False):
            post.send(some)
    lanes = [list(batched(lane, size, strict=True)) for lane in batched(steps[HANDED_ON], size * batches, strict=True)]
    parts.proxy.hold_s = scale.hold_s
    try:
        with ThreadPoolExecutor(side_by_side) as threads:
            seconds = [one for lane in threads.map(lambda lane: _timed(parts.url, lane), lanes) for one in lane]
    finally:
        parts.proxy.hold_s = 0.0
    return Held(size, side_by_side, statistics.median(seconds))


def _timed(url: str, batches: Sequence[Sequence[Event]]) -> list[float]:
    """How long each batch took, in seconds."""
    post, took = _Post(url), []
    for batch in batches:
        began = time.monotonic()
        post.send(batch)
        took.append(time.monotonic() - began)
    return took


class _Post:
    """One connection to the Function app."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/ledger-events"
        self._session = requests.Session()
        self._session.headers.update({"content-type": CONTENT_TYPE, "x-functions-key": KEY})

    def send(self, events: Sequence[Event]) -> None:
        """Send a batch. Raises ProcessError unless all of it is in the record afterwards."""
        body = b"[" + b",".join(event.encoded() for event in events) + b"]"
        answer = self._session.post(self._url, data=body, timeout=TIMEOUT_S)
        if answer.status_code != 200:
            raise ProcessError(f"the Function app answered {answer.status_code}: {answer.text[:500]}")
        for result in msgspec.json.decode(answer.content, type=Results).results:
            if result.outcome not in DONE:
                raise ProcessError(f"an event is {result.outcome}: {result.detail}")


def _relay(parts: Parts, scale: Scale) -> list[Followed]:
    """A relay on a ledger where nothing happens, and then on one where a car is registered every second."""
    found = []
    bench = Bench(parts.folder, through(parts.proxy.url, parts.tables))
    with bench.ledger() as ledger, bench.stub() as stub, bench.relay(ledger.url, stub) as relay:
        client = LedgerClient(ledger.url)
        client.create(LESSOR, car("VIN00000000000000", "Volkswagen", "Golf", 2024))
        relay.wait_until(lambda: stub.figures().distinct == 1, TIMEOUT_S)

        def rest() -> None:
            time.sleep(scale.relay_s)

        def register() -> None:
            for number in range(int(scale.relay_s)):
                client.create(LESSOR, car(f"VIN{number + 1:014d}", "Volkswagen", "Golf", 2024))
                time.sleep(1.0)
            relay.wait_until(lambda: stub.figures().distinct == 1 + int(scale.relay_s), TIMEOUT_S)

        for name, happening in (("nothing happens", rest), ("an event a second", register)):
            before, began = stub.figures(), time.monotonic()
            parts.proxy.take()
            happening()
            seconds, asked, after = time.monotonic() - began, counted(parts.proxy.take()), stub.figures()
            events, batches = after.distinct - before.distinct, after.batches - before.batches
            found.append(Followed(name, seconds, events, batches, asked))
    return found


async def _rows(tables: str) -> Rows:
    async with BareTables(tables, 1) as bare:
        return await bare.rows(CARS) | await bare.rows(DRIVERS)


def _row_bytes(rows: Rows) -> dict[str, float]:
    """The mean bytes of a row, by its table and the first word of its key."""
    sizes: Mapping[str, list[int]] = defaultdict(list)
    for (table, _, key), row in rows.items():
        sizes[f"{table} {key.partition('-')[0]}"].append(entity_bytes(row))
    return {kind: statistics.mean(found) for kind, found in sorted(sizes.items())}
