"""What the benchmarks work out: percentiles, verdicts, a history that can be committed, a recording that repeats."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import noise
from benchmarks.figures import ALONE, HIDDEN, Figure, Goal, Verdict, percentile, told_ratio
from benchmarks.history import Move, Shape, Story, asset_of, plan, signed_story, waves
from benchmarks.profiling import FUNCTION_PARTS, OTHER, RELAY_PARTS, shares
from benchmarks.recording import Recording, derived, template
from benchmarks.relay_report import TOLD
from local.scenario import key_pair

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


SMALL = Shape(cars=120, transfers=2_000, drivers=20, apart=50)


def test_a_history_has_as_many_moves_as_were_asked_for_and_is_the_same_every_time() -> None:
    assert len(plan(SMALL, seed=1)) == SMALL.transfers
    assert plan(SMALL, seed=1) == plan(SMALL, seed=1) != plan(SMALL, seed=2)


@given(st.integers(0, 10**9))
def test_a_car_is_moved_by_those_who_have_it_to_others_and_then_rests(seed: int) -> None:
    owners: dict[int, tuple[int, ...]] = {}
    moved_at: dict[int, int] = {}
    for place, move in enumerate(plan(Shape(cars=60, transfers=300, drivers=6, apart=40), seed)):
        assert move.owners == owners.get(move.car, ())
        assert move.owners != move.recipients
        assert not set(move.owners) & set(move.recipients)
        assert place - moved_at.get(move.car, -40) >= 40
        owners[move.car], moved_at[move.car] = move.recipients, place


def test_some_cars_and_one_driver_are_hot_some_leases_are_joint_and_some_cars_come_back() -> None:
    moves = plan(Shape(cars=500, transfers=5_000, drivers=100, apart=20), seed=1)
    often = [sum(move.car == car for move in moves) for car in range(500)]
    assert min(often[:10]) > 3 * max(often[10:])
    leased = [sum(driver in move.recipients for move in moves) for driver in range(100)]
    assert leased[0] > 2 * max(leased[1:])
    parts = [sum(is_so(move) for move in moves) / len(moves) for is_so in (is_joint, is_return)]
    assert parts[0] == pytest.approx(0.08, abs=0.02)
    assert parts[1] == pytest.approx(0.23, abs=0.03)


def is_joint(move: Move) -> bool:
    """Whether two get the car together."""
    return len(move.recipients) == 2


def is_return(move: Move) -> bool:
    """Whether the lessor gets it back."""
    return not move.recipients


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (Shape(cars=50, transfers=1, apart=50), "cars that rest for 50 transfers must be more than 51"),
        (Shape(cars=200, transfers=1, drivers=4, apart=50), "at least 5 drivers"),
    ],
)
def test_a_history_that_cannot_be_is_refused(shape: Shape, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan(shape, seed=1)


@pytest.fixture(scope="module")
def story() -> Story:
    """A signed history."""
    return signed_story(Shape(cars=40, transfers=60, drivers=8, apart=20), seed=1)


def test_a_joint_lease_has_one_output_that_both_own_and_both_sign_its_end(story: Story) -> None:
    by_id = {one["id"]: one for one in story.transactions}
    joint = {one["id"] for one in story.moved if len(one["outputs"][0]["public_keys"]) == 2}
    ends = [one for one in story.moved if one["inputs"][0]["fulfills"]["transaction_id"] in joint]
    assert joint
    assert ends
    for one in ends:
        spent = by_id[one["inputs"][0]["fulfills"]["transaction_id"]]
        assert one["inputs"][0]["owners_before"] == spent["outputs"][0]["public_keys"]
        assert len(one["outputs"]) == 1


def test_every_transfer_spends_the_last_one_of_its_car(story: Story) -> None:
    last = {one["id"]: one["id"] for one in story.registered}
    for one in story.moved:
        assert one["inputs"][0]["fulfills"]["transaction_id"] == last[asset_of(one)]
        last[asset_of(one)] = one["id"]


def test_no_wave_moves_a_car_twice_and_none_is_larger_than_a_block(story: Story) -> None:
    found = list(waves(story))
    assert [one for wave in found for one in wave] == story.transactions
    assert all(len({asset_of(one) for one in wave}) == len(wave) <= 1000 for wave in found)
    assert {
        len(wave) for wave in waves(Story([{"id": str(one), "operation": "CREATE"} for one in range(2001)], []))
    } == {
        1000,
        1,
    }


def test_drivers_are_known_by_their_numbers(story: Story) -> None:
    drivers = {key_pair(f"driver {one}").public_key for one in range(8)}
    owners = {key for one in story.moved for key in one["outputs"][0]["public_keys"]}
    assert len(owners & drivers) == len(owners) - 1


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        ([0.8, 0.9, 0.85], "0.85 (0.80 to 0.90)"),
        ([0.97, 1.04], "1.00 (0.97 to 1.04)"),
        ([0.9, 1.2, 1.1], HIDDEN),
        ([3.0, 7.0], HIDDEN),
        ([2.0], ALONE),
    ],
)
def test_a_ratio_that_its_spread_hides_is_not_told(ratios: list[float], told: str) -> None:
    assert told_ratio(ratios) == told


def test_the_noise_is_that_of_the_same_work_at_different_times() -> None:
    watch = noise.Watch()
    watch.look()
    watch.look()
    found = watch.noise()
    assert len(found.seconds) == 2
    assert all(seconds > 0 for seconds in found.seconds)
    assert found.spread >= 0
    assert 0 <= found.stolen <= 1
    assert noise.Noise(0.5, [1.0, 1.5, 2.0]).spread == pytest.approx(2 / 3)


SAMPLES = """\
run (/app/functions/recording.py:60);load_car (/app/functions/records/record.py:9);send (/x/aiohttp/client.py:7) 30
run (/app/functions/recording.py:60);verify (/app/functions/leasing/evidence.py:9);decode (/x/json/decoder.py:1) 50
_run_once (/x/asyncio/base_events.py:1);EpollSelector.select (/x/selectors.py:452) 900
<module> (/app/else.py:1) 20
"""


def test_a_sample_counts_for_the_innermost_part_and_waiting_does_not() -> None:
    found = shares(SAMPLES, FUNCTION_PARTS)
    assert found == {
        "evidence: hash, conditions, signatures": 0.5,
        "Table Storage: HTTP": 0.3,
        OTHER: 0.2,
    }
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_nothing_is_shared_where_there_are_no_samples() -> None:
    assert shares("", RELAY_PARTS) == {}


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
