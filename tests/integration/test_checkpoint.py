"""The relay's state in a real Azurite: who owns the checkpoint, and what it becomes when writes and rows go missing."""

import base64
import datetime as dt
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import EdmType, EntityProperty, TableClient, TableServiceClient, UpdateMode

from local import azurite
from relay.checkpoint import CheckpointTable, ParkedCar
from relay.errors import SupersededError, TablesError
from relay.settings import Secret, TablesSettings

Open = Callable[[], CheckpointTable]


@pytest.fixture
def ledger_name() -> str:
    """A ledger that no other test has."""
    return f"ledger-{secrets.token_hex(8)}"


@pytest.fixture
def opened() -> Iterator[list[CheckpointTable]]:
    """Checkpoint tables to be closed after the test."""
    tables: list[CheckpointTable] = []
    yield tables
    for table in tables:
        table.close()


@pytest.fixture
def new_relay(tables: str, ledger_name: str, opened: list[CheckpointTable]) -> Open:
    """Opens the table as one more relay of this ledger would."""

    def start() -> CheckpointTable:
        opened.append(CheckpointTable(TablesSettings(ledger_name, Secret(tables), "")))
        return opened[-1]

    return start


@pytest.fixture
def relay(new_relay: Open) -> CheckpointTable:
    """A relay that owns the checkpoint, at block 10."""
    relay = new_relay()
    relay.claim()
    relay.advance(10, "announcing")
    return relay


@pytest.fixture
def rows(tables: str) -> Iterator[TableClient]:
    """Table Relay as an operator sees it."""
    with TableServiceClient.from_connection_string(tables) as service:
        yield service.get_table_client("Relay")


class Row:
    """The checkpoint's row of one ledger, changed by hand."""

    def __init__(self, rows: TableClient, ledger_name: str) -> None:
        self._rows = rows
        self._keys = {"PartitionKey": ledger_name, "RowKey": f"checkpoint-{ledger_name}"}

    def read(self) -> dict[str, Any]:
        return dict(self._rows.get_entity(self._keys["PartitionKey"], self._keys["RowKey"]))

    def replace(self, **properties: object) -> None:
        self._rows.upsert_entity({**self._keys, **properties}, mode=UpdateMode.REPLACE)

    def merge(self, **properties: object) -> None:
        self._rows.upsert_entity({**self._keys, **properties}, mode=UpdateMode.MERGE)

    def delete(self) -> None:
        self._rows.delete_entity(self._keys["PartitionKey"], self._keys["RowKey"])


@pytest.fixture
def row(rows: TableClient, ledger_name: str) -> Row:
    return Row(rows, ledger_name)


def test_the_first_relay_starts_before_the_first_block(new_relay: Open) -> None:
    relay = new_relay()
    assert relay.read() is None
    assert relay.claim() == 0
    found = new_relay().read()
    assert found is not None
    assert (found.height, found.generation) == (0, 1)


def test_the_next_relay_goes_on_where_the_last_one_got_to(relay: CheckpointTable, new_relay: Open) -> None:
    assert new_relay().claim() == 10


