"""What is measured against each other does the same: the Function app, the naive way and the bare calls."""

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks import sdk_tables
from benchmarks.bare_tables import BareTables, CallError, Part, make_all
from benchmarks.codec import GET, SIZES, measure
from benchmarks.history import LESSOR
from benchmarks.leases import History, all_different, dealt, first_leases, hot_keys
from benchmarks.naive_record import NaiveRecord
from benchmarks.record_parts import Stack, stack
from benchmarks.table_calls import INSERT, Call, InMemoryRecord, Rows
from functions.rating.tariff import read_tariff

EVENTS = 12
HISTORIES = {"all different": all_different(first_leases(EVENTS)), "hot keys": hot_keys(EVENTS)}
LESSORS = {LESSOR.public_key}
TARIFF = read_tariff()


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An Azurite and a Function app, as they are measured."""
    with stack(tmp_path_factory.mktemp("measured")) as running:
        yield running


def fold(history: History) -> tuple[Rows, Rows, list[list[Call]]]:
    """The rows before the events, those after, and the calls of batches of 3."""
    record = InMemoryRecord(LESSORS, TARIFF)
    record.apply([event.parsed() for event in history.before])
    before = dict(record.rows)
    calls = [record.apply([event.parsed() for event in batch]) for batch in dealt(history.events, 1, 3)[0]]
    return before, dict(record.rows), calls


@pytest.fixture(params=HISTORIES)
def history(request: pytest.FixtureRequest) -> History:
    """Each of the histories."""
    return HISTORIES[request.param]


@pytest.mark.parametrize(("lanes", "size"), [(1, 1), (8, 2), (2, 100)])
def test_the_function_app_leaves_the_rows_of_the_fold(measured: Stack, history: History, lanes: int, size: int) -> None:
    before, after, _ = fold(history)
    measured.reset(before)
    assert measured.rows() == before
    posted = measured.post(dealt(history.events, lanes, size))
    assert measured.rows() == after != before
    assert posted.seconds > 0


def test_the_naive_way_leaves_the_same_rows(measured: Stack, history: History) -> None:
    before, after, _ = fold(history)
    measured.reset(before)
    naive = NaiveRecord(measured.tables, LESSORS, TARIFF)
    for event in history.events:
        naive.apply(event.parsed())
    naive.close()
    assert measured.rows() == after


def test_the_naive_way_needs_no_rows_to_begin_with(measured: Stack, history: History) -> None:
    _, after, _ = fold(history)
    measured.reset({})
    naive = NaiveRecord(measured.tables, LESSORS, TARIFF)
    for event in (*history.before, *history.events):
        naive.apply(event.parsed())
    naive.close()
    assert measured.rows() == after


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_bare_calls_leave_the_same_rows(measured: Stack, history: History, concurrency: int) -> None:
    before, after, calls = fold(history)
    measured.reset(before)
    asyncio.run(make_all(measured.tables, Part(concurrency, calls)))
    assert measured.rows() == after


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_bare_calls_by_the_sdk_leave_the_same_rows(measured: Stack, history: History, concurrency: int) -> None:
    before, after, calls = fold(history)
    measured.reset(before)
    asyncio.run(sdk_tables.make_all(measured.tables, Part(concurrency, calls)))
    assert measured.rows() == after


def test_the_programs_that_are_measured_do_what_their_functions_do(measured: Stack) -> None:
    history = HISTORIES["hot keys"]
    before, after, calls = fold(history)
    measured.reset(before)
    assert measured.naively(history.events).seconds > 0
    assert measured.rows() == after
    measured.reset(before)
    reached = measured.barely([Part(4, calls[:2]), Part(8, calls[2:])])
    assert [one.concurrency for one in reached] == [4, 8]
    assert measured.rows() == after
    measured.reset(before)
    assert [one.concurrency for one in measured.by_sdk([Part(2, calls)])] == [2]
    assert measured.rows() == after


def test_more_rows_than_a_page_holds_are_read(measured: Stack) -> None:
    rows = {
        ("Cars", f"car {one}", f"record {place}"): {
            "PartitionKey": f"car {one}",
            "RowKey": f"record {place}",
            "Number": one,
        }
        for one in range(12)
        for place in range(101)
    }
    measured.reset(rows)
    assert measured.rows() == rows


def test_both_codecs_are_measured_on_every_call(measured: Stack) -> None:
    measured.reset({})
    found = asyncio.run(measure(measured.tables, 2))
    assert found.keys() == {GET, *map(str, SIZES)}
    assert all(ours > 0 and theirs > 0 for ours, theirs in found.values())


def test_a_call_that_table_storage_refuses_is_no_measurement(measured: Stack) -> None:
    history = HISTORIES["all different"]
    before, _, calls = fold(history)
    measured.reset(before)
    asyncio.run(make_all(measured.tables, Part(4, calls)))
    inserting = next(call for call in calls[0] if call.writes[0].method == INSERT)

    async def again() -> None:
        async with BareTables(measured.tables, 1) as tables:
            await tables.make(tables.prepared(inserting))

    with pytest.raises(CallError, match="EntityAlreadyExists"):
        asyncio.run(again())
