"""The whole path, for the tests of the relay: one ledger, one Azurite and one Function app for a module."""

import time
from collections.abc import Callable, Iterator

import pytest

from local.scenario import LedgerClient, key_pair
from local.stack import Stack, running_stack

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


def eventually(is_so: Callable[[], object], within: float = 20.0) -> None:
    """Wait until `is_so`; fail when it is not in time."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
