"""GET /api/relay and the line that alerts are made on, over the rows that the relay itself writes.

Each test has a ledger, and so an app, of its own.
"""

import datetime as dt
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import time_machine
from azure.data.tables import TableServiceClient

from functions.following import following
from functions.records.errors import DamagedError
from local.azurite import azurite
from relay.checkpoint import CheckpointTable, Report
from relay.parked import ParkedCar, ParkedTable
from relay.progress import Mark
from relay.settings import TablesSettings, read_tables_settings
from tests.contract.conftest import LESSOR, App, serving

MASTER = "master-key-of-these-tests"
NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
Found = dict[str, Any]


@contextmanager
def following_app(tables: str, folder: Path) -> Iterator[tuple[App, TablesSettings]]:
    """An app that follows a ledger of its own, and the settings with which its relay would write."""
    ledger = f"ledger-{uuid4().hex}"
    more = {"LEDGER_NAME": ledger, "LOCAL_FUNCTIONS_MASTER_KEY": MASTER}
    settings = {"LEDGER_NAME": ledger, "TABLES_CONNECTION_STRING": tables, "LESSOR_PUBLIC_KEYS": LESSOR.public_key}
    with serving(tables, folder, more) as app:
        yield app, read_tables_settings(settings)


def asked(app: App) -> Found:
    answer = app.call("GET", "relay")
    assert answer.status_code == 200, answer.text
    found: Found = answer.json()
    return found


def watched(app: App) -> Found:
    """What the timer's function writes when it runs."""
    answer = requests.post(f"{app.url}/admin/functions/relay_watch", headers={"x-functions-key": MASTER}, timeout=30)
    assert answer.status_code == 202
    found: Found = json.loads(app.log.read_text().rpartition("relay state ")[2].partition("\n")[0])
    return found


def snake(name: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in name)


def test_it_tells_what_the_relay_said_of_itself(tables: str, tmp_path: Path) -> None:
    with following_app(tables, tmp_path) as (app, settings):
        checkpoints, parked = CheckpointTable(settings), ParkedTable(settings)
        checkpoints.claim(lambda: 0)
        report = Report("announcing", "delivering", 2**40, 812, dt.datetime.now(dt.UTC), 1, "the answer is 503", NOW)
        checkpoints.advance(Mark(807, 807, "ab"), report)
        parked.park(ParkedCar("c" * 64, "d" * 64, "000000000812-000000", "forged"))
        found, line = asked(app), watched(app)
        checkpoints.close()
        parked.close()

    assert found["state"] == "delivering"
    assert (found["checkpoint"], found["tip"], found["lagBlocks"]) == (807, 2**40, 2**40 - 807)
    assert (found["stream"], found["parkedCars"], found["generation"]) == ("announcing", 1, 1)
    assert (found["lastError"], found["auditDifferences"]) == ("the answer is 503", None)
    assert 0 <= found["lagS"] < 30
    assert 0 <= found["heartbeatAgeS"] < 30
    assert {snake(name) for name in found} == line.keys()
    ages = {"lag_s", "heartbeat_age_s", "last_error_age_s"}
    said = {snake(name): value for name, value in found.items()}
    assert {name: value for name, value in line.items() if name not in ages} == {
        name: value for name, value in said.items() if name not in ages
    }


def test_a_relay_that_is_gone_is_seen_by_the_age_of_its_heartbeat(tables: str, tmp_path: Path) -> None:
    with following_app(tables, tmp_path) as (app, settings):
        checkpoints = CheckpointTable(settings)
        checkpoints.claim(lambda: 0)
        checkpoints.advance(Mark(3), Report(state="level", tip=3))
        checkpoints.close()
        first = asked(app)
        time.sleep(1.1)
        second = watched(app)

    assert (first["state"], first["lagS"]) == ("level", 0.0)
    assert second["heartbeat_age_s"] >= first["heartbeatAgeS"] + 1


def test_a_relay_whose_clock_is_ahead_looks_no_younger_when_it_is_gone(tables: str, tmp_path: Path) -> None:
    with following_app(tables, tmp_path) as (app, settings):
        checkpoints = CheckpointTable(settings)
        with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)):
            checkpoints.claim(lambda: 0)
        checkpoints.close()
        time.sleep(1.1)
        found = asked(app)

    assert 1 <= found["heartbeatAgeS"] < 30


