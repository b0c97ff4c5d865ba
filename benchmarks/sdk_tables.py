"""The same bare calls to Table Storage as bare_tables makes, made with azure-data-tables.

`python -m benchmarks.sdk_tables CALLS.json` makes the calls of batches that table_calls has worked out, and prints what
it reached as one JSON line. It decides nothing and verifies nothing. The account is in the environment variable
TABLES_CONNECTION_STRING.
"""

import asyncio
import sys
import time

from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables.aio import TableServiceClient

from benchmarks.bare_tables import Part, Reached, chains, run
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


if __name__ == "__main__":
    sys.exit(run("benchmarks.sdk_tables", make_all, sys.argv[1:]))
