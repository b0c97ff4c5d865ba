"""What the fuzzer makes of its corpus: inputs that differ, that can be had again, and that get far."""

import collections
import json
import random
from typing import Any

import pytest

from functions.leasing.car import Car, decide
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import MalformedTransactionError
from tests.fuzz.__main__ import main
from tests.fuzz.mutation import Mutation, genuine
from tests.fuzz.seeds import inputs
from tests.fuzz.targets import TARGETS
from tests.unit.ledger_writing import LESSORS, event

SEEDS = range(200)
MOST = 20_000


def cut(data: bytes, _most: int) -> bytes:
    """In place of the fuzzer's own way with bytes."""
    return data[:-1]


def mutated(target: str, name: str) -> list[bytes]:
    mutation = Mutation(inputs(target).values())
    return [mutation(inputs(target)[name], MOST, seed, cut) for seed in SEEDS]


@pytest.mark.parametrize("target", TARGETS)
def test_every_input_is_changed_in_many_ways_that_can_be_had_again(target: str) -> None:
    name = next(iter(inputs(target)))
    made = mutated(target, name)

    assert made == mutated(target, name)
    assert len(set(made)) > len(SEEDS) / 4
    assert max(map(len, made)) <= MOST


def test_of_changed_stories_of_a_car_every_outcome_of_the_domain_comes_up() -> None:
    outcomes = collections.Counter(
        outcome for text in mutated("transactions", "a-lease-handed-on-and-returned.json") for outcome in decided(text)
    )

    assert {Outcome.APPLIED, Outcome.DUPLICATE, Outcome.DEFERRED, Outcome.REJECTED, Outcome.IGNORED} <= outcomes.keys()
    assert outcomes[Outcome.APPLIED] > len(SEEDS) / 4


def decided(text: bytes) -> list[Outcome]:
    """The outcomes of the transactions in an input, as far as they can be read."""
    try:
        bodies: Any = json.loads(text)
    except ValueError:
        return []
    car: Car | None = None
    outcomes = []
    for body in bodies if isinstance(bodies, list) else []:
        try:
            decision = decide(car, event(body), LESSORS)
        except (MalformedTransactionError, TypeError):
            continue
        car = decision.car or car
        outcomes.append(decision.outcome)
    return outcomes


@pytest.mark.parametrize("seed", range(8))
def test_a_story_that_is_signed_again_is_one_of_other_transactions_and_applied_whole(seed: int) -> None:
    story = json.loads(inputs("ledger-events")["a-lease-handed-on-and-returned.http"].partition(b"\n\n")[2])
    story[0]["data"]["asset"]["data"]["color"] = "red"

    again = genuine(story, random.Random(seed))

    assert not {one["id"] for one in again} & {one["id"] for one in story}
    assert [(one["id"], one["subject"]) for one in again] == [(one["data"]["id"], again[0]["id"]) for one in again]
    assert decided(json.dumps([one["data"] for one in again]).encode()) == [Outcome.APPLIED] * len(story)


def test_without_a_target_the_targets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])

    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert [name for name in TARGETS if f"  {name} " not in listed] == []
