"""The WebJob ledger-audit on the real path: ledger, relay, Function app and tables, as `python -m audit` sees them."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableServiceClient, UpdateMode

from audit import tables as audit_tables
from audit.comparison import Comparison
from audit.course import Audit
from audit.progress import Stage
from audit.result import Result
from local import webjob
from local.processes import ROOT, Child
from local.scenario import LedgerClient
from local.stack import LEDGER_NAME, Stack, running_stack
from relay.bell import Bell
from relay.parked import ParkedCar, ParkedTable
from relay.settings import read_reading_settings
from tests.integration.conftest import LESSOR, eventually
from tests.integration.relays import TERMS, checkpoint, command, has, relaying, said, status
from tests.integration.test_deployed_alone import SETTINGS, run_alone, site_packages
from tests.stored import stored
from tests.writing import Json, new_car, new_keys

Done = subprocess.CompletedProcess[str]
AUDIT = f"audit-{LEDGER_NAME}"


def settings_of(stack: Stack, **changed: str) -> dict[str, str]:
    """The audit's settings: the relay's, without where and how to deliver."""
    needless = {"FUNCTION_URL", "FUNCTION_KEY", "WEBHOOK_SECRETS"}
    return {name: value for name, value in stack.relay_settings.items() if name not in needless} | changed


def start_audit(stack: Stack, *arguments: str, **changed: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "webjob")} | settings_of(stack, **changed)
    return subprocess.Popen(
        [sys.executable, "-m", "audit", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def audited(stack: Stack, *arguments: str, **changed: str) -> Done:
    """A run of `python -m audit` that has ended."""
    running = start_audit(stack, *arguments, **changed)
    try:
        out, error = running.communicate(timeout=90)
    finally:
        running.kill()
    return subprocess.CompletedProcess(arguments, running.returncode, out, error)


def result(stack: Stack) -> dict[str, Any]:
    """The row that the last completed audit wrote; empty where there is none."""
    with TableServiceClient.from_connection_string(stack.tables) as service:
        rows = service.get_table_client("Relay").query_entities(f"RowKey eq '{AUDIT}'")
        return dict(next(iter(rows), {}))


def lease_a_car(ledger: LedgerClient) -> tuple[Json, Json, str, str]:
    """A car that one driver had and another has: its registration, its last transfer, both drivers' public keys."""
    first, second = new_keys(), new_keys()
    registered = ledger.create(LESSOR, new_car())
    leased = ledger.transfer(registered, LESSOR, first.public_key, TERMS)
    return registered, ledger.transfer(leased, first, second.public_key, TERMS), first.public_key, second.public_key


def first_lease(service: TableServiceClient, driver: str) -> dict[str, Any]:
    """The row of a driver's only lease."""
    found = service.get_table_client("Drivers").query_entities(f"PartitionKey eq '{driver}' and RowKey lt 'record-'")
    return dict(next(row for row in found if row["RowKey"].startswith("lease-")))


