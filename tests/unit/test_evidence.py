"""Whether a transaction is genuine: its id, the owners' signatures, and agreement with BigchainDB's own word."""

import base64
import json
from pathlib import Path
from typing import Any

import base58
import pytest
from cryptoconditions import ThresholdSha256
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.leasing.car import decide
from functions.leasing.conditions import (
    Condition,
    ConditionError,
    canonical_fulfillment,
    condition_of_owners,
    elements,
    owners,
    read_condition,
    signatures_in,
)
from functions.leasing.evidence import EvidenceError, Message, check_id, check_signatures, registering_lessor
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import Input, parse
from local.scenario import JsonObject
from tests.unit.ledger_writing import (
    ANN,
    BOB,
    CAT,
    LESSOR,
    LESSORS,
    STRANGER,
    Ledger,
    create,
    decoded,
    encoded,
    event,
    fold,
    is_as_the_driver_writes_it,
    one_key,
    output,
    share,
    signed_by_hand,
    threshold,
    transfer,
    with_fulfillment,
    with_outputs,
    with_own_id,
)

SAMPLES = Path(__file__).with_name("samples")
REGISTERED = create()
LEASED = transfer(REGISTERED, ANN)
JOINT = transfer(REGISTERED, share(ANN, BOB))
RETURNED = transfer(LEASED, LESSOR)
RETURNED_JOINTLY = transfer(JOINT, LESSOR)


ANNS = condition_of_owners((ANN.public_key,))


def prove(body: JsonObject, condition: Condition, index: int = 0) -> None:
    """Raise EvidenceError unless an input of a transaction fulfils a condition."""
    check_signatures(Message(body), parse(body).inputs[index], condition)


def spent(body: JsonObject, index: int = 0) -> Condition:
    """The condition of an output."""
    return read_condition(body["outputs"][index]["condition"]["details"])


def condition_of(made: Any) -> Condition:
    return read_condition(output(made)["condition"]["details"])


def keys(*pairs: Any) -> frozenset[str]:
    return frozenset(pair.public_key for pair in pairs)


def as_input(fulfillment: str) -> Input:
    return Input((), None, fulfillment)


# Genuine transactions


@pytest.mark.parametrize("name", ["transaction_create.json", "transaction_transfer.json"])
def test_the_owner_of_a_recorded_transaction_signed_it(name: str) -> None:
    body = json.loads((SAMPLES / name).read_bytes())

    prove(body, condition_of_owners(("CnEDk9HrMnmiHXEV1WFgbVCRteYnPqsJwrTdcZaNhFVW",)))


@pytest.mark.parametrize(
    ("body", "signed_by"),
    [
        (REGISTERED, [LESSOR]),
        (LEASED, [LESSOR]),
        (RETURNED, [ANN]),
        (RETURNED_JOINTLY, [ANN, BOB]),
        (RETURNED_JOINTLY, [BOB, ANN]),
        (create(share(ANN, BOB)), [LESSOR]),
    ],
    ids=["create", "transfer", "by a driver", "by two drivers", "in any order", "create for two"],
)
def test_a_genuine_transaction_is_signed_by_its_owners_and_nobody_else(body: JsonObject, signed_by: list[Any]) -> None:
    check_id(body, parse(body))
    prove(body, condition_of_owners(tuple(one.public_key for one in signed_by)))

    with pytest.raises(EvidenceError):
        prove(body, condition_of_owners((STRANGER.public_key,)))


def test_the_lessor_who_registers_is_who_signed() -> None:
    assert registering_lessor(parse(REGISTERED), LESSORS) == LESSOR.public_key
    assert registering_lessor(parse(create(by=STRANGER)), LESSORS) is None


def test_signatures_of_nested_owners_are_found() -> None:
    condition = threshold(2, ANN, threshold(2, BOB, CAT))
    owned = with_outputs(REGISTERED, output(condition, ANN, BOB, CAT))

    returned = transfer(owned, LESSOR)

    prove(returned, condition_of(condition))
    found = {base58.b58encode(key).decode() for key in signatures_in(returned["inputs"][0]["fulfillment"])}
    assert found == keys(ANN, BOB, CAT)


