"""Id and signatures of any transaction: the verifier of this project says what bigchaindb-driver says.

The driver makes and signs the transactions, genuine ones and forgeries of these, and is asked for its own verdict. They
come to the verifier as they come to the Function: written as JSON by a node, read by msgspec.
"""

import base64
import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import rapidjson
from bigchaindb_driver.common.crypto import PrivateKey
from bigchaindb_driver.common.transaction import Input, Output, Transaction, TransactionLink
from bigchaindb_driver.common.utils import serialize
from bigchaindb_driver.crypto import CryptoKeypair
from bigchaindb_driver.offchain import prepare_transaction
from cryptoconditions import Fulfillment, ThresholdSha256
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from functions.leasing.car import decide
from functions.leasing.conditions import ConditionError, condition_of_owners, read_condition
from functions.leasing.evidence import EvidenceError, Message, check_id, check_signatures
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import CREATE, MalformedTransactionError, computed_id, parse
from local.scenario import JsonObject, key_pair
from tests.unit.ledger_writing import (
    ANN,
    BOB,
    LESSOR,
    LESSORS,
    STRANGER,
    Ledger,
    create,
    encoded,
    event,
    fold,
    one_key,
    output,
    share,
    signed,
    signed_by_hand,
    threshold,
    transfer,
    with_fulfillment,
    with_outputs,
    with_own_id,
)

OWNERS = [key_pair(f"owner {number}") for number in range(8)]
SECRETS = {pair.public_key: PrivateKey(pair.private_key) for pair in OWNERS}
Draw = Callable[[st.SearchStrategy[Any]], Any]
Reference = tuple[str, int]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
"""Any Unicode that UTF-8 can write: astral and control characters, too."""
NUMBERS = st.one_of(
    st.integers(-(10**40), 10**40),
    st.integers(2**53 - 2, 2**53 + 2),
    st.integers(2**63 - 2, 2**64 + 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e16, 1e-7, 1e21, 1e22, 123456789012345680.0, 5e-324, 2.2250738585072014e-308, -0.0, 1.0, 0.1]),
    st.integers(1, 9).flatmap(lambda digit: st.integers(-320, 307).map(lambda power: float(f"{digit}e{power}"))),
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(TEXT, VALUES, min_size=1, max_size=3)
WRITERS: list[Callable[[Any], str]] = [
    json.dumps,
    rapidjson.dumps,
    lambda body: json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False),
]
"""How nodes write an answer: with the standard library, through Flask, and with rapidjson."""


@dataclass(frozen=True)
class Some:
    """The condition that at least `least` of `parts` sign."""

    least: int
    parts: list["CryptoKeypair | Some"]


type Tree = CryptoKeypair | Some


@dataclass(frozen=True)
class Case:
    """A transaction, what it spends, and how a node writes it."""

    body: JsonObject
    unspent: dict[Reference, JsonObject]
    written: Callable[[Any], str]


