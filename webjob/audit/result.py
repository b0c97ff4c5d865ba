"""What an audit found, and the row in table Relay that tells it."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient, UpdateMode

from audit.comparison import Difference
from relay.checkpoint import sized
from relay.logs import short
from relay.tables import TABLE, tables_errors

AUDIT = "audit-"
MAX_TEXT = 300


class Result(msgspec.Struct, frozen=True):
    """One completed audit: the record was held against the ledger up to block `height`.

    `differences` are ordered; `beyond` counts those that are not among them, being too many. `parked` are the cars that
    are left out for being parked, `not_judged` counts those that have not moved since block `start`, where the relay
    began, and of which the record has nothing.
    """

    height: int
    cars: int
    drivers: int
    rows: int
    differences: Sequence[Difference]
    beyond: int
    parked: Sequence[str]
    start: int
    not_judged: int
    seconds: float

    @property
    def count(self) -> int:
        """How many rows differ."""
        return len(self.differences) + self.beyond


def described(difference: Difference) -> str:
    """A difference in one line, with drivers' keys cut."""
    place = difference.place
    row = "" if place.key == "*" else f" {place.key}"
    about = f" of car {difference.car}" if difference.car and difference.car != place.partition else ""
    text = f"{place.table} {place.partition}{row}{about}: "
    return short(f"{text}the ledger says: {difference.on_ledger}; the record says: {difference.in_record}")


def write(service: TableServiceClient, ledger: str, result: Result) -> None:
    """Write the row of the last completed audit, over that of the one before. Raises TablesError."""
    row = result_row(ledger, result, dt.datetime.now(dt.UTC))
    table = service.get_table_client(TABLE)
    with tables_errors():
        try:
            table.upsert_entity(row, mode=UpdateMode.REPLACE)
        except ResourceNotFoundError:
            service.create_table_if_not_exists(TABLE)
            table.upsert_entity(row, mode=UpdateMode.REPLACE)


def result_row(ledger: str, result: Result, now: dt.datetime) -> dict[str, Any]:
    """The row that tells of a completed audit."""
    first = described(result.differences[0]) if result.differences else ""
    return {
        "PartitionKey": ledger,
        "RowKey": AUDIT + ledger,
        "AuditedAt": now,
        "Height": sized(result.height),
        "Cars": result.cars,
        "Drivers": result.drivers,
        "Differences": result.count,
        "Parked": len(result.parked),
        "FirstDifference": first if len(first) <= MAX_TEXT else first[:MAX_TEXT] + "…",
        "DurationSeconds": round(result.seconds, 1),
    }