def test_each_input_is_signed_for_what_it_spends() -> None:
    divided = transfer(create(share(LESSOR, amount=2)), share(ANN), share(BOB))
    together = transfer([(divided, 0), (divided, 1)], share(LESSOR, amount=2))

    prove(together, spent(divided, 0), 0)
    prove(together, spent(divided, 1), 1)
    with pytest.raises(EvidenceError):
        prove(together, spent(divided, 1), 0)


@pytest.mark.parametrize("least", [1, 2, 3])
@pytest.mark.parametrize("by", [[ANN], [CAT], [ANN, CAT], [BOB, CAT], [ANN, BOB, CAT]], ids=len)
def test_as_many_owners_as_the_condition_asks_for_must_sign_and_no_more(least: int, by: list[Any]) -> None:
    signatures = {base58.b58decode(one.public_key): bytes(64) for one in [*by, STRANGER]}

    fulfillment = canonical_fulfillment(condition_of(threshold(least, ANN, BOB, CAT)), signatures)

    assert (fulfillment is not None) == (len(by) == least)


@pytest.mark.parametrize(("least", "by"), [(1, [ANN]), (1, [CAT]), (2, [ANN, CAT]), (2, [CAT, BOB])])
def test_some_of_the_owners_may_give_the_car_away_where_the_condition_lets_them(least: int, by: list[Any]) -> None:
    shared = with_outputs(REGISTERED, output(threshold(least, ANN, BOB, CAT), ANN, BOB, CAT))
    returned = transfer(shared, LESSOR, by=by)

    assert decide(fold(REGISTERED, shared), event(returned), LESSORS).outcome is Outcome.APPLIED
    assert Ledger([REGISTERED, shared]).accepts(returned)


def test_the_owners_are_all_whom_the_condition_names() -> None:
    condition = threshold(1, ANN, threshold(2, BOB, CAT))

    assert owners(condition_of(condition)) == keys(ANN, BOB, CAT)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"type": "ed25519-sha-256"},
        {"type": "ed25519-sha-256", "public_key": None},
        {"type": "preimage-sha-256", "preimage": ""},
        {"type": "threshold-sha-256", "threshold": 0, "subconditions": []},
        {"type": "threshold-sha-256", "threshold": -1, "subconditions": []},
        {"type": "threshold-sha-256", "threshold": 1, "subconditions": []},
        {"type": "threshold-sha-256", "threshold": 1, "subconditions": [None, 7, "x", []]},
        {"type": "threshold-sha-256", "threshold": "0", "subconditions": []},
    ],
)
def test_a_condition_that_cannot_be_read_whole_is_no_condition(condition: dict[str, Any]) -> None:
    with pytest.raises(ConditionError):
        read_condition(condition)


# Forgeries


def test_a_changed_content_is_told_by_the_id() -> None:
    changed = LEASED | {"metadata": {"lease": {"startDate": "1999-01-01"}}}

    with pytest.raises(EvidenceError) as told:
        check_id(changed, parse(changed))

    assert LEASED["id"] in str(told.value)
    assert with_own_id(changed)["id"] in str(told.value)


@pytest.mark.parametrize(
    "metadata",
    [{"n": 10**5000}, {"text": "\ud800"}, {"\udfff": 1}],
    ids=["an endless number", "half a character", "half a character in a name"],
)
def test_a_content_that_has_no_canonical_form_is_no_evidence(metadata: JsonObject) -> None:
    body = LEASED | {"metadata": metadata}

    with pytest.raises(EvidenceError, match="cannot be written canonically"):
        check_id(body, parse(body))


def test_a_content_nested_without_end_is_no_evidence() -> None:
    nested: JsonObject = {}
    for _ in range(50_000):
        nested = {"a": nested}
    body = LEASED | {"metadata": nested}

    with pytest.raises(EvidenceError, match="cannot be written canonically"):
        check_id(body, parse(body))


