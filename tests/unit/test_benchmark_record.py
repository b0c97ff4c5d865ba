"""What the measurement of the record works out: histories, and the calls that they need."""

import pytest

from benchmarks.growth import BY_CARS, QUICK, filling, folded, used_car, used_driver
from benchmarks.history import LESSOR
from benchmarks.leases import (
    HOT_CARS,
    HOT_DRIVERS,
    Event,
    History,
    all_different,
    dealt,
    first_leases,
    hot_keys,
    in_turn,
)
from benchmarks.table_calls import INSERT, MERGE, REPLACE, Call, InMemoryRecord
from functions.rating.tariff import read_tariff
from functions.records.record import CARS, DRIVERS

FIRST_LEASES = first_leases(6)
TARIFF = read_tariff()


def calls(history: History, size: int, lanes: int = 1) -> list[list[Call]]:
    """The calls that the events of a history need, by batch."""
    record = InMemoryRecord({LESSOR.public_key}, TARIFF)
    record.apply([event.parsed() for event in history.before])
    return [record.apply([event.parsed() for event in batch]) for batch in in_turn(dealt(history.events, lanes, size))]


def partitions_of(batch: list[Call]) -> set[tuple[str, str]]:
    """The partitions that a batch touches."""
    return {call.key for call in batch}


def test_all_different_moves_no_car_and_no_driver_twice() -> None:
    batches = calls(all_different(FIRST_LEASES), 1)
    assert [len(batch) for batch in batches] == [3] * 6
    assert len(set[tuple[str, str]]().union(*map(partitions_of, batches))) == 18


def test_a_first_lease_touches_the_car_and_its_driver() -> None:
    batches = calls(FIRST_LEASES, 1)
    assert [[call.table for call in batch] for batch in batches] == [[DRIVERS, CARS]] * 6


def test_hot_cars_go_round_among_few_drivers() -> None:
    history = hot_keys(5 * HOT_CARS)
    touched = set[tuple[str, str]]().union(*map(partitions_of, calls(history, 10)))
    assert len([table for table, _ in touched if table == CARS]) == HOT_CARS
    assert len([table for table, _ in touched if table == DRIVERS]) <= HOT_DRIVERS


def test_a_partition_is_called_once_a_batch_however_many_events_it_has() -> None:
    (batch,) = calls(hot_keys(3 * HOT_CARS), 3 * HOT_CARS)
    assert len(partitions_of(batch)) == len(batch)
    cars = [call for call in batch if call.table == CARS]
    assert [[write.method for write in call.writes] for call in cars] == [[REPLACE, INSERT, INSERT, INSERT]] * HOT_CARS


def test_a_lease_that_ends_is_merged_into_its_row() -> None:
    batch = calls(all_different(FIRST_LEASES.first(1)), 1)[0]
    methods = [[write.method for write in call.writes] for call in batch if call.table == DRIVERS]
    assert methods == [[REPLACE, MERGE], [INSERT, INSERT]]


def test_a_car_with_more_events_than_a_transaction_takes_is_called_again() -> None:
    history = hot_keys(100 * HOT_CARS)
    cars = [call for call in calls(history, len(history.events))[0] if call.table == CARS]
    assert [len(call.writes) for call in cars] == [100] * HOT_CARS + [2] * HOT_CARS


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_a_car_has_one_lane_and_its_events_stay_in_order(lanes: int) -> None:
    events = hot_keys(5 * HOT_CARS).events
    own: list[list[Event]] = [[event for batch in lane for event in batch] for lane in dealt(events, lanes, 4)]
    assert sorted(event.sequence for lane in own for event in lane) == [event.sequence for event in events]
    assert all([event.sequence for event in lane] == sorted(event.sequence for event in lane) for lane in own)
    cars = [{event.asset_id for event in lane} for lane in own]
    assert sum(map(len, cars)) == HOT_CARS


def test_however_events_are_dealt_they_leave_the_same_rows() -> None:
    history = hot_keys(6 * HOT_CARS)
    found = []
    for lanes, size in ((1, 1), (1, 50), (8, 4)):
        record = InMemoryRecord({LESSOR.public_key}, TARIFF)
        record.apply([event.parsed() for event in history.before])
        for batch in in_turn(dealt(history.events, lanes, size)):
            record.apply([event.parsed() for event in batch])
        found.append(record.rows)
    assert found[0] == found[1] == found[2]


def test_an_event_that_is_not_applied_is_no_part_of_a_measurement() -> None:
    record = InMemoryRecord({LESSOR.public_key}, TARIFF)
    with pytest.raises(ValueError, match="deferred"):
        record.apply([event.parsed() for event in FIRST_LEASES.events])


@pytest.mark.parametrize(("transfers", "events"), [(0, 5), (1, 4), (10, 6)])
def test_a_used_car_has_its_past_and_its_events_follow(transfers: int, events: int) -> None:
    history = used_car("a car", transfers, events)
    assert (len(history.before), len(history.events)) == (1 + transfers, events)
    rows = folded((*history.before, *history.events))
    marks = [key for table, _, key in rows if table == CARS and key.startswith("transaction-")]
    assert len(marks) == 1 + transfers + events


@pytest.mark.parametrize("is_open", [True, False])
def test_a_used_driver_has_so_many_leases_open_or_ended(*, is_open: bool) -> None:
    history = used_driver("a driver", 7, 4, is_open=is_open)
    assert len(history.events) == 4
    leases = {key: row for key, row in folded(history.before).items() if key[0] == DRIVERS and "lease-" in key[2]}
    assert len(leases) == 7
    assert {row["EndTransaction"] == "" for row in leases.values()} == {is_open}
    after = folded((*history.before, *history.events))
    assert sum(key[0] == DRIVERS and "lease-" in key[2] for key in after) == 7 + 2


def test_what_fills_the_tables_are_whole_cars_with_drivers_of_their_own() -> None:
    rows = filling(5, 9)
    assert len({partition for table, partition, _ in rows if table == CARS}) == 4
    assert len({partition for table, partition, _ in rows if table == DRIVERS}) == 4
    assert not rows.keys() & filling(9, 12).keys()
    for (table, partition, key), row in rows.items():
        assert (row["PartitionKey"], row["RowKey"]) == (partition, key)
        assert table in {CARS, DRIVERS}


def test_all_that_grows_has_its_sizes() -> None:
    assert dict(QUICK.all_sizes())[BY_CARS] == QUICK.cars
    assert len(QUICK.all_sizes()) == 4
