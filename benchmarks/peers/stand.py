"""What a forwarder runs on: a ledger, Azurite in memory and the Functions host with the app, all new, on free ports.

Where an accident needs it, one connection goes through the proxy of local/faults; the others are direct.
"""

import contextlib
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

from benchmarks.history import LESSOR
from benchmarks.parts import Ledger
from benchmarks.peers.accidents import Place
from benchmarks.peers.counting import MARK
from local.azurite import running_azurite, table_endpoint
from local.faults.link import Link
from local.faults.proxy import running_proxy
from local.host import FunctionsHost
from local.processes import running

LEDGER_NAME = "peers"
LOOK_S = 0.5
ESTABLISHED = "01"

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """All that a forwarder is told: where to read, where to post, and where the relay keeps its checkpoint."""

    node_url: str
    stream_url: str
    function_url: str
    key: str = field(repr=False)
    tables: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stand:
    """The running parts; `ledger` and `tables` are reached directly, `link` is the proxy's where there is one."""

    folder: Path
    ledger: Ledger
    tables: str = field(repr=False)
    function: FunctionsHost
    route: Route
    link: Link | None

    def rows(self, table: str) -> Rows:
        """Every row of a table, each with its Timestamp; none while there is no such table."""
        with (
            TableServiceClient.from_connection_string(self.tables) as service,
            contextlib.suppress(ResourceNotFoundError),
        ):
            found = service.get_table_client(table).list_entities()
            return [{**row, "Timestamp": row.metadata["timestamp"]} for row in found]
        return []

    def recorded(self) -> dict[str, float]:
        """When each transaction came into the record, as Unix time, by its id."""
        return {
            row["RowKey"].removeprefix(MARK): row["Timestamp"].timestamp()
            for row in self.rows("Cars")
            if row["RowKey"].startswith(MARK)
        }

    def settle(self, expected: int, still_s: float, within_s: float) -> None:
        """Wait until so many transactions are recorded, or for `still_s` none came, or `within_s` have passed."""
        began = changed = time.monotonic()
        last = -1
        while last < expected and time.monotonic() - changed < still_s and time.monotonic() - began < within_s:
            now = len(self.recorded())
            if now != last:
                last, changed = now, time.monotonic()
            time.sleep(LOOK_S)

    def is_followed(self) -> bool:
        """Whether somebody is connected to the stream that the forwarder is to follow."""
        return has_connection(Path("/proc/net/tcp").read_text(encoding="ascii"), urlsplit(self.route.stream_url).port)


def has_connection(text: str, port: int | None) -> bool:
    """Whether /proc/net/tcp (proc(5)) shows a client's established connection to this port of 127.0.0.1."""
    lines = (line.split() for line in text.splitlines()[1:])
    return any(line[2] == f"0100007F:{port or 0:04X}" and line[3] == ESTABLISHED for line in lines)


@contextmanager
def running_ledger(folder: Path) -> Iterator[Ledger]:
    """A new, empty ledger for the length of a with block."""
    argv = [sys.executable, "-m", "local.ledger", "--with-parent"]
    with running("the ledger", argv, log=folder / "ledger.log", timeout=60) as child:
        yield Ledger(child.announced["http"], child.announced["stream"])


@contextmanager
def running_stand(folder: Path, ledger: Ledger, place: Place) -> Iterator[Stand]:
    """Everything but the forwarder, for the length of a with block. Raises ProcessError."""
    with ExitStack() as parts:
        storage = parts.enter_context(running_azurite(folder / "azurite.log"))
        servers = {
            Place.TABLES: _address(table_endpoint(storage.connection_string)),
            Place.STREAM: _address(ledger.stream_url),
            Place.NODE: _address(ledger.url),
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
            "LEDGER_NAME": LEDGER_NAME,
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "TABLES_CONNECTION_STRING": tables,
            "LOCAL_FUNCTIONS_KEY": key,
        }
        function = FunctionsHost(folder / "functions.log", settings)
        parts.callback(lambda: function.stop())
        route = Route(
            through(Place.NODE, ledger.url),
            through(Place.STREAM, ledger.stream_url),
            f"{function.url}/api/ledger-events",
            key,
            tables,
        )
        yield Stand(folder, ledger, storage.connection_string, function, route, link)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
