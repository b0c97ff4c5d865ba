"""Pulling plugs on the real path: storage that goes back, nodes that fail, parts that are not there yet, two relays."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient, UpdateMode

from local import audit
from local.processes import Child, free_port, running
from local.scenario import LedgerClient
from local.stack import LEDGER_NAME, Stack, running_stack
from relay.exits import Exit
from tests.integration.conftest import LESSOR, eventually
from tests.integration.relays import TERMS, checkpoint, has, relaying, said
from tests.writing import Json, new_car, new_keys

SECRET = "whsec_" + "bGVhc2Vob29rIHRlc3RzIG9mIHNpZ25lZCBldmVudHM="


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A path whose tables are on disk, and whose events are signed."""
    folder = tmp_path_factory.mktemp("plugs")
    with running_stack(
        folder, [LESSOR.public_key], lambda _: None, keep_tables_in=folder / "tables", webhook_secrets=SECRET
    ) as running:
        yield running


def catch(stack: Stack, relay: Child, ledger: LedgerClient) -> Json:
    """Register a car, and hold the relay still when the record has it and the checkpoint has not moved past it."""
    for _ in range(20):
        registered = ledger.create(LESSOR, new_car())
        while not has(stack, registered):
            time.sleep(0.002)
        os.kill(relay.pid, signal.SIGSTOP)
        if height(stack) < ledger.height_of(registered["id"]):
            return registered
        os.kill(relay.pid, signal.SIGCONT)
    raise AssertionError("the checkpoint was always faster")


def height(stack: Stack) -> int:
    """The checkpoint's height; -1 where there is none, as after storage lost all it had."""
    with contextlib.suppress(ResourceNotFoundError):
        return int(checkpoint(stack)["Height"])
    return -1


def test_signed_events_get_through(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path):
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered))


