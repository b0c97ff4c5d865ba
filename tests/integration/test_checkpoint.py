"""The relay's state in a real Azurite: who owns the checkpoint, and what it becomes when writes and rows go missing."""

import base64
import datetime as dt
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from azure.core.exceptions import ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import EdmType, EntityProperty, TableClient, TableServiceClient, UpdateMode

from local import azurite
from relay.checkpoint import Checkpoint, CheckpointTable, Report
from relay.control import ControlTable
from relay.errors import SupersededError, TablesError
from relay.parked import ParkedCar, ParkedTable
from relay.progress import Mark
from relay.settings import Secret, TablesSettings

Open = Callable[[], CheckpointTable]


@pytest.fixture
def ledger_name() -> str:
    """A ledger that no other test has."""
    return f"ledger-{secrets.token_hex(8)}"


class Opened:
    """Opens the relay's tables; they are closed after the test."""

    def __init__(self, ledger_name: str, account: str) -> None:
        self._settings = TablesSettings(ledger_name, Secret(account), "")
        self._tables: list[CheckpointTable | ParkedTable | ControlTable] = []

    def of(self, ledger_name: str, account: str) -> "Opened":
        """The same for another ledger or account."""
        other = Opened(ledger_name, account)
        other._tables = self._tables
        return other

    def checkpoint(self) -> CheckpointTable:
        return self._opened(CheckpointTable(self._settings))

    def parked(self) -> ParkedTable:
        return self._opened(ParkedTable(self._settings))

    def control(self) -> ControlTable:
        return self._opened(ControlTable(self._settings))

    def _opened[T: CheckpointTable | ParkedTable | ControlTable](self, table: T) -> T:
        self._tables.append(table)
        return table

    def close(self) -> None:
        for table in self._tables:
            table.close()


@pytest.fixture
def opened(tables: str, ledger_name: str) -> Iterator[Opened]:
    """The tables of this test's ledger."""
    opened = Opened(ledger_name, tables)
    yield opened
    opened.close()


@pytest.fixture
def new_relay(opened: Opened) -> Open:
    """Opens the checkpoint as one more relay of this ledger would."""
    return opened.checkpoint


@pytest.fixture
def parked(opened: Opened) -> ParkedTable:
    return opened.parked()


@pytest.fixture
def control(opened: Opened) -> ControlTable:
    return opened.control()


@pytest.fixture
def relay(new_relay: Open) -> CheckpointTable:
    """A relay that owns the checkpoint, at block 10."""
    relay = new_relay()
    relay.claim()
    moved(relay, 10)
    return relay


Moved = tuple[int, bool]


def moved(relay: CheckpointTable, height: int) -> Moved:
    """Tries to move the checkpoint: the height then in force, and whether storage went back."""
    in_force = relay.advance(Mark(height), Report())
    return in_force.mark.height, in_force.went_back


def stands_at(height: int) -> Moved:
    """A checkpoint that is where it was wanted."""
    return height, False


def back_at(height: int) -> Moved:
    """A checkpoint that went back."""
    return height, True


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
    assert relay.claim() == Mark(0)
    found = new_relay().read()
    assert found is not None
    assert (found.mark, found.generation, found.start) == (Mark(0), 1, 0)


def test_the_first_relay_may_start_after_another_height(new_relay: Open) -> None:
    assert new_relay().claim(lambda: 41) == Mark(41)
    found = new_relay().read()
    assert found is not None
    assert (found.mark, found.start) == (Mark(41), 41)


def test_where_there_is_a_checkpoint_nobody_asks_where_to_start(relay: CheckpointTable, new_relay: Open) -> None:
    def not_asked() -> int:
        raise AssertionError

    assert new_relay().claim(not_asked) == Mark(10)


def test_the_next_relay_goes_on_where_the_last_one_got_to(relay: CheckpointTable, new_relay: Open) -> None:
    mark = Mark(12, 11, "of block 11")
    relay.advance(mark, Report())
    assert new_relay().claim() == mark