@pytest.mark.parametrize(
    "change",
    [
        {"metadata": {"tampered": True}},
        {"asset": {"id": "0" * 64}},
        {"outputs": [output(one_key(STRANGER), STRANGER)]},
        {"outputs": [output(one_key(LESSOR), LESSOR, amount=2)]},
        {"inputs": [RETURNED["inputs"][0] | {"owners_before": [STRANGER.public_key]}]},
        {"inputs": [RETURNED["inputs"][0] | {"fulfills": None}]},
        {"inputs": [RETURNED["inputs"][0] | {"fulfills": {"transaction_id": LEASED["id"], "output_index": 1}}]},
        {"inputs": RETURNED["inputs"] * 2},
        {"operation": "CREATE"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_signature_does_not_cover_another_content(change: JsonObject) -> None:
    with pytest.raises(EvidenceError, match=f"signature of {ANN.public_key} is not valid"):
        prove(with_own_id(RETURNED | change), ANNS)


def test_a_strangers_valid_signature_does_not_satisfy_the_owners_condition() -> None:
    forged = signed_by_hand(RETURNED, STRANGER)

    with pytest.raises(EvidenceError, match="not signed by the owners"):
        prove(forged, spent(LEASED))


def test_a_signature_does_not_become_the_owners_by_their_key() -> None:
    der = decoded(signed_by_hand(RETURNED, STRANGER))
    swapped = der.replace(base58.b58decode(STRANGER.public_key), base58.b58decode(ANN.public_key))

    with pytest.raises(EvidenceError, match=f"signature of {ANN.public_key} is not valid"):
        prove(with_fulfillment(RETURNED, swapped), ANNS)


def test_one_false_signature_among_true_ones_is_no_evidence() -> None:
    der = bytearray(decoded(RETURNED_JOINTLY))
    der[der.index(b"\x81\x40") + 10] ^= 1

    with pytest.raises(EvidenceError, match="is not valid"):
        prove(with_fulfillment(RETURNED_JOINTLY, bytes(der)), spent(JOINT))


@pytest.mark.parametrize("length", [1, 2, 3, 37, 60, 101])
def test_a_fulfillment_cut_short_is_no_evidence(length: int) -> None:
    with pytest.raises(EvidenceError, match=r"truncated|lacks"):
        prove(with_fulfillment(RETURNED, decoded(RETURNED)[:length]), ANNS)


def test_an_empty_fulfillment_has_no_signers() -> None:
    with pytest.raises(EvidenceError, match="not signed by the owners"):
        prove(with_fulfillment(RETURNED, ""), ANNS)


@pytest.mark.parametrize("text", ["*", "pGSA IK8G", "pGSAIK8G\n", "p", "pGSA=IK8", "\u00e9", "\ud800", "\x00" * 4])
def test_a_fulfillment_that_is_not_base64url_is_no_evidence(text: str) -> None:
    with pytest.raises(EvidenceError, match="not base64url"):
        check_signatures(Message(RETURNED), as_input(text), ANNS)


@pytest.mark.parametrize(
    "der",
    [
        b"\xa0\x02\x80\x00",
        b"\x30\x00",
        b"\xa4\x80",
        b"\xa4\x00",
        b"\xa4\x22\x80\x20" + bytes(32),
        b"\xa4\x62\x80\x1f" + bytes(31) + b"\x81\x3f" + bytes(63),
        b"\xa2\x04\xa0\x02\xa0\x00",
        b"\xa4\xff" + b"\xff" * 127,
    ],
    ids=["preimage", "sequence", "no end", "empty", "no signature", "short parts", "preimage within", "endless"],
)
def test_another_structure_is_no_evidence(der: bytes) -> None:
    with pytest.raises(EvidenceError):
        check_signatures(Message(RETURNED), as_input(encoded(der)), ANNS)


def test_fulfillments_nested_too_deeply_are_no_evidence() -> None:
    der = b""
    for _ in range(5000):
        content = b"\xa0\x83" + len(der).to_bytes(3) + der
        der = b"\xa2\x83" + len(content).to_bytes(3) + content

    with pytest.raises(EvidenceError, match="nested too deeply"):
        check_signatures(Message(RETURNED), as_input(encoded(der)), ANNS)


@pytest.mark.parametrize(
    ("body", "spent"), [(RETURNED, LEASED), (RETURNED_JOINTLY, JOINT)], ids=["one signature", "two signatures"]
)
def test_no_byte_of_a_fulfillment_can_be_changed(body: JsonObject, spent: JsonObject) -> None:
    """Else anybody makes a second transaction, with an id of its own, from a genuine one."""
    car, der = fold(REGISTERED, spent), decoded(body)
    applied = []
    for place in range(len(der)):
        second = with_fulfillment(body, der[:place] + bytes((der[place] ^ 0x04,)) + der[place + 1 :])
        if decide(car, event(second), LESSORS).outcome is Outcome.APPLIED:
            applied.append(place)

    assert applied == []


def _rewritten() -> dict[str, str]:
    """Other ways to write the fulfillment of RETURNED: the same signature by the same key."""
    der = decoded(RETURNED)
    return {
        "twice": encoded(der * 2),
        "length in long form": encoded(b"\xa4\x81\x64" + der[2:]),
        "threshold of one": encoded(b"\xa2\x6a\xa0\x66" + der + b"\xa1\x00"),
        "an unknown field": encoded(b"\xa4\x66" + der[2:] + b"\x85\x00"),
        "a field twice": encoded(b"\xa4\x66\x80\x00" + der[2:]),
        "padded": encoded(b"\xa4\x68" + der[2:] + b"\x85\x02\x00\x00") + "==",
        "standard base64": base64.b64encode(der).decode(),
    }


@pytest.mark.parametrize("fulfillment", _rewritten().values(), ids=_rewritten().keys())
def test_a_genuine_transfer_with_its_fulfillment_rewritten_is_not_applied(fulfillment: str) -> None:
    """The fulfillment is not signed: who may rewrite it has a second transaction, with an id of its own."""
    second = with_fulfillment(RETURNED, fulfillment)
    assert second["id"] != RETURNED["id"]

    assert decide(fold(REGISTERED, LEASED), event(second), LESSORS).outcome is not Outcome.APPLIED


def test_a_key_with_which_anybody_can_sign_signs_nothing() -> None:
    """The neutral point of the curve: the same 64 bytes are its signature of any content. The ledger refuses it."""
    neutral = b"\x01" + bytes(31)
    forged = with_fulfillment(RETURNED, b"\xa4\x64\x80\x20" + neutral + b"\x81\x40" + neutral + bytes(32))

    with pytest.raises(EvidenceError, match="is not valid"):
        prove(forged, condition_of_owners((base58.b58encode(neutral).decode(),)))


# Agreement with the ledger


MUTATIONS = st.sampled_from(["nothing", "byte", "cut", "signer", "metadata", "key", "input", "amount", "spent", "id"])


@st.composite
def transactions(draw: st.DrawFn) -> tuple[list[JsonObject], JsonObject]:
    """A car's chain, and a transaction that goes on from it: genuine, or changed in one place."""
    condition, by = draw(
        st.sampled_from(
            [
                (one_key(ANN), [ANN]),
                (threshold(2, ANN, BOB), [ANN, BOB]),
                (threshold(1, ANN, BOB), [BOB]),
                (threshold(2, ANN, BOB, CAT), [ANN, CAT]),
                (threshold(2, ANN, threshold(2, BOB, CAT)), [ANN, BOB, CAT]),
            ]
        )
    )
    chain = [REGISTERED, with_outputs(REGISTERED, output(condition, *by))]
    body = transfer(chain[-1], draw(st.sampled_from([LESSOR, CAT])), by=by)
    match draw(MUTATIONS):
        case "byte":
            der = bytearray(decoded(body))
            der[draw(st.integers(0, len(der) - 1))] ^= draw(st.sampled_from([1, 2, 0x20, 0x80, 0xFF]))
            body = with_fulfillment(body, bytes(der))
        case "cut":
            body = with_fulfillment(body, decoded(body)[: draw(st.integers(0, 100))])
        case "signer":
            body = signed_by_hand(body, draw(st.sampled_from([ANN, BOB, STRANGER])))
        case "metadata":
            body = with_own_id(body | {"metadata": {"odometer": draw(st.integers(0, 3))}})
        case "key":
            body = with_own_id(body | {"outputs": [output(one_key(STRANGER), CAT)]})
        case "input":
            body = with_own_id(body | {"inputs": body["inputs"] * 2})
        case "amount":
            body = signed_by_hand(body | {"outputs": [body["outputs"][0] | {"amount": "2"}]}, by[0])
        case "spent":
            link = {"transaction_id": REGISTERED["id"], "output_index": draw(st.integers(0, 1))}
            body = signed_by_hand(body | {"inputs": [body["inputs"][0] | {"fulfills": link}]}, LESSOR)
        case "id":
            body = body | {"id": draw(st.sampled_from([REGISTERED["id"], "0" * 64, body["id"][:-1] + "0"]))}
    return chain, body


@settings(max_examples=250, deadline=None)
@given(transactions())
def test_a_transfer_is_applied_when_the_ledger_would_commit_it_and_only_then(
    made: tuple[list[JsonObject], JsonObject],
) -> None:
    chain, body = made

    applied = decide(fold(*chain), event(body), LESSORS).outcome is Outcome.APPLIED

    if Ledger(chain).accepts(body):
        assert applied or not is_as_the_driver_writes_it(body)
    else:
        assert not applied


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 101), change=st.integers(0, 255), by=st.sampled_from([LESSOR, STRANGER]))
@example(place=0, change=0, by=LESSOR)
@example(place=0, change=0, by=STRANGER)
def test_a_registration_is_applied_when_the_ledger_would_commit_it_and_a_lessor_signed_it(
    place: int, change: int, by: Any
) -> None:
    made = create(share(LESSOR), by=by)
    der = bytearray(decoded(made))
    der[place] ^= change
    body = with_fulfillment(made, bytes(der))

    applied = decide(None, event(body), LESSORS).outcome is Outcome.APPLIED

    if by is LESSOR and Ledger().accepts(body):
        assert applied or not is_as_the_driver_writes_it(body)
    else:
        assert not applied


@pytest.mark.parametrize("depth", [2, 8, 9, 10])
def test_an_owner_behind_nested_conditions_is_an_owner_as_the_ledger_has_it(depth: int) -> None:
    nested: ThresholdSha256 = threshold(1, ANN)
    for _ in range(depth - 1):
        nested = threshold(1, nested)
    hidden = with_outputs(LEASED, output(nested, ANN))
    assert Ledger([REGISTERED, LEASED]).accepts(hidden)

    decision = decide(fold(REGISTERED, LEASED), event(hidden), LESSORS)

    assert decision.outcome is Outcome.REJECTED or (decision.car and [one.driver for one in decision.car.holders])


# Whatever bytes come


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
@example(b"\xa4")
@example(b"\xa4\x81")
@example(b"\xa4\xff")
@example(b"\x80\x80" * 50)
def test_no_bytes_break_the_reader_of_der(der: bytes) -> None:
    try:
        found = list(elements(der))
    except ConditionError:
        return
    assert sum(len(content) + 2 for _, content in found) <= len(der)


TAGS = st.sampled_from([0xA4, 0xA2, 0xA0, 0xA1, 0x80, 0x81, 0x30])
LENGTHS = st.sampled_from([0, 32, 64, 127, 128, 255])
DER = st.recursive(
    st.binary(max_size=70) | LENGTHS.map(bytes),
    lambda inner: st.lists(st.tuples(TAGS, inner), max_size=3).map(
        lambda parts: b"".join(bytes((tag, 0x82)) + len(content).to_bytes(2) + content for tag, content in parts)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | DER)
def test_whatever_stands_in_a_fulfillment_it_proves_nothing(der: bytes) -> None:
    with pytest.raises(EvidenceError):
        check_signatures(Message(RETURNED), as_input(encoded(der)), ANNS)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_whatever_text_is_a_fulfillment_it_proves_nothing(text: str) -> None:
    with pytest.raises(EvidenceError):
        check_signatures(Message(RETURNED), as_input(text), ANNS)
