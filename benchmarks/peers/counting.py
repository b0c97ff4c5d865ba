"""Counts what a record lacks of a ledger. Pure: it takes the facts of local/audit.py and the tables' rows."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from local.audit import Facts

Row = Mapping[str, Any]
MARK, LEASE, RECORD = "transaction-", "lease-", "record-"


class Losses(msgspec.Struct, frozen=True):
    """Out of how many, and what is wrong of them in the record."""

    transactions: int
    missing: int
    """Transactions of cars that are not in the record."""
    leases: int
    leases_missing: int
    leases_open: int
    """Leases that have ended, and are open in the record."""
    cars: int
    cars_wrong: int
    """Cars that are not in the record, or that another drives than it says."""
    late_s: float = 0.0
    """Seconds from the last commit to the last row."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing or wrong."""
        return not (self.missing or self.leases_wrong or self.cars_wrong)

    @property
    def leases_wrong(self) -> int:
        """Leases that are missing or wrongly open."""
        return self.leases_missing + self.leases_open


def count(facts: Facts, cars: Iterable[Row], drivers: Iterable[Row]) -> Losses:
    """Hold the rows of the tables Cars and Drivers against what the ledger says."""
    rows = list(cars)
    marks = {row["RowKey"].removeprefix(MARK) for row in rows if row["RowKey"].startswith(MARK)}
    holders = {
        row["PartitionKey"]: {one["driver"]: one["lease"] for one in json.loads(row["Holders"])}
        for row in rows
        if row["RowKey"].startswith(RECORD)
    }
    leases = {
        (row["PartitionKey"], row["RowKey"].removeprefix(LEASE)): row["EndTransaction"]
        for row in drivers
        if row["RowKey"].startswith(LEASE)
    }
    applied = {one for car in facts.cars.values() for one in car.applied}
    return Losses(
        transactions=len(applied),
        missing=len(applied - marks),
        leases=len(facts.leases),
        leases_missing=len(facts.leases.keys() - leases.keys()),
        leases_open=sum(1 for key, (_, end) in facts.leases.items() if end and leases.get(key) == ""),
        cars=len(facts.cars),
        cars_wrong=sum(1 for asset, car in facts.cars.items() if holders.get(asset) != car.holders),
    )
