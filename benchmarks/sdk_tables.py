"""The same bare calls to Table Storage as bare_tables makes, made with azure-data-tables.

`python -m benchmarks.sdk_tables CALLS.json` makes the calls of batches that table_calls has worked out, and prints what
it reached as one JSON line. It decides nothing and verifies nothing. The account is in the environment variable
TABLES_CONNECTION_STRING.
"""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient

from benchmarks.bare_tables import Part, Reached, chains
from benchmarks.naive_record import operations
from benchmarks.table_calls import Call


async def make(service: TableServiceClient, call: Call) -> None:
    """Read a record, and write its partition under the ETag that it has."""
    table, first = service.get_table_client(call.table), call.writes[0]
    try:
        read = await table.get_entity(first.row["PartitionKey"], first.row["RowKey"])
    except ResourceNotFoundError:
        read = None
    await table.submit_transaction(operations(call.writes, read))


async def make_all(connection_string: str, part: Part) -> Reached:
    """Make all calls of a part."""
    transport = AioHttpTransport(use_env_settings=False)
    async with TableServiceClient.from_connection_string(connection_string, transport=transport) as service:
        waiting = iter(chains(part.batches))

        async def work() -> None:
            for chain in waiting:
                for call in chain:
                    await make(service, call)

        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(part.concurrency)))
        return Reached(part.concurrency, time.monotonic() - began, time.process_time() - cpu)


def main(arguments: Sequence[str]) -> int:
    """The command line; its exit code."""
    if len(arguments) != 1:
        print("usage: python -m benchmarks.sdk_tables CALLS.json", file=sys.stderr)
        return 2
    parts: Any = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=list[Part])
    connection_string = os.environ["TABLES_CONNECTION_STRING"]
    reached = [asyncio.run(make_all(connection_string, part)) for part in parts]
    print(msgspec.json.encode(reached).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
