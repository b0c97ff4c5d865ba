"""Holds the record's rows against the facts, and keeps what differs while the facts move on. Pure.

The record may be ahead of the facts, never behind: facts are folded up to a checkpoint that was read before the rows.
So a row differs for certain only if what it says is what the ledger said at no moment from then until it was read.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from audit import rows
from audit.facts import LEASE, RECORD, TRANSACTION, Facts, Parts
from audit.rows import Row

CARS, DRIVERS = "Cars", "Drivers"
WHOLE = "*"
"""In place of a RowKey: all rows of a car."""
MOST_KEPT = 200_000
"""Rows that differ, some 200 MB. Further ones are counted, and not followed: so many are not on their way."""


class Place(msgspec.Struct, frozen=True):
    """Which row: table, PartitionKey, RowKey."""

    table: str
    partition: str
    key: str


class Difference(msgspec.Struct, frozen=True):
    """A row that differs: what the ledger says and what the record says, and the car that it is about, if one."""

    place: Place
    car: str
    ledger: Parts
    record: Parts

    @property
    def on_ledger(self) -> str:
        """What the ledger says, as far as it differs; of a driver, what their leases in the record say."""
        shown = _shown(self.ledger, self.record)
        return f"by the leases beside it: {shown}" if self.ledger and self._is_of_a_driver else shown

    @property
    def _is_of_a_driver(self) -> bool:
        return self.place.table == DRIVERS and self.place.key.startswith(RECORD)

    @property
    def in_record(self) -> str:
        """What the record says, as far as it differs."""
        return _shown(self.record, self.ledger)


class Comparison:
    """What was found to differ so far, of cars that are not in `left_out`. It is shown every partition once."""

    def __init__(self, facts: Facts, left_out: Iterable[str]) -> None:
        self._facts = facts
        self._left_out = set(left_out)
        self._start = 0
        self._open: dict[Place, Difference] = {}
        self._by_car: dict[str, set[Place]] = {}
        self.cars = 0
        """Cars that the record has."""
        self.drivers = 0
        """Drivers that the record has."""
        self.rows = 0
        """Rows that were held against the ledger."""
        self.beyond = 0
        """Rows that differ, and are counted only."""

    @property
    def differences(self) -> list[Difference]:
        """What differs, cars first."""
        found = [*self._open.values(), *self._unreadable()]
        return sorted(found, key=lambda one: (one.place.table, one.place.partition, one.place.key))

    def _unreadable(self) -> Iterator[Difference]:
        """Cars that should be parked, and are not."""
        for asset_id, transaction in self._facts.unreadable(self._start):
            if asset_id not in self._left_out:
                said = (f"transaction {transaction} cannot be read",)
                yield Difference(Place(CARS, asset_id, WHOLE), asset_id, said, ("the car is not parked",))

    # ---- rows as they are read

    def show_car(self, asset_id: str, found: Sequence[Row]) -> None:
        """These are all rows of one partition of table Cars."""
        self.cars += 1
        self.rows += len(found)
        self._facts.see_car(asset_id)
        for difference in _car_differences(self._facts, asset_id, found):
            self._keep(difference)

    def show_driver(self, driver: str, found: Sequence[Row]) -> None:
        """These are all rows of one partition of table Drivers."""
        self.drivers += 1
        self.rows += len(found)
        for row in found:
            if not row["RowKey"].startswith((RECORD, rows.CLAIM)):
                asset_id = str(row.get("AssetId", ""))
                self._facts.see_lease(asset_id, driver, row["RowKey"].removeprefix(LEASE))
                self._keep(_lease_difference(self._facts, driver, row))
        self._keep(_record_difference(self._facts, driver, found))

    def miss(self, start: int) -> int:
        """Every row has been shown: what was not is missing. `start` is the block after which the record began.

        Cars that have not moved since need not be in the record; how many of those are not is returned.
        """
        self._start = start
        for asset_id in self._facts.unseen_cars(start):
            self._keep(_whole_car(self._facts, asset_id))
        for asset_id, driver, lease, expected in self._facts.unseen_leases():
            place = Place(DRIVERS, driver, LEASE + lease)
            known = self._open.get(place)
            # The record may have the lease, under another car.
            self._keep(Difference(place, asset_id, expected, known.record if known else ()))
        return sum(asset_id not in self._left_out for asset_id in self._facts.unjudged_cars(start))

    # ---- as the facts move on

    def moved(self, asset_id: str) -> None:
        """The facts of a car have changed: rows that say what the ledger says now were ahead, and differ no more."""
        for place in list(self._by_car.get(asset_id, ())):
            known = self._open[place]
            ledger = _on_ledger(self._facts, place, asset_id)
            self._drop(place)
            self._keep(msgspec.structs.replace(known, ledger=ledger))

    def look_again(self, place: Place, car: str, found: Sequence[Row]) -> None:
        """These are all rows of the partition of a row that differs, read again. Facts are of a moment before that."""
        self._drop(place)
        if place.table == CARS:
            for difference in _car_differences(self._facts, place.partition, found):
                # Of a car that has lost its last row since, the only difference is that.
                if WHOLE in (place.key, difference.place.key) or place.key == difference.place.key:
                    self._keep(difference)
        elif place.key.startswith(RECORD):
            self._keep(_record_difference(self._facts, place.partition, found))
        else:
            row = next((row for row in found if row["RowKey"] == place.key), None)
            record = rows.lease_row(row) if row else ()
            self._keep(Difference(place, car, _on_ledger(self._facts, place, car), record))

    def leave_out(self, cars: Iterable[str]) -> None:
        """These cars are not to be judged: the record is known to lack events of them."""
        self._left_out.update(cars)
        for car in self._left_out:
            for place in list(self._by_car.get(car, ())):
                self._drop(place)

    def _keep(self, difference: Difference | None) -> None:
        if difference is None or difference.ledger == difference.record or difference.car in self._left_out:
            return
        self._drop(difference.place)
        if len(self._open) >= MOST_KEPT:
            self.beyond += 1
            return
        self._open[difference.place] = difference
        self._by_car.setdefault(difference.car, set()).add(difference.place)

    def _drop(self, place: Place) -> None:
        known = self._open.pop(place, None)
        if known is not None:
            self._by_car[known.car].discard(place)


def _car_differences(facts: Facts, asset_id: str, found: Sequence[Row]) -> Iterator[Difference]:
    if not found:
        if whole := _whole_car(facts, asset_id):
            yield whole
        return
    expected = facts.car_rows(asset_id)
    said = {row["RowKey"]: rows.car_row(row) for row in found}
    for key in expected.keys() | said.keys():
        if expected.get(key, ()) != said.get(key, ()):
            yield Difference(Place(CARS, asset_id, key), asset_id, expected.get(key, ()), said.get(key, ()))


def _whole_car(facts: Facts, asset_id: str) -> Difference | None:
    """That the record has nothing of a car."""
    count = sum(key.startswith(TRANSACTION) for key in facts.car_rows(asset_id))
    said = (f"a car with {count} transactions",)
    return Difference(Place(CARS, asset_id, WHOLE), asset_id, said, ()) if count else None


def _lease_difference(facts: Facts, driver: str, row: Row) -> Difference:
    asset_id = str(row.get("AssetId", ""))
    place = Place(DRIVERS, driver, row["RowKey"])
    return Difference(place, asset_id, _on_ledger(facts, place, asset_id), rows.lease_row(row))


def _record_difference(facts: Facts, driver: str, found: Sequence[Row]) -> Difference | None:
    """Where a driver's record does not fit the rows beside it, or is there for no reason.

    It is held against those rows, not against the ledger: they may show cars at different moments, each of which is
    right.
    """
    if not found:
        return None
    expected, said = rows.driver_record(found)
    is_explained = (
        any(row["RowKey"].startswith(LEASE) for row in found)
        or facts.has_driven(driver)
        or rows.is_of_the_insurer(found)
    )
    return Difference(Place(DRIVERS, driver, RECORD + driver), "", expected if is_explained else (), said)


def _on_ledger(facts: Facts, place: Place, car: str) -> Parts:
    """What the ledger says of a row of a car or of a lease."""
    if place.key == WHOLE:
        whole = _whole_car(facts, place.partition)
        return whole.ledger if whole else ()
    if place.table == CARS:
        return facts.car_rows(place.partition).get(place.key, ())
    return facts.lease_row(car, place.partition, place.key.removeprefix(LEASE))


def _shown(parts: Parts, beside: Parts) -> str:
    if not parts:
        return "no such row"
    return "; ".join(part for part in parts if part not in beside) or "; ".join(parts)
