"""What the benchmarks work out: percentiles, verdicts, a history that can be committed, a recording that repeats."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Figure, Goal, Verdict, percentile
from benchmarks.history import plan
from benchmarks.recording import Recording, asset_of, derived, in_commit_order, template
from benchmarks.report import TOLD

Json = dict[str, Any]
AT_LEAST = Goal(0.80)
AT_MOST = Goal(20.0, is_ceiling=True)


def an_id(number: int) -> str:
    """An id of the recording below."""
    return f"{number:08x}{number:056x}"


def create(number: int) -> Json:
    """A car's CREATE, as far as ids go."""
    return {"id": an_id(number), "operation": "CREATE", "asset": {"data": {}}, "inputs": [{"fulfills": None}]}


def transfer(number: int, asset: int, spent: int) -> Json:
    """A car's TRANSFER, as far as ids go."""
    fulfills = {"transaction_id": an_id(spent), "output_index": 0}
    return {
        "id": an_id(number),
        "operation": "TRANSFER",
        "asset": {"id": an_id(asset)},
        "inputs": [{"fulfills": fulfills}],
    }


CARS = [create(1), create(2), transfer(3, 1, 1), transfer(4, 2, 2), transfer(5, 1, 3), create(6), transfer(7, 6, 6)]


def blocks(recording: Recording, count: int) -> list[list[Json]]:
    """The first blocks of a recording, read from what it writes."""
    return [json.loads(recording.transactions(number)) for number in range(count)]


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_the_smallest_value_that_its_part_of_all_does_not_exceed(
    values: list[float], part: float
) -> None:
    found = percentile(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= math.floor(part * len(values))
    assert sum(value < found for value in values) < max(1, math.ceil(part * len(values)))


def test_percentiles_of_a_hundred_values() -> None:
    values = [float(one) for one in range(100, 0, -1)]
    assert [percentile(values, part) for part in (0, 0.5, 0.9, 0.99, 1)] == [1, 50, 90, 99, 100]


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (AT_LEAST, (0.80, 0.95, 0.85), Verdict.REACHED),
        (AT_LEAST, (0.79, 0.50), Verdict.MISSED),
        (AT_LEAST, (0.95, 0.96, 0.79), Verdict.TOO_NOISY),
        (AT_LEAST, (0.10, 0.20, 0.81), Verdict.TOO_NOISY),
        (AT_MOST, (20.0, 3.0), Verdict.REACHED),
        (AT_MOST, (20.1, 33.0), Verdict.MISSED),
        (AT_MOST, (3.0, 3.0, 33.0), Verdict.TOO_NOISY),
    ],
)
def test_a_goal_is_reached_or_missed_only_when_every_repetition_says_so(
    goal: Goal, values: tuple[float, ...], verdict: Verdict
) -> None:
    assert Figure("something", "x", values, goal).verdict is verdict


def test_a_figure_without_a_goal_has_no_verdict() -> None:
    assert Figure("something", "x", (1.0, 2.0)).verdict is None


def test_the_spread_is_a_part_of_the_median_and_not_known_of_nothing() -> None:
    assert Figure("something", "ms", (8.0, 10.0, 13.0)).spread == pytest.approx(0.5)
    assert math.isnan(Figure("something", "events", (0.0, 0.0, 5.0)).spread)


def test_no_figure_is_told_twice() -> None:
    assert len({told.key for told in TOLD}) == len({told.name for told in TOLD}) == len(TOLD)


@pytest.mark.parametrize("transactions", [1, 7, 1_000, 3_000, 12_345])
def test_a_history_has_as_many_transactions_as_were_asked_for_and_is_the_same_every_time(transactions: int) -> None:
    cars, waves = plan(transactions, seed=1)
    assert cars + sum(map(len, waves)) == transactions
    assert plan(transactions, seed=1) == (cars, waves)


def test_a_car_is_moved_by_who_has_it_and_once_a_wave() -> None:
    cars, waves = plan(12_000, seed=1)
    owners = [-1] * cars
    for wave in waves:
        assert len({move.car for move in wave}) == len(wave)
        for move in wave:
            assert move.owner == owners[move.car] != move.recipient
            owners[move.car] = move.recipient


def test_some_cars_are_hot_and_some_come_back() -> None:
    _, waves = plan(12_000, seed=1)
    moves = [move for wave in waves for move in wave]
    often = [sum(move.car == car for move in moves) for car in (0, 1, 2, 3)]
    assert often[0] == len(waves) > max(often[1:])
    assert any(move.recipient == -1 for move in moves)


def test_the_first_round_is_the_recording() -> None:
    first, second = blocks(Recording(CARS, 3), 2)
    assert first + second == CARS[:6]


def test_what_belongs_together_still_does_in_every_round() -> None:
    recording = Recording(CARS, 7)
    for number in range(4):
        block = json.loads(recording.transactions(number))
        by_id = {one["id"]: one for one in block}
        assert len(by_id) == len(CARS)
        for one in block:
            assert asset_of(by_id[asset_of(one)]) == asset_of(one)
            for spent in (entry["fulfills"] for entry in one["inputs"] if entry["fulfills"]):
                assert asset_of(by_id[spent["transaction_id"]]) == asset_of(one)


def test_no_id_comes_twice_and_none_changes_its_length() -> None:
    ids = [one["id"] for block in blocks(Recording(CARS, 7), 50) for one in block]
    assert len(set(ids)) == len(ids) == 50 * len(CARS)
    assert {len(one) for one in ids} == {64}


def test_the_stream_names_what_the_blocks_hold() -> None:
    recording = Recording(CARS, 3)
    for number in range(5):
        block = json.loads(recording.transactions(number))
        assert recording.ids(number) == [(asset_of(one), one["id"]) for one in block]


@given(st.integers(0, 10**6))
def test_each_transaction_is_found_in_its_block(number: int) -> None:
    recording = Recording(CARS, 3)
    for one in json.loads(recording.transactions(number)):
        found = recording.find(one["id"])
        assert found is not None
        assert found[0] == number
        assert json.loads(found[1]) == one


def test_the_chain_of_an_asset_is_that_of_its_round() -> None:
    recording = Recording(CARS, 3)
    asset = derived(an_id(1), 9)
    chain = [(number, json.loads(body)) for number, body in recording.chain(asset)]
    assert [number for number, _ in chain] == [18, 18, 19]
    assert {asset_of(body) for _, body in chain} == {asset}


@pytest.mark.parametrize("unknown", ["", "nothing", "0" * 64, "z" * 8 + an_id(1)[8:]])
def test_what_was_not_recorded_is_not_found(unknown: str) -> None:
    recording = Recording(CARS, 3)
    assert recording.find(unknown) is None
    assert recording.chain(unknown) == []


def test_a_recording_that_fills_no_block_is_refused() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        Recording(CARS, 8)


def test_only_whole_ids_are_replaced() -> None:
    kept = {"key": "f" * 63, "hash": f"sha3-{an_id(1)}", "text": an_id(1).upper().replace("0", "A")}
    text = json.dumps({**kept, "id": an_id(1)}).encode()
    assert json.loads(template(text).in_round(3)) == {**kept, "id": derived(an_id(1), 3)}


@given(st.permutations(CARS))
def test_transactions_are_put_behind_those_they_spend(block: list[Json]) -> None:
    ordered = [one["id"] for one in in_commit_order(block)]
    assert sorted(ordered) == sorted(one["id"] for one in CARS)
    for one in CARS:
        for entry in one["inputs"]:
            if entry["fulfills"]:
                assert ordered.index(entry["fulfills"]["transaction_id"]) < ordered.index(one["id"])
