"""Histories of leases to measure the record with, signed beforehand, and how they are dealt into lanes and batches.

Each has events that are in the record before anything is measured, and events that are measured. The same number of
events is the same history. What is done with them is not known here.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import batched, zip_longest

import msgspec
from bigchaindb_driver.crypto import CryptoKeypair

from benchmarks.history import LESSOR, Json, sign_create, sign_transfer
from functions.leasing.car import LedgerEvent
from functions.leasing.transactions import parse
from local.scenario import car, key_pair, lease

LEDGER = "local"
SOURCE = f"urn:bigchaindb:{LEDGER}"
HOT_CARS = 16
"""Two for each of eight lanes."""
HOT_DRIVERS = 20
EVENTS_PER_BLOCK = 1000


class Event(msgspec.Struct, frozen=True):
    """A signed transaction, and its place on the ledger."""

    body: Json
    sequence: str

    @property
    def asset_id(self) -> str:
        """Id of the car."""
        return str(self.body["id"] if self.body["operation"] == "CREATE" else self.body["asset"]["id"])

    def parsed(self) -> LedgerEvent:
        """The event as the Function's domain takes it."""
        return LedgerEvent(parse(self.body), self.body, self.sequence)

    def encoded(self) -> bytes:
        """The event as the relay sends it: a CloudEvent, in JSON."""
        return msgspec.json.encode(
            {
                "specversion": "1.0",
                "id": self.body["id"],
                "source": SOURCE,
                "type": "bigchaindb.transaction.committed",
                "subject": self.asset_id,
                "partitionkey": self.asset_id,
                "sequence": self.sequence,
                "datacontenttype": "application/json",
                "data": self.body,
            }
        )


class History(msgspec.Struct, frozen=True):
    """Events that the record shows `before`, and those that follow."""

    before: tuple[Event, ...]
    events: tuple[Event, ...]

    def first(self, count: int) -> "History":
        """The history of the first events alone, with the cars that they move."""
        events = self.events[:count]
        cars = {event.asset_id for event in events}
        return History(tuple(event for event in self.before if event.asset_id in cars), events)


def first_leases(count: int) -> History:
    """Each event is the lessor's transfer of another car to another driver."""
    registered = [_create(one) for one in range(count)]
    leased = [_lease(body, LESSOR, key_pair(f"driver {one}")) for one, body in enumerate(registered)]
    return _in_order(registered, leased)


def all_different(leases: History) -> History:
    """Each event is the transfer of another car from one driver to another: the cars of these first leases."""
    leased = [event.body for event in leases.events]
    passed_on = [
        _lease(body, key_pair(f"driver {one}"), key_pair(f"next driver {one}")) for one, body in enumerate(leased)
    ]
    return _in_order([*(event.body for event in leases.before), *leased], passed_on)


def hot_keys(count: int) -> History:
    """Events by which HOT_CARS cars, in turn, go round among HOT_DRIVERS drivers."""
    dice = random.Random(1)  # noqa: S311  # the same history every time
    drivers = [key_pair(f"driver {one}") for one in range(HOT_DRIVERS)]
    registered = [_create(one) for one in range(HOT_CARS)]
    owners = list(range(HOT_CARS))
    last = [_lease(body, LESSOR, drivers[one]) for one, body in enumerate(registered)]
    before = [*registered, *last]
    moves = []
    for number in range(count):
        moved = number % HOT_CARS
        owner = owners[moved]
        owners[moved] = (owner + 1 + dice.randrange(HOT_DRIVERS - 1)) % HOT_DRIVERS
        last[moved] = _lease(last[moved], drivers[owner], drivers[owners[moved]])
        moves.append(last[moved])
    return _in_order(before, moves)


def dealt(events: Sequence[Event], lanes: int, size: int) -> list[list[tuple[Event, ...]]]:
    """The batches of each lane. A car has one lane for all its events; the cars go to the lanes in turn."""
    lane_of: dict[str, int] = {}
    own: list[list[Event]] = [[] for _ in range(lanes)]
    for event in events:
        own[lane_of.setdefault(event.asset_id, len(lane_of) % lanes)].append(event)
    return [list(batched(one, size, strict=False)) for one in own]


def in_turn(lanes: Sequence[Sequence[tuple[Event, ...]]]) -> Iterator[tuple[Event, ...]]:
    """The batches in an order in which they may be applied: the first of each lane, then the second of each."""
    for row in zip_longest(*lanes):
        yield from (batch for batch in row if batch)


def _create(number: int) -> Json:
    return sign_create(car(f"VIN{number:014d}", "Volkswagen", "Golf", 2020 + number % 6))


def _lease(spent: Json, owner: CryptoKeypair, recipient: CryptoKeypair) -> Json:
    return sign_transfer(spent, owner, recipient, lease("2026-04-01", "2029-03-31", 15_000))


def _in_order(before: Sequence[Json], after: Sequence[Json]) -> History:
    """The history of these transactions, in full blocks."""
    events = [
        Event(body, f"{1 + place // EVENTS_PER_BLOCK:012d}-{place % EVENTS_PER_BLOCK:06d}")
        for place, body in enumerate([*before, *after])
    ]
    return History(tuple(events[: len(before)]), tuple(events[len(before) :]))