def test_a_relay_that_has_been_superseded_learns_it_at_its_next_write_and_changes_nothing(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    second = new_relay()
    second.claim()
    moved(second, 12)
    before = row.read()
    with pytest.raises(SupersededError, match=before["Owner"]):
        moved(relay, 11)
    assert row.read() == before
    assert moved(second, 13) == stands_at(13)


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
        return moved(relay, 1) == stands_at(1)
    except SupersededError:
        return False


def test_a_heartbeat_keeps_the_height_and_tells_the_time_and_the_stream(relay: CheckpointTable, row: Row) -> None:
    before = row.read()
    in_force = relay.advance(Mark(10), Report(stream="silent"))
    assert (in_force.mark, in_force.went_back) == (Mark(10), False)
    after = row.read()
    assert (after["Height"], after["Stream"], after["Owner"]) == (10, "silent", before["Owner"])
    assert before["Heartbeat"] < after["Heartbeat"] <= dt.datetime.now(dt.UTC)


LONG_AGO = dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "report",
    [
        Report(),
        Report(
            stream="announcing",
            state="delivering",
            tip=30,
            settled=20,
            level_at=LONG_AGO,
            parked=3,
            last_error="not delivered: no answer, é",
            last_error_at=LONG_AGO + dt.timedelta(seconds=1),
        ),
        Report(state="paused", tip=2**31, settled=10**12, parked=2**31 - 1),
    ],
    ids=["nothing yet", "everything", "large numbers"],
)
@pytest.mark.parametrize("mark", [Mark(11), Mark(10**12, 2**31, "of that block")], ids=["small", "large"])
def test_the_row_carries_the_mark_and_all_that_the_relay_reports(
    relay: CheckpointTable, new_relay: Open, mark: Mark, report: Report
) -> None:
    before = relay.read()
    assert before is not None
    relay.advance(mark, report)
    found = new_relay().read()
    assert found is not None
    assert found == Checkpoint(
        mark=mark,
        owner=before.owner,
        generation=before.generation,
        start=0,
        write=found.write,
        heartbeat=found.heartbeat,
        report=report,
    )


def test_what_the_relay_reports_has_columns_of_its_own(relay: CheckpointTable, row: Row) -> None:
    report = Report("announcing", "delivering", 30, 20, LONG_AGO, 3, "not delivered", LONG_AGO)
    relay.advance(Mark(11, 9, "of block 9"), report)
    found = row.read()
    names = ("Stream", "State", "Tip", "Settled", "LevelAt", "Parked", "LastError", "LastErrorAt")
    assert [found[name] for name in names] == list(msgspec.structs.astuple(report))
    assert [found[name] for name in ("Height", "AnchorHeight", "Anchor", "StartHeight")] == [11, 9, "of block 9", 0]


def test_a_last_error_of_any_length_is_kept_cut(relay: CheckpointTable) -> None:
    relay.advance(Mark(11), Report(last_error="x" * 1_000_000))
    found = relay.read()
    assert found is not None
    assert set(found.report.last_error) == {"x"}


def test_a_row_of_a_former_release_is_gone_on_from(new_relay: Open, row: Row) -> None:
    first = new_relay()
    first.claim()
    row.replace(Height=7, Owner="former", Generation=3, Heartbeat=LONG_AGO, Stream="silent")
    assert new_relay().claim() == Mark(7)
    with pytest.raises(SupersededError):
        moved(first, 8)


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


def advance_until_it_works(relay: CheckpointTable, height: int) -> tuple[Moved, int]:
    """What is then in force, and how often Table Storage was said to give no answer."""
    for failures in range(5):
        try:
            return moved(relay, height), failures
        except TablesError:
            continue
    raise AssertionError("it never worked")


@pytest.mark.parametrize(("lost", "failures"), [(1, 0), (2, 1), (3, 1)])
@pytest.mark.parametrize("height", [10, 11], ids=["heartbeat", "move"])
def test_a_write_that_landed_though_its_answer_was_lost_is_recognised_as_its_own(
    relay: CheckpointTable, row: Row, losing: Losing, lost: int, failures: int, height: int
) -> None:
    losing.answers = lost
    assert advance_until_it_works(relay, height) == (stands_at(height), failures)
    assert losing.answers == 0
    assert row.read()["Height"] == height
    assert moved(relay, 12) == stands_at(12)


