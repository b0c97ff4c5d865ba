"""The baseline for the record: the bare calls to Table Storage, by the leanest client that is easily written.

`python -m benchmarks.bare_tables CALLS.json` makes the calls of batches that table_calls has worked out, and prints
what it reached as one JSON line. Plain aiohttp; every address, signature and body is made beforehand, so that only the
ETag that a read has brought is put in between. It decides nothing and verifies nothing. The account is in the
environment variable TABLES_CONNECTION_STRING.
"""

import asyncio
import hmac
import os
import sys
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from email.utils import formatdate
from itertools import batched
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import ClientSession, TCPConnector
from yarl import URL

from benchmarks.table_calls import INSERT, Call, Rows, Write

VERSION = {"x-ms-version": "2019-02-02", "DataServiceVersion": "3.0"}
READING = {**VERSION, "Accept": "application/json;odata=nometadata"}
WRITING = {**VERSION, "Accept": "application/json", "Content-Type": "multipart/mixed; boundary=batch_b"}
PART = "--changeset_c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
PART_HEADERS = (
    "Content-Type: application/json\r\nAccept: application/json;odata=minimalmetadata\r\nDataServiceVersion: 3.0\r\n"
)
MAX_OPERATIONS = 100
SEEDING_CONNECTIONS = 16


class CallError(RuntimeError):
    """Table Storage did not do what was asked."""


class Part(msgspec.Struct, frozen=True):
    """Batches of calls that are made with at most so many of them under way."""

    concurrency: int
    batches: list[list[Call]]


class Reached(msgspec.Struct, frozen=True):
    """What the calls of one part took, and the CPU time of this process, both in seconds."""

    concurrency: int
    seconds: float
    cpu: float


class Prepared(msgspec.Struct, frozen=True):
    """A call that waits for its ETag alone, which stands between `head` and `tail`."""

    row_url: URL
    reading: dict[str, str]
    head: bytes
    tail: bytes


