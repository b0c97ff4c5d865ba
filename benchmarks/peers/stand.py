"""What a forwarder runs on: a recorded node, Azurite in memory and the Functions host with the app, all of its own.

Where an accident needs it, one connection goes through the proxy of local/faults; the others are direct.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

from benchmarks.history import LESSOR, Shape
from benchmarks.leases import LEDGER
from benchmarks.parts import Bench, Node
from benchmarks.peers.accidents import Place
from benchmarks.peers.counting import MARK
from benchmarks.peers.ways import Route
from local.azurite import running_azurite, table_endpoint
from local.faults.link import Link
from local.faults.proxy import running_proxy
from local.host import FunctionsHost

RATE = 25
"""Transactions in a block of the node."""
LOOK_S = 1.0
"""How often it is looked whether something came: reading a table takes Azurite's time."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Stand:
    """The running parts; `node` and `tables` are reached directly, `link` is the proxy's where there is one."""

    node: Node
    tables: str = field(repr=False)
    function: FunctionsHost
    route: Route
    link: Link | None

    def rows(self, table: str, *properties: str) -> Rows:
        """Every row of a table: these properties, or all and its Timestamp. None while there is no such table."""
        with (
            TableServiceClient.from_connection_string(self.tables) as service,
            contextlib.suppress(ResourceNotFoundError),
        ):
            found = service.get_table_client(table).list_entities(select=list(properties) or None)
            return [{**row, "Timestamp": row.metadata["timestamp"]} for row in found]
        return []

    def is_followed(self) -> bool:
        """Whether somebody follows the node's stream. The proxy does so only for a client."""
        return self.node.figures().subscribers > 0

    def grow(self, blocks: int, interval: float) -> None:
        """Have so many blocks come, one every `interval` seconds; returns at once."""
        self.node.grow(blocks, interval)

    def await_last_block(self) -> float:
        """Wait until the last of the blocks has come; when that was, as Unix time."""
        while (figures := self.node.figures()).is_growing:
            time.sleep(LOOK_S)
        return max(figures.committed.values()) + time.time() - time.monotonic()

    def settle(self, expected: int, still_s: float, within_s: float) -> int:
        """Wait until so many transactions are recorded, or for `still_s` none came, or `within_s` have passed.

        Returns how many are.
        """
        began = changed = time.monotonic()
        last = -1
        while True:
            now = sum(row["RowKey"].startswith(MARK) for row in self.rows("Cars", "RowKey"))
            if now != last:
                last, changed = now, time.monotonic()
            if last >= expected or time.monotonic() - changed > still_s or time.monotonic() - began > within_s:
                return last
            time.sleep(LOOK_S)


def blocks_of(shape: Shape) -> tuple[int, int]:
    """The blocks that register the cars of a history, and those of its moves.

    Raises ValueError where they are not full: a block must not hold both, and a recording leaves out a part of one.
    """
    if shape.cars % RATE or shape.transfers % RATE:
        raise ValueError(f"{shape.cars} cars and {shape.transfers} transfers do not fill blocks of {RATE}")
    return shape.cars // RATE, shape.transfers // RATE


@contextmanager
def running_stand(folder: Path, bench: Bench, recording: Path, place: Place) -> Iterator[Stand]:
    """Everything but the forwarder, for the length of a with block; the node has no block yet. Raises ProcessError."""
    with ExitStack() as parts:
        node = parts.enter_context(bench.node(recording, "--block-events", str(RATE)))
        storage = parts.enter_context(running_azurite(folder / "azurite.log"))
        servers = {
            Place.TABLES: _address(table_endpoint(storage.connection_string)),
            Place.STREAM: _address(node.stream_url),
            Place.NODE: _address(node.url),
        }
        link = None
        if place in servers:
            link = parts.enter_context(running_proxy()).open(Link(place, servers[place]))

        def through(at: Place, address: str) -> str:
            if link is None or at is not place:
                return address
            return address.replace("{}:{}".format(*link.server), link.address)

        key = secrets.token_urlsafe(32)
        tables = through(Place.TABLES, storage.connection_string)
        settings = {
            "LEDGER_NAME": LEDGER,
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "TABLES_CONNECTION_STRING": tables,
            "LOCAL_FUNCTIONS_KEY": key,
        }
        function = FunctionsHost(folder / "functions.log", settings)
        parts.callback(lambda: function.stop())
        route = Route(
            through(Place.NODE, node.url),
            through(Place.STREAM, node.stream_url),
            f"{function.url}/api/ledger-events",
            key,
            tables,
            start_from="beginning",
        )
        yield Stand(node, storage.connection_string, function, route, link)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
