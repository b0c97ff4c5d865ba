"""The audit's own fold: it agrees with the Function's over random histories, and is small enough for memory."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from audit.errors import UnfoldableError
from audit.facts import NOWHERE, Car, Facts, lease_parts
from audit.rows import car_row
from audit.transactions import is_registration
from functions.leasing.car import Car as RecordedCar
from functions.leasing.car import LeaseEnded, LeaseStarted, Mark, decide, mark_of
from functions.leasing.evidence import registering_lessor
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import parse
from functions.records import rows
from local import audit as local_audit
from local.scenario import JsonObject
from relay.blocks import Transaction, read_transaction
from tests.integration.test_record_converges import histories
from tests.unit.ledger_writing import (
    ANN,
    BOB,
    LESSOR,
    LESSORS,
    OTHER_LESSOR,
    STRANGER,
    asset_id,
    create,
    decoded,
    event,
    one_key,
    output,
    share,
    signed,
    threshold,
    transfer,
    with_fulfillment,
    with_outputs,
    with_own_id,
)
from tests.writing import spoofed_create

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def as_read(body: JsonObject) -> Transaction:
    """A transaction as the ledger's reading gives it."""
    return read_transaction(msgspec.json.encode(body), "here")


def folded(bodies: list[JsonObject]) -> Facts:
    """What the audit makes of a history, each transaction in a block of its own."""
    facts = Facts(LESSORS)
    for height, body in enumerate(bodies, start=1):
        facts.apply(as_read(body), height)
    return facts


def by_the_function(
    bodies: list[JsonObject],
) -> tuple[dict[str, RecordedCar], list[Mark], dict[tuple[str, str], tuple[str, str]]]:
    """What the Function app makes of it: cars by asset id; marks of the transactions; by driver and lease, the car and
    what ended the lease."""
    cars: dict[str, RecordedCar] = {}
    marks: list[Mark] = []
    leases: dict[tuple[str, str], tuple[str, str]] = {}
    for height, body in enumerate(bodies, start=1):
        before = cars.get(asset_id(body))
        one = event(body, f"{height:012d}-000000", before)
        decision = decide(before, one, LESSORS)
        assert decision.outcome is Outcome.APPLIED
        assert decision.car is not None
        cars[asset_id(body)] = decision.car
        marks.append(mark_of(one, decision))
        for effect in decision.effects:
            match effect:
                case LeaseEnded(driver, lease, transaction, _):
                    leases[driver, lease] = (asset_id(body), transaction)
                case LeaseStarted(driver, transaction):
                    leases[driver, transaction] = (asset_id(body), "")
    return cars, marks, leases


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories())
def test_it_says_of_every_row_what_the_function_writes_over_random_histories(bodies: list[JsonObject]) -> None:
    cars, marks, leases = by_the_function(bodies)
    facts = folded(bodies)

    assert len(facts) == len(cars)
    for asset, car in cars.items():
        expected = facts.car_rows(asset)
        assert expected[f"record-{asset}"] == car_row(rows.car_row(car))
        applied = {f"transaction-{body['id']}" for body in bodies if asset_id(body) == asset}
        assert expected.keys() == applied | {f"record-{asset}"}
    for body, mark in zip(bodies, marks, strict=True):
        row = rows.transaction_row(asset_id(body), mark)
        assert facts.car_rows(asset_id(body))[row["RowKey"]] == car_row(row)
    for (driver, lease), (asset, end) in leases.items():
        assert facts.lease_row(asset, driver, lease) == lease_parts(asset, end)
    for asset in cars:
        facts.see_car(asset)
    assert {(driver, lease) for _, driver, lease, _ in facts.unseen_leases()} == leases.keys()


@settings(max_examples=50, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories())
def test_two_independent_folds_know_the_same_leases(bodies: list[JsonObject]) -> None:
    facts, beside = folded(bodies), local_audit.fold(iter([[body] for body in bodies]), LESSORS)
    for asset in beside.cars:
        facts.see_car(asset)
    found = {(driver, lease): (asset, parts) for asset, driver, lease, parts in facts.unseen_leases()}
    assert found == {one: (asset, lease_parts(asset, end)) for one, (asset, end) in beside.leases.items()}


def test_an_asset_of_no_lessor_is_no_car_nor_are_its_transfers() -> None:
    registered = create(by=STRANGER)
    facts = folded([registered, transfer(registered, ANN)])
    assert len(facts) == 0
    assert facts.car_rows(registered["id"]) == {}
    assert facts.lease_row(registered["id"], ANN.public_key, registered["id"]) == ()


