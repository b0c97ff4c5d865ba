"""What POST /api/ledger-events takes: a batch of CloudEvents, each a transaction or refused on its own."""

import copy
import json
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.api.answers import MAX_DEPTH, RequestError
from functions.api.ledger_events import (
    CONTENT_TYPE,
    MAX_BODY_BYTES,
    MAX_EVENTS,
    CloudEvent,
    check_source,
    read_batch,
    read_event,
)
from functions.leasing.car import Decision, LedgerEvent, decide
from functions.leasing.outcomes import Outcome
from functions.settings import shown
from local.scenario import JsonObject
from tests.unit.ledger_writing import (
    ANN,
    LESSOR,
    LESSORS,
    asset_id,
    create,
    fold,
    signed_by_hand,
    transfer,
    with_own_id,
)

SOURCE = "urn:bigchaindb:local"
REGISTERED = create()
LEASED = transfer(REGISTERED, ANN)


def cloud_event(body: JsonObject, **changes: Any) -> JsonObject:
    """The event of a transaction, as docs/contract.md has it."""
    return {
        "specversion": "1.0",
        "id": body["id"],
        "source": SOURCE,
        "type": "bigchaindb.transaction.committed",
        "subject": asset_id(body),
        "partitionkey": asset_id(body),
        "sequence": "000000000812-000003",
        "datacontenttype": "application/json",
        "data": body,
    } | changes


def batch(*events: Any) -> bytes:
    return json.dumps(events).encode()


def read(body: JsonObject, **changes: Any) -> LedgerEvent | Decision:
    """What becomes of the event of a transaction that came over HTTP."""
    (event,) = read_batch(CONTENT_TYPE, batch(cloud_event(body, **changes)))
    return read_event(event)


def refusal(body: bytes, content_type: str = CONTENT_TYPE) -> RequestError:
    with pytest.raises(RequestError) as refused:
        read_batch(content_type, body)
    return refused.value


# The batch


def test_a_batch_is_read_in_its_order() -> None:
    events = read_batch(CONTENT_TYPE, batch(cloud_event(REGISTERED), cloud_event(LEASED)))

    assert [event.id for event in events] == [REGISTERED["id"], LEASED["id"]]
    assert read_batch(CONTENT_TYPE, b"[]") == []


@pytest.mark.parametrize("content_type", [CONTENT_TYPE, CONTENT_TYPE.upper(), f" {CONTENT_TYPE} ; charset=utf-8"])
def test_the_content_type_may_be_written_like_this(content_type: str) -> None:
    assert read_batch(content_type, b"[]") == []


@pytest.mark.parametrize("content_type", ["", "application/json", "application/cloudevents+json", f"x{CONTENT_TYPE}"])
def test_another_content_type_is_415_and_named(content_type: str) -> None:
    refused = refusal(b"[]", content_type)

    assert refused.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    assert (content_type or "nothing") in refused.detail


def test_a_body_that_is_too_large_is_413_with_both_sizes() -> None:
    refused = refusal(b" " * (MAX_BODY_BYTES + 1))

    assert refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "1048577 bytes" in refused.detail
    assert "1048576" in refused.detail


def test_a_body_of_the_largest_size_is_taken() -> None:
    assert read_batch(CONTENT_TYPE, b"[" + b" " * (MAX_BODY_BYTES - 2) + b"]") == []


def test_too_many_events_are_413_and_the_most_events_are_taken() -> None:
    one = {"specversion": "1.0", "id": "x", "source": "s", "type": "t"}

    assert len(read_batch(CONTENT_TYPE, batch(*[one] * MAX_EVENTS))) == MAX_EVENTS
    refused = refusal(batch(*[one] * (MAX_EVENTS + 1)))
    assert refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert "501 events" in refused.detail


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"", "not JSON"),
        (b"[", "not JSON"),
        (b"\xff", "not JSON"),
        (b'["\xff"]', ""),
        (b"{}", "array"),
        (b"[7]", "$[0]"),
        (batch(cloud_event(LEASED), {}), "$[1]"),
        (batch(cloud_event(LEASED, specversion="0.3")), "$[0].specversion"),
        (batch(cloud_event(LEASED, id=7)), "$[0].id"),
        (batch(cloud_event(LEASED, id="")), "$[0].id"),
        (batch(cloud_event(LEASED, sequence=812)), "$[0].sequence"),
        (batch(cloud_event(LEASED, source=None)), "$[0].source"),
        (b'[{"specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": NaN}]', "not JSON"),
        (b'[{"specversion": "1.0", "id": "x", "source": "s", "type": "t", "data": "\\ud800"}]', "not JSON"),
    ],
)
def test_what_is_no_batch_of_events_is_400_with_the_place(body: bytes, place: str) -> None:
    refused = refusal(body)

    assert refused.status == HTTPStatus.BAD_REQUEST
    assert place in refused.detail


