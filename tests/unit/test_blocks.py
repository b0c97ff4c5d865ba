"""Blocks as values: the order of the transactions in one, what is refused as no block, and what is forwarded."""

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.blocks import (
    Block,
    MalformedBlockError,
    Transaction,
    in_spending_order,
    read_block,
    read_transaction,
    read_transactions,
    sequence,
)

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
# Every text but the halves of surrogate pairs, which UTF-8 cannot write.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
METADATA: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
DEEP = b"[" * 100_000 + b"]" * 100_000


def body(name: str, *spent: str) -> dict[str, Any]:
    """A transaction of one car; `spent` are the ids of those whose first output it spends, none for a CREATE."""
    return {
        "id": name,
        "operation": "TRANSFER" if spent else "CREATE",
        "asset": {"id": "car"} if spent else {"data": {}},
        "inputs": [{"fulfills": {"transaction_id": one, "output_index": 0}} for one in spent] or [{"fulfills": None}],
        "outputs": [],
    }


def transaction(name: str, *spent: str) -> Transaction:
    """The same as a value."""
    return read_transaction(json.dumps(body(name, *spent)).encode(), "of this test")


def block_of(bodies: object) -> Block:
    """The block 7 that is read from these transactions."""
    return read_block(7, json.dumps({"height": 7, "transactions": bodies}).encode())


@st.composite
def shuffled_blocks(draw: st.DrawFn) -> tuple[list[Transaction], list[Transaction]]:
    """Transactions that spend each other, or outputs of earlier blocks, in two orders. Ids say nothing of the order."""
    names = [hashlib.sha256(bytes([n])).hexdigest() for n in range(draw(st.integers(0, 12)))]
    block = []
    for n, name in enumerate(names):
        spent = draw(st.lists(st.sampled_from([*names[:n], "of an earlier block"]), max_size=3, unique=True))
        block.append(transaction(name, *spent))
    return block, draw(st.permutations(block))


@given(shuffled_blocks())
def test_the_order_is_the_same_however_the_node_shuffles_a_block(
    blocks: tuple[list[Transaction], list[Transaction]],
) -> None:
    one, other = blocks
    assert in_spending_order(one) == in_spending_order(other)


@given(shuffled_blocks())
def test_each_transaction_comes_after_those_it_spends_and_none_is_lost(
    blocks: tuple[list[Transaction], list[Transaction]],
) -> None:
    block, shuffled = blocks
    ordered = [one.id for one in in_spending_order(shuffled)]
    assert sorted(ordered) == sorted(one.id for one in block)
    for one in block:
        assert all(ordered.index(spent) < ordered.index(one.id) for spent in one.spends if spent in ordered)


def test_transactions_that_spend_nothing_of_the_block_stand_in_the_order_of_their_ids() -> None:
    block = [transaction("b"), transaction("c"), transaction("a")]
    assert [one.id for one in in_spending_order(block)] == ["a", "b", "c"]


def test_a_chain_of_a_thousand_in_one_block_is_ordered() -> None:
    chain = [transaction("0"), *(transaction(str(n), str(n - 1)) for n in range(1, 1000))]
    shuffled = random.Random(1).sample(chain, len(chain))
    assert [one.id for one in in_spending_order(shuffled)] == [str(n) for n in range(1000)]


@pytest.mark.parametrize(
    "circle",
    [
        [transaction("a", "a")],
        [transaction("a", "b"), transaction("b", "a")],
        [transaction("a"), transaction("b", "a", "d"), transaction("c", "b"), transaction("d", "c")],
    ],
    ids=["of one", "of two", "of three, with one outside"],
)
def test_transactions_that_spend_each_other_in_a_circle_are_refused(circle: list[Transaction]) -> None:
    with pytest.raises(MalformedBlockError):
        in_spending_order(circle)


def test_a_block_is_read_in_spending_order() -> None:
    assert block_of([body("a", "b"), body("b")]) == Block(7, (transaction("b"), transaction("a", "b")))