def settle(stack: Stack, transaction: Json) -> None:
    """Wait until the record has a transaction and the checkpoint its block."""
    height = LedgerClient(stack.ledger_url).height_of(transaction["id"])
    eventually(lambda: has(stack, transaction) and checkpoint(stack)["Height"] >= height)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole path, with a relay that runs all the time."""
    with running_stack(tmp_path_factory.mktemp("stack"), [LESSOR.public_key], lambda _: None) as running:
        running.start_relay()
        settle(running, lease_a_car(LedgerClient(running.ledger_url))[1])
        yield running


def test_a_whole_record_equals_the_ledger_and_the_row_tells_it(stack: Stack, ledger: LedgerClient) -> None:
    settle(stack, lease_a_car(ledger)[1])
    done = audited(stack)

    found = result(stack)
    height = checkpoint(stack)["Height"]
    line = f"record equals ledger: {found['Drivers']} drivers, {found['Cars']} cars, up to block {height}, in "
    assert (done.returncode, line in done.stdout) == (0, True), done.stdout + done.stderr
    assert found["Height"] == height
    assert (found["Differences"], found["Parked"], found["FirstDifference"]) == (0, 0, "")
    assert found["Cars"] >= 2
    assert found["Drivers"] == 2 * found["Cars"]
    assert time.time() - found["AuditedAt"].timestamp() < 60
    assert done.stderr == ""


def test_the_result_as_json_is_one_line_and_the_log_stays_out_of_it(stack: Stack) -> None:
    done = audited(stack, "--json", RELAY_LOG_FORMAT="json")
    found = json.loads(done.stdout)
    assert found["equal"] is True
    assert found["rows"] > found["cars"]
    assert json.loads(done.stderr.splitlines()[-1])["message"].startswith("record equals ledger: ")


def test_it_changes_nothing_but_its_own_row(stack: Stack, ledger: LedgerClient) -> None:
    settle(stack, lease_a_car(ledger)[1])
    before = {place: row for place, row in stored(stack.tables).items() if place[0] != "Relay"}
    assert audited(stack).returncode == 0
    after = stored(stack.tables)
    assert {place: row for place, row in after.items() if place[0] != "Relay"} == before
    assert {key for table, _, key in after if table == "Relay"} == {f"checkpoint-{LEDGER_NAME}", AUDIT}


def test_every_kind_of_damage_is_found_and_named(stack: Stack, ledger: LedgerClient) -> None:
    leased = [lease_a_car(ledger) for _ in range(5)]
    settle(stack, leased[-1][1])
    (lost, _, lost_driver, _), (ended, _, ended_driver, _), (held, held_last, _, _), *others = leased
    (invented, _, invented_driver, _), (_, _, _, priced_driver) = others
    with TableServiceClient.from_connection_string(stack.tables) as service:
        before = stored(stack.tables)
        cars, people = service.get_table_client("Cars"), service.get_table_client("Drivers")
        lost_lease, ended_lease = first_lease(service, lost_driver), first_lease(service, ended_driver)
        people.delete_entity(lost_lease)
        people.update_entity({**ended_lease, "EndTransaction": ""}, mode=UpdateMode.REPLACE)
        car = dict(cars.get_entity(held["id"], f"record-{held['id']}"))
        cars.update_entity({**car, "Holders": "[]"}, mode=UpdateMode.REPLACE)
        people.create_entity({**first_lease(service, invented_driver), "RowKey": f"lease-{'1' * 64}"})
        cars.create_entity({**car, "PartitionKey": "2" * 64, "RowKey": f"record-{'2' * 64}"})
        priced = people.get_entity(priced_driver, f"record-{priced_driver}")
        people.update_entity({**priced, "AnnualPremium": "7.77"}, mode=UpdateMode.REPLACE)

        done = audited(stack)
        found = result(stack)
        _put_back(service, before)

    lines = [line for line in done.stdout.splitlines() if " DIFFERS " in line]
    expected = [
        (f"row={lost_lease['RowKey']} car={lost['id']}", 'record="no such row"'),
        (f"row={ended_lease['RowKey']} car={ended['id']}", "record=open"),
        (f"row=record-{held['id']} car={held['id']}", f"by lease {held_last['id']}"),
        (f"row=lease-{'1' * 64} car={invented['id']}", 'ledger="no such row"'),
        (f"partition={'2' * 64}", 'ledger="no such row"'),
        (f"partition={priced_driver[:8]}… row=record-{priced_driver[:8]}…", 'record="premium 7.77"'),
    ]
    assert done.returncode == 8
    assert [words for words in expected if not any(all(word in line for word in words) for line in lines)] == []
    # The driver whose lease has lost its end does not name it as open, nor is its premium in the sum.
    assert len(lines) == len(expected) + 1, done.stdout
    assert "record differs from the ledger in 7 places" in done.stdout
    assert (found["Differences"], found["FirstDifference"].startswith("Cars ")) == (7, True)
    keys = [driver for one in leased for driver in one[2:]]
    assert not [key for key in keys if key in done.stdout + done.stderr + found["FirstDifference"]]
    assert audited(stack).returncode == 0, "it is whole again"


def _put_back(service: TableServiceClient, rows: dict[tuple[str, str, str], tuple[Any, dict[str, Any]]]) -> None:
    for name in ("Cars", "Drivers"):
        table = service.get_table_client(name)
        for row in list(table.list_entities()):
            if (name, row["PartitionKey"], row["RowKey"]) not in rows:
                table.delete_entity(row)
        for (table_name, _, _), (_, known) in rows.items():
            if table_name == name:
                table.upsert_entity(known, mode=UpdateMode.REPLACE)


def test_what_the_docs_say_mends_what_was_damaged(stack: Stack, ledger: LedgerClient) -> None:
    leased = [lease_a_car(ledger) for _ in range(4)]
    settle(stack, leased[-1][1])
    (_, _, lost_driver, _), (_, _, ended_driver, _), (held, _, _, _), (_, _, _, priced_driver) = leased
    with TableServiceClient.from_connection_string(stack.tables) as service:
        cars, people = service.get_table_client("Cars"), service.get_table_client("Drivers")
        people.delete_entity(first_lease(service, lost_driver))
        ended_lease = first_lease(service, ended_driver)
        people.update_entity({**ended_lease, "EndTransaction": ""}, mode=UpdateMode.REPLACE)
        car = dict(cars.get_entity(held["id"], f"record-{held['id']}"))
        cars.update_entity({**car, "Holders": "[]"}, mode=UpdateMode.REPLACE)
        priced = dict(people.get_entity(priced_driver, f"record-{priced_driver}"))
        people.update_entity({**priced, "AnnualPremium": "7.77"}, mode=UpdateMode.REPLACE)
        assert audited(stack).returncode == 8

        people.delete_entity(ended_lease)
        for row in list(cars.query_entities(f"PartitionKey eq '{held['id']}'")):
            cars.delete_entity(row)

    first = min(ledger.height_of(registered["id"]) for registered, _, _, _ in leased)
    assert command(stack, "replay", "--from", str(first)).returncode == 0
    assert stack.call("PUT", f"drivers/{priced_driver}", {"name": "Somebody", "licensedSince": "2010-01-01"}).ok

    done = audited(stack)
    assert done.returncode == 0, done.stdout


def test_of_many_differences_the_first_fifty_are_named_and_all_are_counted(stack: Stack, ledger: LedgerClient) -> None:
    settle(stack, lease_a_car(ledger)[1])
    with TableServiceClient.from_connection_string(stack.tables) as service:
        people = service.get_table_client("Drivers")
        invented = [{"PartitionKey": f"nobody-{number}", "RowKey": f"lease-{number}"} for number in range(60)]
        for row in invented:
            people.create_entity(row)
        done = audited(stack)
        for row in invented:
            people.delete_entity(row)
    assert done.stdout.count(" DIFFERS ") == 50
    assert "more rows differ than are named differences=120" in done.stdout
    assert result(stack)["Differences"] == 120, "each lease, and the record that its driver lacks"


def test_rows_are_read_page_by_page(stack: Stack, ledger: LedgerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages end within partitions, and with them."""
    for _ in range(3):
        settle(stack, lease_a_car(ledger)[1])
    monkeypatch.setattr(audit_tables, "PAGE_ROWS", 3)
    found = Audit(read_reading_settings(settings_of(stack)), Bell(), 5.0, Stage()).run()
    assert found.differences == []
    assert found.rows > 4 * found.cars
    with TableServiceClient.from_connection_string(stack.tables) as service:
        assert found.rows == sum(
            len(list(service.get_table_client(name).list_entities())) for name in ("Cars", "Drivers")
        )


