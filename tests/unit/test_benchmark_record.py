"""What the measurement of the record works out: histories, the calls they need, and what the report says of goals."""

from collections.abc import Iterator

import pytest

from benchmarks.codec import GET, SIZES
from benchmarks.figures import Verdict
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
from benchmarks.record_measurements import COLD, FIRST, HOT, QUICK
from benchmarks.record_report import Run, goals_of, write_report
from benchmarks.table_calls import INSERT, MERGE, REPLACE, Call, InMemoryRecord
from functions.rating.tariff import read_tariff
from functions.records.record import CARS, DRIVERS

FIRST_LEASES = first_leases(6)
TARIFF = read_tariff()


def values(**changed: float) -> dict[str, list[float]]:
    """The values of a run in which every goal is reached, but for those that are changed."""
    found: dict[str, float] = {}
    for history in (COLD, HOT, FIRST):
        found |= {f"{history}_naive_{figure}": 20.0 for figure in ("rate", "cpu", "azurite_cpu")}
        for cell in QUICK.cells(history, 0):
            figures = {"rate": 300.0, "function_cpu": 1.5, "azurite_cpu": 1.5, "again": 0.0, "per_naive": 15.0}
            bare = {"per_bare": 0.9, "bare_rate": 333.0, "bare_cpu": 0.5, "bare_azurite_cpu": 1.5, "bare_best": 16.0}
            found |= {f"{cell.key}_{figure}": value for figure, value in (figures | bare).items()}
    for kind in (GET, *SIZES):
        found |= {f"codec_{kind}": 0.3, f"codec_{kind}_sdk": 0.9, f"codec_{kind}_ratio": 3.0}
    assert changed.keys() <= found.keys()
    return {key: [value] * QUICK.repetitions for key, value in (found | changed).items()}


def report(found: dict[str, list[float]]) -> str:
    """The report on a quick run with these values."""
    return write_report(Run(QUICK, is_quick=True, values=found, load=0.5, minutes=2.0))


def goal_lines(text: str) -> list[str]:
    """The lines of the report that tell of goals."""
    return [line for line in text.splitlines() if "| at least " in line]


def calls(history: History, size: int, lanes: int = 1) -> list[list[Call]]:
    """The calls that the events of a history need, by batch."""
    record = InMemoryRecord({LESSOR.public_key}, TARIFF)
    record.apply([event.parsed() for event in history.before])
    return [record.apply([event.parsed() for event in batch]) for batch in in_turn(dealt(history.events, lanes, size))]


def partitions_of(batch: list[Call]) -> set[tuple[str, str]]:
    """The partitions that a batch touches."""
    return {call.key for call in batch}


def test_the_report_says_of_every_goal_that_it_was_reached() -> None:
    lines = goal_lines(report(values()))
    assert len(lines) == len(goals_of(values())) > 0
    assert all("**reached**" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "told", "missed"),
    [
        ("cold_100_8_per_naive", "All different, batches of 100, 8 lanes: Function app / naive way", 5.9),
        ("hot_100_8_per_naive", "Hot keys, batches of 100, 8 lanes: Function app / naive way", 14.9),
        ("cold_100_1_per_bare", "All different, batches of 100, 1 lane: Function app / bare calls", 0.79),
        ("hot_100_1_per_bare", "Hot keys, batches of 100, 1 lane: Function app / bare calls", 0.1),
        ("codec_get_ratio", "CPU, read of one row: SDK / own codec", 1.9),
        ("codec_100_ratio", "CPU, transaction of 100 rows: SDK / own codec", 1.0),
    ],
)
def test_the_report_says_of_a_missed_goal_that_it_was_missed(key: str, told: str, missed: float) -> None:
    lines = goal_lines(report(values(**{key: missed})))
    (line,) = (line for line in lines if told in line)
    assert "**missed**" in line
    assert sum("**reached**" in one for one in lines) == len(lines) - 1


def test_a_goal_that_some_repetitions_reached_is_too_noisy() -> None:
    found = values() | {"cold_100_8_per_bare": [0.9, 0.7, 0.9]}
    verdicts = [figure.verdict for figure in goals_of(found)]
    assert verdicts.count(Verdict.TOO_NOISY) == 1


def test_no_figure_with_a_goal_is_told_twice() -> None:
    names = [figure.name for figure in goals_of(values())]
    assert len(set(names)) == len(names)


def test_every_row_of_a_table_in_the_report_has_as_many_cells_as_its_head() -> None:
    for table in tables(report(values())):
        assert len({line.count("|") for line in table}) == 1


def tables(text: str) -> Iterator[list[str]]:
    """The tables of a report, as lines."""
    for part in text.split("\n\n"):
        if part.startswith("|"):
            yield part.splitlines()


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