@pytest.mark.parametrize("depth", [10_000, 100_000])
def test_endless_nesting_is_400_and_no_crash(depth: int) -> None:
    event = batch(cloud_event(LEASED, data="here")).replace(b'"here"', b"[" * depth + b"]" * depth)

    refused = refusal(event)

    assert (refused.status, refused.detail) == (
        HTTPStatus.BAD_REQUEST,
        f"the body is nested {depth + 2} deep; at most {MAX_DEPTH} are taken",
    )


@pytest.mark.parametrize("data", [b'"\xff"', b"1e999", b"9" * 5000, b"7", b"null"], ids=lambda data: repr(data[:9]))
def test_data_that_cannot_be_read_is_rejected_and_touches_no_other_event(data: bytes) -> None:
    body = batch(cloud_event(REGISTERED), cloud_event(LEASED, data="here")).replace(b'"here"', data)

    genuine, odd = (read_event(one) for one in read_batch(CONTENT_TYPE, body))

    assert not isinstance(genuine, Decision)
    assert isinstance(odd, Decision)
    assert (odd.outcome, odd.detail[:27]) == (Outcome.REJECTED, "data is not a transaction, ")


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b'[{"specversion":"1.0","id":"\xed\xa0\x80","source":"","type":""}]')
@example(b"\xef\xbb\xbf[]")
def test_any_bytes_are_a_batch_or_refused(body: bytes) -> None:
    try:
        found = read_batch(CONTENT_TYPE, body)
    except RequestError as error:
        refused = error
    else:
        assert isinstance(found, list)
        return
    assert refused.status == HTTPStatus.BAD_REQUEST
    assert refused.detail


def made_of(event: CloudEvent) -> Any:
    """The data of an event."""
    return msgspec.json.decode(event.data)


@settings(max_examples=200)
@given(place=st.integers(0, len(batch(cloud_event(LEASED))) - 1), value=st.binary(max_size=3), cut=st.integers(0, 3))
def test_a_damaged_batch_is_read_or_refused_and_its_events_are_decided(place: int, value: bytes, cut: int) -> None:
    whole = batch(cloud_event(LEASED))
    body = whole[:place] + value + whole[place + cut :]
    try:
        events = read_batch(CONTENT_TYPE, body)
    except RequestError:
        return
    for event in events:
        made = read_event(event)
        decision = made if isinstance(made, Decision) else decide(fold(REGISTERED), made, LESSORS)
        assert decision.outcome is not Outcome.APPLIED or made_of(event) == LEASED


@pytest.mark.parametrize("source", ["urn:bigchaindb:other", SOURCE.upper(), SOURCE + "\n", "", "x" * 2000], ids=repr)
def test_a_batch_with_an_event_of_another_ledger_is_421_with_both_sources(source: str) -> None:
    events = read_batch(CONTENT_TYPE, batch(cloud_event(REGISTERED), cloud_event(LEASED, source=source)))

    with pytest.raises(RequestError) as refused:
        check_source(events, SOURCE)

    assert refused.value.status == HTTPStatus.MISDIRECTED_REQUEST
    assert f"source is {shown(source)}; this record follows '{SOURCE}'" in refused.value.detail
    assert "LEDGER_NAME must be the same" in refused.value.detail


def test_a_batch_of_this_ledger_is_taken() -> None:
    check_source(read_batch(CONTENT_TYPE, batch(cloud_event(REGISTERED), cloud_event(LEASED))), SOURCE)
    check_source([], SOURCE)


# One event