def test_an_empty_block_is_a_block() -> None:
    assert block_of([]) == Block(7, ())


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
        {"height": 7.0, "transactions": []},
        {"height": 7, "transactions": None},
        {"height": 7, "transactions": {}},
        {"height": 7, "transactions": ""},
        {"message": "Not found", "status": 404},
    ],
    ids=repr,
)
def test_what_is_not_the_block_that_was_asked_for_is_refused(answer: Any) -> None:
    with pytest.raises(MalformedBlockError, match="block 7"):
        read_block(7, json.dumps(answer).encode())
    if isinstance(answer, dict):
        with pytest.raises(MalformedBlockError, match="block 7"):
            read_block(7, json.dumps({**answer, "odd": float("nan")}).encode())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>Bad gateway</html>",
        b'{"height": 7, "transactions": [',
        b'{"height": 7, "transactions": []} and more',
        b"\xff\xfe",
        DEEP,
        b'{"height": 7, "transactions": [], "more": ' + DEEP + b"}",
        b'{"height": ' + b"9" * 5_000 + b', "transactions": []}',
    ],
    ids=lambda answer: repr(answer)[:40],
)
def test_what_is_no_json_is_refused(answer: bytes) -> None:
    with pytest.raises(MalformedBlockError, match="block 7"):
        read_block(7, answer)


def _without(part: str) -> dict[str, Any]:
    return {name: value for name, value in body("a", "b").items() if name != part}


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "a",
        [],
        {},
        *(_without(part) for part in ("id", "operation", "asset", "inputs", "outputs")),
        {**body("a", "b"), "id": None},
        {**body("a", "b"), "id": 5},
        {**body("a", "b"), "operation": None},
        {**body("a", "b"), "asset": None},
        {**body("a", "b"), "asset": []},
        {**body("a", "b"), "asset": {}},
        {**body("a", "b"), "asset": {"id": None}},
        {**body("a", "b"), "asset": {"id": 5}},
        {**body("a"), "inputs": None},
        {**body("a"), "inputs": {}},
        {**body("a"), "inputs": [None]},
        {**body("a"), "inputs": [{}]},
        {**body("a"), "inputs": [{"fulfills": {}}]},
        {**body("a"), "inputs": [{"fulfills": "b"}]},
        {**body("a"), "inputs": [{"fulfills": {"transaction_id": 5, "output_index": 0}}]},
        {**body("a"), "inputs": [{"fulfills": {"transaction_id": "b"}}]},
        {**body("a"), "outputs": None},
    ],
    ids=repr,
)
@pytest.mark.parametrize("beside", [body("whole"), {**body("whole"), "metadata": float("nan")}], ids=["", "with NaN"])
def test_a_block_with_one_transaction_that_lacks_a_part_is_refused_whole(odd: Any, beside: dict[str, Any]) -> None:
    with pytest.raises(MalformedBlockError, match="block 7"):
        block_of([beside, odd])


@pytest.mark.parametrize("named", [{"id": "\ud800"}, {"asset": {"id": "\ud800"}}], ids=["its own", "its asset's"])
def test_an_id_that_no_event_could_carry_is_refused_with_its_block(named: dict[str, Any]) -> None:
    with pytest.raises(MalformedBlockError, match="block 7"):
        block_of([body("whole"), {**body("a", "b"), **named}])


@given(JSON_VALUES)
def test_no_other_answer_is_taken_for_a_block(answer: Any) -> None:
    with pytest.raises(MalformedBlockError):
        read_block(7, json.dumps(answer).encode())


@given(st.binary(max_size=40))
def test_no_bytes_are_taken_for_a_block(answer: bytes) -> None:
    with pytest.raises(MalformedBlockError):
        read_block(7, answer)


@given(st.lists(JSON_VALUES, min_size=1, max_size=3))
def test_no_list_of_other_values_is_taken_for_the_transactions_of_a_block(values: list[Any]) -> None:
    with pytest.raises(MalformedBlockError):
        block_of(values)


def test_the_asset_of_a_create_is_itself_and_that_of_a_transfer_is_named() -> None:
    assert [transaction("a").asset_id, transaction("b", "a").asset_id] == ["a", "car"]


def test_a_create_is_its_own_asset_whatever_its_asset_calls_itself() -> None:
    [found] = block_of([{**body("a"), "asset": {"id": "another", "data": {}}}]).transactions
    assert found.asset_id == "a"


def test_of_a_create_the_texts_that_sign_for_it_are_kept() -> None:
    inputs = [{"fulfills": None, "fulfillment": text} for text in ("one", 5, None, "another")]
    for more in ({}, {"metadata": float("nan")}):
        [found] = block_of([{**body("a"), "inputs": inputs, **more}]).transactions
        assert [text for text in found.fulfillments if text] == ["one", "another"]


PLACES = st.tuples(st.integers(1, 10**12 - 1), st.integers(0, 10**6 - 1))


@given(PLACES, PLACES)
def test_places_sort_as_text_as_they_do_on_the_ledger(one: tuple[int, int], other: tuple[int, int]) -> None:
    assert (sequence(*one) < sequence(*other)) == (one < other)
    assert len(sequence(*one)) == len(sequence(*other))


