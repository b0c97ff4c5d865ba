"""`make demo` as a newcomer runs it, and what it says when record and ledger differ."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from local import demo
from local.processes import ROOT
from local.scenario import LedgerClient
from local.stack import Stack
from tests.integration.conftest import LESSOR, eventually
from tests.writing import new_car


def test_the_demo_tells_its_story_and_ends_with_record_equals_ledger(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "record equals ledger: 4 drivers, 3 cars" in done.stdout.splitlines()
    assert "the record does not know of it" in done.stdout
    assert "DEVELOPMENT LEDGER" in done.stdout
    assert "NOT the Azure Functions host" in done.stdout
    assert still_running_in(tmp_path) == []


def test_the_demo_fails_with_the_difference_when_the_record_is_wrong(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    with relaying(stack):
        registered = LedgerClient(stack.ledger_url).create(LESSOR, new_car())
        eventually(lambda: stack.call("GET", f"cars/{registered['id']}").ok)
    entered = {"name": "nobody"}
    for keys in (demo.ADA, demo.BORIS, demo.CHLOE):
        assert stack.call("PUT", f"drivers/{keys.public_key}", entered).ok
    assert demo.compare(stack) == 0
    with TableServiceClient.from_connection_string(stack.tables) as service:
        service.get_table_client("Cars").delete_entity(registered["id"], f"record-{registered['id']}")
    assert demo.compare(stack) == 1
    assert f"car {registered['id']}" in capsys.readouterr().out


@contextmanager
def relaying(stack: Stack) -> Iterator[None]:
    """The stack's own relay."""
    relay = stack.start_relay()
    try:
        yield
    finally:
        relay.stop()


def still_running_in(folder: Path) -> list[str]:
    """Command lines of the processes that name a folder, or have it as their own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            place = str((process / "cwd").readlink())
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder) in place or str(folder) in command:
            found.append(command)
    return found
