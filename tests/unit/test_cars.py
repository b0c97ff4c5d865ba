"""Which transactions the relay takes for a car's, and what it asks the node to find out."""

from typing import Any

import pytest

from relay import cars
from relay.blocks import TransactionBody, read_block
from relay.cars import Cars
from relay.errors import LedgerError
from tests.writing import create, new_keys, spoofed_create, transfer

LESSOR = new_keys()
OTHER = new_keys()
CAR = create(LESSOR)
BIKE = create(OTHER)
CAR_MOVES = transfer(CAR, LESSOR, OTHER.public_key)
BIKE_MOVES = transfer(BIKE, OTHER, LESSOR.public_key)


class Node:
    """Transactions by id, and which of them were asked for."""

    def __init__(self, *known: TransactionBody) -> None:
        self._known = {one["id"]: one for one in known}
        self.asked: list[str] = []

    def find(self, transaction_id: str) -> TransactionBody | None:
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
    assert not cars_on(Node()).moves_car(spoofed_create(LESSOR.public_key, OTHER))


def test_the_signature_of_any_of_several_lessors_makes_a_car() -> None:
    known = Cars({LESSOR.public_key, OTHER.public_key}, Node().find)
    assert known.moves_car(CAR)
    assert known.moves_car(BIKE)


def test_a_lessor_among_the_signers_of_any_input_counts() -> None:
    assert cars_on(Node()).moves_car({**BIKE, "inputs": [*BIKE["inputs"], *CAR["inputs"]]})


def test_an_asset_is_looked_up_once() -> None:
    node = Node(CAR, BIKE)
    known = cars_on(node)
    assert [known.moves_car(one) for one in (CAR_MOVES, BIKE_MOVES) * 3] == [True, False] * 3
    assert node.asked == [CAR["id"], BIKE["id"]]


def test_an_asset_whose_create_went_by_is_not_looked_up() -> None:
    node = Node()
    known = cars_on(node)
    assert [known.moves_car(one) for one in (CAR, CAR_MOVES)] == [True, True]
    assert node.asked == []


def test_an_asset_whose_create_the_node_lacks_is_neither_car_nor_not_and_is_asked_for_again() -> None:
    node = Node()
    known = cars_on(node)
    for _ in range(2):
        with pytest.raises(LedgerError, match=f"{CAR_MOVES['id']} moves asset {CAR['id']}"):
            known.moves_car(CAR_MOVES)
    assert node.asked == [CAR["id"]] * 2


def test_other_operations_move_no_car() -> None:
    assert not cars_on(Node()).moves_car({**CAR, "operation": "VALIDATOR_ELECTION"})


def test_an_asset_that_the_function_ignored_is_no_car_any_more() -> None:
    node = Node(CAR)
    known = cars_on(node)
    known.moves_car(CAR)
    known.forget(CAR["id"])
    assert not known.moves_car(CAR_MOVES)
    assert node.asked == []


def test_a_create_that_is_seen_again_makes_a_car_again() -> None:
    known = cars_on(Node())
    known.forget(CAR["id"])
    assert [known.moves_car(one) for one in (CAR, CAR_MOVES)] == [True, True]


def test_only_the_assets_seen_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cars, "REMEMBERED_ASSETS", 2)
    a, b, c = (create(LESSOR) for _ in range(3))
    node = Node(a, b, c)
    known = cars_on(node)
    for one in (a, b, a, c, a, b):
        assert known.moves_car(transfer(one, LESSOR, OTHER.public_key))
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
        {"fulfillment": "not base64!"},
        {"fulfillment": {"public_key": LESSOR.public_key, "type": "ed25519-sha-256"}},
        {"owners_before": 5},
        {"owners_before": [["nested"]]},
    ],
    ids=repr,
)
def test_a_fulfillment_that_makes_no_sense_makes_no_car_and_stops_nothing(one_input: dict[str, Any]) -> None:
    senseless = {**CAR, "inputs": [{"fulfills": None, **one_input}]}
    [body] = read_block(1, {"height": 1, "transactions": [senseless]}).transactions
    assert not cars_on(Node()).moves_car(body)