# ---- what is forwarded


@given(st.lists(st.tuples(METADATA, st.sampled_from([None, 1]), st.booleans()), max_size=4))
def test_what_is_forwarded_is_byte_for_byte_what_the_node_wrote(styles: list[tuple[Any, int | None, bool]]) -> None:
    texts = [
        json.dumps({**body(str(n)), "metadata": metadata}, indent=indent, ensure_ascii=is_ascii).encode()
        for n, (metadata, indent, is_ascii) in enumerate(styles)
    ]
    found = read_block(7, b'{ "height": 7,\n"transactions": [ ' + b" , ".join(texts) + b" ] }\n")
    assert [one.raw for one in found.transactions] == texts
    assert [read_transaction(text, "of this test") for text in texts] == list(found.transactions)
    assert read_transactions(b"[" + b",".join(texts) + b"]", "of this test") == list(found.transactions)


def test_numbers_are_forwarded_as_they_are_written() -> None:
    text = json.dumps(body("a"))[:-1].encode() + b', "metadata": [1.0, 1e2, 1E400, -0.0, 0.10, 100000000000000000000]}'
    [found] = read_block(7, b'{"height": 7, "transactions": [' + text + b"]}").transactions
    assert (found.raw, found.unsendable) == (text, "")


ODD = {
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "half of a surrogate pair": rb'"\ud800"',
    "half of a surrogate pair as bytes": b'"\xed\xa0\x80"',
    "1e999": b"1e999",
    "more than 64 bits": b"1" + b"0" * 30,
    "more digits than Python reads": b"9" * 5_000,
    "invalid UTF-8": b'"\xff"',
    "duplicate names": b'{"a": 1, "a": 2}',
    "nested": b"[" * 200 + b"]" * 200,
}
PLACES_IN_A_TRANSACTION: dict[str, tuple[bytes, bytes]] = {
    "metadata": (b'"outputs": []', b'"outputs": [], "metadata": {"odd": %s}'),
    "the asset's data": (b'"asset": {"data": {}}', b'"asset": {"data": {"odd": %s}}'),
    "a fulfillment": (b'"fulfills": null', b'"fulfills": null, "fulfillment": %s'),
    "an output": (b'"outputs": []', b'"outputs": [{"amount": %s}]'),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("place", PLACES_IN_A_TRANSACTION.values(), ids=PLACES_IN_A_TRANSACTION)
def test_what_is_odd_in_one_transaction_does_not_hide_the_others_of_its_block(
    odd: bytes, place: tuple[bytes, bytes]
) -> None:
    plain, with_odd = place
    texts = [json.dumps(body(name)).encode() for name in "abc"]
    texts[1] = texts[1].replace(plain, with_odd % odd)
    found = read_block(7, b'{"height": 7, "transactions": [' + b", ".join(texts) + b"]}").transactions
    assert [one.id for one in found] == ["a", "b", "c"]
    assert [(json.loads(one.raw), one.unsendable) for one in (found[0], found[2])] == [
        (body("a"), ""),
        (body("c"), ""),
    ]
    # It is sent as it is, for the Function to judge, or known to be unsendable.
    assert bool(found[1].raw) != bool(found[1].unsendable)


def test_a_transaction_that_json_has_no_words_for_says_so_and_is_not_sent() -> None:
    [_, odd] = block_of([body("a"), {**body("b"), "metadata": float("nan")}]).transactions
    assert odd.raw == b""
    assert odd.unsendable.startswith("it cannot be written as JSON: ")


# ---- what tells a block from that of another ledger


@given(shuffled_blocks())
def test_the_fingerprint_of_a_block_is_the_same_for_any_order(
    blocks: tuple[list[Transaction], list[Transaction]],
) -> None:
    one, other = blocks
    assert Block(7, tuple(one)).fingerprint == Block(7, tuple(other)).fingerprint


@given(st.sets(st.text(max_size=3), min_size=1, max_size=4), st.sets(st.text(max_size=3), min_size=1, max_size=4))
def test_the_fingerprints_of_blocks_with_other_transactions_differ(one: set[str], other: set[str]) -> None:
    [first, second] = [Block(7, tuple(transaction_named(name) for name in names)) for names in (one, other)]
    assert (first.fingerprint == second.fingerprint) == (one == other)


def transaction_named(name: str) -> Transaction:
    return Transaction(name, "CREATE", name, (), (), b"{}")


def test_an_empty_block_has_no_fingerprint_and_another_a_short_one() -> None:
    assert Block(7, ()).fingerprint == ""
    assert len(Block(7, (transaction("a"),)).fingerprint) == 32
