"""The events that are sent: what a receiver reads from them, and how they are cut into batches."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.blocks import Transaction, read_transaction
from relay.events import MAX_BATCH_BYTES, CarEvent, by_car, encode_batch, following, how_many_fit, make_event

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


def read(body: dict[str, Any]) -> Transaction:
    """A transaction as the relay reads it from a node."""
    return read_transaction(json.dumps(body).encode(), "of this test")


def test_an_event_says_what_the_contract_asks_for() -> None:
    transfer = {**create(None), "id": "b", "operation": "TRANSFER", "asset": {"id": "a"}}
    event = make_event(read(transfer), 7, "000000000007-000001", SOURCE)
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
    assert (event.transaction_id, event.asset_id, event.sequence, event.height) == ("b", "a", "000000000007-000001", 7)
    assert event.unsendable == ""


@given(st.lists(METADATA, min_size=1, max_size=4))
@example([10**100, -(2**64), 5e-324, 1.7976931348623157e308, -0.0, 0.1, "\x00\u2028\x7f \N{AUTOMOBILE} é"])
def test_the_body_of_a_batch_decodes_to_exactly_the_transactions(values: list[Any]) -> None:
    body = encode_batch([make_event(read(create(value)), 7, "0", SOURCE) for value in values])
    # repr tells -0.0 from 0.0, 1 from 1.0 and True from 1.
    assert repr([event["data"]["metadata"] for event in json.loads(body)]) == repr(values)


@given(metadata=METADATA, is_ascii=st.booleans())
def test_the_data_of_an_event_are_byte_for_byte_the_nodes_text(*, metadata: Any, is_ascii: bool) -> None:
    text = json.dumps(create(metadata), ensure_ascii=is_ascii, indent=1).encode()
    event = make_event(read_transaction(text, "of this test"), 7, "0", SOURCE)
    assert event.encoded.endswith(b'"data":' + text + b"}")
    json.loads(event.encoded)


@given(TEXTS, TEXTS, TEXTS)
def test_no_id_and_no_source_breaks_out_of_its_quotes(name: str, asset: str, source: str) -> None:
    transfer = {**create(None), "id": name, "operation": "TRANSFER", "asset": {"id": asset}}
    written = json.loads(make_event(read(transfer), 7, "0", source).encoded)
    assert [written[part] for part in ("id", "source", "subject", "partitionkey")] == [name, source, asset, asset]


@given(TEXTS, METADATA)
def test_an_event_that_follows_another_says_so_and_is_the_same_otherwise(before: str, metadata: Any) -> None:
    event = make_event(read(create(metadata)), 7, "000000000007-000001", SOURCE)
    told = following(event, before)
    assert repr(json.loads(told.encoded)) == repr({**json.loads(event.encoded), "predecessor": before})
    assert (told.transaction_id, told.size) == (event.transaction_id, len(told.encoded) + 1)


def test_an_event_that_cannot_be_sent_says_nothing_of_what_it_follows() -> None:
    assert following(CarEvent("a", "a", "0", 7, b"", "why"), "b").encoded == b""


@pytest.mark.parametrize("metadata", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_words_for_makes_an_event_that_says_why_it_cannot_be_sent(metadata: float) -> None:
    event = make_event(read(create({"deep": metadata})), 7, "000000000007-000001", SOURCE)
    assert (event.transaction_id, event.asset_id, event.sequence, event.height) == ("a", "a", "000000000007-000001", 7)
    assert event.encoded == b""
    assert event.unsendable.startswith("it cannot be written as JSON: ")


def of_sizes(sizes: list[int]) -> list[CarEvent]:
    return [CarEvent(str(index), "car", "0", 7, b"x" * size) for index, size in enumerate(sizes)]


SIZES = st.lists(st.integers(1, LARGEST + 5), max_size=12).map(of_sizes)


def cut(events: list[CarEvent], most: int, most_bytes: int = LARGEST) -> list[list[CarEvent]]:
    """All of these events in batches, as a lane cuts them."""
    batches = []
    while events:
        fit = how_many_fit(events, most, most_bytes)
        assert fit > 0
        batches.append(events[:fit])
        events = events[fit:]
    return batches


@given(SIZES, st.integers(1, 5))
def test_batches_hold_every_event_once_in_order_and_at_most_so_many(events: list[CarEvent], most: int) -> None:
    cut_up = cut(events, most)
    assert [event for batch in cut_up for event in batch] == events
    assert all(1 <= len(batch) <= most for batch in cut_up)


@given(SIZES, st.integers(1, 5))
@example(of_sizes([9, 9]), 5)
def test_no_body_is_larger_than_allowed_unless_it_holds_one_event(events: list[CarEvent], most: int) -> None:
    assert all(len(batch) == 1 or len(encode_batch(batch)) <= LARGEST for batch in cut(events, most))


@given(SIZES, st.integers(1, 5))
def test_no_batch_is_cut_while_the_next_event_would_fit(events: list[CarEvent], most: int) -> None:
    cut_up = cut(events, most)
    for batch, next_batch in itertools.pairwise(cut_up):
        assert len(batch) == most or len(encode_batch([*batch, next_batch[0]])) > LARGEST


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    sizes = [[len(event.encoded) for event in batch] for batch in cut(of_sizes([3, LARGEST * 2, 3, 3]), 5)]
    assert sizes == [[3], [LARGEST * 2], [3, 3]]


def test_a_batch_is_cut_at_one_megabyte() -> None:
    sizes = [len(encode_batch(batch)) for batch in cut(of_sizes([300_000] * 10), 500, MAX_BATCH_BYTES)]
    assert sizes == [900_004] * 3 + [300_002]


def test_of_no_events_none_fit() -> None:
    assert how_many_fit([], 5, LARGEST) == 0


@given(st.lists(st.sampled_from("abc"), max_size=10))
def test_the_events_of_each_car_are_kept_in_order(cars: list[str]) -> None:
    events = [CarEvent(str(place), car, "0", 7, b"") for place, car in enumerate(cars)]
    grouped = by_car(events)
    assert sorted(grouped) == sorted(set(cars))
    assert all(own == [event for event in events if event.asset_id == car] for car, own in grouped.items())
