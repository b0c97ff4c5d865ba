"""The client's CPU time for one call to Table Storage: the Function app's own codec beside azure-data-tables.

`python -m benchmarks.codec CALLS` prints milliseconds as one JSON line, by call: our own and the SDK's. The calls are a
read of one row, and entity group transactions that insert a driver's record and leases; the two clients take turns.
The account, which has the table Drivers, is in the environment variable TABLES_CONNECTION_STRING.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Sequence
from itertools import count

import msgspec
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient

from benchmarks.history import LESSOR
from benchmarks.leases import HOT_CARS, hot_keys
from benchmarks.table_calls import InMemoryRecord
from functions.rating.tariff import read_tariff
from functions.records import rows
from functions.records.changeset import Insert
from functions.records.record import DRIVERS
from functions.records.rows import Entity
from functions.records.wire import Wire

SIZES = (2, 10, 100)
GET = "get"

Milliseconds = dict[str, tuple[float, float]]


def sample() -> tuple[Entity, Entity]:
    """A driver's record and a lease, as the Function app writes them."""
    record, history = InMemoryRecord({LESSOR.public_key}, read_tariff()), hot_keys(HOT_CARS)
    record.apply([event.parsed() for event in history.before])
    drivers = [row for (table, _, key), row in record.rows.items() if table == DRIVERS and key.startswith(rows.RECORD)]
    leases = [row for (table, _, key), row in record.rows.items() if table == DRIVERS and key.startswith(rows.LEASE)]
    return drivers[0], leases[0]


def partition(name: str, size: int, samples: tuple[Entity, Entity]) -> list[Entity]:
    """A driver's record and leases under a key of their own."""
    driver, lease = samples
    leases = (lease | {"PartitionKey": name, "RowKey": f"{rows.LEASE}{name}-{one:020d}"} for one in range(size - 1))
    return [driver | {"PartitionKey": name, "RowKey": rows.record_key(name)}, *leases]


async def measure(connection_string: str, calls: int) -> Milliseconds:
    """CPU milliseconds a call, by kind: our own codec's and the SDK's."""
    service = TableServiceClient.from_connection_string(
        connection_string, transport=AioHttpTransport(use_env_settings=False)
    )
    wire = Wire(service.url, service.credential)
    table, samples, names = service.get_table_client(DRIVERS), sample(), (f"codec{one}" for one in count())
    found: Milliseconds = {}
    try:
        for size in SIZES:
            groups = [
                (partition(next(names), size, samples), partition(next(names), size, samples)) for _ in range(calls)
            ]
            pairs = [
                (
                    wire.submit(DRIVERS, [Insert(row) for row in ours]),
                    table.submit_transaction([("create", row) for row in theirs]),
                )
                for ours, theirs in groups
            ]
            found[str(size)] = await _cpu(pairs)
        key = ("codec0", rows.record_key("codec0"))
        found[GET] = await _cpu([(wire.get(DRIVERS, *key), table.get_entity(*key)) for _ in range(calls)])
    finally:
        await wire.close()
        await service.close()
    return found


async def _cpu(pairs: Sequence[tuple[Awaitable[object], Awaitable[object]]]) -> tuple[float, float]:
    """CPU milliseconds a call of the first and of the second of all pairs, which take turns. One pair warms up."""
    used = [0.0, 0.0]
    for place, pair in enumerate(pairs):
        for which, call in enumerate(pair):
            began = time.process_time()
            await call
            used[which] += (time.process_time() - began) if place else 0.0
    ours, theirs = (seconds * 1000 / (len(pairs) - 1) for seconds in used)
    return ours, theirs


def main(arguments: Sequence[str]) -> int:
    """The command line; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.codec CALLS", file=sys.stderr)
        return 2
    found = asyncio.run(measure(os.environ["TABLES_CONNECTION_STRING"], int(arguments[0])))
    print(msgspec.json.encode(found).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
