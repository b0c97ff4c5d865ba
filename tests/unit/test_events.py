"""The events that are sent: what a receiver reads from them, and how they are cut into batches."""

import itertools
import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay import events
from relay.events import CarEvent, UnsendableError, batches, encode_batch, make_event

SOURCE = "urn:bigchaindb:test"
LARGEST = 20
"""Bytes that a batch may have in the tests of cutting."""

# Every text but the halves of surrogate pairs, which no ledger takes.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
METADATA: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def create(metadata: Any) -> dict[str, Any]:
    return {
        "id": "a",
        "operation": "CREATE",
        "asset": {"data": None},
        "inputs": [],
        "outputs": [],
        "metadata": metadata,
    }


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_an_event_says_what_the_contract_asks_for() -> None:
    transfer = {**create(None), "id": "b", "operation": "TRANSFER", "asset": {"id": "a"}}
    event = make_event(transfer, "000000000007-000001", SOURCE)
    assert json.loads(event.encoded) == {
        "specversion": "1.0",
        "id": "b",
        "source": SOURCE,
        "type": "bigchaindb.transaction.committed",
        "subject": "a",
        "partitionkey": "a",
        "sequence": "000000000007-000001",
        "datacontenttype": "application/json",
        "data": transfer,
    }
    assert (event.transaction_id, event.asset_id, event.sequence) == ("b", "a", "000000000007-000001")


@given(st.lists(METADATA, min_size=1, max_size=4))
@example([10**100, -(2**64), 5e-324, 1.7976931348623157e308, -0.0, 0.1, "\x00\u2028\x7f \N{AUTOMOBILE} é"])
def test_the_body_of_a_batch_decodes_to_exactly_the_transactions(values: list[Any]) -> None:
    body = encode_batch([make_event(create(value), "0", SOURCE) for value in values])
    # repr tells -0.0 from 0.0, 1 from 1.0 and True from 1.
    assert repr([event["data"]["metadata"] for event in json.loads(body)]) == repr(values)


@pytest.mark.parametrize(
    "metadata",
    [float("nan"), float("inf"), -float("inf"), nested(100_000), 10**5000],
    ids=lambda value: str(type(value)),
)
def test_what_json_has_no_words_for_is_unsendable_and_the_error_names_the_transaction(metadata: Any) -> None:
    with pytest.raises(UnsendableError, match="transaction a "):
        make_event(create({"deep": metadata}), "0", SOURCE)


def of_sizes(sizes: list[int]) -> list[CarEvent]:
    return [CarEvent(str(index), "car", "0", b"x" * size) for index, size in enumerate(sizes)]


SIZES = st.lists(st.integers(1, LARGEST + 5), max_size=12).map(of_sizes)


def cut(given_events: list[CarEvent], most: int) -> list[list[CarEvent]]:
    with mock.patch.object(events, "MAX_BATCH_BYTES", LARGEST):
        return list(batches(given_events, most))


@given(SIZES, st.integers(1, 5))
def test_batches_hold_every_event_once_in_order_and_at_most_so_many(given_events: list[CarEvent], most: int) -> None:
    cut_up = cut(given_events, most)
    assert [event for batch in cut_up for event in batch] == given_events
    assert all(1 <= len(batch) <= most for batch in cut_up)


@given(SIZES, st.integers(1, 5))
@example(of_sizes([9, 9]), 5)
def test_no_body_is_larger_than_allowed_unless_it_holds_one_event(given_events: list[CarEvent], most: int) -> None:
    assert all(len(batch) == 1 or len(encode_batch(batch)) <= LARGEST for batch in cut(given_events, most))


@given(SIZES, st.integers(1, 5))
def test_no_batch_is_cut_while_the_next_event_would_fit(given_events: list[CarEvent], most: int) -> None:
    cut_up = cut(given_events, most)
    for batch, following in itertools.pairwise(cut_up):
        assert len(batch) == most or len(encode_batch([*batch, following[0]])) > LARGEST


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    sizes = [[len(event.encoded) for event in batch] for batch in cut(of_sizes([3, LARGEST * 2, 3, 3]), 5)]
    assert sizes == [[3], [LARGEST * 2], [3, 3]]


def test_a_batch_is_cut_at_one_megabyte() -> None:
    sizes = [len(encode_batch(batch)) for batch in batches(of_sizes([300_000] * 10), 500)]
    assert sizes == [900_004] * 3 + [300_002]
