"""The calls to Table Storage that batches of events need, and the rows they leave, worked out beforehand and in memory.

One read of a record and one entity group transaction for each partition that a batch touches: fewer will not do, as
long as nobody overwrites what they have not seen. The decisions are those of the project's own fold. No I/O.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

import msgspec

from functions.leasing import driver as drivers
from functions.leasing.car import Car, Effect, LedgerEvent, decide, mark_of
from functions.leasing.driver import Change, Driver
from functions.leasing.outcomes import Outcome
from functions.rating.tariff import Tariff
from functions.records import rows
from functions.records.record import CARS, DRIVERS
from functions.records.rows import Entity

MARKS_PER_CALL = 99
"""An entity group transaction takes 100 operations, and the car's record is one."""
INSERT, REPLACE, MERGE = "POST", "PUT", "PATCH"

Rows = dict[tuple[str, str, str], Entity]
"""Rows by table, PartitionKey and RowKey, with the properties that they have."""


class Write(msgspec.Struct, frozen=True):
    """One row to be written; `method` is that of HTTP: INSERT, REPLACE or MERGE."""

    method: str
    row: Entity


class Call(msgspec.Struct, frozen=True):
    """What a batch does to one partition: read the first row, then write all, the first one under its ETag."""

    table: str
    writes: list[Write]

    @property
    def key(self) -> tuple[str, str]:
        """Table and partition."""
        return self.table, self.writes[0].row["PartitionKey"]


class InMemoryRecord:
    """The record of a history as it grows, batch by batch."""

    def __init__(self, lessors: Collection[str], tariff: Tariff) -> None:
        self.rows: Rows = {}
        self._lessors = lessors
        self._tariff = tariff
        self._cars: dict[str, Car] = {}
        self._drivers: dict[str, Driver] = {}

    def apply(self, events: Sequence[LedgerEvent]) -> list[Call]:
        """The calls that a batch needs. Raises ValueError when one of its events is not applied."""
        return [call for wave in _waves(events) for call in self._apply_wave(wave)]

    def _apply_wave(self, events: Sequence[LedgerEvent]) -> list[Call]:
        marks: dict[str, list[Entity]] = defaultdict(list)
        effects: dict[str, list[Effect]] = defaultdict(list)
        known = {(table, partition) for table, partition, _ in self.rows}
        for event in events:
            car, mark, caused = decided(self._cars.get(event.transaction.asset_id), event, self._lessors)
            self._cars[car.asset_id] = car
            marks[car.asset_id].append(mark)
            for effect in caused:
                effects[effect.driver].append(effect)
        calls = []
        for key, own in effects.items():
            change = drivers.apply(self._drivers.get(key, Driver(key)), {}, own, self._tariff)
            if change is None:
                raise ValueError(f"driver {key} does not change")
            self._drivers[key] = change.driver
            calls.append(Call(DRIVERS, driver_writes(change, is_new=(DRIVERS, key) not in known)))
        for asset_id, inserted in marks.items():
            calls.append(Call(CARS, car_writes(self._cars[asset_id], inserted, is_new=(CARS, asset_id) not in known)))
        for call in calls:
            self._keep(call)
        return calls

    def _keep(self, call: Call) -> None:
        for write in call.writes:
            row = without_none(write.row)
            key = (call.table, row["PartitionKey"], row["RowKey"])
            self.rows[key] = self.rows[key] | row if write.method == MERGE else row


def _waves(events: Iterable[LedgerEvent]) -> list[list[LedgerEvent]]:
    """The events in runs that hold no more of one car than one entity group transaction takes."""
    waves: list[list[LedgerEvent]] = []
    seen: dict[str, int] = defaultdict(int)
    for event in events:
        number = seen[event.transaction.asset_id] // MARKS_PER_CALL
        seen[event.transaction.asset_id] += 1
        if number == len(waves):
            waves.append([])
        waves[number].append(event)
    return waves


def decided(car: Car | None, event: LedgerEvent, lessors: Collection[str]) -> tuple[Car, Entity, tuple[Effect, ...]]:
    """The car after an event, the mark of the event, and what it does to drivers.

    Raises ValueError when the event is not applied: the histories that are measured hold nothing else.
    """
    decision = decide(car, event, lessors)
    if decision.outcome is not Outcome.APPLIED or decision.car is None:
        raise ValueError(f"transaction {event.transaction.id} is {decision.outcome}: {decision.detail}")
    return decision.car, rows.transaction_row(decision.car.asset_id, mark_of(event, decision)), decision.effects


def driver_writes(change: Change, *, is_new: bool) -> list[Write]:
    """The rows of a driver that change, the record first."""
    return [
        Write(INSERT if is_new else REPLACE, rows.driver_row(change.driver)),
        *(Write(INSERT, rows.lease_row(lease)) for lease in change.started),
        *(Write(MERGE, rows.ended_lease_row(ended)) for ended in change.ended),
    ]


def car_writes(car: Car, marks: Iterable[Entity], *, is_new: bool) -> list[Write]:
    """The rows of a car that change, the record first."""
    return [Write(INSERT if is_new else REPLACE, rows.car_row(car)), *(Write(INSERT, mark) for mark in marks)]


def without_none(row: Entity) -> Entity:
    """A row as Table Storage keeps it: it has no null."""
    return {name: value for name, value in row.items() if value is not None}