def test_a_parked_car_is_no_difference_and_is_told(stack: Stack, ledger: LedgerClient) -> None:
    registered = ledger.create(LESSOR, new_car())
    settle(stack, registered)
    with TableServiceClient.from_connection_string(stack.tables) as service:
        cars = service.get_table_client("Cars")
        right = cars.get_entity(registered["id"], f"record-{registered['id']}")
        stranger = new_keys().public_key
        wrong = {**right, "UnspentOutputs": right["UnspentOutputs"].replace(LESSOR.public_key, stranger)}
        cars.update_entity(wrong, mode=UpdateMode.REPLACE)
        ledger.transfer(registered, LESSOR, new_keys().public_key, TERMS)
        settle(stack, lease_a_car(ledger)[1])
        eventually(lambda: status(stack)["parked_cars"] == 1)

        done = audited(stack)
        found = result(stack)
        cars.update_entity(dict(right), mode=UpdateMode.REPLACE)
        assert command(stack, "redrive", registered["id"]).returncode == 0
        eventually(lambda: status(stack)["parked_cars"] == 0)

    assert (done.returncode, found["Parked"], found["Differences"]) == (0, 1, 0), done.stdout
    assert f"parked cars are left out parked=1 first={registered['id']}" in done.stdout
    assert audited(stack).returncode == 0


