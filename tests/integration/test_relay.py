"""The relay as a process on the real path: what survives, what it says, how it ends."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from azure.data.tables import TableServiceClient, UpdateMode

from local import audit
from local.scenario import LedgerClient
from local.stack import LEDGER_NAME, Stack
from tests.integration.conftest import LESSOR, eventually
from tests.integration.relays import TERMS, checkpoint, command, has, relaying, said, status
from tests.writing import new_car, new_keys, spoofed_create


def test_a_lease_is_in_the_record_seconds_after_it_was_committed(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path):
        driver = new_keys().public_key
        leased = ledger.transfer(ledger.create(LESSOR, new_car()), LESSOR, driver, TERMS)
        eventually(lambda: has(stack, leased), within=5)
        assert stack.call("GET", f"drivers/{driver}").json()["openLeases"] == 1


def test_kill_9_loses_nothing(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    transactions = []
    for _ in range(4):
        with relaying(stack, tmp_path) as relay:
            registered = ledger.create(LESSOR, new_car())
            transactions += [registered, ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)]
            relay.kill()
        transactions.append(ledger.create(LESSOR, new_car()))
    with relaying(stack, tmp_path):
        eventually(lambda: all(has(stack, one) for one in transactions))
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    assert audit.differences(facts, stack.tables) == []


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "the shutdown file"])
def test_it_stops_politely_within_five_seconds(stack: Stack, tmp_path: Path, how: str) -> None:
    with relaying(stack, tmp_path) as relay:
        eventually(lambda: said(relay, "relay started"))
        began = time.monotonic()
        if how == "the shutdown file":
            (webjob_folder(tmp_path) / "shutdown.txt").touch()
        else:
            os.kill(relay.pid, getattr(signal, how))
        eventually(lambda: relay.exit_code is not None, within=5)
        assert relay.exit_code == 0
        assert time.monotonic() - began < 5
        assert said(relay, "relay stopped")


def webjob_folder(folder: Path) -> Path:
    """Where lay_out puts the job."""
    return folder / "App_Data" / "jobs" / "continuous" / "ledger-relay"


def test_polling_covers_a_stream_that_is_silent_and_answers_pings(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with silent_stream() as url, relaying(stack, tmp_path, LEDGER_STREAM_URL=url) as relay:
        eventually(lambda: said(relay, "stream connected"))
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered), within=5)
        eventually(lambda: said(relay, "stream is silent, reconnecting"), within=15)
        eventually(lambda: checkpoint(stack)["Stream"] == "silent", within=15)


def test_without_any_stream_polling_delivers(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path, LEDGER_STREAM_URL="ws://127.0.0.1:9/nowhere"):
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered), within=5)


def test_a_function_that_is_down_is_waited_for(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    registered = ledger.create(LESSOR, new_car())
    before = checkpoint(stack)["Height"]
    nowhere = "http://127.0.0.1:9/api/ledger-events"
    with relaying(stack, tmp_path, FUNCTION_URL=nowhere) as relay:
        eventually(lambda: said(relay, "not delivered"))
        assert checkpoint(stack)["Height"] <= ledger.height_of(registered["id"]) - 1
        assert checkpoint(stack)["Height"] >= before
    with relaying(stack, tmp_path):
        eventually(lambda: has(stack, registered))


def test_a_wrong_key_is_said_loudly_and_nothing_is_dropped(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    registered = ledger.create(LESSOR, new_car())
    with relaying(stack, tmp_path, FUNCTION_KEY="wrong-key-of-this-test") as relay:
        eventually(lambda: said(relay, "REFUSED"))
        assert not said(relay, "wrong-key-of-this-test")
    with relaying(stack, tmp_path):
        eventually(lambda: has(stack, registered))


def test_a_relay_that_starts_later_takes_over_and_the_first_stops(stack: Stack, tmp_path: Path) -> None:
    with relaying(stack, tmp_path / "first") as first:
        eventually(lambda: said(first, "relay started"))
        with relaying(stack, tmp_path / "second") as second:
            eventually(lambda: said(second, "relay started"))
            eventually(lambda: first.exit_code is not None, within=15)
            assert first.exit_code == 3
            assert second.exit_code is None


def test_a_checkpoint_that_was_put_back_is_obeyed(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path) as relay:
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered))
        tip = ledger.height_of(registered["id"])
        eventually(lambda: checkpoint(stack)["Height"] >= tip)
        with TableServiceClient.from_connection_string(stack.tables) as service:
            # As a restored account: the car is gone from the record, and the checkpoint stands where it stood before.
            cars, table = service.get_table_client("Cars"), service.get_table_client("Relay")
            for row in list(cars.query_entities(f"PartitionKey eq '{registered['id']}'")):
                cars.delete_entity(row)
            row = table.get_entity(LEDGER_NAME, f"checkpoint-{LEDGER_NAME}")
            table.update_entity({**row, "Height": tip - 1}, mode=UpdateMode.REPLACE)
        eventually(lambda: said(relay, "checkpoint went back"), within=15)
        eventually(lambda: has(stack, registered))
        eventually(lambda: checkpoint(stack)["Height"] >= tip)


def test_a_car_whose_past_the_record_lacks_is_repaired_from_the_ledger(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    driver = new_keys()
    registered = ledger.create(LESSOR, new_car())
    leased = ledger.transfer(registered, LESSOR, driver.public_key, TERMS)
    with TableServiceClient.from_connection_string(stack.tables) as service:
        table = service.get_table_client("Relay")
        row = table.get_entity(LEDGER_NAME, f"checkpoint-{LEDGER_NAME}")
        table.update_entity({**row, "Height": ledger.height_of(leased["id"])}, mode=UpdateMode.REPLACE)
    with relaying(stack, tmp_path) as relay:
        returned = ledger.transfer(leased, driver, LESSOR.public_key)
        eventually(lambda: has(stack, returned))
        assert said(relay, "car repaired from the ledger")
        assert has(stack, registered)
        assert has(stack, leased)


def test_an_asset_that_only_claims_to_be_the_lessors_is_no_car_and_parks_nothing(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path) as relay:
        stranger = new_keys()
        mine = ledger.commit(spoofed_create(LESSOR.public_key, stranger))
        sold = ledger.transfer(mine, stranger, new_keys().public_key)
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered))
        assert not has(stack, mine)
        assert not has(stack, sold)
        assert status(stack)["parked"] == []
        assert not said(relay, "ERROR")


def test_a_parked_car_stops_no_other_and_gets_through_when_it_is_redriven(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path) as relay:
        registered = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, registered))
        # The record comes to believe that somebody else owns the car: its next transfer is not signed by that owner.
        with TableServiceClient.from_connection_string(stack.tables) as service:
            cars = service.get_table_client("Cars")
            right = cars.get_entity(registered["id"], f"record-{registered['id']}")
            wrong = {
                **right,
                "UnspentOutputs": right["UnspentOutputs"].replace(LESSOR.public_key, new_keys().public_key),
            }
            cars.update_entity(wrong, mode=UpdateMode.REPLACE)
        leased = ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
        other = ledger.create(LESSOR, new_car())
        eventually(lambda: has(stack, other))
        eventually(lambda: [car["car"] for car in status(stack)["parked"]] == [registered["id"]])
        assert "not signed by the owners" in status(stack)["parked"][0]["reason"]
        assert command(stack, "redrive", "0" * 64).returncode == 1

        with TableServiceClient.from_connection_string(stack.tables) as service:
            service.get_table_client("Cars").update_entity(dict(right), mode=UpdateMode.REPLACE)
        assert command(stack, "redrive", registered["id"]).returncode == 0
        eventually(lambda: status(stack)["parked"] == [])
        assert has(stack, leased)
        assert said(relay, "car redriven")


def test_status_says_where_the_relay_stands(stack: Stack, ledger: LedgerClient, tmp_path: Path) -> None:
    with relaying(stack, tmp_path):
        height = ledger.height_of(ledger.create(LESSOR, new_car())["id"])
        eventually(lambda: status(stack)["checkpoint"] >= height)
        found = status(stack)
        assert found["heartbeat_age_s"] < 30
        assert found["parked"] == []


def test_a_wrong_setting_ends_it_with_one_line_and_code_2(stack: Stack, tmp_path: Path) -> None:
    with relaying(stack, tmp_path, RELAY_BATCH_EVENTS="lots", FUNCTION_KEY="secret-of-this-test") as relay:
        eventually(lambda: relay.exit_code is not None)
        lines = relay.log.read_text().splitlines()
    assert relay.exit_code == 2
    assert len(lines) == 1
    assert "RELAY_BATCH_EVENTS: found 'lots'; allowed is a whole number from 1 to 500" in lines[0]
    assert "secret-of-this-test" not in lines[0]


def test_a_checkpoint_of_another_ledger_stops_it_with_code_4(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relay import loop
    from relay.__main__ import main

    with TableServiceClient.from_connection_string(stack.tables) as service:
        table = service.create_table_if_not_exists("Relay")
        row = {"PartitionKey": "reset", "RowKey": "checkpoint-reset", "Height": 10**6, "Owner": "o", "Generation": 1}
        table.create_entity(row)
    for name, value in (stack.relay_settings | {"LEDGER_NAME": "reset"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(loop, "MISMATCH_PATIENCE_S", 0.5)
    monkeypatch.setattr(loop, "stop_on_signals", lambda _: None)
    assert main(["run"]) == 4


@contextmanager
def silent_stream() -> Iterator[str]:
    """A WebSocket server as BigchainDB's becomes when its publisher has died: it answers pings, and says nothing."""
    loop = asyncio.new_event_loop()
    ready: list[int] = []

    async def accept(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/", accept)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ready.append(runner.addresses[0][1])
        return runner

    runner = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{ready[0]}/"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