# Transactions that the driver makes


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A condition of one to five owners, each named once: a key, or thresholds within thresholds."""
    keys = draw(st.permutations(OWNERS))[: draw(st.integers(1, 5))]
    return _tree(draw, keys)


def _tree(draw: Draw, keys: list[CryptoKeypair]) -> Tree:
    if len(keys) == 1:
        return keys[0]
    parts: list[Tree] = []
    while keys:
        size = draw(st.integers(1, len(keys) if parts else len(keys) - 1))
        parts.append(_tree(draw, keys[:size]))
        keys = keys[size:]
    return Some(draw(st.integers(1, len(parts))), parts)


def _condition(tree: Tree) -> Any:
    return (
        threshold(tree.least, *(_condition(part) for part in tree.parts)) if isinstance(tree, Some) else one_key(tree)
    )


def _keys(tree: Tree) -> list[CryptoKeypair]:
    return [key for part in tree.parts for key in _keys(part)] if isinstance(tree, Some) else [tree]


def _output(tree: Tree, amount: int) -> JsonObject:
    return output(_condition(tree), *_keys(tree), amount=amount)


def _to_sign(draw: Draw, tree: Tree) -> tuple[Any, list[CryptoKeypair]]:
    """The fulfillment, unsigned, in which as many parts are to be fulfilled as the condition asks for; and by whom."""
    if not isinstance(tree, Some):
        return one_key(tree), [tree]
    chosen = draw(st.permutations(range(len(tree.parts))))[: tree.least]
    made, signers = ThresholdSha256(tree.least), []
    for index, part in enumerate(tree.parts):
        if index in chosen:
            fulfillment, by = _to_sign(draw, part)
            made.add_subfulfillment(fulfillment)
            signers += by
        else:
            made.add_subcondition(_condition(part).condition)
    return made, signers


@st.composite
def transfers(draw: st.DrawFn, least_inputs: int = 1) -> Case:
    """A transfer that spends up to three outputs with any conditions, signed by as many owners as these ask for."""
    unspent, inputs, unsigned = {}, [], []
    for number in range(draw(st.integers(least_inputs, 3))):
        tree = draw(trees())
        spent = hashlib.sha3_256(b"%d" % draw(st.integers(0, 1))).hexdigest(), number
        unspent[spent] = _output(tree, draw(st.integers(1, 9 * 10**18)))
        fulfillment, by = _to_sign(draw, tree)
        inputs.append(Input(fulfillment, [one.public_key for one in by], TransactionLink(*spent)))
        unsigned.append(Input(one_key(STRANGER), inputs[-1].owners_before, inputs[-1].fulfills))
    outputs = [Output.from_dict(_output(tree, 7)) for tree in draw(st.lists(trees(), min_size=1, max_size=3))]
    made = Transaction(
        "TRANSFER", {"id": hashlib.sha3_256(b"car").hexdigest()}, unsigned, outputs, draw(st.none() | DATA)
    )
    # `sign` itself fails where an owner is left out; its parts do not.
    message = str(made)
    made.inputs = [Transaction._sign_input(one, message, SECRETS) for one in inputs]
    made._hash()
    return Case(made.to_dict(), unspent, draw(st.sampled_from(WRITERS)))


@st.composite
def registrations(draw: st.DrawFn) -> Case:
    """A CREATE by one to five signers, for one to three outputs of one to five owners each."""
    owners = st.permutations(OWNERS).flatmap(lambda keys: st.integers(1, 5).map(lambda count: keys[:count]))
    signers = draw(owners)
    recipients = [share(*draw(owners), amount=draw(st.integers(1, 9))) for _ in range(draw(st.integers(1, 3)))]
    prepared = prepare_transaction(
        operation=CREATE,
        signers=[one.public_key for one in signers],
        recipients=recipients,
        asset={"data": draw(DATA)},
        metadata=draw(st.none() | DATA),
    )
    return Case(signed(prepared, *signers), {}, draw(st.sampled_from(WRITERS)))


CASES = transfers() | registrations()


# The two verdicts


def driver_says(case: Case) -> bool:
    """Whether the driver takes the id and the signatures of every input against the output that it spends."""
    try:
        Transaction.validate_id(case.body)
        spent = [Output.from_dict(one) for one in _spent(case)]
        return bool(Transaction.from_dict(copy.deepcopy(case.body)).inputs_valid(spent))
    except Exception:  # noqa: BLE001  its libraries raise anything on what they cannot read
        return False


def we_say(case: Case) -> bool:
    """Whether this project takes them, of the transaction as it arrives."""
    arrived = msgspec.json.decode(case.written(case.body).encode())
    try:
        transaction = parse(arrived)
        check_id(arrived, transaction)
        message = Message(arrived)
        if transaction.operation == CREATE:
            conditions = [condition_of_owners(one.owners_before or ()) for one in transaction.inputs]
        else:
            conditions = [read_condition(one["condition"]["details"]) for one in _spent(case)]
        for one, condition in zip(transaction.inputs, conditions, strict=True):
            check_signatures(message, one, condition)
    except (MalformedTransactionError, ConditionError, EvidenceError):
        return False
    return True


def is_the_one_writing(case: Case) -> bool:
    """Decision 2, where this project asks for more: whether each fulfillment stands as the driver writes it.

    In a CREATE it is moreover of those whom `owners_before` names: the driver takes anybody's.
    """
    for one in case.body["inputs"]:
        fulfillment = Fulfillment.from_uri(one["fulfillment"])
        if fulfillment.serialize_uri() != one["fulfillment"]:
            return False
        named = Output.generate(one["owners_before"], 1).fulfillment
        if case.body["operation"] == CREATE and fulfillment.condition_uri != named.condition_uri:
            return False
    return True


def _spent(case: Case) -> list[JsonObject]:
    links = [one["fulfills"] for one in case.body["inputs"] if one["fulfills"]]
    return [case.unspent[link["transaction_id"], link["output_index"]] for link in links]


# Genuine transactions


@settings(max_examples=120, deadline=None)
@given(CASES)
def test_what_the_driver_made_and_signed_is_evidence_for_both(case: Case) -> None:
    assert driver_says(case)
    assert we_say(case)


@settings(max_examples=150, deadline=None)
@given(data=DATA, metadata=st.none() | DATA, written=st.sampled_from(WRITERS))
@example(data={"\x7f\x00\x1f\u2028": '\t\n\r\b\f\\/"<\u00e9\U0001f600\U0010ffff'}, metadata=None, written=json.dumps)
@example(data={"": [{}, [], [[]], {"": {}}]}, metadata={"e\u0301": 1, "\u00e9": 2}, written=rapidjson.dumps)
def test_a_content_has_the_id_that_the_driver_computes_whoever_wrote_it_down(
    data: JsonObject, metadata: JsonObject | None, written: Callable[[Any], str]
) -> None:
    body = {"id": None, "asset": {"data": data}, "metadata": metadata}

    arrived = msgspec.json.decode(written(body).encode())

    assert computed_id(arrived) == hashlib.sha3_256(serialize(body).encode()).hexdigest()


@settings(max_examples=400, deadline=None)
@given(NUMBERS)
def test_a_number_keeps_its_kind_and_value_in_every_writing_and_reading(number: float) -> None:
    """A float that is whole comes back a float, an integer of any size an integer: each hashes in its own way."""
    for written in WRITERS:
        arrived = msgspec.json.decode(written([number]).encode())

        assert [type(number), repr(number)] == [type(arrived[0]), repr(arrived[0])]
        assert rapidjson.dumps(arrived) == rapidjson.dumps([number])


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_a_number_that_json_has_no_words_for_has_an_id_and_cannot_arrive(number: float) -> None:
    """The ledger may hold one and its node writes it bare. The relay sends no such thing; docs/limits.md names it."""
    body = {"id": None, "metadata": {"n": number}}
    assert computed_id(body) == hashlib.sha3_256(serialize(body).encode()).hexdigest()

    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(json.dumps(body).encode())


@pytest.mark.parametrize("text", ["1e999", "-1e400", "1" * 4301])
def test_a_number_too_large_to_read_is_refused_and_not_read_as_another(text: str) -> None:
    """No node writes one of these: it holds doubles and integers of 64 bits."""
    with pytest.raises(msgspec.ValidationError, match="out of range"):
        msgspec.json.decode(text)


# Forgeries


def _flipped(draw: Draw, case: Case) -> JsonObject:
    """One byte of a fulfillment is another."""
    index, der = _fulfillment(draw, case)
    at = draw(st.integers(0, len(der) - 1))
    flipped = der[:at] + bytes((der[at] ^ draw(st.integers(1, 255)),)) + der[at + 1 :]
    return _with_input(case, index, fulfillment=encoded(flipped))


def _signature_flipped(draw: Draw, case: Case) -> JsonObject:
    """One bit of a signature is another."""
    index, der = _fulfillment(draw, case)
    at = der.index(b"\x81\x40") + 2 + draw(st.integers(0, 63))
    flipped = der[:at] + bytes((der[at] ^ 1 << draw(st.integers(0, 7)),)) + der[at + 1 :]
    return _with_input(case, index, fulfillment=encoded(flipped))


def _cut(draw: Draw, case: Case) -> JsonObject:
    """A fulfillment ends early."""
    index, der = _fulfillment(draw, case)
    return _with_input(case, index, fulfillment=encoded(der[: draw(st.integers(0, len(der) - 1))]))


def _another_owner_before(draw: Draw, case: Case) -> JsonObject:
    """An input names another owner."""
    index, _ = _fulfillment(draw, case)
    names = [*case.body["inputs"][index]["owners_before"]]
    names[draw(st.integers(0, len(names) - 1))] = STRANGER.public_key
    return _with_input(case, index, owners_before=names)


def _an_owner_before_less(draw: Draw, case: Case) -> JsonObject:
    """An input names one owner less."""
    index, _ = _fulfillment(draw, case)
    return _with_input(case, index, owners_before=case.body["inputs"][index]["owners_before"][1:])


def _another_key_in_the_condition(draw: Draw, case: Case) -> JsonObject:
    """An output is the stranger's."""
    return case.body | {"outputs": [output(one_key(STRANGER), STRANGER), *case.body["outputs"][1:]]}