def test_a_lease_of_another_car_or_driver_is_none() -> None:
    one, other = create(metadata={"number": 1}), create(metadata={"number": 2})
    leased = transfer(one, ANN)
    facts = folded([one, other, leased])
    assert facts.lease_row(one["id"], ANN.public_key, leased["id"]) == lease_parts(one["id"], "")
    assert facts.lease_row(other["id"], ANN.public_key, leased["id"]) == ()
    assert facts.lease_row(one["id"], BOB.public_key, leased["id"]) == ()
    assert facts.lease_row(one["id"], ANN.public_key, one["id"]) == ()
    assert facts.lease_row(one["id"], ANN.public_key, "no id at all") == ()


def test_a_transaction_is_found_where_its_id_stands_and_not_where_two_others_make_it_up() -> None:
    """Ids stand one after the other as bytes: the first and the second, read from the second byte on, are the third."""
    first, second, third = "00" + "11" * 31, "11" + "22" * 31, "11" * 32
    car = Car()
    car.applied += bytes.fromhex(first + second)
    assert (car.place(first), car.place(second), car.place(third)) == (0, 1, NOWHERE)
    car = Car()
    car.applied += bytes.fromhex(first + third)
    assert car.place(third) == 1


def test_what_spends_an_output_that_is_not_there_cannot_be_folded() -> None:
    registered = create()
    leased = transfer(registered, ANN)
    with pytest.raises(UnfoldableError, match=f"transaction {transfer(leased, BOB)['id']} spends what its car"):
        folded([registered, transfer(leased, BOB)])


@pytest.mark.parametrize("how", ["it cannot be sent", "its condition is of no known kind", "it has no amount"])
def test_a_transaction_that_cannot_be_read_is_named_and_ends_what_is_known_of_its_car(how: str) -> None:
    registered = create()
    leased = transfer(registered, ANN)
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(leased))
    if how == "its condition is of no known kind":
        body["outputs"][0]["condition"]["details"] = {"type": "prefix-sha-256"}
    elif how == "it has no amount":
        body["outputs"][0]["amount"] = "many"
    odd = as_read(body)
    if how == "it cannot be sent":
        odd = msgspec.structs.replace(odd, raw=b"", unsendable="NaN")
    facts = folded([registered])
    assert facts.apply(odd, 2) == registered["id"]
    assert facts.apply(as_read(transfer(leased, BOB)), 3) == registered["id"]
    assert list(facts.unreadable(0)) == [(registered["id"], leased["id"])]
    assert f"transaction-{leased['id']}" not in facts.car_rows(registered["id"])


def test_white_space_after_an_owners_key_changes_no_owner() -> None:
    registered = create()
    spaced = with_outputs(registered, output(one_key(ANN), ANN))
    spaced["outputs"][0]["condition"]["details"]["public_key"] += " "
    facts = folded([registered, spaced])
    assert facts.lease_row(registered["id"], ANN.public_key, spaced["id"]) == lease_parts(registered["id"], "")


def joint_registration() -> JsonObject:
    """A car that a lessor registers together with a stranger."""
    from bigchaindb_driver.offchain import prepare_transaction

    keys = [STRANGER.public_key, LESSOR.public_key]
    prepared = prepare_transaction(operation="CREATE", signers=keys, asset={"data": {"@type": "Car"}})
    return signed(prepared, STRANGER, LESSOR)


def registrations() -> list[tuple[str, JsonObject]]:
    genuine, joint = create(), joint_registration()
    der = decoded(genuine)
    return [
        ("by a lessor", genuine),
        ("by another lessor, for a driver at once", create(share(ANN), by=OTHER_LESSOR)),
        ("by a stranger", create(by=STRANGER)),
        ("by a stranger who names a lessor", spoofed_create(LESSOR.public_key, STRANGER)),
        ("by a lessor and a stranger together", joint),
        ("genuine, padded", with_fulfillment(genuine, genuine["inputs"][0]["fulfillment"] + "=")),
        ("genuine, its length in two bytes", with_fulfillment(genuine, b"\xa4\x81\x64" + der[2:])),
        ("genuine, with a byte more", with_fulfillment(genuine, der + b"\x00")),
        ("joint, its parts the other way round", with_fulfillment(joint, turned_round(decoded(joint)))),
        ("joint, one of its signatures missing", with_fulfillment(joint, decoded(joint)[:-104] + b"\xa1\x00")),
        ("of a threshold of one", with_fulfillment(genuine, b"\xa2\x6a\xa0\x66" + der + b"\xa1\x00")),
        ("by a lessor with white space after the key", naming(genuine, f"{LESSOR.public_key} ")),
        (
            "joint, with white space after the stranger's key",
            naming(joint, f"{STRANGER.public_key} ", LESSOR.public_key),
        ),
        ("joint, but naming the lessor alone", naming(joint, LESSOR.public_key)),
        ("by a lessor who is named twice", naming(genuine, LESSOR.public_key, LESSOR.public_key)),
        ("by a lessor who is named twice and signs twice", named_and_signed_twice(genuine, joint)),
        ("genuine, its input twice", with_own_id(genuine | {"inputs": genuine["inputs"] * 2})),
        ("genuine, but it spends something", with_own_id(genuine | {"inputs": [genuine["inputs"][0] | SPENDING]})),
        ("of nothing", with_fulfillment(genuine, "")),
        ("of what is not base64", with_fulfillment(genuine, "A!")),
    ]


