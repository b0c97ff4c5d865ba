"""What an event costs as the record grows: with the number of cars, one car's transfers, and one driver's leases.

The events are real and signed, and so is the past of the car and the driver that grow. What only fills the tables with
cars is not: the rows of one leased car and its driver, as the fold gives them, stand there again and again under other
keys. CPU times are those of Function app and Azurite for an event, in milliseconds.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from bigchaindb_driver.crypto import CryptoKeypair

from benchmarks.command import Say
from benchmarks.history import LESSOR, TERMS, Json, sign_create, sign_transfer
from benchmarks.leases import Event, History, all_different, dealt, first_leases
from benchmarks.record_parts import Stack, stack
from benchmarks.table_calls import InMemoryRecord, Rows
from functions.rating.tariff import read_tariff
from functions.records.record import DRIVERS
from local.scenario import car, key_pair

BY_CARS, BY_TRANSFERS, BY_ENDED, BY_OPEN = "cars", "transfers", "ended leases", "open leases"
BATCHES = {BY_CARS: 10, BY_TRANSFERS: 1, BY_ENDED: 1, BY_OPEN: 1}
"""Events in a batch: those of one car or driver come one by one, as they do in life."""
PASSING_DRIVERS = 997
"""A car that grows old goes round among so many."""
SEEDED_AT_ONCE = 10_000
WARM_UP = 50


class Sizes(msgspec.Struct, frozen=True):
    """How far the record is let grow, and how many events are measured at each size in a repetition."""

    cars: Sequence[int]
    transfers: Sequence[int]
    leases: Sequence[int]
    events: int

    def all_sizes(self) -> list[tuple[str, Sequence[int]]]:
        """What grows, and its sizes."""
        return [
            (BY_CARS, self.cars),
            (BY_TRANSFERS, self.transfers),
            (BY_ENDED, self.leases),
            (BY_OPEN, self.leases),
        ]


QUICK = Sizes(cars=(100, 1_000), transfers=(10, 100), leases=(10, 100), events=40)
FULL = Sizes(cars=(1_000, 10_000, 100_000), transfers=(10, 100, 1_000, 10_000), leases=(1, 10, 100, 1_000), events=100)


class Point(msgspec.Struct, frozen=True):
    """One thing at one size, and the events that meet it then: a share of them for each repetition."""

    grows: str
    size: int
    stack: Stack
    shares: Sequence[Sequence[Event]]

    def measure(self, turn: int) -> dict[str, float]:
        """CPU ms for an event, of both processes. Raises ProcessError."""
        events = self.shares[turn]
        posted = self.stack.post(dealt(events, 1, BATCHES[self.grows]))
        key = f"growth_{self.grows}_{self.size}"
        return {
            f"{key}_function": posted.function_cpu * 1000 / len(events),
            f"{key}_azurite": posted.azurite_cpu * 1000 / len(events),
        }


@contextmanager
def grown(folder: Path, sizes: Sizes, repetitions: int, say: Say) -> Iterator[list[Point]]:
    """Every thing at every size, on records of their own, for the length of a with block. Raises ProcessError."""
    with ExitStack() as parts:
        yield [
            *_by_cars(parts, folder, sizes, repetitions, say),
            *_by_past(parts, folder, sizes, repetitions, say),
        ]


def _by_cars(parts: ExitStack, folder: Path, sizes: Sizes, repetitions: int, say: Say) -> Iterator[Point]:
    """Hand-overs, no car or driver twice, on records of so many cars: each its own Azurite and Function app."""
    hand_overs = all_different(first_leases(sizes.events * repetitions + WARM_UP))
    rows = folded(hand_overs.before)
    for size in sizes.cars:
        say(f"growth: a record of {size:,} cars")
        running = parts.enter_context(stack(folder / f"cars-{size}"))
        running.reset(rows)
        for first in range(0, size, SEEDED_AT_ONCE):
            running.seed(filling(first, min(size, first + SEEDED_AT_ONCE)))
        running.post(dealt(hand_overs.events[-WARM_UP:], 1, BATCHES[BY_CARS]))
        yield Point(BY_CARS, size, running, _shares(hand_overs.events, sizes.events, repetitions))


def _by_past(parts: ExitStack, folder: Path, sizes: Sizes, repetitions: int, say: Say) -> Iterator[Point]:
    """Leases and returns of a car, or by a driver, with so long a past, on one record."""
    running = parts.enter_context(stack(folder / "past"))
    warm_up = used_car("warm-up", 0, WARM_UP)
    running.reset(folded(warm_up.before))
    running.post(dealt(warm_up.events, 1, 1))
    for grows, size in ((grows, size) for grows, some in sizes.all_sizes() if grows != BY_CARS for size in some):
        say(f"growth: {size:,} {grows}")
        shares = []
        for turn in range(repetitions):
            name = f"{grows} {size} {turn}"
            history = (
                used_car(name, size, sizes.events)
                if grows == BY_TRANSFERS
                else used_driver(name, size, sizes.events, is_open=grows == BY_OPEN)
            )
            running.seed(folded(history.before))
            shares.append(history.events)
        yield Point(grows, size, running, shares)


def folded(events: Sequence[Event]) -> Rows:
    """The rows that events leave in an empty record."""
    record = InMemoryRecord({LESSOR.public_key}, read_tariff())
    record.apply([event.parsed() for event in events])
    return record.rows


def filling(first: int, end: int) -> Rows:
    """The rows of cars, numbered from `first` to before `end`, each leased by a driver of its own."""
    leased = first_leases(1)
    rows = folded((*leased.before, *leased.events))
    driver = next(partition for table, partition, _ in rows if table == DRIVERS)
    text = json.dumps([[list(key), row] for key, row in rows.items()])
    asset_id, lease = leased.before[0].asset_id, str(leased.events[0].body["id"])
    found: Rows = {}
    for number in range(first, end):
        own = hashlib.sha256(str(number).encode()).hexdigest()
        key = f"{driver[:-8]}{number:08d}".replace("0", "z")
        for place, row in json.loads(text.replace(asset_id, own).replace(lease, own[::-1]).replace(driver, key)):
            found[tuple(place)] = row
    return found


def used_car(name: str, transfers: int, events: int) -> History:
    """A car that was leased and returned in so many transfers, and the transfers that follow."""
    signed = [_registered(name)]
    drivers = [key_pair(f"{name}: driver {one}") for one in range(min(PASSING_DRIVERS, transfers + events))]
    for number in range((transfers + events + 1) // 2):
        signed += _to_and_fro(signed[-1], drivers[number % len(drivers)])
    return _split(signed[: 1 + transfers + events], 1 + transfers)


def used_driver(name: str, leases: int, events: int, *, is_open: bool) -> History:
    """A driver with so many leases of a car each, open or ended, who then leases and returns another one."""
    driver, before = key_pair(f"{name}: the driver"), []
    for number in range(leases):
        registered = _registered(f"{name} {number}")
        there, back = _to_and_fro(registered, driver)
        before += [registered, there] if is_open else [registered, there, back]
    before.append(_registered(name))
    signed = list(before)
    for _ in range((events + 1) // 2):
        signed += _to_and_fro(signed[-1], driver)
    return _split(signed[: len(before) + events], len(before))


def _registered(name: str) -> Json:
    return sign_create(car(f"GROWN {hashlib.sha256(name.encode()).hexdigest()[:10]}", "Volkswagen", "Golf", 2024))


def _to_and_fro(spent: Json, driver: CryptoKeypair) -> tuple[Json, Json]:
    """A lease of the lessor's car to a driver, and its return."""
    there = sign_transfer(spent, LESSOR, driver, TERMS)
    return there, sign_transfer(there, driver, LESSOR)


def _split(signed: Sequence[Json], before: int) -> History:
    events = tuple(Event(one, f"{1 + place:012d}-000000") for place, one in enumerate(signed))
    return History(events[:before], events[before:])


def _shares(events: Sequence[Event], size: int, repetitions: int) -> list[Sequence[Event]]:
    return [events[turn * size : (turn + 1) * size] for turn in range(repetitions)]
