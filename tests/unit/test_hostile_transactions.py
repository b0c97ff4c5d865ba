"""What is sent to exhaust or to confuse: endless nesting, endless numbers, texts and keys, halves of characters.

Each is refused with a reason or decided like any other transaction, in time that grows with its size.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.api.answers import MAX_DEPTH as LEVELS
from functions.api.answers import RequestError, decoded
from functions.leasing.car import decide
from functions.leasing.conditions import MAX_DEPTH, ConditionError, condition_of_owners, read_condition
from functions.leasing.outcomes import Outcome
from functions.leasing.terms import describe_car, read_terms
from functions.leasing.transactions import MalformedTransactionError, parse
from local.scenario import JsonObject
from tests.unit.ledger_writing import (
    ANN,
    LESSOR,
    LESSORS,
    STRANGER,
    create,
    encoded,
    event,
    fold,
    one_key,
    output,
    share,
    signed_by_hand,
    transfer,
    with_fulfillment,
    with_own_id,
)

REGISTERED = create()
LEASED = transfer(REGISTERED, ANN)
SECONDS = 5.0
"""Far more than any of these takes, far less than what they take where it grows with the square of their size."""


@contextmanager
def soon() -> Iterator[None]:
    """Fail when what is done within takes long."""
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


def sent(metadata: bytes) -> bytes:
    """A transfer with this JSON text in its metadata, for which it is not signed."""
    body = LEASED | {"metadata": {"odd": "here"}}
    return msgspec.json.encode(body).replace(b'"here"', metadata)


# What is no JSON, or none that can be read


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 100_000 + b"]" * 100_000, f"at most {LEVELS} are taken"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, f"at most {LEVELS} are taken"),
        (b"[" * 1_000_000, f"at most {LEVELS} are taken"),
        (b"9" * 1_000_000, "out of range"),
        (b"-" + b"9" * 4_301, "out of range"),
        (b"1e" + b"9" * 900_000, "out of range"),
        (b"1e309", "out of range"),
        (b"NaN", "not JSON"),
        (b"Infinity", "not JSON"),
        (b"-Infinity", "not JSON"),
        (rb'"\ud800"', "not JSON"),
        (rb'"\udc00\ud800"', "not JSON"),
        (b'"\xed\xa0\x80"', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b'"\x00"', "not JSON"),
    ],
    ids=lambda value: repr(value[:12]) + str(len(value)),
)
def test_what_cannot_be_read_is_400_with_the_reason(text: bytes, reason: str) -> None:
    with soon(), pytest.raises(RequestError) as refused:
        decoded(sent(text), dict[str, Any])

    assert refused.value.status is HTTPStatus.BAD_REQUEST
    assert reason in refused.value.detail
    assert len(refused.value.detail) < 300


# What can be read, and is not genuine


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 240 + b"]" * 240,
        b'{"a":' * 240 + b"1" + b"}" * 240,
        b"9" * 4_300,
        b"0." + b"9" * 900_000,
        b'"' + b"x" * 900_000 + b'"',
        b'"' + rb"\u0001" * 150_000 + b'"',
        b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}",
        b"[" + b",".join([b"[]"] * 300_000) + b"]",
        b"[" + b",".join([b"1"] * 450_000) + b"]",
        b'{"a":1,"a":2}',
        rb'"\ud83d\ude00"',
    ],
    ids=lambda text: repr(text[:12]) + str(len(text)),
)
def test_what_can_be_read_however_large_is_rejected_where_nobody_signed_it(text: bytes) -> None:
    with soon():
        decision = decide(fold(REGISTERED), event(msgspec.json.decode(sent(text))), LESSORS)

    assert decision.outcome is Outcome.REJECTED
    assert "is not genuine" in decision.detail or "cannot be written canonically" in decision.detail


def test_of_a_name_that_stands_twice_the_last_counts_as_it_does_for_the_ledger() -> None:
    body = signed_by_hand(LEASED | {"metadata": {"odd": {"a": 2}}}, LESSOR)

    twice = msgspec.json.encode(body).replace(b'{"a":2}', b'{"a":1,"a":2}')

    assert decide(fold(REGISTERED), event(msgspec.json.decode(twice)), LESSORS).outcome is Outcome.APPLIED


@pytest.mark.parametrize(
    "metadata",
    [
        {"lease": {"startDate": "x" * 900_000, "endDate": 10**4000, "annualMileage": -(10**4000)}},
        {f"key {number}": number for number in range(50_000)},
        {"\x00": "\x00\x1f\x7f\u2028\U0010ffff", "$a.b": {"": []}},
    ],
    ids=["huge terms", "many names", "odd names"],
)
def test_a_large_or_odd_transfer_that_its_owner_signed_changes_the_driver(metadata: JsonObject) -> None:
    body = signed_by_hand(LEASED | {"metadata": metadata}, LESSOR)

    with soon():
        decision = decide(fold(REGISTERED), event(body), LESSORS)

    assert decision.outcome is Outcome.APPLIED
    assert decision.car is not None
    assert [one.driver for one in decision.car.holders] == [ANN.public_key]


# Keys, conditions and fulfillments without end


@pytest.mark.parametrize("key", ["z" * 900_000, "1" * 900_000, " " * 900_000, "z" * 45], ids=lambda key: key[:1])
def test_a_text_too_long_for_a_key_is_none_and_is_not_decoded(key: str) -> None:
    """Base58 takes time that grows with the square of the text: minutes, for as much as a batch may hold."""
    with soon(), pytest.raises(ConditionError, match="no Ed25519 public key"):
        condition_of_owners((key,))
    with soon(), pytest.raises(ConditionError, match="no Ed25519 public key"):
        read_condition({"type": "ed25519-sha-256", "public_key": key})


def test_a_registration_that_names_a_lessor_and_an_endless_key_is_ignored() -> None:
    """Nothing is proved yet when the owners before are read: anybody can send it."""
    body = create(by=STRANGER)
    body["inputs"][0]["owners_before"] = [LESSOR.public_key, "z" * 900_000]

    with soon():
        decision = decide(None, event(with_own_id(body)), LESSORS)

    assert decision.outcome is Outcome.IGNORED


def test_a_registration_that_names_a_lessor_ten_thousand_times_is_ignored() -> None:
    body = create(by=STRANGER)
    body["inputs"][0]["owners_before"] = [LESSOR.public_key] * 10_000

    with soon():
        decision = decide(None, event(with_own_id(body)), LESSORS)

    assert decision.outcome is Outcome.IGNORED


def _nested(depth: int) -> JsonObject:
    condition: JsonObject = output(one_key(ANN), ANN)["condition"]["details"]
    for _ in range(depth):
        condition = {"type": "threshold-sha-256", "threshold": 1, "subconditions": [condition]}
    return condition


def test_a_condition_nested_without_end_is_rejected() -> None:
    body = transfer(REGISTERED, ANN)
    body["outputs"][0]["condition"]["details"] = _nested(MAX_DEPTH + 1)

    decision = decide(fold(REGISTERED), event(signed_by_hand(body, LESSOR)), LESSORS)

    assert (decision.outcome, decision.detail) == (Outcome.REJECTED, "a condition is nested too deeply")


def test_a_condition_of_thousands_of_owners_nested_as_deeply_as_is_read_is_decided() -> None:
    keys = [_nested(0)] * 50
    condition: JsonObject = {"type": "threshold-sha-256", "threshold": 2, "subconditions": keys}
    for _ in range(MAX_DEPTH - 1):
        condition = {"type": "threshold-sha-256", "threshold": 1, "subconditions": [*keys, condition]}
    body = transfer(REGISTERED, ANN)
    body["outputs"][0]["condition"]["details"] = condition
    owned = signed_by_hand(body, LESSOR)
    returned = transfer(LEASED, LESSOR)
    returned["inputs"][0]["fulfills"]["transaction_id"] = owned["id"]

    with soon():
        car = fold(REGISTERED, owned)
        decision = decide(car, event(signed_by_hand(returned, ANN)), LESSORS)

    assert [one.driver for one in car.holders] == [ANN.public_key]
    assert decision.outcome is Outcome.REJECTED


@pytest.mark.parametrize(
    "der",
    [
        b"\xa4\x64\x80\x20" + bytes(32) + b"\x81\x40" + bytes(64),
        b"\xa2\x00",
        b"\x80\x00",
        b"\xa4\x00",
        b"\xa0\xff" + b"\xff" * 127,
        b"\xff",
    ],
    ids=["signatures", "thresholds", "nothing", "empty", "endless length", "no DER"],
)
def test_a_fulfillment_as_large_as_a_batch_is_rejected(der: bytes) -> None:
    body = with_fulfillment(LEASED, encoded(der * (600_000 // len(der))))

    with soon():
        decision = decide(fold(REGISTERED), event(body), LESSORS)

    assert decision.outcome is Outcome.REJECTED
    assert len(decision.detail) < 300


def test_a_text_without_end_for_a_fulfillment_is_rejected() -> None:
    with soon():
        decision = decide(fold(REGISTERED), event(with_fulfillment(LEASED, "*" * 900_000)), LESSORS)

    assert (decision.outcome, decision.detail) == (Outcome.REJECTED, "input 0: a fulfillment is not base64url")


@pytest.mark.parametrize("number", [1_000, 3_000])
def test_a_transfer_of_many_inputs_is_decided_in_time_that_grows_with_their_number(number: int) -> None:
    body = LEASED | {"inputs": LEASED["inputs"] * number}

    with soon():
        decision = decide(fold(REGISTERED), event(with_own_id(body)), LESSORS)

    assert decision.outcome is Outcome.REJECTED


def test_a_car_in_a_thousand_parts_is_given_back_in_one_transfer() -> None:
    registered = create(share(LESSOR, amount=1_000))
    body = transfer(registered, share(ANN, amount=1_000))
    body["outputs"] = [output(one_key(ANN), ANN)] * 1_000
    divided = signed_by_hand(body, LESSOR)
    back = transfer(divided, LESSOR)
    back["inputs"] = [
        back["inputs"][0] | {"fulfills": {"transaction_id": divided["id"], "output_index": index}}
        for index in range(1_000)
    ]
    back["outputs"][0]["amount"] = "1000"
    returned = signed_by_hand(back, *[ANN] * 1_000)
    car = fold(registered, divided)

    with soon():
        decision = decide(car, event(returned), LESSORS)

    assert decision.outcome is Outcome.APPLIED
    assert [one.driver for one in decision.effects] == [ANN.public_key]


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"id": "0" * 900_000},
        lambda body: body | {"operation": "TRANSFER", "asset": {"id": "0" * 900_000}},
        lambda body: body | {"version": "2.0" * 300_000},
        lambda body: body | {"outputs": [body["outputs"][0] | {"amount": "1" * 900_000}]},
        lambda body: body | {"inputs": [body["inputs"][0] | {"fulfills": {"transaction_id": "f" * 900_000}}]},
        lambda body: body | {"x" * 900_000: 1},
        lambda body: body | {"inputs": [{"x" * 900_000: 1}]},
    ],
    ids=["id", "asset", "version", "amount", "spent", "unknown part", "unknown part of an input"],
)
def test_a_part_without_end_is_refused_in_few_words(change: Callable[[JsonObject], JsonObject]) -> None:
    with soon(), pytest.raises(MalformedTransactionError) as refused:
        parse(change(LEASED))

    assert len(str(refused.value)) < 300


# Whatever stands beside


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(ANY_JSON)
def test_no_json_that_is_written_beside_a_car_or_a_lease_breaks_their_reading(value: Any) -> None:
    described = describe_car({"vehicleIdentificationNumber": value, "model": value})
    terms = read_terms({"lease": {"startDate": value, "endDate": value, "annualMileage": value}})

    assert describe_car(value) is not None
    assert max(len(described.vin), len(described.model)) <= 200
    assert terms.remarks
    assert read_terms(value).remarks
    assert read_terms({"lease": value}).remarks