def test_several_writes_whose_answers_were_lost_one_after_the_other_are_all_recognised(
    relay: CheckpointTable, row: Row, losing: Losing
) -> None:
    for height in (11, 12, 13):
        losing.answers = 2
        with pytest.raises(TablesError):
            moved(relay, height)
    losing.answers = 0
    assert moved(relay, 14) == stands_at(14)
    assert row.read()["Height"] == 14


def test_a_lost_answer_hides_no_account_that_went_back_meanwhile(
    relay: CheckpointTable, row: Row, losing: Losing
) -> None:
    before = row.read()
    moved(relay, 11)
    losing.answers = 2
    with pytest.raises(TablesError):
        moved(relay, 12)
    row.replace(**before)
    losing.answers = 0
    assert moved(relay, 12) == back_at(10)


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_claim_whose_answers_were_lost_is_made_again_without_harm(
    new_relay: Open, losing: Losing, row: Row, lost: int
) -> None:
    first = new_relay()
    losing.answers = lost
    while losing.answers:
        with pytest.raises(TablesError):
            first.claim()
    assert first.claim() == Mark(0)
    assert moved(first, 3) == stands_at(3)
    assert row.read()["Height"] == 3


def test_a_takeover_whose_answer_was_lost_still_supersedes_the_former(
    relay: CheckpointTable, new_relay: Open, losing: Losing
) -> None:
    second = new_relay()
    losing.answers = 2
    with pytest.raises(TablesError):
        second.claim()
    with pytest.raises(SupersededError):
        moved(relay, 11)
    assert second.claim() == Mark(10)


def test_a_lost_answer_is_not_mistaken_for_its_own_when_another_relay_took_over_meanwhile(
    relay: CheckpointTable, new_relay: Open, losing: Losing
) -> None:
    losing.answers = 2
    with pytest.raises(TablesError):
        moved(relay, 11)
    assert new_relay().claim() == Mark(11)
    with pytest.raises(SupersededError):
        moved(relay, 11)


def test_a_checkpoint_put_back_by_a_restored_account_is_obeyed(relay: CheckpointTable, row: Row) -> None:
    restored = row.read()
    moved(relay, 20)
    row.replace(**restored)
    assert moved(relay, 21) == back_at(10)
    assert moved(relay, 11) == stands_at(11)
    assert row.read()["Height"] == 11


def test_a_row_put_back_with_the_same_height_but_an_older_write_went_back_too(relay: CheckpointTable, row: Row) -> None:
    restored = row.read()
    moved(relay, 10)
    row.replace(**restored)
    assert moved(relay, 10) == back_at(10)
    assert moved(relay, 10) == stands_at(10)


def test_a_row_written_anew_by_hand_as_it_was_is_no_account_that_went_back(relay: CheckpointTable, row: Row) -> None:
    row.merge(**row.read())
    assert moved(relay, 11) == stands_at(11)