def test_what_the_insurer_enters_and_erases_is_no_difference(stack: Stack, ledger: LedgerClient) -> None:
    _, last, former, present = lease_a_car(ledger)
    settle(stack, last)
    known, passing = new_keys().public_key, new_keys().public_key
    profile = {"name": "Somebody", "licenceNumber": "B-1", "licensedSince": "2010-01-01"}
    claim = {"id": "C-1", "date": "2026-01-05", "atFault": True, "amount": "100.00"}
    for key in (former, present, known, passing):
        assert stack.call("PUT", f"drivers/{key}", profile).ok
        assert stack.call("POST", f"drivers/{key}/claims", claim).ok
    for key in (former, present, passing):
        assert stack.call("DELETE", f"drivers/{key}").ok
    done = audited(stack)
    assert done.returncode == 0, done.stdout
    with TableServiceClient.from_connection_string(stack.tables) as service:
        rows = list(service.get_table_client("Drivers").query_entities(f"PartitionKey eq '{passing}'"))
    assert rows == [], "they never had a car"


@contextmanager
def being_written(stack: Stack) -> Iterator[list[Json]]:
    """Cars that change hands all the time, for the length of a with block; the transactions so far."""
    is_over, written = threading.Event(), list[Json]()

    def write() -> None:
        ledger = LedgerClient(stack.ledger_url)
        registered, holder = ledger.create(LESSOR, new_car()), LESSOR
        last = registered
        while not is_over.is_set():
            receiver = new_keys()
            last = ledger.transfer(last, holder, receiver.public_key, TERMS)
            holder = receiver
            written.append(last)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        yield written
    finally:
        is_over.set()
        for writer in writers:
            writer.join()


