"""The naive way to keep the record: one event after the other, one call after the other, by azure-data-tables as it is.

`python -m benchmarks.naive_record EVENTS.json` applies events and prints what it took as one JSON line. It decides with
the project's own fold, evidence and all, and leaves the same rows; what it lacks is all that the Function app does for
speed, and what it does against crashes and other writers. The account is in the environment variable
TABLES_CONNECTION_STRING.
"""

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient, UpdateMode

from benchmarks.history import LESSOR
from benchmarks.leases import Event
from benchmarks.table_calls import INSERT, MERGE, Write, car_writes, decided, driver_writes
from functions.leasing import driver as drivers
from functions.leasing.car import LedgerEvent
from functions.leasing.driver import Driver
from functions.rating.tariff import Tariff, read_tariff
from functions.records import rows
from functions.records.record import CARS, DRIVERS


class Took(msgspec.Struct, frozen=True):
    """What the events took, and the CPU time of this process, both in seconds."""

    seconds: float
    cpu: float


class NaiveRecord:
    """The tables Cars and Drivers, as the SDK's documentation would have one write them."""

    def __init__(self, connection_string: str, lessors: Collection[str], tariff: Tariff) -> None:
        self._cars = TableClient.from_connection_string(connection_string, CARS)
        self._drivers = TableClient.from_connection_string(connection_string, DRIVERS)
        self._lessors = lessors
        self._tariff = tariff

    def close(self) -> None:
        """Close the connections."""
        self._cars.close()
        self._drivers.close()

    def apply(self, event: LedgerEvent) -> None:
        """Apply one event."""
        asset_id = event.transaction.asset_id
        row = _read(self._cars, asset_id)
        car, mark, effects = decided(rows.car_from(row) if row else None, event, self._lessors)
        for effect in effects:
            found = _read(self._drivers, effect.driver)
            driver = rows.driver_from(found) if found else Driver(effect.driver)
            change = drivers.apply(driver, {}, [effect], self._tariff)
            if change is not None:
                _write(self._drivers, found, driver_writes(change, is_new=found is None))
        _write(self._cars, row, car_writes(car, [mark], is_new=row is None))


def _read(table: TableClient, partition: str) -> Any:
    """A partition's record; None when it is not there."""
    try:
        return table.get_entity(partition, rows.record_key(partition))
    except ResourceNotFoundError:
        return None


def operations(writes: Sequence[Write], read: Any) -> list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """A partition's writes as azure-data-tables takes them, if its record is as it was `read`; None: it is new."""
    return [_operation(write, read if not place else None) for place, write in enumerate(writes)]


def _write(table: TableClient, read: Any, writes: Sequence[Write]) -> None:
    table.submit_transaction(operations(writes, read))


def _operation(write: Write, read: Any) -> tuple[str, Mapping[str, Any], Mapping[str, Any]]:
    if write.method == INSERT:
        return "create", write.row, {}
    mode = UpdateMode.MERGE if write.method == MERGE else UpdateMode.REPLACE
    if read is None:
        return "update", write.row, {"mode": mode}
    unchanged = {"etag": read.metadata["etag"], "match_condition": MatchConditions.IfNotModified}
    return "update", write.row, {"mode": mode, **unchanged}


def main(arguments: Sequence[str]) -> int:
    """The command line; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.naive_record EVENTS.json", file=sys.stderr)
        return 2
    lines = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=list[msgspec.Raw])
    record = NaiveRecord(os.environ["TABLES_CONNECTION_STRING"], {LESSOR.public_key}, read_tariff())
    began, cpu = time.monotonic(), time.process_time()
    for line in lines:
        record.apply(msgspec.json.decode(line, type=Event).parsed())
    print(msgspec.json.encode(Took(time.monotonic() - began, time.process_time() - cpu)).decode())
    record.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