def naming(body: JsonObject, *owners: str) -> JsonObject:
    """The registration, with others as the owners before."""
    return with_own_id(body | {"inputs": [body["inputs"][0] | {"owners_before": list(owners)}]})


def named_and_signed_twice(genuine: JsonObject, joint: JsonObject) -> JsonObject:
    der = decoded(joint)[: -2 - 2 * 102] + 2 * decoded(genuine) + b"\xa1\x00"
    return with_fulfillment(naming(genuine, LESSOR.public_key, LESSOR.public_key), der)


SPENDING = {"fulfills": {"transaction_id": "0" * 64, "output_index": 0}}


def turned_round(der: bytes) -> bytes:
    """The two parts of a joint signature in the other order."""
    start = len(der) - 2 - 2 * 102
    return der[:start] + der[start + 102 : start + 204] + der[start : start + 102] + der[-2:]


REGISTRATIONS = {
    "by a lessor",
    "by another lessor, for a driver at once",
    "by a lessor and a stranger together",
    "joint, with white space after the stranger's key",
    "by a lessor who is named twice and signs twice",
}


@pytest.mark.parametrize(("which", "body"), registrations(), ids=[name for name, _ in registrations()])
def test_a_registration_is_one_for_both_sides_or_for_neither(which: str, body: JsonObject) -> None:
    ours = is_registration(msgspec.json.encode(body), LESSORS)
    assert ours == (registering_lessor(parse(body), LESSORS) is not None)
    assert ours == (which in REGISTRATIONS)


def test_owners_are_those_that_a_threshold_names() -> None:
    registered = create()
    shared = with_outputs(registered, output(threshold(1, ANN, threshold(1, BOB, STRANGER)), ANN))
    facts = folded([registered, shared])
    holders = facts.car_rows(registered["id"])[f"record-{registered['id']}"][0]
    assert all(f"{one.public_key} by lease {shared['id']}" in holders for one in (ANN, BOB, STRANGER))


def test_who_is_named_twice_by_a_condition_owns_once() -> None:
    registered = create()
    bodies = [registered, with_outputs(registered, output(threshold(1, ANN, threshold(1, BOB, ANN)), ANN))]
    [car] = by_the_function(bodies)[0].values()
    row = rows.car_row(car)
    assert folded(bodies).car_rows(registered["id"])[row["RowKey"]] == car_row(row)


def test_a_car_with_ten_leases_takes_less_than_two_kilobytes() -> None:
    cars, leases = 1_000, 10
    transactions = [one for number in range(cars) for one in leased_often(number, leases)]
    facts = Facts(LESSORS)
    tracemalloc.start()
    try:
        for transaction in transactions:
            facts.apply(transaction, 1)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(facts) == cars
    assert taken / cars < 2_000


def leased_often(number: int, leases: int) -> list[Transaction]:
    """One car's transactions, a lease and a return by turns, as the ledger's reading gives them; unsigned but for the
    first, whose id is made up."""
    registered = as_read(CREATED)
    asset = f"{number:064x}"
    made = [Transaction(asset, "CREATE", asset, (), registered.fulfillments, registered.raw)]
    for turn in range(2 * leases):
        owner = LESSOR.public_key if turn % 2 else f"driver {number % 100}"
        body = {
            "inputs": [{"fulfills": {"transaction_id": made[-1].id, "output_index": 0}}],
            "outputs": [{"amount": "1", "condition": {"details": {"public_key": owner}}}],
        }
        moved = f"{number * 1_000 + turn + 1:x}".rjust(64, "f")
        made.append(Transaction(moved, "TRANSFER", asset, (made[-1].id,), (), msgspec.json.encode(body)))
    return made


CREATED = create()
