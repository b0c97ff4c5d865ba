"""What the tests of the relay as a process share: starting one, what it said, what it did."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.data.tables import TableServiceClient

from local import webjob
from local.processes import ROOT, Child
from local.scenario import lease
from local.stack import LEDGER_NAME, Stack
from tests.writing import Json

TERMS = lease("2026-01-01", "2027-12-31", 15_000)


@contextmanager
def relaying(stack: Stack, folder: Path, **settings: str) -> Iterator[Child]:
    """A relay with settings changed, for the length of a with block."""
    job = webjob.lay_out(folder)
    child = webjob.start_relay(job, stack.relay_settings | settings, folder / "relay.log")
    try:
        yield child
    finally:
        child.kill()


def said(child: Child, words: str) -> bool:
    """Whether the relay has logged these words."""
    return words in child.log.read_text()


def has(stack: Stack, transaction: Json) -> bool:
    """Whether the record has a transaction."""
    asset = transaction["id"] if transaction["operation"] == "CREATE" else transaction["asset"]["id"]
    answer = stack.call("GET", f"cars/{asset}")
    return answer.ok and any(one["id"] == transaction["id"] for one in answer.json()["transactions"])


def checkpoint(stack: Stack, ledger_name: str = LEDGER_NAME) -> dict[str, Any]:
    """The checkpoint's row."""
    with TableServiceClient.from_connection_string(stack.tables) as service:
        return dict(service.get_table_client("Relay").get_entity(ledger_name, f"checkpoint-{ledger_name}"))


def command(stack: Stack, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the relay package, with the relay's settings and some changed."""
    environment = os.environ | stack.relay_settings | {"PYTHONPATH": str(ROOT / "webjob")} | settings
    return subprocess.run(
        [sys.executable, "-m", "relay", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def status(stack: Stack) -> dict[str, Any]:
    """What `python -m relay status --json` says."""
    found: dict[str, Any] = json.loads(command(stack, "status", "--json").stdout)
    return found