def test_a_ledger_that_moves_on_while_it_is_audited_brings_no_false_difference(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are read some while after the checkpoint, and page by page, so that many are ahead of it."""
    ahead: list[int] = []
    show_rows, pages = Audit._show_rows, audit_tables.RecordTables._pages

    def slowly(self: audit_tables.RecordTables, table: str, columns: list[str]) -> Iterator[list[Any]]:
        for page in pages(self, table, columns):
            time.sleep(0.02)
            yield page

    monkeypatch.setattr(audit_tables, "PAGE_ROWS", 20)
    monkeypatch.setattr(audit_tables.RecordTables, "_pages", slowly)
    with being_written(stack) as written:

        def later(self: Audit, comparison: Comparison) -> None:
            before = len(written)
            eventually(lambda: len(written) >= before + 6 and has(stack, written[before + 3]))
            show_rows(self, comparison)
            ahead.append(len(comparison.differences))

        monkeypatch.setattr(Audit, "_show_rows", later)
        for _ in range(4):
            found = Audit(read_reading_settings(settings_of(stack)), Bell(), 20.0, Stage()).run()
            assert found.differences == []
        done = audited(stack)
    assert min(ahead) > 0, "no row was ahead of the checkpoint"
    assert done.returncode == 0, done.stdout
    settle(stack, written[-1])


def test_a_difference_is_found_while_the_ledger_moves_on(stack: Stack, ledger: LedgerClient) -> None:
    registered, last, driver, _ = lease_a_car(ledger)
    settle(stack, last)
    with TableServiceClient.from_connection_string(stack.tables) as service, being_written(stack) as written:
        cars = service.get_table_client("Cars")
        lost = cars.get_entity(registered["id"], f"transaction-{last['id']}")
        cars.delete_entity(registered["id"], f"transaction-{last['id']}")
        done = audited(stack)
        cars.create_entity(lost)
    settle(stack, written[-1])
    lines = [line for line in done.stdout.splitlines() if " DIFFERS " in line]
    assert done.returncode == 8
    assert len(lines) == 1
    assert f"row=transaction-{last['id']} car={registered['id']}" in lines[0]
    assert driver not in done.stdout


def in_process(stack: Stack) -> Result:
    return Audit(read_reading_settings(settings_of(stack)), Bell(), 20.0, Stage()).run()


@contextmanager
def damaged(stack: Stack, ledger: LedgerClient) -> Iterator[tuple[str, Callable[[], object]]]:
    """A car whose record is wrong, and what puts it right, at the latest after the with block."""
    registered, last, _, _ = lease_a_car(ledger)
    settle(stack, last)
    with TableServiceClient.from_connection_string(stack.tables) as service:
        cars = service.get_table_client("Cars")
        right = dict(cars.get_entity(registered["id"], f"record-{registered['id']}"))
        cars.update_entity({**right, "Holders": "[]"}, mode=UpdateMode.REPLACE)
        try:
            yield registered["id"], lambda: cars.update_entity(right, mode=UpdateMode.REPLACE)
        finally:
            cars.update_entity(right, mode=UpdateMode.REPLACE)


def before(monkeypatch: pytest.MonkeyPatch, step: str, action: Callable[[], object]) -> None:
    """Have something happen before a step of every audit."""
    original = getattr(Audit, step)

    def interrupted(self: Audit, *arguments: Any) -> Any:
        action()
        return original(self, *arguments)

    monkeypatch.setattr(Audit, step, interrupted)


def test_what_is_right_when_it_is_read_again_is_no_difference(
    stack: Stack, ledger: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with damaged(stack, ledger) as (_, mend):
        assert len(in_process(stack).differences) == 1
        before(monkeypatch, "_look_again", mend)
        assert in_process(stack).differences == []


@pytest.mark.parametrize(
    ("change", "step"),
    [("parked", "_show_rows"), ("parked", "_look_again"), ("redriven", "_show_rows"), ("redriven", "_look_again")],
)
def test_a_car_that_is_parked_or_redriven_while_it_is_audited_is_left_out(
    stack: Stack, ledger: LedgerClient, monkeypatch: pytest.MonkeyPatch, change: str, step: str
) -> None:
    parking = ParkedTable(read_reading_settings(settings_of(stack)).tables)
    with damaged(stack, ledger) as (car, _):

        def park() -> None:
            parking.park(ParkedCar(car, "d" * 64, "000000000001-000000", "forged"))

        monkeypatch.setattr("audit.course.PAUSES_S", (0.1,) if step == "_look_again" else ())
        if change == "redriven":
            park()
        before(monkeypatch, step, park if change == "parked" else lambda: parking.unpark(car))
        found = in_process(stack)
        parking.unpark(car)
    parking.close()
    assert (found.differences, found.parked) == ([], [car])


def test_a_relay_that_lags_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_stack(tmp_path, [LESSOR.public_key], lambda _: None) as stack:
        ledger = LedgerClient(stack.ledger_url)
        with relaying(stack, tmp_path):
            registered, last, _, _ = lease_a_car(ledger)
            settle(stack, last)
        ledger.create(LESSOR, new_car())
        # What is ahead of a checkpoint that stands still: as when the relay was killed before it could move it.
        with TableServiceClient.from_connection_string(stack.tables) as service:
            relay = service.get_table_client("Relay")
            row = relay.get_entity(LEDGER_NAME, f"checkpoint-{LEDGER_NAME}")
            height = ledger.height_of(registered["id"])
            changed = {**row, "Height": height, "AnchorHeight": 0, "Anchor": ""}
            relay.update_entity(changed, mode=UpdateMode.REPLACE)
        done = audited(stack)
        assert f"record equals ledger: 2 drivers, 1 car, up to block {height}" in done.stdout
        monkeypatch.setattr("audit.course.PAUSES_S", ())
        assert in_process(stack).differences == [], "the ledger explains it, without another look"


def test_a_relay_that_began_at_the_tip_need_not_have_what_came_before(tmp_path: Path) -> None:
    with running_stack(tmp_path, [LESSOR.public_key], lambda _: None) as stack:
        ledger = LedgerClient(stack.ledger_url)
        lease_a_car(ledger)
        driver = new_keys()
        registered = ledger.create(LESSOR, new_car())
        leased = ledger.transfer(registered, LESSOR, driver.public_key, TERMS)
        with relaying(stack, tmp_path, RELAY_START_FROM="tip") as relay:
            eventually(lambda: said(relay, "relay started"))
            assert "record equals ledger: 0 drivers, 0 cars" in audited(stack).stdout
            returned = ledger.transfer(leased, driver, LESSOR.public_key)
            settle(stack, returned)
        start = checkpoint(stack)["StartHeight"]
        assert start > 0

        done = audited(stack)
        assert done.returncode == 0, done.stdout
        assert "record equals ledger: 1 driver, 1 car" in done.stdout
        assert f"left out cars=1 since={start}" in done.stdout

        with TableServiceClient.from_connection_string(stack.tables) as service:
            cars = service.get_table_client("Cars")
            for row in list(cars.list_entities()):
                cars.delete_entity(row)
        done = audited(stack)
        assert done.returncode == 8
        assert f"car={registered['id']}" in done.stdout
        assert "a car with 3 transactions" in done.stdout


def test_before_the_first_relay_there_is_nothing_to_audit(stack: Stack) -> None:
    done = audited(stack, LEDGER_NAME="nobody-has-begun")
    assert done.returncode == 1
    assert "no relay has run on this ledger yet" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LEDGER_URLS", "", "LEDGER_URLS: found nothing"),
        ("LEDGER_NAME", "No Name", "LEDGER_NAME: found 'No Name'"),
        ("LESSOR_PUBLIC_KEYS", "nobody", "LESSOR_PUBLIC_KEYS: found 'nobody'"),
        ("RELAY_PREFETCH_BLOCKS", "99", "RELAY_PREFETCH_BLOCKS: found '99'"),
        ("RELAY_LOG_FORMAT", "xml", "RELAY_LOG_FORMAT: found 'xml'"),
        ("TABLES_CONNECTION_STRING", "secret-of-this-test", "TABLES_CONNECTION_STRING: found a text that is no"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_line_and_code_2(stack: Stack, variable: str, value: str, words: str) -> None:
    done = audited(stack, **{variable: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert "secret-of-this-test" not in done.stderr


def test_a_node_that_is_away_ends_it_with_code_7_and_nothing_is_written(stack: Stack) -> None:
    before = result(stack)
    done = audited(stack, "--patience", "1.5", LEDGER_URLS="http://127.0.0.1:9")
    assert done.returncode == 7
    assert "waiting what=" in done.stdout
    assert "the audit did not come to its end" in done.stdout
    assert result(stack) == before


def test_one_node_of_two_that_is_away_is_no_matter(stack: Stack) -> None:
    done = audited(stack, LEDGER_URLS=f"http://127.0.0.1:9,{stack.ledger_url}")
    assert done.returncode == 0, done.stdout


def test_tables_that_do_not_answer_end_it_with_code_5_and_no_secret_is_shown(stack: Stack) -> None:
    account_key = stack.tables.partition("AccountKey=")[2].partition(";")[0]
    wrong = account_key[::-1].lstrip("=") + "=="
    done = audited(stack, "--patience", "1", TABLES_CONNECTION_STRING=stack.tables.replace(account_key, wrong))
    assert done.returncode == 5
    assert "Table Storage answered 403" in done.stdout
    assert wrong not in done.stdout + done.stderr
    assert account_key not in done.stdout + done.stderr


def test_a_checkpoint_of_another_ledger_ends_it_with_code_4(stack: Stack) -> None:
    name = "another"
    with TableServiceClient.from_connection_string(stack.tables) as service:
        row = dict(service.get_table_client("Relay").get_entity(LEDGER_NAME, f"checkpoint-{LEDGER_NAME}"))
        other = row | {"PartitionKey": name, "RowKey": f"checkpoint-{name}", "Anchor": "f" * 32}
        service.get_table_client("Relay").create_entity(other)
        done = audited(stack, LEDGER_NAME=name)
        service.get_table_client("Relay").delete_entity(other)
    assert done.returncode == 4
    assert "is not the one that the checkpoint was made on" in done.stdout


@contextmanager
def mute_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def laid_out(folder: Path) -> Path:
    """The job's folder, as it is deployed, with the packages that stand beside run.sh."""
    job = folder / "App_Data" / "jobs" / "triggered" / "ledger-audit"
    shutil.copytree(ROOT / "webjob" / "jobs" / "triggered" / "ledger-audit", job)
    for package in ("relay", "audit"):
        shutil.copytree(ROOT / "webjob" / package, job / package, ignore=shutil.ignore_patterns("__pycache__"))
    return job


@contextmanager
def as_a_job(stack: Stack, folder: Path, **changed: str) -> Iterator[Child]:
    """The audit, started as Kudu starts a triggered job."""
    job = webjob.start_job("triggered", laid_out(folder), settings_of(stack, **changed), folder / "audit.log")
    try:
        yield job
    finally:
        job.kill()


def test_as_a_triggered_job_it_runs_to_its_end(stack: Stack, tmp_path: Path) -> None:
    with as_a_job(stack, tmp_path) as job:
        eventually(lambda: job.exit_code is not None)
        assert job.exit_code == 0
        assert said(job, "record equals ledger: ")


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "the shutdown file"])
@pytest.mark.parametrize("when", ["while a node keeps silent", "while it waits for a node"])
def test_it_stops_within_seconds_with_a_code_that_says_so(stack: Stack, tmp_path: Path, how: str, when: str) -> None:
    before = result(stack)
    with mute_server() as mute:
        node = mute if "silent" in when else "http://127.0.0.1:9"
        with as_a_job(stack, tmp_path, LEDGER_URLS=node) as job:
            if "waits" in when:
                eventually(lambda: said(job, "waiting"))
            else:
                time.sleep(1.5)
            assert job.exit_code is None
            began = time.monotonic()
            if how == "the shutdown file":
                webjob.shutdown_file_of(tmp_path / "App_Data" / "jobs" / "triggered" / "ledger-audit").touch()
            else:
                os.kill(job.pid, getattr(signal, how))
            eventually(lambda: job.exit_code is not None, within=6)
            assert time.monotonic() - began < 6
            assert job.exit_code == 7
    assert result(stack) == before


def test_it_needs_the_webjobs_own_requirements_only(tmp_path: Path) -> None:
    job = laid_out(tmp_path)
    packages = site_packages(ROOT / "webjob" / "requirements.txt", tmp_path / "packages")
    help_shown = run_alone([job, packages], "-m", "audit", "--help")
    started = run_alone([job, packages], "-m", "audit", **SETTINGS)
    assert help_shown.returncode == 0, help_shown.stderr
    assert "--patience" in help_shown.stdout
    assert (started.returncode, "LEDGER_URLS" in started.stderr) == (2, True)


def test_kudu_can_start_it_each_night() -> None:
    job = ROOT / "webjob" / "jobs" / "triggered" / "ledger-audit"
    found = json.loads((job / "settings.job").read_text())
    assert found["is_singleton"] is True
    assert len(found["schedule"].split()) == 6
    assert found["stopping_wait_time"] >= 5
    assert os.access(job / "run.sh", os.X_OK)
    assert (job / "run.sh").read_text().startswith("#!/bin/sh\n")
    assert "\nexec python3 -P -s -m audit" in (job / "run.sh").read_text()
