"""The commands of the relay package, beside a running relay on the real path."""

import json
import secrets
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient, UpdateMode

from local.scenario import LedgerClient
from local.stack import LEDGER_NAME, Stack
from relay.checkpoint import CheckpointTable, Report
from relay.commands.doctor import Level, check_clock
from relay.exits import Exit
from relay.parked import ParkedCar, ParkedTable
from relay.progress import Mark
from relay.settings import Secret, TablesSettings
from tests.integration.conftest import LESSOR, eventually
from tests.integration.relays import TERMS, checkpoint, command, has, relaying, said, status
from tests.writing import Json, new_car, new_keys


def answered(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one line of JSON that a command printed."""
    [line] = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def forget(stack: Stack, car: Json) -> None:
    """Take a car out of the record, as a mistake would."""
    with TableServiceClient.from_connection_string(stack.tables) as service:
        cars = service.get_table_client("Cars")
        for row in list(cars.query_entities(f"PartitionKey eq '{car['id']}'")):
            cars.delete_entity(row)


def test_status_tells_checkpoint_tip_lag_stream_and_parked_cars(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path):
        height = ledger.height_of(ledger.create(LESSOR, new_car())["id"])
        eventually(lambda: status(stack)["checkpoint"] >= height and status(stack)["state"] == "level", within=30)
        found = status(stack)
        assert found["tip"] >= found["checkpoint"] >= height
        assert (found["lag_s"], found["parked"], found["parked_cars"]) == (0.0, [], 0)
        assert found["stream"] in {"announcing", "unproven"}
        assert found["heartbeat_age_s"] < 30
        told = command(stack, "status").stdout
        assert f"checkpoint       {found['checkpoint']}\n" in told


def test_a_relay_that_cannot_deliver_shows_its_lag_and_its_last_error(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path, FUNCTION_URL="http://127.0.0.1:9/api/ledger-events"):
        ledger.create(LESSOR, new_car())
        eventually(lambda: status(stack)["lag_blocks"] > 0 and "not delivered" in status(stack)["last_error"])
        first = status(stack)
        eventually(lambda: (status(stack)["lag_s"] or 0) > (first["lag_s"] or 0))


def test_status_before_any_relay_has_run_says_so(stack: Stack) -> None:
    done = command(stack, "status", LEDGER_NAME="nobody-ran-here")
    assert done.returncode == Exit.FAULT
    assert "there is no checkpoint" in done.stderr


def test_a_paused_relay_delivers_nothing_not_even_after_a_restart_until_it_is_resumed(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    with relaying(stack, tmp_path) as relay:
        eventually(lambda: said(relay, "delivering"))
        assert answered(command(stack, "pause", "--json"))["paused_since"]
        eventually(lambda: said(relay, "paused"))
        registered = ledger.create(LESSOR, new_car())
        assert status(stack)["state"] == "paused"
    try:
        with relaying(stack, tmp_path / "again") as relay:
            eventually(lambda: said(relay, "relay started"))
            eventually(lambda: status(stack)["state"] == "paused")
            assert not has(stack, registered)
            assert command(stack, "resume").returncode == Exit.DONE
            eventually(lambda: has(stack, registered))
    finally:
        command(stack, "resume")


def test_replay_tells_what_it_changed_and_leaves_the_checkpoint_alone(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    registered = ledger.create(LESSOR, new_car())
    leased = ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
    last = ledger.height_of(leased["id"])
    with relaying(stack, tmp_path):
        eventually(lambda: has(stack, leased))
        eventually(lambda: checkpoint(stack)["Height"] >= last)
    before = checkpoint(stack)["Height"]

    nothing = command(stack, "replay", "--from", "1", "--json")
    assert nothing.returncode == Exit.DONE
    assert answered(nothing)["applied"] == 0
    assert answered(nothing)["duplicate"] >= 2
    assert "100%" in nothing.stderr

    forget(stack, registered)
    first = str(ledger.height_of(registered["id"]))
    mended = command(stack, "replay", "--from", first, "--to", str(last))
    assert mended.returncode == Exit.DONE
    assert f"2 transactions applied to car {registered['id']}" in mended.stdout
    assert has(stack, leased)
    assert checkpoint(stack)["Height"] == before


def test_replay_names_a_car_that_cannot_be_delivered_and_parks_nothing(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    registered = ledger.create(LESSOR, new_car())
    leased = ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
    with relaying(stack, tmp_path):
        eventually(lambda: has(stack, leased))
    with TableServiceClient.from_connection_string(stack.tables) as service:
        # The record comes to believe that the lease was not applied, and that somebody else owns the car.
        cars = service.get_table_client("Cars")
        right = cars.get_entity(registered["id"], f"record-{registered['id']}")
        mark = cars.get_entity(registered["id"], f"transaction-{leased['id']}")
        cars.delete_entity(mark)
        outputs = right["UnspentOutputs"].replace(leased["id"], registered["id"])
        wrong = {**right, "UnspentOutputs": outputs, "LastTransaction": registered["id"]}
        cars.update_entity(wrong, mode=UpdateMode.REPLACE)
        done = command(stack, "replay", "--from", "1", "--json")
        cars.update_entity(dict(right), mode=UpdateMode.REPLACE)
        cars.create_entity(dict(mark))
    assert done.returncode == Exit.INCOMPLETE
    assert list(answered(done)["cars_not_delivered"]) == [registered["id"]]
    assert status(stack)["parked"] == []


@pytest.mark.parametrize("form", [["redrive"], ["park", "redrive"]], ids=" ".join)
def test_parked_cars_are_listed_and_all_redriven(
    stack: Stack, ledger: LedgerClient, tmp_path: Path, form: list[str]
) -> None:
    registered = [ledger.create(LESSOR, new_car()) for _ in range(2)]
    with relaying(stack, tmp_path) as relay:
        eventually(lambda: all(has(stack, one) for one in registered))
        with TableServiceClient.from_connection_string(stack.tables) as service:
            for one in registered:
                row = {
                    "PartitionKey": LEDGER_NAME,
                    "RowKey": f"parked-{one['id']}",
                    "TransactionId": one["id"],
                    "Sequence": "000000000001-000000",
                    "Reason": "for the sake of this test",
                    "LastTransaction": "",
                    "Redrive": False,
                }
                service.get_table_client("Relay").create_entity(row)
        listed = answered(command(stack, "park", "list", "--json"))
        assert {car["car"] for car in listed["parked"]} == {one["id"] for one in registered}
        assert "for the sake of this test" in command(stack, "park", "list").stdout
        assert answered(command(stack, *form, "--all", "--json"))["redriven_cars"] == 2
        eventually(lambda: status(stack)["parked"] == [])
        assert said(relay, "car redriven")


def test_doctor_finds_a_healthy_path_healthy_and_sees_an_event_arrive(
    stack: Stack, ledger: LedgerClient, tmp_path: Path
) -> None:
    height = ledger.height_of(ledger.create(LESSOR, new_car())["id"])
    with relaying(stack, tmp_path):
        eventually(lambda: checkpoint(stack)["Height"] >= height)
        done = command(stack, "doctor", "--probe", "--json")
    found = answered(done)
    levels = {(one["about"], one["level"]) for one in found["findings"]}
    assert done.returncode == Exit.DONE, found
    assert found["healthy"]
    wanted = ("settings", "webjob", "tables", "relay", "node", "clock", "ledger", "function", "record", "stream")
    assert {(about, "ok") for about in wanted} <= levels
    assert any("announced" in one["found"] for one in found["findings"])


def test_doctor_says_that_no_event_was_seen_when_none_was_committed(stack: Stack) -> None:
    done = command(stack, "doctor", "--listen", "0.5")
    assert "WARNING  stream" in done.stdout
    assert "no event was seen" in done.stdout
    assert "--probe" in done.stdout


@pytest.mark.parametrize(
    ("settings", "about", "words"),
    [
        ({"FUNCTION_KEY": "wrong-key-of-this-test"}, "function", "FUNCTION_KEY is not accepted"),
        ({"FUNCTION_URL": "http://127.0.0.1:9/api/ledger-events"}, "function", "no answer"),
        ({"LEDGER_URLS": "http://127.0.0.1:9"}, "node", "no answer"),
        ({"LEDGER_STREAM_URL": "ws://127.0.0.1:9/nowhere"}, "stream", "no connection"),
        ({"RELAY_LANES": "0"}, "settings", "RELAY_LANES"),
        ({"WEBSITE_SITE_NAME": "app"}, "webjob", "WEBSITE_SKIP_RUNNING_KUDUAGENT"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one),
)
def test_doctor_names_what_is_wrong_and_what_to_do(
    stack: Stack, settings: dict[str, str], about: str, words: str
) -> None:
    done = command(stack, "doctor", "--listen", "0.1", "--json", **settings)
    assert done.returncode == Exit.UNHEALTHY
    failures = [one for one in answered(done)["findings"] if one["level"] == "failure"]
    assert about in [one["about"] for one in failures if words in one["found"]]
    assert all(one["advice"] for one in failures)
    assert "wrong-key-of-this-test" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "--from", "0"],
        ["redrive"],
        ["redrive", "--all", "a"],
        ["doctor", "--listen", "x"],
        ["fly"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_refused_with_a_line_that_names_them(stack: Stack, arguments: list[str]) -> None:
    done = command(stack, *arguments)
    assert done.returncode == Exit.SETTINGS
    assert "usage: python -m relay" in done.stderr


def test_without_table_storage_commands_say_so(stack: Stack) -> None:
    nowhere = "AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1:9/a;"
    done = command(stack, "status", TABLES_CONNECTION_STRING=nowhere)
    assert done.returncode == Exit.NO_TABLES
    assert "Table Storage gave no answer" in done.stderr


UNRULY = "not a transaction: unknown field `\x1b[2J\r\nheartbeat_age_s  0.1\u2028\u202e`"


@pytest.mark.parametrize("asked", [["park", "list"], ["status"]], ids=" ".join)
def test_a_reason_from_outside_adds_no_line_to_what_a_command_prints(stack: Stack, asked: list[str]) -> None:
    ledger_name = f"unruly-{secrets.token_hex(4)}"
    settings = TablesSettings(ledger_name, Secret(stack.tables), "")
    parked, checkpoint_table = ParkedTable(settings), CheckpointTable(settings)
    checkpoint_table.claim(lambda: 0)
    parked.park(ParkedCar("a" * 64, "b" * 64, "000000000001-000000", UNRULY))
    checkpoint_table.advance(Mark(0), Report(last_error=UNRULY))
    parked.close()
    checkpoint_table.close()

    done = command(stack, *asked, LEDGER_NAME=ledger_name)

    assert done.returncode == Exit.DONE
    assert "unknown field" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))


def test_what_people_are_told_on_standard_error_is_one_line(stack: Stack) -> None:
    done = command(stack, "redrive", "\u202eall is well\u2028")
    assert done.stderr == "leasehook relay: car \\u202eall is well\\u2028 is not parked\n"


def test_the_doctor_asks_a_node_for_its_clock_and_neither_follows_it_nor_reads_on() -> None:
    head = f"HTTP/1.1 307 Elsewhere\r\nDate: {formatdate(usegmt=True)}\r\nLocation: /elsewhere\r\n"
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as node, ExitStack() as connections:

        def answer() -> None:
            # The body that is announced does not come.
            while connection := _accepted(node):
                connections.enter_context(connection)
                asked.append(connection.recv(65_536).split(b"\r\n")[0])
                connection.sendall(f"{head}Content-Length: 10000000000\r\n\r\n".encode())

        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        [finding] = check_clock("node", f"http://127.0.0.1:{node.getsockname()[1]}/api/v1/")
        assert time.monotonic() - began < 5
        assert (finding.level, asked) == (Level.OK, [b"HEAD /api/v1/ HTTP/1.1"])


def _accepted(listener: socket.socket) -> socket.socket | None:
    try:
        return listener.accept()[0]
    except OSError:
        return None