def test_a_relay_without_the_secret_says_so_and_drops_nothing(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    registered = ledger.create(LESSOR, new_car())
    with relaying(stack, tmp_path, WEBHOOK_SECRETS="") as relay:
        eventually(lambda: said(relay, "REFUSED"))
        assert said(relay, "webhook-signature") or said(relay, "webhook-")
        assert not has(stack, registered)
    with relaying(stack, tmp_path / "again"):
        eventually(lambda: has(stack, registered))


def test_killing_storage_right_after_an_acknowledgement_loses_nothing(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    written = []
    with relaying(stack, tmp_path) as relay:
        eventually(lambda: said(relay, "delivering"))
        for _ in range(3):
            written.append(catch(stack, relay, ledger))
            stack.storage.kill()
            stack.storage.start_again()
            # Neither a failed call nor the checkpoint's row need tell of it: only that the connection is another one.
            os.kill(relay.pid, signal.SIGCONT)
            written.append(ledger.create(LESSOR, new_car()))
            eventually(lambda: has(stack, written[-1]), within=30)
        eventually(lambda: all(has(stack, one) for one in written), within=30)
        tip = ledger.height_of(written[-1]["id"])
        eventually(lambda: height(stack) >= tip, within=30)
        assert said(relay, "storage may have gone back") or said(relay, "checkpoint went back")
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    assert audit.differences(facts, stack.tables) == []


def test_storage_that_is_killed_again_and_again_while_cars_are_leased_loses_nothing(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    last: Json = {}
    with relaying(stack, tmp_path):
        for _ in range(3):
            for _ in range(8):
                registered = ledger.create(LESSOR, new_car())
                last = ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
            stack.storage.kill()
            stack.storage.start_again()
        tip = ledger.height_of(last["id"])
        eventually(lambda: height(stack) >= tip, within=40)
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    assert audit.differences(facts, stack.tables) == []


def test_two_relays_at_once_do_no_harm(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path / "first") as first, relaying(stack, tmp_path / "second") as second:
        written = []
        for _ in range(10):
            registered = ledger.create(LESSOR, new_car())
            written += [registered, ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)]
        eventually(lambda: all(has(stack, one) for one in written))
        eventually(lambda: 3 in {first.exit_code, second.exit_code}, within=15)
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    assert audit.differences(facts, stack.tables) == []


def test_storage_that_is_not_there_at_the_start_is_waited_for_by_name(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    registered = ledger.create(LESSOR, new_car())
    stack.storage.stop()
    try:
        with relaying(stack, tmp_path) as relay:
            eventually(lambda: said(relay, 'waiting what="claiming the checkpoint"'))
            stack.storage.start_again()
            eventually(lambda: has(stack, registered))
    finally:
        stack.storage.stop()
        stack.storage.start_again()


def test_a_node_that_is_not_there_at_the_start_is_waited_for_by_name(stack: Stack, tmp_path: Path) -> None:
    port = free_port()
    settings = {"LEDGER_NAME": "late", "LEDGER_URLS": f"http://127.0.0.1:{port}"}
    with relaying(stack, tmp_path, **settings) as relay:
        eventually(lambda: said(relay, 'waiting what="reading a block"'))
        argv = [sys.executable, "-m", "local.ledger", "--with-parent", "--port", str(port)]
        with running("a late ledger", argv, log=tmp_path / "ledger.log"):
            eventually(lambda: said(relay, "stream connected"))
            LedgerClient(settings["LEDGER_URLS"]).create(LESSOR, new_car())
            # The Function follows another ledger, so that this event is as far as it gets.
            eventually(lambda: said(relay, "REFUSED"))
            assert said(relay, "421")


def test_when_a_node_fails_or_shows_pages_the_next_one_is_read(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with pages() as page:
        urls = f"http://127.0.0.1:9,{page},{stack.ledger_url}"
        with relaying(stack, tmp_path, LEDGER_URLS=urls):
            registered = ledger.create(LESSOR, new_car())
            eventually(lambda: has(stack, registered))


@contextmanager
def pages() -> Iterator[str]:
    """A web server that is no node: it answers everything with a page."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>404 Not Found</title>")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def without_checkpoint(stack: Stack) -> None:
    """Delete the checkpoint, as before the first relay."""
    with TableServiceClient.from_connection_string(stack.tables) as service:
        service.get_table_client("Relay").delete_entity(LEDGER_NAME, f"checkpoint-{LEDGER_NAME}")


def test_a_first_relay_begins_at_the_tip_when_it_is_told_to_and_repairs_what_builds_on_the_past(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    past, untouched = ledger.create(LESSOR, new_car()), ledger.create(LESSOR, new_car())
    without_checkpoint(stack)
    with relaying(stack, tmp_path, RELAY_START_FROM="tip") as relay:
        eventually(lambda: said(relay, "delivering"))
        leased = ledger.transfer(past, LESSOR, new_keys().public_key, TERMS)
        eventually(lambda: has(stack, leased))
        assert has(stack, past)
        assert not has(stack, untouched)
    # What it began from stays: the setting means nothing to a relay that finds a checkpoint.
    with relaying(stack, tmp_path / "again", RELAY_START_FROM="beginning"):
        after = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, after))
        assert not has(stack, untouched)


def test_a_first_relay_begins_at_a_height_and_refuses_one_beyond_the_tip(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    before, first = ledger.create(LESSOR, new_car()), ledger.create(LESSOR, new_car())
    without_checkpoint(stack)
    with relaying(stack, tmp_path, RELAY_START_FROM="1000000") as relay:
        eventually(lambda: relay.exit_code is not None)
        assert relay.exit_code == Exit.SETTINGS
        assert said(relay, "RELAY_START_FROM: found 1000000; the ledger's tip is")
    with relaying(stack, tmp_path / "again", RELAY_START_FROM=str(ledger.height_of(first["id"]))):
        eventually(lambda: has(stack, first))
        assert not has(stack, before)


def test_a_ledger_that_was_replaced_by_a_longer_one_is_recognised(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path):
        tip = ledger.height_of(ledger.create(LESSOR, new_car())["id"])
        eventually(lambda: height(stack) >= tip)
    found = checkpoint(stack)
    assert found["Anchor"]
    with TableServiceClient.from_connection_string(stack.tables) as service:
        table = service.get_table_client("Relay")
        table.update_entity({**found, "Anchor": "0" * 32}, mode=UpdateMode.REPLACE)
    with relaying(stack, tmp_path / "again") as relay:
        eventually(lambda: relay.exit_code is not None)
        assert relay.exit_code == Exit.OTHER_LEDGER
        assert said(relay, f"block {found['AnchorHeight']} of the node at")
    with TableServiceClient.from_connection_string(stack.tables) as service:
        service.get_table_client("Relay").update_entity(found, mode=UpdateMode.REPLACE)


def test_a_polite_stop_leaves_nothing_to_repeat(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path) as relay:
        registered = catch(stack, relay, ledger)
        os.kill(relay.pid, signal.SIGTERM)
        os.kill(relay.pid, signal.SIGCONT)
        eventually(lambda: relay.exit_code is not None, within=6)
        assert relay.exit_code == Exit.DONE
    assert height(stack) >= ledger.height_of(registered["id"])


def test_the_log_is_json_on_request_and_names_no_driver_in_full(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    driver = new_keys().public_key
    with relaying(stack, tmp_path, RELAY_LOG_FORMAT="json") as relay:
        leased = ledger.transfer(ledger.create(LESSOR, new_car()), LESSOR, driver, TERMS)
        eventually(lambda: has(stack, leased))
        lines = [json.loads(line) for line in relay.log.read_text().splitlines()]
    delivered = [line for line in lines if line["message"] == "delivered"]
    assert {"batch", "first", "last", "events", "ms"} <= delivered[-1].keys()
    assert driver not in relay.log.read_text()
