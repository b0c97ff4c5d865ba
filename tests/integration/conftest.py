"""The whole path, for the tests of the relay: one ledger, one Azurite and one Function app for a module."""

import secrets
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from local.processes import running
from local.scenario import LedgerClient, key_pair
from local.stack import Stack, running_stack
from relay.ledger import Ledger
from relay.parked import ParkedTable
from relay.settings import Secret, TablesSettings
from tests.integration.scripted_platform import Platform

LESSOR = key_pair("the lessor")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything but a relay, which each test starts as it needs it."""
    with running_stack(tmp_path_factory.mktemp("stack"), [LESSOR.public_key], lambda _: None) as running:
        yield running


@pytest.fixture
def ledger(stack: Stack) -> LedgerClient:
    """Writes to the stack's ledger."""
    return LedgerClient(stack.ledger_url)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a ledger of its own."""
    argv = [sys.executable, "-m", "local.ledger", "--with-parent", "--block-time", "0.02"]
    with running("ledger", argv, log=tmp_path_factory.mktemp("ledger") / "ledger.log") as child:
        yield str(child.announced["http"])


@pytest.fixture(scope="module")
def lessor(node: str) -> LedgerClient:
    """Writes to the ledger."""
    return LedgerClient(node)


@pytest.fixture(scope="module")
def reading(node: str) -> Ledger:
    """The ledger as the relay reads it."""
    return Ledger((node,))


@pytest.fixture
def platform() -> Iterator[Platform]:
    """The scripted platform that lanes post to."""
    platform = Platform()
    yield platform
    platform.stop()


@pytest.fixture
def parking(tables: str) -> Iterator[ParkedTable]:
    """The relay's table, for a ledger name that no other test has."""
    parking = ParkedTable(TablesSettings(f"relay-{secrets.token_hex(8)}", Secret(tables), ""))
    yield parking
    parking.close()


def eventually(is_so: Callable[[], object], within: float = 20.0) -> None:
    """Wait until `is_so`; fail when it is not in time."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