def _another_amount(draw: Draw, case: Case) -> JsonObject:
    """An output has more shares."""
    first, *others = case.body["outputs"]
    return case.body | {"outputs": [first | {"amount": str(int(first["amount"]) + 1)}, *others]}


def _another_metadata(draw: Draw, case: Case) -> JsonObject:
    """A value in the metadata is another."""
    return case.body | {"metadata": (case.body["metadata"] or {}) | {draw(TEXT): draw(VALUES)}}


def _another_asset(draw: Draw, case: Case) -> JsonObject:
    """It is of another asset."""
    if case.body["operation"] == CREATE:
        return case.body | {"asset": {"data": draw(DATA)}}
    return case.body | {"asset": {"id": hashlib.sha3_256(b"another car").hexdigest()}}


def _signed_by_another(draw: Draw, case: Case) -> JsonObject:
    """All of its inputs are signed by another key."""
    return signed_by_hand(case.body, *[draw(st.sampled_from([STRANGER, *OWNERS]))] * len(case.body["inputs"]))


def _inputs_swapped(draw: Draw, case: Case) -> JsonObject:
    """Its inputs stand in another order."""
    first, *others = case.body["inputs"]
    return case.body | {"inputs": [*others, first]}


def _fulfillments_swapped(draw: Draw, case: Case) -> JsonObject:
    """Its inputs have each other's fulfillments."""
    first, *others = [one["fulfillment"] for one in case.body["inputs"]]
    inputs = zip(case.body["inputs"], [*others, first], strict=True)
    return case.body | {"inputs": [one | {"fulfillment": text} for one, text in inputs]}