def test_where_no_relay_has_run_it_says_so(tables: str, tmp_path: Path) -> None:
    with following_app(tables, tmp_path) as (app, _):
        found, line = asked(app), watched(app)

    assert (found["state"], found["heartbeatAgeS"], found["parkedCars"]) == ("none", None, 0)
    assert (line["state"], line["heartbeat_age_s"]) == ("none", None)


def test_where_nobody_has_made_the_relays_table_it_says_so_too(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with azurite(tmp_path / "azurite.log") as tables, following_app(tables, tmp_path_factory.mktemp("app")) as (app, _):
        assert asked(app)["state"] == "none"
        assert "Relay" not in {table.name for table in TableServiceClient.from_connection_string(tables).list_tables()}


def test_while_the_tables_refuse_each_run_fails_and_logs_no_more_than_why(tables: str, tmp_path: Path) -> None:
    """What Table Storage answers quotes the request: in Azure even what was signed, and its signature."""
    account_key = tables.partition("AccountKey=")[2].partition(";")[0]
    wrong = account_key[::-1].lstrip("=") + "=="
    with following_app(tables.replace(account_key, wrong), tmp_path) as (app, _):
        answer = requests.post(
            f"{app.url}/admin/functions/relay_watch", headers={"x-functions-key": MASTER}, timeout=30
        )
        assert answer.status_code == 202
        logged = app.log.read_text()
    assert "function relay_watch failed" in logged
    assert "Table Storage answered 403: it does not accept the account's key" in logged
    assert "relay state {" not in logged
    assert [words for words in ("AuthorizationFailure", "RequestId", "azure.core", wrong) if words in logged] == []


def test_a_damaged_row_is_named(tables: str, tmp_path: Path) -> None:
    with following_app(tables, tmp_path) as (app, settings):
        with TableServiceClient.from_connection_string(tables) as service:
            relay = service.create_table_if_not_exists("Relay")
            name = settings.ledger_name
            relay.upsert_entity({"PartitionKey": name, "RowKey": f"checkpoint-{name}", "Owner": "nobody"})
        answer = app.call("GET", "relay")

    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert f"a row of {name} in table Relay cannot be read" in answer.json()["detail"]


def test_what_an_audit_found_stands_beside_it() -> None:
    row = {"RowKey": "audit-x", "Timestamp": NOW - dt.timedelta(hours=3), "Height": 812, "Differences": 2}
    found = following("x", [row, {"RowKey": "parked-aa"}, {"RowKey": "parked-bb"}], NOW)

    assert (found.audit_age_s, found.audit_height, found.audit_differences) == (10_800.0, 812, 2)
    assert (found.state, found.parked_cars) == ("none", 2)


def test_a_relay_that_has_said_nothing_yet_delivers() -> None:
    row = {"RowKey": "checkpoint-x", "Height": 5, "Generation": 2, "Timestamp": NOW + dt.timedelta(seconds=9)}
    found = following("x", [row], NOW)

    assert (found.state, found.lag_s, found.stream, found.heartbeat_age_s) == ("delivering", None, None, 0.0)


def test_rows_of_other_ledgers_and_kinds_are_passed_over() -> None:
    other = {"RowKey": "checkpoint-y", "Height": 5, "Generation": 2, "Timestamp": NOW}
    assert following("x", [other, {"RowKey": "control-x"}], NOW).state == "none"


@pytest.mark.parametrize(
    "odd",
    [
        {"Height": "many"},
        {"Height": float("inf")},
        {"Tip": float("nan")},
        {"Generation": None},
        {"Timestamp": "yesterday"},
        {"LevelAt": dt.datetime(2026, 1, 1)},  # noqa: DTZ001  such as no clock of ours gives
    ],
)
def test_a_property_that_no_relay_writes_is_a_damaged_row(odd: Found) -> None:
    row = {"RowKey": "checkpoint-y", "Height": 5, "Generation": 2, "Timestamp": NOW}
    assert following("y", [row], NOW).checkpoint == 5
    with pytest.raises(DamagedError, match="a row of y in table Relay cannot be read"):
        following("y", [row | odd], NOW)


def test_thousands_of_parked_cars_and_huge_heights_are_counted() -> None:
    parked = [{"RowKey": f"parked-{number:064x}"} for number in range(5_000)]
    row = {
        "RowKey": "checkpoint-y",
        "Height": 2**62,
        "Tip": 2**63 - 1,
        "Generation": 2**40,
        "State": "level",
        "Timestamp": NOW,
    }
    found = following("y", [row, *parked], NOW)
    assert (found.parked_cars, found.lag_blocks, found.generation) == (5_000, 2**62 - 1, 2**40)
