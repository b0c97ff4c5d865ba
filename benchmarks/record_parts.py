"""Starts what the record is measured on, Azurite and the Function app, and does to them what is measured.

The Function app runs on the local host, as `make demo` has it; the naive way and the bare calls run as processes of
their own too. CPU times are read from /proc. How much is measured, and what is made of it, is not known here.
"""

import asyncio
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

from benchmarks.bare_tables import SEEDING_CONNECTIONS, BareTables, Part, Reached
from benchmarks.codec import Milliseconds
from benchmarks.history import LESSOR
from benchmarks.leases import LEDGER, Event
from benchmarks.naive_record import Took
from benchmarks.table_calls import Rows
from benchmarks.watching import Pids, all_cpu_seconds, used_since
from functions.records.record import CARS, DRIVERS
from local.azurite import running_azurite
from local.processes import ROOT, ProcessError, running

KEY = "key-of-the-benchmark"
FUNCTION, AZURITE = "Function app", "Azurite"
CHECKPOINTS = "Relay"
"""The relay's table."""
MARK = "transaction-"
"""What the key of a car's row for one transaction begins with."""
CONTENT_TYPE = "application/cloudevents-batch+json"
TIMEOUT_S = 600.0
DONE = frozenset({"applied", "duplicate"})
MAX_SENDINGS = 50


class Result(msgspec.Struct, frozen=True):
    """What the Function app answers to one event."""

    outcome: str
    detail: str = ""


class Results(msgspec.Struct, frozen=True):
    """What the Function app answers to a batch."""

    results: list[Result]


class Posted(msgspec.Struct, frozen=True):
    """What batches took through the Function app: seconds, CPU seconds of both processes, and events sent again."""

    seconds: float
    function_cpu: float
    azurite_cpu: float
    again: int