@pytest.mark.parametrize("body", [REGISTERED, LEASED], ids=["create", "transfer"])
def test_an_event_is_the_transaction_with_its_place_on_the_ledger(body: JsonObject) -> None:
    found = read(body)

    assert isinstance(found, LedgerEvent)
    assert (found.transaction.id, found.body, found.sequence) == (body["id"], body, "000000000812-000003")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "com.example.other"}, "type is 'com.example.other'; it must be bigchaindb.transaction.committed"),
        ({"sequence": ""}, "sequence is nothing"),
        ({"sequence": "812-3"}, "sequence is '812-3'; it must be HHHHHHHHHHHH-PPPPPP"),
        ({"sequence": "000000000812-000003\n"}, "sequence is"),
        ({"sequence": "\u0660" * 12 + "-" + "\u0661" * 6}, "sequence is"),
        ({"data": None}, "data is not a transaction"),
        ({"data": [LEASED]}, "data is not a transaction"),
        ({"data": "{}"}, "data is not a transaction"),
        ({"data": {}}, "not a transaction: Object missing required field `id`"),
        ({"data": LEASED | {"inputs": 7}}, "$.inputs"),
        ({"data": REGISTERED}, "the event's id is not that of its transaction"),
        ({"id": "0" * 64}, "the event's id is not that of its transaction"),
        ({"subject": "0" * 64}, "subject and partitionkey must both be the id of the transaction's asset"),
        ({"partitionkey": ""}, "subject and partitionkey must both be the id of the transaction's asset"),
        ({"subject": LEASED["id"], "partitionkey": LEASED["id"]}, "subject and partitionkey must both be"),
    ],
)
def test_an_event_that_breaks_the_contract_is_rejected_with_the_reason(changes: JsonObject, reason: str) -> None:
    decision = read(LEASED, **changes)

    assert isinstance(decision, Decision)
    assert decision.outcome is Outcome.REJECTED
    assert reason in decision.detail


@pytest.mark.parametrize("operation", ["VOTE", "VALIDATOR_ELECTION", "CHAIN_MIGRATION_ELECTION"])
def test_a_transaction_that_moves_no_asset_is_ignored(operation: str) -> None:
    vote = with_own_id(LEASED | {"operation": operation})

    assert read(vote) == Decision(Outcome.IGNORED, f"a transaction '{operation}' moves no car")


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "F" * 64, "0" * 65, "z" * 2000], ids=lambda name: repr(name[:4]))
def test_an_id_that_is_no_hash_never_becomes_a_key_of_the_record(name: str) -> None:
    """The car is looked up by this id before anything proves it. Table Storage answers some of these with 400."""
    car, moved = REGISTERED | {"id": name or " "}, with_own_id(LEASED | {"asset": {"id": name}})

    for found in (read(car), read(moved)):
        assert isinstance(found, Decision)
        assert found.outcome is Outcome.REJECTED


def test_attributes_that_the_contract_does_not_name_are_let_pass() -> None:
    assert isinstance(read(LEASED, time="2026-01-01T00:00:00Z", traceparent="00-0-0-00"), LedgerEvent)


def test_a_transaction_as_large_as_a_batch_is_decided_like_any_other() -> None:
    body = signed_by_hand(LEASED | {"metadata": {"text": "x" * 900_000}}, LESSOR)

    found = read(body)

    assert isinstance(found, LedgerEvent)
    assert decide(fold(REGISTERED), found, LESSORS).outcome is Outcome.APPLIED


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def damaged(draw: st.DrawFn) -> JsonObject:
    """The event of a lease with another value in one place, however deep."""
    event = copy.deepcopy(cloud_event(LEASED))
    inner: Any = event
    while True:
        name = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[name], dict | list) or not inner[name] or draw(st.booleans()):
            inner[name] = draw(ANY_JSON)
            return event
        inner = inner[name]


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_an_event_with_another_value_anywhere_is_refused_or_decided_and_not_applied(event: JsonObject) -> None:
    try:
        sent = msgspec.convert(event, CloudEvent)
    except msgspec.ValidationError:
        return

    found = read_event(sent)

    decision = found if isinstance(found, Decision) else decide(fold(REGISTERED), found, LESSORS)
    assert decision.outcome is not Outcome.APPLIED or event["data"] == LEASED
