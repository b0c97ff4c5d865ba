"""Which transactions the relay takes for a car's, and what it asks the node to find out."""

import json
import random
import threading
import time
from typing import Any

import pytest

from relay import cars
from relay.blocks import Transaction, read_block, read_transaction
from relay.cars import Cars, Recent
from relay.errors import LedgerError
from tests.writing import create, new_keys, spoofed_create, transfer

Json = dict[str, Any]

LESSOR = new_keys()
OTHER = new_keys()
CAR_BODY = create(LESSOR)
BIKE_BODY = create(OTHER)


def read(body: Json) -> Transaction:
    """A transaction as the relay reads it from a node."""
    return read_transaction(json.dumps(body).encode(), "of this test")


CAR = read(CAR_BODY)
BIKE = read(BIKE_BODY)
CAR_MOVES = read(transfer(CAR_BODY, LESSOR, OTHER.public_key))
BIKE_MOVES = read(transfer(BIKE_BODY, OTHER, LESSOR.public_key))


class Node:
    """Transactions by id, and which of them were asked for."""

    def __init__(self, *known: Transaction) -> None:
        self._known = {one.id: one for one in known}
        self.asked: list[str] = []

    def find(self, transaction_id: str) -> Transaction | None:
        self.asked.append(transaction_id)
        return self._known.get(transaction_id)


def cars_on(node: Node) -> Cars:
    return Cars({LESSOR.public_key}, node.find)


def test_an_asset_that_a_trusted_lessor_signed_for_is_a_car_and_another_is_not() -> None:
    known = cars_on(Node(CAR, BIKE))
    assert [known.moves_car(one) for one in (CAR, CAR_MOVES, BIKE, BIKE_MOVES)] == [True, True, False, False]


def test_an_asset_is_judged_alike_whether_its_create_or_its_transfer_is_seen_first() -> None:
    known = cars_on(Node(CAR, BIKE))
    assert [known.moves_car(one) for one in (CAR_MOVES, CAR, BIKE_MOVES, BIKE)] == [True, True, False, False]


def test_an_asset_that_only_names_the_lessor_as_owner_before_is_no_car() -> None:
    assert not cars_on(Node()).moves_car(read(spoofed_create(LESSOR.public_key, OTHER)))


def test_the_signature_of_any_of_several_lessors_makes_a_car() -> None:
    known = Cars({LESSOR.public_key, OTHER.public_key}, Node().find)
    assert known.moves_car(CAR)
    assert known.moves_car(BIKE)


def test_a_lessor_among_the_signers_of_any_input_counts() -> None:
    both = {**BIKE_BODY, "inputs": [*BIKE_BODY["inputs"], *CAR_BODY["inputs"]]}
    assert cars_on(Node()).moves_car(read(both))


def test_an_asset_is_looked_up_once() -> None:
    node = Node(CAR, BIKE)
    known = cars_on(node)
    assert [known.moves_car(one) for one in (CAR_MOVES, BIKE_MOVES) * 3] == [True, False] * 3
    assert node.asked == [CAR.id, BIKE.id]


def test_an_asset_whose_create_went_by_is_not_looked_up() -> None:
    node = Node()
    known = cars_on(node)
    assert [known.moves_car(one) for one in (CAR, CAR_MOVES)] == [True, True]
    assert node.asked == []


def test_an_asset_whose_create_the_node_lacks_is_neither_car_nor_not_and_is_asked_for_again() -> None:
    node = Node()
    known = cars_on(node)
    for _ in range(2):
        with pytest.raises(LedgerError, match=f"{CAR_MOVES.id} moves asset {CAR.id}"):
            known.moves_car(CAR_MOVES)
    assert node.asked == [CAR.id] * 2


def test_other_operations_move_no_car() -> None:
    assert not cars_on(Node()).moves_car(read({**CAR_BODY, "operation": "VALIDATOR_ELECTION"}))


def test_only_the_assets_seen_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cars, "REMEMBERED_ASSETS", 2)
    a, b, c = (create(LESSOR) for _ in range(3))
    node = Node(*map(read, (a, b, c)))
    known = cars_on(node)
    for one in (a, b, a, c, a, b):
        assert known.moves_car(read(transfer(one, LESSOR, OTHER.public_key)))
    assert node.asked == [a["id"], b["id"], c["id"], b["id"]]


@pytest.mark.parametrize(
    "one_input",
    [
        {},
        {"fulfillment": None},
        {"fulfillment": 5},
        {"fulfillment": ["nested"]},
        {"fulfillment": ""},
        {"fulfillment": "A"},
        {"fulfillment": "é"},
        {"fulfillment": "\ud800"},
        {"fulfillment": "not base64!"},
        {"fulfillment": {"public_key": LESSOR.public_key, "type": "ed25519-sha-256"}},
        {"owners_before": 5},
        {"owners_before": [["nested"]]},
    ],
    ids=repr,
)
def test_a_fulfillment_that_makes_no_sense_makes_no_car_and_stops_nothing(one_input: Json) -> None:
    senseless = {**CAR_BODY, "inputs": [{"fulfills": None, **one_input}]}
    [found] = read_block(1, json.dumps({"height": 1, "transactions": [senseless]}).encode()).transactions
    assert not cars_on(Node()).moves_car(found)


# ---- what is remembered


def test_what_is_remembered_is_bounded_and_what_was_looked_at_last_stays() -> None:
    recent: Recent[int] = Recent(2)
    assert [recent.put("a", 1), recent.put("b", 2)] == [1, 2]
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert [recent.get(key) for key in "abc"] == [1, None, 3]


def test_a_value_that_is_put_again_takes_the_place_of_the_former() -> None:
    recent: Recent[bool] = Recent(2)
    for value in (True, False):
        recent.put("a", value)
    recent.put("b", value=True)
    assert [recent.get(key) for key in "ab"] == [False, True]


class Interrupted(str):
    """A key at which another thread takes its turn whenever it is looked at."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)

    def __hash__(self) -> int:
        time.sleep(0)
        return str.__hash__(self)


def test_several_threads_may_remember_at_once() -> None:
    recent: Recent[str] = Recent(2)
    keys = [Interrupted(n) for n in range(4)]
    wrong: list[object] = []

    def use(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(500):
                key = dice.choice(keys)
                if recent.get(key) not in {None, str(key)}:
                    wrong.append(key)
                recent.put(key, str(key))
        except Exception as error:  # noqa: BLE001  # the test tells it
            wrong.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(recent.get(key) is not None for key in keys) == 2


def test_an_asset_is_judged_alike_by_several_threads() -> None:
    known = Cars({LESSOR.public_key}, Node(CAR, BIKE).find)
    found: list[list[bool]] = []
    threads = [
        threading.Thread(target=lambda: found.append([known.moves_car(one) for one in (CAR_MOVES, BIKE_MOVES) * 50]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[True, False] * 50] * 4