class Stack:
    """An Azurite and a Function app on it.

    `tables` is the connection string, `url` where batches are posted, `pids` has the processes of both.
    """

    def __init__(self, folder: Path, tables: str, url: str, pids: Pids) -> None:
        self.tables = tables
        self.url = url
        self.pids = pids
        self._folder = folder

    def reset(self, rows: Rows) -> None:
        """Make the tables anew, with these rows; relays that ran before are forgotten."""
        with TableServiceClient.from_connection_string(self.tables) as service:
            with suppress(ResourceNotFoundError):
                service.delete_table(CHECKPOINTS)
            for table in (CARS, DRIVERS):
                with suppress(ResourceNotFoundError):
                    service.delete_table(table)
                service.create_table(table)
        asyncio.run(_seed(self.tables, rows))

    def seed(self, rows: Rows) -> None:
        """Put these rows beside those that are there."""
        asyncio.run(_seed(self.tables, rows))

    def rows(self) -> Rows:
        """Every row of the tables, but for what is named by time."""
        return asyncio.run(_rows(self.tables))

    def recorded(self) -> dict[str, float]:
        """When each transaction came into the record, as Unix time in seconds, by its id."""
        return asyncio.run(_recorded(self.tables))

    def has_recorded(self, events: Sequence[Event]) -> bool:
        """Whether these events are in the record."""
        return asyncio.run(_has_recorded(self.tables, events))

    def post(self, lanes: Sequence[Sequence[Sequence[Event]]]) -> Posted:
        """Post the batches of each lane one after the other, the lanes side by side."""
        encoded = [[[event.encoded() for event in batch] for batch in lane] for lane in lanes]
        before, began = all_cpu_seconds(self.pids), time.monotonic()
        again = asyncio.run(_post(self.url, encoded))
        seconds = time.monotonic() - began
        used = used_since(before, self.pids)
        return Posted(seconds, used[FUNCTION], used[AZURITE], again)

    def naively(self, events: Sequence[Event]) -> Took:
        """Apply events the naive way."""
        argument = self._written("events.json", events)
        return msgspec.json.decode(self._python("benchmarks.naive_record", argument), type=Took)

    def barely(self, parts: Sequence[Part]) -> list[Reached]:
        """Make bare calls, part by part."""
        argument = self._written("calls.json", parts)
        return msgspec.json.decode(self._python("benchmarks.bare_tables", argument), type=list[Reached])

    def by_sdk(self, parts: Sequence[Part]) -> list[Reached]:
        """Make the same calls with azure-data-tables."""
        argument = self._written("calls.json", parts)
        return msgspec.json.decode(self._python("benchmarks.sdk_tables", argument), type=list[Reached])

    def codec(self, calls: int) -> Milliseconds:
        """CPU milliseconds of both codecs."""
        return msgspec.json.decode(self._python("benchmarks.codec", str(calls)), type=Milliseconds)

    def _written(self, name: str, content: Any) -> str:
        path = self._folder / name
        path.write_bytes(msgspec.json.encode(content))
        return str(path)

    def _python(self, module: str, argument: str) -> bytes:
        """Run a program of this package on the tables; what it prints. Raises ProcessError when it fails."""
        argv, env = [sys.executable, "-m", module, argument], {**os.environ, "TABLES_CONNECTION_STRING": self.tables}
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, check=False, timeout=TIMEOUT_S)
        if done.returncode:
            raise ProcessError(f"{module} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
        return done.stdout


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Run an Azurite, its data in memory, and a Function app on it."""
    folder.mkdir(parents=True, exist_ok=True)
    with running_azurite(folder / "azurite.log") as storage:
        settings = {
            "LEDGER_NAME": LEDGER,
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "TABLES_CONNECTION_STRING": storage.connection_string,
            "LOCAL_FUNCTIONS_KEY": KEY,
        }
        argv = [sys.executable, "-m", "local.functions_host", str(ROOT), "--with-parent"]
        with running("the Functions host", argv, log=folder / "functions.log", env=settings) as child:
            yield Stack(
                folder,
                storage.connection_string,
                f"{child.announced['http']}/api/ledger-events",
                {FUNCTION: child.pid, AZURITE: storage.child.pid},
            )


async def _seed(tables: str, rows: Rows) -> None:
    async with BareTables(tables, SEEDING_CONNECTIONS) as bare:
        await bare.seed(rows)


async def _rows(tables: str) -> Rows:
    async with BareTables(tables, 1) as bare:
        return await bare.rows(CARS) | await bare.rows(DRIVERS)


async def _recorded(tables: str) -> dict[str, float]:
    async with BareTables(tables, 1) as bare:
        return {
            key.removeprefix(MARK): dt.datetime.fromisoformat(written).timestamp()
            for (_, _, key), written in (await bare.times(CARS)).items()
            if key.startswith(MARK)
        }


async def _has_recorded(tables: str, events: Sequence[Event]) -> bool:
    async with BareTables(tables, 1) as bare:
        return all([await bare.has(CARS, event.asset_id, MARK + event.body["id"]) for event in events])


async def _post(url: str, lanes: Sequence[Sequence[Sequence[bytes]]]) -> int:
    """Post all; how many events were sent again. Each lane keeps one connection."""
    headers = {"content-type": CONTENT_TYPE, "x-functions-key": KEY}
    limits = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=len(lanes)), headers=headers, timeout=limits
    ) as session:
        return sum(await asyncio.gather(*(_post_lane(session, url, lane) for lane in lanes)))


async def _post_lane(session: aiohttp.ClientSession, url: str, batches: Sequence[Sequence[bytes]]) -> int:
    again = 0
    for batch in batches:
        left = list(batch)
        for _ in range(MAX_SENDINGS):
            left = await _post_batch(session, url, left)
            if not left:
                break
            again += len(left)
        else:
            raise ProcessError(f"{len(left)} events were not applied after {MAX_SENDINGS} sendings")
    return again


async def _post_batch(session: aiohttp.ClientSession, url: str, events: Sequence[bytes]) -> list[bytes]:
    """Post a batch; the events that are to be sent again. Raises ProcessError when one can never be applied."""
    async with session.post(url, data=b"[" + b",".join(events) + b"]") as answer:
        text = await answer.read()
    if answer.status != 200:
        raise ProcessError(f"the Function app answered {answer.status}: {text[:500]!r}")
    results = msgspec.json.decode(text, type=Results).results
    for result in results:
        if result.outcome not in DONE | {"failed", "deferred"}:
            raise ProcessError(f"an event is {result.outcome}: {result.detail}")
    return [event for event, result in zip(events, results, strict=True) if result.outcome not in DONE]
