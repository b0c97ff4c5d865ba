"""What a chaos run is to be, decided before it runs: the history and the accidents of a seed."""

from collections import Counter
from itertools import islice

import pytest
from bigchaindb_driver.common.transaction import Transaction

from local import audit
from local.chaos.history import LESSORS, UNTRUSTED, History
from local.chaos.schedule import FAULTS, HAPPENINGS, PARTS, Episode, What, plan
from local.scenario import JsonObject

WAVES = 60
TRUSTED = frozenset(lessor.public_key for lessor in LESSORS)


def history(seed: int) -> list[list[JsonObject]]:
    return list(islice(History(seed).waves(20), WAVES))


def ids(waves: list[list[JsonObject]]) -> list[str]:
    return [transaction["id"] for wave in waves for transaction in wave]


@pytest.fixture(scope="module")
def waves() -> list[list[JsonObject]]:
    return history(1)


def test_the_same_seed_gives_the_same_history_and_another_one_another(waves: list[list[JsonObject]]) -> None:
    assert ids(history(1)) == ids(waves)
    assert not set(ids(history(2))) & set(ids(waves))


def test_the_driver_takes_every_transaction_of_a_history_for_genuine(waves: list[list[JsonObject]]) -> None:
    before: dict[str, Transaction] = {}
    for wave in waves[:40]:
        for transaction in wave:
            Transaction.validate_id(transaction)
            parsed = Transaction.from_dict(transaction)
            spent = [
                before[one["fulfills"]["transaction_id"]].outputs[one["fulfills"]["output_index"]]
                for one in transaction["inputs"]
                if one["fulfills"]
            ]
            assert parsed.inputs_valid(spent or None)
            before[transaction["id"]] = parsed


def test_no_wave_moves_an_asset_twice_and_no_output_is_spent_twice(waves: list[list[JsonObject]]) -> None:
    spent = set()
    for wave in waves:
        moved = [one["asset"]["id"] for one in wave if one["operation"] == "TRANSFER"]
        assert len(moved) == len(set(moved))
        for one in (one["fulfills"] for transaction in wave for one in transaction["inputs"] if one["fulfills"]):
            reference = one["transaction_id"], one["output_index"]
            assert reference not in spent
            spent.add(reference)


def test_a_history_has_all_that_can_happen_to_a_car(waves: list[list[JsonObject]]) -> None:
    transactions = [one for wave in waves for one in wave]
    moves = [one for one in transactions if one["operation"] == "TRANSFER"]
    shapes = Counter((len(one["inputs"]) > 1, len(one["outputs"]) > 1) for one in moves)
    assert len(shapes) == 4, "shares are split, joined, and both"
    assert any(len(output["public_keys"]) > 1 for one in moves for output in one["outputs"]), "joint drivers"
    assert any(one["metadata"] is None for one in moves), "no terms"
    assert any(one["metadata"] and "lease" not in one["metadata"] for one in moves), "odd terms"
    assert any(one["inputs"][0]["owners_before"] == one["outputs"][0]["public_keys"] for one in moves), "renewals"
    signers = {one["inputs"][0]["owners_before"][0] for one in transactions if one["operation"] == "CREATE"}
    assert signers > TRUSTED, "both lessors"
    assert UNTRUSTED.public_key in signers
    assert signers - TRUSTED - {UNTRUSTED.public_key}, "strangers' assets"
    facts = audit.fold(iter(waves), TRUSTED)
    assert any(end for _, end in facts.leases.values()), "leases end"
    assert any(len(car.unspent) > 1 for car in facts.cars.values()), "cars stay divided"


def test_the_same_seed_gives_the_same_accidents_and_another_one_others() -> None:
    assert plan(7, 120) == plan(7, 120)
    assert plan(7, 120) != plan(8, 120)


@pytest.mark.parametrize("seed", range(5))
def test_a_long_run_has_every_accident_there_is(seed: int) -> None:
    episodes = plan(seed, 600)
    faults = {(one.accident.where, one.accident.fault.kind) for one in episodes if one.accident.fault}
    happenings = {(one.accident.where, one.accident.what) for one in episodes if not one.accident.fault}
    assert len(faults) == len(FAULTS)
    assert len(happenings) == len(HAPPENINGS)


@pytest.mark.parametrize("seed", range(5))
def test_what_happens_at_one_place_happens_one_after_the_other_and_ends_in_time(seed: int) -> None:
    busy: dict[str, float] = {}
    episodes = plan(seed, 300)
    assert episodes == sorted(episodes, key=lambda one: one.at)
    for episode in episodes:
        for place in places(episode):
            assert episode.at >= busy.get(place, 0.0)
            busy[place] = episode.at + episode.lasts
    assert max(busy.values()) < 300


def places(episode: Episode) -> tuple[str, ...]:
    return PARTS if episode.accident.what is What.POWER_CUT else (episode.accident.where,)