class BareTables:
    """Connections to one storage account, and what is signed for it. The signatures hold for 15 minutes."""

    def __init__(self, connection_string: str, connections: int) -> None:
        named = dict(part.split("=", 1) for part in connection_string.split(";") if part)
        self._account = named["AccountName"]
        self._secret = b64decode(named["AccountKey"])
        self._url = named["TableEndpoint"].rstrip("/")
        self._path = URL(self._url).path
        self._date = formatdate(usegmt=True)
        self._batch_url = URL(f"{self._url}/$batch", encoded=True)
        self._writing = {**WRITING, **self._signed(f"{self._path}/$batch")}
        self._session = ClientSession(connector=TCPConnector(limit=connections), auto_decompress=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def prepared(self, call: Call) -> Prepared:
        """All of a call that can be made beforehand."""
        first = call.writes[0].row
        path = f"/{call.table}(PartitionKey='{first['PartitionKey']}',RowKey='{first['RowKey']}')"
        reading = {**READING, **self._signed(self._path + path)}
        head, _, tail = self._body(call).partition(b"{etag}")
        return Prepared(URL(self._url + path, encoded=True), reading, head, tail)

    async def make(self, call: Prepared) -> None:
        """Read a record, and write its partition under the ETag that it has."""
        async with self._session.get(call.row_url, headers=call.reading) as answer:
            await answer.read()
            etag = answer.headers.get("ETag", "").encode()
        await self._write(call.head + etag + call.tail if call.tail else call.head)

    async def has(self, table: str, partition: str, row: str) -> bool:
        """Whether a table has a row."""
        path = f"/{table}(PartitionKey='{partition}',RowKey='{row}')"
        headers = {**READING, **self._signed(self._path + path)}
        async with self._session.get(URL(self._url + path, encoded=True), headers=headers) as answer:
            return answer.status == 200

    async def seed(self, rows: Rows) -> None:
        """Insert rows, those of each partition together."""
        partitions: dict[tuple[str, str], list[Write]] = defaultdict(list)
        for (table, partition, _), row in rows.items():
            partitions[table, partition].append(Write(INSERT, row))
        calls = (
            Call(table, list(some))
            for (table, _), writes in partitions.items()
            for some in batched(writes, MAX_OPERATIONS, strict=False)
        )
        bodies = (self._body(call) for call in calls)

        async def write() -> None:
            for body in bodies:
                await self._write(body)

        await asyncio.gather(*(write() for _ in range(SEEDING_CONNECTIONS)))

    async def rows(self, table: str) -> Rows:
        """Every row of a table, but for what is named by time."""
        return {key: row for key, row, _ in await self._read(table)}

    async def times(self, table: str) -> dict[tuple[str, str, str], str]:
        """When each row of a table was last written, by its table, PartitionKey and RowKey: its Timestamp."""
        return {key: written for key, _, written in await self._read(table)}

    async def _read(self, table: str) -> list[tuple[tuple[str, str, str], Any, str]]:
        """Key, properties and Timestamp of every row of a table."""
        headers = {**READING, **self._signed(f"{self._path}/{table}()")}
        found = []
        following: dict[str, str] | None = {}
        while following is not None:
            url = URL(f"{self._url}/{table}()", encoded=True).with_query(following)
            async with self._session.get(url, headers=headers) as answer:
                answer.raise_for_status()
                page = msgspec.json.decode(await answer.read())["value"]
                names = ("NextPartitionKey", "NextRowKey")
                tokens = {name: answer.headers.get(f"x-ms-continuation-{name}") for name in names}
            following = {name: token for name, token in tokens.items() if token} or None
            for row in page:
                written = row.pop("Timestamp", "")
                found.append(((table, row["PartitionKey"], row["RowKey"]), row, written))
        return found

    async def _write(self, body: bytes) -> None:
        async with self._session.post(self._batch_url, headers=self._writing, data=body) as answer:
            text = await answer.read()
        if answer.status != 202 or b"HTTP/1.1 4" in text or b"HTTP/1.1 5" in text:
            raise CallError(f"an entity group transaction was answered {answer.status}: {text[:500]!r}")

    def _body(self, call: Call) -> bytes:
        """The body of an entity group transaction, with {etag} where an ETag is to stand."""
        pieces = [b"--batch_b\r\nContent-Type: multipart/mixed; boundary=changeset_c\r\n\r\n"]
        for place, write in enumerate(call.writes):
            row = {name: value for name, value in write.row.items() if value is not None}
            if write.method == INSERT:
                target, condition = call.table, "Prefer: return-no-content\r\n"
            else:
                target = f"{call.table}(PartitionKey='{row['PartitionKey']}',RowKey='{row['RowKey']}')"
                condition = f"If-Match: {'*' if place else '{etag}'}\r\n"
            head = f"{PART}{write.method} {self._url}/{target} HTTP/1.1\r\n{PART_HEADERS}{condition}\r\n"
            pieces += (head.encode(), msgspec.json.encode(row), b"\r\n")
        pieces.append(b"--changeset_c--\r\n--batch_b--\r\n")
        return b"".join(pieces)

    def _signed(self, path: str) -> dict[str, str]:
        """The headers that sign a request by Shared Key Lite."""
        text = f"{self._date}\n/{self._account}{path}"
        signature = b64encode(hmac.digest(self._secret, text.encode(), "sha256")).decode()
        return {"x-ms-date": self._date, "Authorization": f"SharedKeyLite {self._account}:{signature}"}


def chains(batches: Iterable[Iterable[Call]]) -> list[list[Call]]:
    """The calls of each partition, in order: those of different partitions need not wait for each other."""
    found: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for batch in batches:
        for call in batch:
            found[call.key].append(call)
    return list(found.values())


async def make_all(connection_string: str, part: Part) -> Reached:
    """Make all calls of a part."""
    async with BareTables(connection_string, part.concurrency) as tables:
        prepared = iter([[tables.prepared(call) for call in chain] for chain in chains(part.batches)])

        async def work() -> None:
            for chain in prepared:
                for call in chain:
                    await tables.make(call)

        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(part.concurrency)))
        return Reached(part.concurrency, time.monotonic() - began, time.process_time() - cpu)


def run(program: str, make: Callable[[str, Part], Awaitable[Reached]], arguments: Sequence[str]) -> int:
    """The command line of a program that makes the calls of all parts by `make`; its exit code."""
    if len(arguments) != 1:
        print(f"usage: python -m {program} CALLS.json", file=sys.stderr)
        return 2
    parts = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=list[Part])
    connection_string = os.environ["TABLES_CONNECTION_STRING"]

    async def make_in_turn() -> list[Reached]:
        return [await make(connection_string, part) for part in parts]

    print(msgspec.json.encode(asyncio.run(make_in_turn())).decode())
    return 0


if __name__ == "__main__":
    sys.exit(run("benchmarks.bare_tables", make_all, sys.argv[1:]))
