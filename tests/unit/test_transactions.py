"""What a BigchainDB transaction says: its id, and the refusal of what does not have the shape of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.leasing.transactions import MalformedTransactionError, computed_id, parse
from local.scenario import JsonObject
from tests.unit.ledger_writing import ANN, create, transfer

SAMPLES = Path(__file__).with_name("samples")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    LEAVES | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=12
)
MADE = create()


@settings(max_examples=120, deadline=None)
@given(metadata=st.dictionaries(TEXT, JSON, min_size=1, max_size=4))
@example(metadata={"\x7f\x00\x1f\u2028": '\t\n\r\b\f\\/"<\u00e9\U0001f600'})
@example(metadata={"n": [1e16, 1e22, 5e-324, -0.0, 0.1, 1.0, 2**53 + 1, 2**64, -(10**40)]})
def test_the_computed_id_is_the_drivers_id_after_the_way_over_json(metadata: JsonObject) -> None:
    made = create(metadata=metadata)

    arrived = msgspec.json.decode(json.dumps(made, allow_nan=False).encode())

    assert computed_id(arrived) == made["id"]


@pytest.mark.parametrize("name", ["transaction_create.json", "transaction_transfer.json"])
def test_a_recorded_transaction_has_the_id_that_its_content_has(name: str) -> None:
    body = json.loads((SAMPLES / name).read_bytes())

    assert computed_id(body) == body["id"] == parse(body).id


def test_any_change_of_the_content_changes_the_id() -> None:
    changed = MADE | {"metadata": {"odometer": 1}}

    assert computed_id(changed) != computed_id(MADE)


def test_the_asset_of_a_car_is_its_registration_for_ever() -> None:
    leased = transfer(MADE, ANN)

    assert parse(MADE).asset_id == parse(leased).asset_id == MADE["id"]


def _without(name: str) -> Callable[[JsonObject], Any]:
    return lambda body: {key: value for key, value in body.items() if key != name}


def _with_input(**changes: Any) -> Callable[[JsonObject], Any]:
    return lambda body: body | {"inputs": [body["inputs"][0] | changes]}


def _with_output(**changes: Any) -> Callable[[JsonObject], Any]:
    return lambda body: body | {"outputs": [body["outputs"][0] | changes]}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (_without("id"), "`id`"),
        (_without("operation"), "`operation`"),
        (_without("asset"), "`asset`"),
        (_without("inputs"), "`inputs`"),
        (_without("outputs"), "`outputs`"),
        (_without("metadata"), "`metadata`"),
        (_without("version"), "`version`"),
        (lambda body: body | {"id": None}, "$.id"),
        (lambda body: body | {"metadata": "none"}, "$.metadata"),
        (lambda body: body | {"asset": None}, "$.asset"),
        (lambda body: body | {"asset": {}}, "$.asset.id"),
        (lambda body: body | {"asset": {"id": 7}}, "$.asset.id"),
        (lambda body: body | {"inputs": []}, "inputs"),
        (lambda body: body | {"outputs": []}, "outputs"),
        (_with_input(fulfills={"transaction_id": "x"}), "$.inputs[0].fulfills"),
        (_with_input(fulfills={"transaction_id": "0" * 64, "output_index": 0.5}), "$.inputs[0].fulfills.output_index"),
        (_with_input(fulfillment={"type": "ed25519-sha-256"}), "$.inputs[0].fulfillment"),
        (_with_input(owners_before=[1]), "$.inputs[0].owners_before[0]"),
        (_with_output(public_keys="key"), "$.outputs[0].public_keys"),
        (_with_output(condition={"uri": "ni:"}), "$.outputs[0].condition"),
        (_with_output(amount=1), "$.outputs[0].amount"),
        (_with_output(amount=""), "$.outputs[0].amount"),
        (_with_output(amount="-1"), "$.outputs[0].amount"),
        (_with_output(amount="1.0"), "$.outputs[0].amount"),
        (_with_output(amount="1\n"), "$.outputs[0].amount"),
        (_with_output(amount="\u0661"), "$.outputs[0].amount"),
        (_with_output(amount="9" * 5000), "$.outputs[0].amount"),
    ],
)
def test_what_is_no_transaction_is_refused_with_the_place_named(
    change: Callable[[JsonObject], Any], place: str
) -> None:
    with pytest.raises(MalformedTransactionError) as refused:
        parse(change(transfer(MADE, ANN)))

    assert place in str(refused.value)


@pytest.mark.parametrize("amount", ["0", "00", "9000000000000000001", "9" * 20])
def test_an_amount_that_the_ledger_never_holds_is_refused(amount: str) -> None:
    with pytest.raises(MalformedTransactionError, match="amount"):
        parse(_with_output(amount=amount)(MADE))