def test_a_checkpoint_put_back_to_a_former_relays_is_taken_over_from_there(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    restored = row.read()
    second = new_relay()
    second.claim()
    moved(second, 20)
    row.replace(**restored)
    assert moved(second, 21) == back_at(10)
    assert moved(second, 11) == stands_at(11)
    with pytest.raises(SupersededError):
        moved(relay, 11)


def test_a_height_set_by_hand_is_obeyed_whatever_whole_number_type_it_was_given(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    row.merge(Height=4)
    assert moved(relay, 11) == back_at(4)
    row.merge(Height=EntityProperty(5, EdmType.INT64))
    assert [moved(relay, 11), new_relay().claim()] == [back_at(5), Mark(5)]


def test_a_deleted_row_means_to_start_again_before_the_first_block(
    relay: CheckpointTable, new_relay: Open, row: Row
) -> None:
    row.delete()
    assert moved(relay, 11) == back_at(0)
    assert moved(relay, 1) == stands_at(1)
    assert row.read()["Height"] == 1


def test_after_a_deleted_row_delivery_starts_again_where_the_first_relay_started(new_relay: Open, row: Row) -> None:
    new_relay().claim(lambda: 41)
    second = new_relay()
    second.claim()
    moved(second, 50)
    row.delete()
    assert moved(second, 51) == back_at(41)
    assert [row.read()[name] for name in ("Height", "StartHeight")] == [41, 41]
    moved(second, 42)
    assert [row.read()[name] for name in ("Height", "StartHeight")] == [42, 41]


def test_after_a_deleted_row_no_former_relay_can_come_back(relay: CheckpointTable, new_relay: Open, row: Row) -> None:
    second, third = new_relay(), new_relay()
    second.claim()
    third.claim()
    row.delete()
    assert moved(third, 11) == back_at(0)
    for former in (relay, second):
        with pytest.raises(SupersededError):
            moved(former, 11)
    assert moved(third, 1) == stands_at(1)


# ---- parked cars


def car(name: str, reason: str = "its id is not that of its content", **more: Any) -> ParkedCar:
    return ParkedCar(name, f"transaction of {name}", "000000000007-000001", reason, **more)


def test_parked_cars_are_listed_with_their_reasons(parked: ParkedTable, opened: Opened) -> None:
    cars = [
        car("a" * 64),
        car("b" * 64, 'odd: "quoted", é, 中, \N{AUTOMOBILE}\n', last_transaction="another", redrive=True),
    ]
    for one in cars:
        parked.park(one)
    assert sorted(opened.parked().all(), key=lambda one: one.asset_id) == cars


def test_a_car_parked_again_has_one_row_with_the_latest_reason(parked: ParkedTable) -> None:
    parked.park(car("a", "first", redrive=True))
    parked.park(car("a", "second"))
    assert parked.all() == [car("a", "second")]


def test_a_reason_of_any_length_is_kept_cut(parked: ParkedTable) -> None:
    parked.park(car("a", "x" * 1_000_000))
    assert [set(one.reason) for one in parked.all()] == [{"x"}]


def test_a_car_that_is_parked_no_longer_is_not_listed_and_may_be_parked_again(parked: ParkedTable) -> None:
    parked.park(car("a"))
    parked.park(car("b"))
    parked.unpark("a")
    assert parked.all() == [car("b")]
    parked.unpark("a")
    parked.park(car("a", "again"))
    assert sorted(one.reason for one in parked.all()) == ["again", car("b").reason]


def test_what_the_checkpoint_passes_of_a_parked_car_is_noted(parked: ParkedTable) -> None:
    parked.park(car("a"))
    assert parked.pass_over("a", "later")
    assert parked.pass_over("a", "latest")
    assert parked.all() == [car("a", last_transaction="latest")]


def test_a_redrive_that_is_asked_for_is_seen_by_the_relay(parked: ParkedTable, opened: Opened) -> None:
    parked.park(car("a", last_transaction="later"))
    assert opened.parked().ask_redrive("a")
    assert parked.all() == [car("a", last_transaction="later", redrive=True)]


def test_of_a_car_that_is_not_parked_nothing_is_noted(parked: ParkedTable) -> None:
    parked.park(car("a"))
    assert not parked.pass_over("b", "later")
    assert not parked.ask_redrive("b")
    assert parked.all() == [car("a")]


def test_a_parked_car_is_found_as_it_is_noted_at_that_moment(parked: ParkedTable, opened: Opened) -> None:
    parked.park(car("a"))
    parked.park(car("b"))
    opened.parked().pass_over("a", "later")
    assert parked.find("a") == car("a", last_transaction="later")
    assert parked.find("c") is None
    parked.unpark("a")
    assert parked.find("a") is None


def test_several_lanes_may_park_at_once(parked: ParkedTable) -> None:
    names = [f"{lane}-{number}" for lane in range(4) for number in range(5)]

    def park(lane: int) -> None:
        for name in names[lane * 5 : lane * 5 + 5]:
            parked.park(car(name))
            assert parked.pass_over(name, "later")

    threads = [threading.Thread(target=park, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.asset_id for one in parked.all() if one.last_transaction == "later") == names


def test_a_row_that_a_former_release_parked_is_listed(parked: ParkedTable, rows: TableClient, ledger_name: str) -> None:
    parked.park(car("made first, so that there is a table"))
    keys = {"PartitionKey": ledger_name, "RowKey": "parked-a"}
    rows.upsert_entity({**keys, "TransactionId": "t", "Sequence": "s", "Reason": "r"})
    assert ParkedCar("a", "t", "s", "r") in parked.all()


def test_parking_does_not_touch_the_checkpoint(relay: CheckpointTable, parked: ParkedTable, row: Row) -> None:
    before = row.read()
    parked.park(car("a"))
    parked.pass_over("a", "later")
    assert row.read() == before
    assert moved(relay, 11) == stands_at(11)


def test_the_checkpoint_is_no_parked_car(relay: CheckpointTable, parked: ParkedTable, control: ControlTable) -> None:
    control.pause()
    assert parked.all() == []


def test_more_parked_cars_than_one_answer_holds_are_all_listed(
    relay: CheckpointTable, parked: ParkedTable, rows: TableClient, ledger_name: str
) -> None:
    properties = {"PartitionKey": ledger_name, "TransactionId": "t", "Sequence": "s", "Reason": "r"}
    names = [f"{n:04d}" for n in range(1_100)]
    for start in range(0, len(names), 100):
        batch = [("upsert", {**properties, "RowKey": f"parked-{name}"}) for name in names[start : start + 100]]
        rows.submit_transaction(batch)
    assert sorted(one.asset_id for one in parked.all()) == names


# ---- what people ask of the relay


def test_a_relay_is_paused_until_it_is_resumed(control: ControlTable, opened: Opened) -> None:
    before = dt.datetime.now(dt.UTC)
    assert control.paused_since() is None
    control.pause()
    since = opened.control().paused_since()
    assert since is not None
    assert before <= since <= dt.datetime.now(dt.UTC)
    control.resume()
    assert opened.control().paused_since() is None


def test_pausing_and_resuming_twice_is_as_good_as_once(control: ControlTable) -> None:
    control.pause()
    control.pause()
    assert control.paused_since() is not None
    control.resume()
    control.resume()
    assert control.paused_since() is None


def test_a_pause_does_not_touch_the_checkpoint(relay: CheckpointTable, control: ControlTable, row: Row) -> None:
    before = row.read()
    control.pause()
    control.resume()
    assert row.read() == before
    assert moved(relay, 11) == stands_at(11)


# ---- the account


def test_ledgers_of_one_account_do_not_see_each_other(
    relay: CheckpointTable, parked: ParkedTable, control: ControlTable, opened: Opened, tables: str, ledger_name: str
) -> None:
    parked.park(car("a"))
    control.pause()
    other = opened.of(ledger_name + "-2", tables)
    assert (other.checkpoint().read(), other.checkpoint().claim()) == (None, Mark(0))
    assert (other.parked().all(), other.control().paused_since()) == ([], None)


@pytest.fixture(scope="module")
def account_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite whose table Relay may be deleted."""
    with azurite.azurite(tmp_path_factory.mktemp("own") / "azurite.log") as connection_string:
        yield connection_string


@pytest.fixture
def without_table(account_of_its_own: str, ledger_name: str, opened: Opened) -> Opened:
    """An account whose table Relay has been deleted."""
    own = opened.of(ledger_name, account_of_its_own)
    own.control().pause()
    with TableServiceClient.from_connection_string(account_of_its_own) as service:
        service.delete_table("Relay")
    return own


def test_a_deleted_table_is_made_again_and_means_to_start_before_the_first_block(
    account_of_its_own: str, ledger_name: str, opened: Opened
) -> None:
    relay = opened.of(ledger_name, account_of_its_own).checkpoint()
    relay.claim()
    moved(relay, 10)
    with TableServiceClient.from_connection_string(account_of_its_own) as service:
        service.delete_table("Relay")
    assert moved(relay, 11) == back_at(0)
    assert moved(relay, 1) == stands_at(1)


def test_in_a_deleted_table_a_car_can_be_parked_all_the_same(without_table: Opened) -> None:
    parked = without_table.parked()
    assert not parked.pass_over("a", "later")
    parked.park(car("a"))
    assert parked.all() == [car("a")]


def test_in_a_deleted_table_a_relay_can_be_paused_all_the_same(without_table: Opened) -> None:
    control = without_table.control()
    control.pause()
    assert control.paused_since() is not None


def test_in_an_account_where_no_relay_has_run_nothing_is_found_and_nothing_is_wrong(without_table: Opened) -> None:
    assert without_table.checkpoint().read() is None
    parked, control = without_table.parked(), without_table.control()
    assert (parked.all(), parked.find("a"), parked.ask_redrive("a")) == ([], None, False)
    assert control.paused_since() is None
    parked.unpark("a")
    control.resume()


@pytest.fixture
def mortal_account(tmp_path: Path) -> Iterator[azurite.Azurite]:
    """An Azurite that keeps its data on disk, and may be stopped and killed."""
    with azurite.running_azurite(tmp_path / "azurite.log", tmp_path / "data") as running:
        yield running


def test_while_table_storage_is_down_every_call_says_so_and_works_again_after(
    mortal_account: azurite.Azurite, ledger_name: str, opened: Opened
) -> None:
    own = opened.of(ledger_name, mortal_account.connection_string)
    key = mortal_account.connection_string.partition("AccountKey=")[2].partition(";")[0]
    relay, parked, control = own.checkpoint(), own.parked(), own.control()
    relay.claim()
    moved(relay, 10)
    mortal_account.stop()
    calls: list[Callable[[], object]] = [
        relay.read,
        relay.claim,
        lambda: moved(relay, 11),
        parked.all,
        lambda: parked.find("a"),
        lambda: parked.park(car("a")),
        lambda: parked.pass_over("a", "later"),
        lambda: parked.ask_redrive("a"),
        lambda: parked.unpark("a"),
        control.paused_since,
        control.pause,
        control.resume,
    ]
    for call in calls:
        with pytest.raises(TablesError, match="gave no answer") as caught:
            call()
        assert key not in str(caught.value)
    mortal_account.start_again()
    assert moved(relay, 11) == stands_at(11)
    parked.park(car("a"))
    assert parked.all() == [car("a")]
    control.pause()
    assert control.paused_since() is not None


def test_storage_that_did_not_start_again_between_two_writes_is_known_by_the_connection_that_carried_both(
    mortal_account: azurite.Azurite, ledger_name: str, opened: Opened
) -> None:
    relay = opened.of(ledger_name, mortal_account.connection_string).checkpoint()

    def is_same_line() -> bool:
        return relay.advance(Mark(10), Report()).same_line

    relay.claim()
    assert [is_same_line() for _ in range(3)] == [True] * 3
    mortal_account.stop()
    mortal_account.start_again()
    assert [is_same_line() for _ in range(3)] == [False, True, True]
    mortal_account.stop()
    with pytest.raises(TablesError):
        is_same_line()
    mortal_account.start_again()
    assert [is_same_line() for _ in range(3)] == [False, True, True]


def test_the_writes_of_another_thread_do_not_touch_the_connection_of_the_checkpoint(
    relay: CheckpointTable, parked: ParkedTable, control: ControlTable
) -> None:
    relay.advance(Mark(11), Report())
    parked.park(car("a"))
    control.pause()
    assert relay.advance(Mark(12), Report()).same_line


def test_table_storage_that_lost_its_last_writes_in_a_crash_went_back(
    mortal_account: azurite.Azurite, ledger_name: str, opened: Opened
) -> None:
    relay = opened.of(ledger_name, mortal_account.connection_string).checkpoint()
    relay.claim()
    moved(relay, 10)
    mortal_account.stop()  # which saves everything
    mortal_account.start_again()
    assert moved(relay, 20) == stands_at(20)
    mortal_account.kill()
    mortal_account.start_again()
    assert moved(relay, 21) == back_at(10)
    assert moved(relay, 11) == stands_at(11)


@pytest.mark.filterwarnings("ignore:Testing an element's truth value:DeprecationWarning:azure.data.tables._error")
def test_a_wrong_account_key_is_an_error_that_does_not_show_the_key(
    tables: str, ledger_name: str, opened: Opened
) -> None:
    wrong = base64.b64encode(b"not the account's key").decode()
    before, _, rest = tables.partition("AccountKey=")
    account = f"{before}AccountKey={wrong};{rest.partition(';')[2]}"
    own = opened.of(ledger_name, account)
    for call in (own.checkpoint().claim, own.parked().all, own.control().pause):
        with pytest.raises(TablesError, match="403") as caught:
            call()
        assert wrong not in str(caught.value)