def _an_input_twice(draw: Draw, case: Case) -> JsonObject:
    """It spends an output twice."""
    return case.body | {"inputs": [*case.body["inputs"], case.body["inputs"][0]]}


def _a_signature_removed(draw: Draw, case: Case) -> JsonObject:
    """The only signature is gone, or one of several with the part that it fulfilled."""
    index, der = _fulfillment(draw, case)
    made = Fulfillment.from_binary(der)
    if not isinstance(made, ThresholdSha256) or made.threshold < 2:
        return _with_input(case, index, fulfillment="")
    gone = next(one for one in made.subconditions if one["type"] == "fulfillment")
    gone |= {"type": "condition", "body": gone["body"].condition}
    made.threshold -= 1
    return _with_input(case, index, fulfillment=made.serialize_uri())


def _rewritten(draw: Draw, case: Case) -> JsonObject:
    """A fulfillment is written in another way, its signatures being the same."""
    index, der = _fulfillment(draw, case)
    others = {
        "longer": der + b"\x00",
        "padded": der,
        "wrapped": b"\xa2\x82" + (len(der) + 6).to_bytes(2) + b"\xa0\x82" + len(der).to_bytes(2) + der + b"\xa1\x00",
        "length in long form": der[:1] + b"\x83" + (len(_content(der))).to_bytes(3) + _content(der),
    }
    kind = draw(st.sampled_from(sorted(others)))
    return _with_input(case, index, fulfillment=encoded(others[kind]) + ("==" if kind == "padded" else ""))


OF_ANY = [
    _flipped,
    _signature_flipped,
    _cut,
    _another_owner_before,
    _an_owner_before_less,
    _another_key_in_the_condition,
    _another_amount,
    _another_metadata,
    _another_asset,
    _signed_by_another,
    _an_input_twice,
    _a_signature_removed,
    _rewritten,
]
OF_SEVERAL_INPUTS = [_inputs_swapped, _fulfillments_swapped]
FORGERIES = [(forge, CASES) for forge in OF_ANY] + [(forge, transfers(2)) for forge in OF_SEVERAL_INPUTS]


@pytest.mark.parametrize(("forge", "cases"), FORGERIES, ids=[forge.__name__.strip("_") for forge, _ in FORGERIES])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_forgery_is_evidence_for_neither_save_in_a_writing_that_only_the_driver_takes(
    forge: Callable[[Draw, Case], JsonObject], cases: st.SearchStrategy[Case], data: st.DataObject
) -> None:
    case = data.draw(cases)
    body = forge(data.draw, case)
    assume(serialize(body) != serialize(case.body))
    forged = Case(with_own_id(body) if data.draw(st.booleans()) else body, case.unspent, case.written)

    by_driver = driver_says(forged)

    assert we_say(forged) == (by_driver and is_the_one_writing(forged))
    assert not we_say(forged)


@settings(max_examples=30, deadline=None)
@given(case=CASES, other=CASES)
def test_a_transaction_with_the_id_of_another_is_no_evidence_for_either(case: Case, other: Case) -> None:
    assume(case.body["id"] != other.body["id"])
    forged = Case(case.body | {"id": other.body["id"]}, case.unspent, case.written)

    assert not driver_says(forged)
    assert not we_say(forged)


