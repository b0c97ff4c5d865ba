"""Blocks as values: the order of the transactions in one, and what is refused as no block."""

import hashlib
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.blocks import Block, MalformedBlockError, asset_id, in_spending_order, read_block, sequence, spends

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def transaction(name: str, *spent: str) -> dict[str, Any]:
    """A transaction of one car; `spent` are the ids of those whose first output it spends, none for a CREATE."""
    return {
        "id": name,
        "operation": "TRANSFER" if spent else "CREATE",
        "asset": {"id": "car"} if spent else {"data": {}},
        "inputs": [{"fulfills": {"transaction_id": one, "output_index": 0}} for one in spent] or [{"fulfills": None}],
        "outputs": [],
    }


@st.composite
def shuffled_blocks(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Transactions that spend each other, or outputs of earlier blocks, in two orders. Ids say nothing of the order."""
    names = [hashlib.sha256(bytes([n])).hexdigest() for n in range(draw(st.integers(0, 12)))]
    block = []
    for n, name in enumerate(names):
        spent = draw(st.lists(st.sampled_from([*names[:n], "of an earlier block"]), max_size=3, unique=True))
        block.append(transaction(name, *spent))
    return block, draw(st.permutations(block))


@given(shuffled_blocks())
def test_the_order_is_the_same_however_the_node_shuffles_a_block(
    blocks: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    one, other = blocks
    assert in_spending_order(one) == in_spending_order(other)


@given(shuffled_blocks())
def test_each_transaction_comes_after_those_it_spends_and_none_is_lost(
    blocks: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    block, shuffled = blocks
    ordered = [one["id"] for one in in_spending_order(shuffled)]
    assert sorted(ordered) == sorted(one["id"] for one in block)
    for body in block:
        assert all(ordered.index(spent) < ordered.index(body["id"]) for spent in spends(body) if spent in ordered)


def test_transactions_that_spend_nothing_of_the_block_stand_in_the_order_of_their_ids() -> None:
    block = [transaction("b"), transaction("c"), transaction("a")]
    assert [one["id"] for one in in_spending_order(block)] == ["a", "b", "c"]


def test_a_chain_of_a_thousand_in_one_block_is_ordered() -> None:
    chain = [transaction("0"), *(transaction(str(n), str(n - 1)) for n in range(1, 1000))]
    shuffled = random.Random(1).sample(chain, len(chain))
    assert [one["id"] for one in in_spending_order(shuffled)] == [str(n) for n in range(1000)]


@pytest.mark.parametrize(
    "circle",
    [
        [transaction("a", "a")],
        [transaction("a", "b"), transaction("b", "a")],
        [transaction("a"), transaction("b", "a", "d"), transaction("c", "b"), transaction("d", "c")],
    ],
    ids=["of one", "of two", "of three, with one outside"],
)
def test_transactions_that_spend_each_other_in_a_circle_are_refused(circle: list[dict[str, Any]]) -> None:
    with pytest.raises(MalformedBlockError):
        in_spending_order(circle)


def test_a_block_is_read_in_spending_order() -> None:
    block = [transaction("a", "b"), transaction("b")]
    assert read_block(7, {"height": 7, "transactions": block}) == Block(7, (block[1], block[0]))


def test_an_empty_block_is_a_block() -> None:
    assert read_block(7, {"height": 7, "transactions": []}) == Block(7, ())


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "<html>Bad gateway</html>",
        "",
        [],
        {},
        {"height": 7},
        {"transactions": []},
        {"height": 8, "transactions": []},
        {"height": "7", "transactions": []},
        {"height": 7, "transactions": None},
        {"height": 7, "transactions": {}},
        {"height": 7, "transactions": ""},
        {"message": "Not found", "status": 404},
    ],
    ids=repr,
)
def test_what_is_not_the_block_that_was_asked_for_is_refused(answer: Any) -> None:
    with pytest.raises(MalformedBlockError):
        read_block(7, answer)


def _without(part: str) -> dict[str, Any]:
    return {name: value for name, value in transaction("a", "b").items() if name != part}


@pytest.mark.parametrize(
    "body",
    [
        None,
        "a",
        [],
        {},
        *(_without(part) for part in ("id", "operation", "asset", "inputs", "outputs")),
        {**transaction("a", "b"), "id": None},
        {**transaction("a", "b"), "id": 5},
        {**transaction("a", "b"), "operation": None},
        {**transaction("a", "b"), "asset": None},
        {**transaction("a", "b"), "asset": []},
        {**transaction("a", "b"), "asset": {}},
        {**transaction("a", "b"), "asset": {"id": None}},
        {**transaction("a", "b"), "asset": {"id": 5}},
        {**transaction("a"), "inputs": None},
        {**transaction("a"), "inputs": {}},
        {**transaction("a"), "inputs": [None]},
        {**transaction("a"), "inputs": [{}]},
        {**transaction("a"), "inputs": [{"fulfills": {}}]},
        {**transaction("a"), "inputs": [{"fulfills": "b"}]},
        {**transaction("a"), "inputs": [{"fulfills": {"transaction_id": 5, "output_index": 0}}]},
        {**transaction("a"), "inputs": [{"fulfills": {"transaction_id": "b"}}]},
        {**transaction("a"), "outputs": None},
    ],
    ids=repr,
)
def test_a_block_with_one_transaction_that_lacks_a_part_is_refused_whole(body: Any) -> None:
    with pytest.raises(MalformedBlockError, match="block 7"):
        read_block(7, {"height": 7, "transactions": [transaction("whole"), body]})


@given(JSON_VALUES)
def test_no_other_answer_is_taken_for_a_block(answer: Any) -> None:
    with pytest.raises(MalformedBlockError):
        read_block(7, answer)


@given(st.lists(JSON_VALUES, min_size=1, max_size=3))
def test_no_list_of_other_values_is_taken_for_the_transactions_of_a_block(values: list[Any]) -> None:
    with pytest.raises(MalformedBlockError):
        read_block(7, {"height": 7, "transactions": values})


def test_the_asset_of_a_create_is_itself_and_that_of_a_transfer_is_named() -> None:
    assert [asset_id(transaction("a")), asset_id(transaction("b", "a"))] == ["a", "car"]


PLACES = st.tuples(st.integers(1, 10**12 - 1), st.integers(0, 10**6 - 1))


@given(PLACES, PLACES)
def test_places_sort_as_text_as_they_do_on_the_ledger(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (sequence(*one) < sequence(*other)) == (one < other)
    assert len(sequence(*one)) == len(sequence(*other))