def test_a_relay_that_has_been_superseded_learns_it_at_its_next_write_and_changes_nothing(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    second = new_relay()
    second.claim()
    second.advance(12, "announcing")
    before = row.read()
    with pytest.raises(SupersededError, match=before["Owner"]):
        relay.advance(11, "announcing")
    assert row.read() == before
    assert second.advance(13, "announcing") == 13


def test_of_relays_that_claim_at_the_same_time_one_stays(new_relay: Open) -> None:
    relays = [new_relay() for _ in range(4)]
    begin = threading.Barrier(len(relays))

    def claim(relay: CheckpointTable) -> None:
        begin.wait()
        while True:
            try:
                relay.claim()
            except TablesError:
                continue
            return

    threads = [threading.Thread(target=claim, args=(relay,)) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outlives(relay) for relay in relays].count(True) == 1


def outlives(relay: CheckpointTable) -> bool:
    """Whether a relay may still move the checkpoint."""
    try:
        return relay.advance(1, "") == 1
    except SupersededError:
        return False


def test_a_heartbeat_keeps_the_height_and_tells_the_time_and_the_stream(relay: CheckpointTable, row: Row) -> None:
    before = row.read()
    assert relay.advance(10, "silent") == 10
    after = row.read()
    assert (after["Height"], after["Stream"], after["Owner"]) == (10, "silent", before["Owner"])
    assert before["Heartbeat"] < after["Heartbeat"] <= dt.datetime.now(dt.UTC)


class Losing:
    """Lets requests through to Azurite, and loses the answers to the next few that write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = 0
        send = RequestsTransport.send

        def lossy(transport: RequestsTransport, request: Any, **options: Any) -> Any:
            answer = send(transport, request, **options)
            if self.answers and request.method != "GET":
                self.answers -= 1
                raise ServiceResponseError("connection reset")
            return answer

        monkeypatch.setattr(RequestsTransport, "send", lossy)


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Losing:
    return Losing(monkeypatch)


def advance_until_it_works(relay: CheckpointTable, height: int) -> tuple[int, int]:
    """The height then in force, and how often Table Storage was said to give no answer."""
    for failures in range(5):
        try:
            return relay.advance(height, ""), failures
        except TablesError:
            continue
    raise AssertionError("it never worked")


@pytest.mark.parametrize(("lost", "failures"), [(1, 0), (2, 1), (3, 1)])
def test_a_write_that_landed_though_its_answer_was_lost_is_recognised_as_its_own(
    relay: CheckpointTable, row: Row, losing: Losing, lost: int, failures: int
) -> None:
    losing.answers = lost
    assert advance_until_it_works(relay, 11) == (11, failures)
    assert losing.answers == 0
    assert row.read()["Height"] == 11
    assert relay.advance(12, "") == 12


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_claim_whose_answers_were_lost_is_made_again_without_harm(
    new_relay: Open, losing: Losing, row: Row, lost: int
) -> None:
    first = new_relay()
    losing.answers = lost
    while losing.answers:
        with pytest.raises(TablesError):
            first.claim()
    assert first.claim() == 0
    assert first.advance(3, "") == 3
    assert row.read()["Height"] == 3


def test_a_takeover_whose_answer_was_lost_still_supersedes_the_former(
    relay: CheckpointTable, new_relay: Open, losing: Losing
) -> None:
    second = new_relay()
    losing.answers = 2
    with pytest.raises(TablesError):
        second.claim()
    with pytest.raises(SupersededError):
        relay.advance(11, "")
    assert second.claim() == 10


def test_a_lost_answer_is_not_mistaken_for_its_own_when_another_relay_took_over_meanwhile(
    relay: CheckpointTable, new_relay: Open, losing: Losing
) -> None:
    losing.answers = 2
    with pytest.raises(TablesError):
        relay.advance(11, "")
    assert new_relay().claim() == 11
    with pytest.raises(SupersededError):
        relay.advance(11, "")


def test_a_checkpoint_put_back_by_a_restored_account_is_obeyed(relay: CheckpointTable, row: Row) -> None:
    restored = row.read()
    relay.advance(20, "")
    row.replace(**restored)
    assert relay.advance(21, "") == 10
    assert relay.advance(11, "") == 11
    assert row.read()["Height"] == 11


def test_a_checkpoint_put_back_to_a_former_relays_is_taken_over_from_there(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    restored = row.read()
    second = new_relay()
    second.claim()
    second.advance(20, "")
    row.replace(**restored)
    assert second.advance(21, "") == 10
    assert second.advance(11, "") == 11
    with pytest.raises(SupersededError):
        relay.advance(11, "")


def test_a_height_set_by_hand_is_obeyed_whatever_whole_number_type_it_was_given(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    row.merge(Height=4)
    assert relay.advance(11, "") == 4
    row.merge(Height=EntityProperty(5, EdmType.INT64))
    assert [in_force + 1 for in_force in (relay.advance(11, ""), new_relay().claim())] == [6, 6]


def test_a_deleted_row_means_to_start_again_before_the_first_block(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    row.delete()
    assert relay.advance(11, "") == 0
    assert relay.advance(1, "") == 1
    assert row.read()["Height"] == 1


def test_after_a_deleted_row_no_former_relay_can_come_back(relay: CheckpointTable, new_relay: Open, row: Row) -> None:
    second, third = new_relay(), new_relay()
    second.claim()
    third.claim()
    row.delete()
    assert third.advance(11, "") == 0
    for former in (relay, second):
        with pytest.raises(SupersededError):
            former.advance(11, "")
    assert third.advance(1, "") == 1


def car(name: str, reason: str = "its id is not that of its content") -> ParkedCar:
    return ParkedCar(name, f"transaction of {name}", "000000000007-000001", reason)


def test_parked_cars_are_listed_with_their_reasons(relay: CheckpointTable, new_relay: Open) -> None:
    cars = [car("a" * 64), car("b" * 64, 'odd: "quoted", é, 中, \N{AUTOMOBILE}\n')]
    for one in cars:
        relay.park(one)
    assert sorted(new_relay().parked(), key=lambda one: one.asset_id) == cars


def test_a_car_parked_again_has_one_row_with_the_latest_reason(relay: CheckpointTable) -> None:
    relay.park(car("a", "first"))
    relay.park(car("a", "second"))
    assert [one.reason for one in relay.parked()] == ["second"]


def test_a_reason_of_any_length_is_kept_cut(relay: CheckpointTable) -> None:
    relay.park(car("a", "x" * 1_000_000))
    assert [set(one.reason) for one in relay.parked()] == [{"x"}]


def test_parking_does_not_touch_the_checkpoint(relay: CheckpointTable, row: Row) -> None:
    before = row.read()
    relay.park(car("a"))
    assert row.read() == before
    assert relay.advance(11, "") == 11


def test_more_parked_cars_than_one_answer_holds_are_all_listed(
    relay: CheckpointTable, rows: TableClient, ledger_name: str
) -> None:
    parked = {"PartitionKey": ledger_name, "TransactionId": "t", "Sequence": "s", "Reason": "r"}
    names = [f"{n:04d}" for n in range(1_100)]
    for start in range(0, len(names), 100):
        batch = [("upsert", {**parked, "RowKey": f"parked-{name}"}) for name in names[start : start + 100]]
        rows.submit_transaction(batch)
    assert sorted(one.asset_id for one in relay.parked()) == names


def test_ledgers_of_one_account_do_not_see_each_other(
    relay: CheckpointTable, tables: str, ledger_name: str, opened: list[CheckpointTable]
) -> None:
    relay.park(car("a"))
    opened.append(CheckpointTable(TablesSettings(ledger_name + "-2", Secret(tables), "")))
    assert (opened[-1].read(), opened[-1].claim(), opened[-1].parked()) == (None, 0, [])


@pytest.fixture(scope="module")
def account_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite whose table Relay may be deleted."""
    with azurite.azurite(tmp_path_factory.mktemp("own") / "azurite.log") as connection_string:
        yield connection_string


@pytest.fixture
def without_table(account_of_its_own: str, ledger_name: str, opened: list[CheckpointTable]) -> CheckpointTable:
    """A relay that owned a checkpoint, and whose table has been deleted."""
    opened.append(CheckpointTable(TablesSettings(ledger_name, Secret(account_of_its_own), "")))
    opened[-1].claim()
    opened[-1].advance(10, "")
    with TableServiceClient.from_connection_string(account_of_its_own) as service:
        service.delete_table("Relay")
    return opened[-1]


def test_a_deleted_table_is_made_again_and_means_to_start_before_the_first_block(
    without_table: CheckpointTable,
) -> None:
    assert without_table.advance(11, "") == 0
    assert without_table.advance(1, "") == 1


def test_in_a_deleted_table_a_car_can_be_parked_all_the_same(without_table: CheckpointTable) -> None:
    without_table.park(car("a"))
    assert without_table.parked() == [car("a")]


def test_in_an_account_where_no_relay_has_run_nothing_is_found_and_nothing_is_wrong(
    without_table: CheckpointTable,
) -> None:
    assert without_table.read() is None
    assert without_table.parked() == []


def test_while_table_storage_is_down_every_call_says_so_and_works_again_after(
    tmp_path: Path, ledger_name: str, opened: list[CheckpointTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    child, port = azurite._start(tmp_path / "azurite.log", key, tmp_path / "data")
    try:
        endpoint = f"http://127.0.0.1:{port}/{azurite.ACCOUNT}"
        account = f"AccountName={azurite.ACCOUNT};AccountKey={key};TableEndpoint={endpoint}"
        relay = CheckpointTable(TablesSettings(ledger_name, Secret(account), ""))
        opened.append(relay)
        relay.claim()
        relay.advance(10, "")
        child.stop(signal.SIGINT, 10)
        calls: list[Callable[[], object]] = [
            relay.read,
            relay.claim,
            relay.parked,
            lambda: relay.advance(11, ""),
            lambda: relay.park(car("a")),
        ]
        for call in calls:
            with pytest.raises(TablesError, match="gave no answer") as caught:
                call()
            assert key not in str(caught.value)
        monkeypatch.setattr(azurite, "free_port", lambda: port)
        child, _ = azurite._start(tmp_path / "azurite.log", key, tmp_path / "data")
        assert relay.advance(11, "") == 11
        relay.park(car("a"))
        assert relay.parked() == [car("a")]
    finally:
        child.stop()


@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning:azure.data.tables._error")
def test_a_wrong_account_key_is_an_error_that_does_not_show_the_key(
    tables: str, ledger_name: str, opened: list[CheckpointTable]
) -> None:
    wrong = base64.b64encode(b"not the account's key").decode()
    before, _, rest = tables.partition("AccountKey=")
    account = f"{before}AccountKey={wrong};{rest.partition(';')[2]}"
    opened.append(CheckpointTable(TablesSettings(ledger_name, Secret(account), "")))
    with pytest.raises(TablesError, match="403") as caught:
        opened[-1].claim()
    assert wrong not in str(caught.value)