def _fulfillment(draw: Draw, case: Case) -> tuple[int, bytes]:
    """One of the inputs, and the DER of its fulfillment."""
    index = draw(st.integers(0, len(case.body["inputs"]) - 1))
    text = case.body["inputs"][index]["fulfillment"]
    return index, base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _with_input(case: Case, index: int, **changes: Any) -> JsonObject:
    inputs = [*case.body["inputs"]]
    inputs[index] = inputs[index] | changes
    return case.body | {"inputs": inputs}


def _content(der: bytes) -> bytes:
    return der[2:] if der[1] < 0x80 else der[2 + (der[1] & 0x7F) :]


# Keys in several parts of a condition


@pytest.mark.parametrize(
    "condition",
    [
        threshold(1, ANN, ANN),
        threshold(2, ANN, ANN),
        threshold(2, ANN, ANN, LESSOR),
        threshold(1, ANN, threshold(1, ANN, LESSOR)),
        threshold(1, threshold(1, ANN, LESSOR), ANN),
        threshold(1, threshold(1, ANN, LESSOR), threshold(1, ANN, STRANGER)),
        threshold(2, ANN, threshold(1, ANN, LESSOR), threshold(1, ANN, STRANGER)),
        threshold(1, threshold(2, ANN, LESSOR, threshold(1, ANN, STRANGER)), ANN),
    ],
)
def test_one_owner_fulfils_a_condition_that_names_them_several_times_as_the_driver_has_it(condition: Any) -> None:
    registered = create()
    owned = with_outputs(registered, output(condition, ANN))
    returned = transfer(owned, LESSOR, by=[ANN])
    assert Ledger([registered, owned]).accepts(returned)

    assert decide(fold(registered, owned), event(returned), LESSORS).outcome is Outcome.APPLIED


def test_the_parts_that_one_signature_fulfils_cannot_be_exchanged_by_who_reads_it() -> None:
    registered = create()
    within = threshold(1, ANN, LESSOR)
    owned = with_outputs(registered, output(threshold(1, ANN, within), ANN))
    returned = transfer(owned, LESSOR, by=[ANN])
    own = Fulfillment.from_uri(returned["inputs"][0]["fulfillment"]).subconditions[0]["body"]
    inner, second = ThresholdSha256(1), ThresholdSha256(1)
    inner.add_subfulfillment(own)
    inner.add_subcondition(one_key(LESSOR).condition)
    second.add_subfulfillment(inner)
    second.add_subcondition(one_key(ANN).condition)
    copied = with_fulfillment(returned, second.serialize_uri())
    assert Ledger([registered, owned]).accepts(copied)

    assert decide(fold(registered, owned), event(copied), LESSORS).outcome is Outcome.REJECTED


# What the fold says to forgeries


REGISTERED = create()
OWNED = transfer(REGISTERED, share(ANN, BOB))


def _text(body: JsonObject) -> str:
    return str(body["inputs"][0]["fulfillment"])


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (lambda body: body | {"metadata": {"n": 1}}, "is not genuine: its content has the id"),
        (lambda body: body | {"id": REGISTERED["id"]}, "is not genuine: its content has the id"),
        (lambda body: with_own_id(body | {"metadata": {"n": 1}}), "is not valid for this transaction"),
        (lambda body: with_fulfillment(body, _text(body)[:-20]), "a fulfillment is truncated"),
        (lambda body: signed_by_hand(body, STRANGER), "not signed by the owners of what it spends"),
        (lambda body: signed_by_hand(body, ANN), "not signed by the owners of what it spends"),
        (lambda body: with_fulfillment(body, ""), "not signed by the owners of what it spends"),
        (lambda body: with_fulfillment(body, _text(REGISTERED)), "not signed by the owners of what it spends"),
        (lambda body: with_fulfillment(body, _text(body) + "="), "is not written canonically"),
    ],
    ids=[
        "content",
        "id",
        "content with its id",
        "cut short",
        "by a stranger",
        "by one of two",
        "unsigned",
        "of another transaction",
        "written otherwise",
    ],
)
def test_a_forged_transfer_is_rejected_with_the_reason(forge: Callable[[JsonObject], JsonObject], reason: str) -> None:
    body = forge(transfer(OWNED, LESSOR))

    decision = decide(fold(REGISTERED, OWNED), event(body), LESSORS)

    assert decision.outcome is Outcome.REJECTED
    assert reason in decision.detail
