"""What each transaction does to a car and its drivers: leases begin and end as the car's outputs change owners."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.leasing.car import Car, Decision, Effect, Holder, LeaseEnded, LeaseStarted, decide
from functions.leasing.outcomes import Outcome
from functions.leasing.terms import CarDescription
from functions.leasing.transactions import MalformedTransactionError
from functions.settings import is_public_key
from local.scenario import JsonObject, lease
from tests.unit.ledger_writing import (
    ANN,
    BOB,
    CAT,
    LESSOR,
    LESSORS,
    OTHER_LESSOR,
    STRANGER,
    Ledger,
    Spent,
    create,
    decoded,
    encoded,
    event,
    fold,
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

REGISTERED = create()
LEASED = transfer(REGISTERED, ANN, metadata=lease("2026-01-01", "2027-12-31", 15_000))
RETURNED = transfer(LEASED, LESSOR)


def decided(body: JsonObject, *after: JsonObject, sequence: str = "000000000009-000001") -> Decision:
    car = fold(*after) if after else None
    return decide(car, event(body, sequence, car), LESSORS)


def car_after(decision: Decision) -> Car:
    assert decision.outcome is Outcome.APPLIED, decision
    assert decision.car is not None
    return decision.car


def started(decision: Decision) -> list[str]:
    return [one.driver for one in decision.effects if isinstance(one, LeaseStarted)]


def ended(decision: Decision) -> list[tuple[str, str]]:
    return [(one.driver, one.lease) for one in decision.effects if isinstance(one, LeaseEnded)]


# A car is registered


def test_a_car_registered_by_a_trusted_lessor_is_theirs_and_nobody_drives_it() -> None:
    decision = decided(REGISTERED)
    found = car_after(decision)

    assert (found.asset_id, found.lessor) == (REGISTERED["id"], LESSOR.public_key)
    assert (found.description.vin, found.description.model) == ("5YJRE11B781001174", "Roadster")
    assert (found.last_transaction, found.sequence) == (REGISTERED["id"], "000000000009-000001")
    assert (found.holders, decision.effects) == ((), ())


def test_a_car_registered_by_a_stranger_is_ignored() -> None:
    assert decided(create(by=STRANGER)).outcome is Outcome.IGNORED


def test_a_registration_that_only_names_the_lessor_is_ignored() -> None:
    body = create(by=STRANGER)
    body["inputs"][0]["owners_before"] = [LESSOR.public_key]
    spoofed = signed_by_hand(body, STRANGER)
    assert Ledger().accepts(spoofed)

    assert decided(spoofed).outcome is Outcome.IGNORED


@pytest.mark.parametrize("kind", ["preimage", "after the stranger's signature", "garbage after it"])
def test_nobody_parks_a_car_that_no_lessor_signed(kind: str) -> None:
    """A rejected car is parked. The ledger takes all of these from anybody, as often as they like."""
    body = create(by=STRANGER)
    lessors_key = one_key(LESSOR).public_key
    der = {
        "preimage": b"\xa0\x22\x80\x20" + lessors_key,
        "after the stranger's signature": decoded(body) + b"\xa4\x64\x80\x20" + lessors_key + b"\x81\x40" + bytes(64),
        "garbage after it": decoded(body) + lessors_key,
    }[kind]
    spam = with_fulfillment(body, der)
    assert Ledger().accepts(spam)

    assert decided(spam).outcome is Outcome.IGNORED


def test_a_lessors_registration_with_a_false_signature_is_rejected() -> None:
    der = bytearray(decoded(REGISTERED))
    der[-1] ^= 1
    decision = decided(with_fulfillment(REGISTERED, bytes(der)))

    assert decision.outcome is Outcome.REJECTED
    assert LESSOR.public_key in decision.detail


def test_a_registration_whose_content_was_changed_is_rejected_with_both_ids() -> None:
    forged = REGISTERED | {"metadata": {"odometer": 0}}
    decision = decided(forged)

    assert decision.outcome is Outcome.REJECTED
    assert REGISTERED["id"] in decision.detail


def test_a_registration_that_hands_the_car_to_a_driver_starts_their_lease() -> None:
    body = create(share(ANN), metadata=lease("2026-01-01", "2027-12-31", 15_000))
    decision = decided(body)

    assert car_after(decision).holders == (Holder(ANN.public_key, body["id"]),)
    (begun,) = decision.effects
    assert isinstance(begun, LeaseStarted)
    assert (begun.driver, begun.transaction, begun.asset_id) == (ANN.public_key, body["id"], body["id"])
    assert begun.terms.annual_mileage == 15_000


def test_a_second_registration_made_from_a_genuine_one_registers_no_second_car() -> None:
    """Fulfillments are not signed. Who rewrites one needs no key to make an asset that the lessor never made."""
    genuine = create(share(ANN))
    der = decoded(genuine)
    wrapped = with_fulfillment(genuine, b"\xa2\x6a\xa0\x66" + der + b"\xa1\x00")
    longer = with_fulfillment(genuine, b"\xa4\x81\x64" + der[2:])
    assert len({genuine["id"], wrapped["id"], longer["id"]}) == 3

    assert [decided(one).outcome for one in (wrapped, longer)].count(Outcome.APPLIED) == 0


# A car is leased and returned


def test_a_transfer_to_a_driver_starts_a_lease_on_its_terms() -> None:
    decision = decided(LEASED, REGISTERED)

    assert car_after(decision).holders == (Holder(ANN.public_key, LEASED["id"]),)
    (begun,) = decision.effects
    assert isinstance(begun, LeaseStarted)
    assert (begun.driver, begun.transaction, begun.sequence) == (
        ANN.public_key,
        LEASED["id"],
        "000000000009-000001",
    )
    assert (begun.asset_id, begun.description.vin) == (REGISTERED["id"], "5YJRE11B781001174")
    assert str(begun.terms.start_date) == "2026-01-01"


def test_a_transfer_back_to_the_lessor_ends_the_lease() -> None:
    decision = decided(RETURNED, REGISTERED, LEASED)

    assert car_after(decision).holders == ()
    assert decision.effects == (LeaseEnded(ANN.public_key, LEASED["id"], RETURNED["id"], "000000000009-000001"),)


def test_a_transfer_from_driver_to_driver_ends_one_lease_and_starts_another() -> None:
    passed_on = transfer(LEASED, BOB)
    decision = decided(passed_on, REGISTERED, LEASED)

    assert ended(decision) == [(ANN.public_key, LEASED["id"])]
    assert started(decision) == [BOB.public_key]
    assert car_after(decision).holders == (Holder(BOB.public_key, passed_on["id"]),)


@pytest.mark.parametrize("terms", [None, {"lease": "soon"}, {"lease": {"startDate": "31.12.2026"}}])
def test_odd_terms_do_not_hide_a_change_of_driver(terms: JsonObject | None) -> None:
    decision = decided(transfer(REGISTERED, ANN, metadata=terms), REGISTERED)

    assert started(decision) == [ANN.public_key]
    (begun,) = decision.effects
    assert isinstance(begun, LeaseStarted)
    assert begun.terms.remarks


def test_a_renewal_ends_the_old_lease_and_starts_a_new_one() -> None:
    renewed = transfer(LEASED, ANN, metadata=lease("2028-01-01", "2029-12-31", 10_000))
    decision = decided(renewed, REGISTERED, LEASED)

    assert ended(decision) == [(ANN.public_key, LEASED["id"])]
    assert started(decision) == [ANN.public_key]
    assert car_after(decision).holders == (Holder(ANN.public_key, renewed["id"]),)


def test_a_driver_who_gets_the_car_again_has_a_new_lease() -> None:
    again = transfer(RETURNED, ANN)

    assert car_after(decided(again, REGISTERED, LEASED, RETURNED)).holders == (Holder(ANN.public_key, again["id"]),)


def test_drivers_who_hold_an_output_jointly_each_have_a_lease() -> None:
    joint = transfer(REGISTERED, share(ANN, BOB))
    decision = decided(joint, REGISTERED)

    assert sorted(started(decision)) == sorted([ANN.public_key, BOB.public_key])
    returned = decided(transfer(joint, LESSOR), REGISTERED, joint)
    assert sorted(ended(returned)) == sorted([(ANN.public_key, joint["id"]), (BOB.public_key, joint["id"])])


def test_a_driver_who_joins_another_starts_a_lease_and_the_lessor_beside_a_driver_does_not() -> None:
    decision = decided(transfer(REGISTERED, share(LESSOR, ANN)), REGISTERED)

    assert started(decision) == [ANN.public_key]


def test_one_of_two_joint_drivers_cannot_give_the_car_away_alone() -> None:
    joint = transfer(REGISTERED, share(ANN, BOB))
    alone = signed_by_hand(transfer(joint, LESSOR), ANN)

    assert decided(alone, REGISTERED, joint).outcome is Outcome.REJECTED


def test_the_driver_who_had_the_car_from_its_registration_on_returns_it() -> None:
    registered = create(share(ANN))
    decision = decided(transfer(registered, LESSOR), registered)

    assert ended(decision) == [(ANN.public_key, registered["id"])]
    assert car_after(decision).holders == ()


def test_a_registration_for_several_drivers_starts_a_lease_for_each() -> None:
    jointly, divided = create(share(ANN, BOB)), create(share(ANN), share(BOB, amount=2))

    for registered in (jointly, divided):
        decision = decided(registered)
        assert sorted(started(decision)) == sorted([ANN.public_key, BOB.public_key])
        assert {one.lease for one in car_after(decision).holders} == {registered["id"]}


def test_of_joint_drivers_one_leaves_and_the_others_lease_goes_on() -> None:
    joint = transfer(REGISTERED, share(ANN, BOB))
    decision = decided(transfer(joint, ANN), REGISTERED, joint)

    assert (ended(decision), started(decision)) == ([(BOB.public_key, joint["id"])], [])
    assert car_after(decision).holders == (Holder(ANN.public_key, joint["id"]),)


def test_a_driver_joins_and_the_lease_of_the_first_goes_on() -> None:
    joined = transfer(LEASED, share(ANN, BOB))
    decision = decided(joined, REGISTERED, LEASED)

    assert (ended(decision), started(decision)) == ([], [BOB.public_key])
    assert {one.driver: one.lease for one in car_after(decision).holders} == {
        ANN.public_key: LEASED["id"],
        BOB.public_key: joined["id"],
    }


def test_joint_drivers_who_get_the_car_anew_have_each_renewed() -> None:
    joint = transfer(REGISTERED, share(ANN, BOB))
    renewed = transfer(joint, share(BOB, ANN))
    decision = decided(renewed, REGISTERED, joint)

    assert sorted(ended(decision)) == sorted([(ANN.public_key, joint["id"]), (BOB.public_key, joint["id"])])
    assert sorted(started(decision)) == sorted([ANN.public_key, BOB.public_key])
    assert {one.lease for one in car_after(decision).holders} == {renewed["id"]}


@pytest.mark.parametrize("by", [[ANN], [CAT]], ids=["the first", "the last"])
def test_drivers_of_whom_one_may_sign_all_have_a_lease_and_one_return_ends_them_all(by: list[Any]) -> None:
    drivers = [ANN, BOB, CAT]
    shared = with_outputs(REGISTERED, output(threshold(1, *drivers), *drivers))
    assert sorted(started(decided(shared, REGISTERED))) == sorted(one.public_key for one in drivers)

    returned = decided(transfer(shared, LESSOR, by=by), REGISTERED, shared)

    assert sorted(ended(returned)) == sorted((one.public_key, shared["id"]) for one in drivers)
    assert car_after(returned).holders == ()


ABSURD = {
    "reversed": (lease("2027-12-31", "2026-01-01", 15_000), "endDate is before startDate"),
    "a century": (lease("2000-01-01", "2100-01-01", 15_000), "the lease is longer than 10 years"),
    "dates as numbers": (
        {"lease": {"startDate": 20260101, "endDate": 20271231.0}},
        "startDate is not a date (YYYY-MM-DD)",
    ),
    "a date that is not": (lease("2026-02-30", "2027-12-31", 15_000), "startDate is not a date (YYYY-MM-DD)"),
    "year 9999": (lease("2026-01-01", "9999-12-31", 15_000), "endDate is not a plausible date"),
    "mileage as a float": ({"lease": {"annualMileage": 15_000.0}}, "annualMileage is not a plausible number of km"),
    "mileage as text": ({"lease": {"annualMileage": "15000"}}, "annualMileage is not a plausible number of km"),
    "mileage as a bool": ({"lease": {"annualMileage": True}}, "annualMileage is not a plausible number of km"),
    "mileage below zero": (lease("2026-01-01", "2026-12-31", -1), "annualMileage is not a plausible number of km"),
    "mileage beyond 64 bits": (
        lease("2026-01-01", "2026-12-31", 2**70),
        "annualMileage is not a plausible number of km",
    ),
    "no mileage": ({"lease": {"startDate": "2026-01-01"}}, "no annualMileage"),
    "a list": ({"lease": [{"startDate": "2026-01-01"}]}, "lease is not an object"),
    "text": ({"lease": "2026" * 50_000}, "lease is not an object"),
    "huge text for a date": (lease("2" * 200_000, "2027-12-31", 15_000), "startDate is not a date (YYYY-MM-DD)"),
    "another name": ({"Lease": {}, "x" * 200_000: "y"}, "no lease terms"),
    "nothing": (None, "no lease terms"),
}


@pytest.mark.parametrize(("metadata", "remark"), ABSURD.values(), ids=ABSURD.keys())
def test_absurd_terms_flag_the_lease_and_the_driver_changes_all_the_same(
    metadata: JsonObject | None, remark: str
) -> None:
    passed_on = transfer(LEASED, BOB, metadata=metadata)
    decision = decided(passed_on, REGISTERED, LEASED)

    assert car_after(decision).holders == (Holder(BOB.public_key, passed_on["id"]),)
    assert ended(decision) == [(ANN.public_key, LEASED["id"])]
    (begun,) = (one for one in decision.effects if isinstance(one, LeaseStarted))
    assert begun.driver == BOB.public_key
    assert remark in begun.terms.remarks


@pytest.mark.parametrize("metadata", [None, {"lease": []}, {"lease": {"startDate": "2099-01-01"}}], ids=repr)
def test_whatever_a_return_says_of_terms_it_ends_the_lease(metadata: JsonObject | None) -> None:
    decision = decided(transfer(LEASED, LESSOR, metadata=metadata), REGISTERED, LEASED)

    assert ended(decision) == [(ANN.public_key, LEASED["id"])]
    assert started(decision) == []


@pytest.mark.parametrize(
    "asset", [None, {}, {"vehicleIdentificationNumber": 7.5, "model": ["x"], "name": "x" * 100_000}]
)
def test_a_car_of_which_nothing_usable_is_told_is_registered_and_leased(asset: JsonObject | None) -> None:
    registered = signed_by_hand(create() | {"asset": {"data": asset}}, LESSOR)
    decision = decided(transfer(registered, ANN), registered)

    assert car_after(decision).description == CarDescription()
    assert started(decision) == [ANN.public_key]


# Lessors among themselves, and the untrusted


def test_a_car_given_to_another_trusted_lessor_has_no_driver_and_goes_on_from_there() -> None:
    sold = transfer(REGISTERED, OTHER_LESSOR)
    decision = decided(sold, REGISTERED)

    assert (car_after(decision).holders, decision.effects) == ((), ())
    assert started(decided(transfer(sold, ANN), REGISTERED, sold)) == [ANN.public_key]


def test_a_car_that_another_trusted_lessor_gives_back_never_had_a_driver() -> None:
    sold = transfer(REGISTERED, OTHER_LESSOR)
    back = transfer(sold, LESSOR)
    decision = decided(back, REGISTERED, sold)

    assert (car_after(decision).holders, decision.effects) == ((), ())
    assert started(decided(transfer(back, ANN), REGISTERED, sold, back)) == [ANN.public_key]


def test_a_car_is_whose_trusted_lessors_it_was_last_and_keeps_the_name_of_who_registered_it() -> None:
    sold = transfer(REGISTERED, OTHER_LESSOR)
    leased = transfer(sold, ANN)
    back = transfer(leased, LESSOR)
    leased_out = decided(leased, REGISTERED, sold)
    cars = [
        fold(REGISTERED),
        car_after(decided(sold, REGISTERED)),
        car_after(leased_out),
        car_after(decided(back, REGISTERED, sold, leased)),
    ]

    assert [one.lessor for one in cars] == [
        LESSOR.public_key,
        OTHER_LESSOR.public_key,
        OTHER_LESSOR.public_key,
        LESSOR.public_key,
    ]
    assert {one.registered_by for one in cars} == {LESSOR.public_key}
    (begun,) = leased_out.effects
    assert isinstance(begun, LeaseStarted)
    assert begun.lessor == OTHER_LESSOR.public_key


def test_a_driver_who_gives_the_car_to_another_trusted_lessor_has_returned_it() -> None:
    decision = decided(transfer(LEASED, OTHER_LESSOR), REGISTERED, LEASED)

    assert ended(decision) == [(ANN.public_key, LEASED["id"])]
    assert car_after(decision).holders == ()


def test_a_registration_for_another_trusted_lessor_starts_no_lease() -> None:
    decision = decided(create(share(OTHER_LESSOR)))

    found = car_after(decision)
    assert (found.holders, decision.effects) == ((), ())
    assert (found.registered_by, found.lessor) == (LESSOR.public_key, OTHER_LESSOR.public_key)


def test_a_registration_by_the_other_trusted_lessor_is_theirs() -> None:
    found = car_after(decided(create(by=OTHER_LESSOR)))

    assert (found.registered_by, found.lessor) == (OTHER_LESSOR.public_key, OTHER_LESSOR.public_key)


def test_an_untrusted_key_passes_the_car_on_like_any_driver() -> None:
    sold = transfer(REGISTERED, STRANGER)
    passed_on = decided(transfer(sold, ANN), REGISTERED, sold)
    to_the_other = decided(transfer(sold, OTHER_LESSOR), REGISTERED, sold)

    assert (ended(passed_on), started(passed_on)) == ([(STRANGER.public_key, sold["id"])], [ANN.public_key])
    assert (ended(to_the_other), started(to_the_other)) == ([(STRANGER.public_key, sold["id"])], [])


def test_a_car_that_comes_back_from_an_untrusted_key_is_leased_again() -> None:
    sold = transfer(REGISTERED, STRANGER)
    back = transfer(sold, LESSOR)
    again = transfer(back, STRANGER)

    assert car_after(decided(again, REGISTERED, sold, back)).holders == (Holder(STRANGER.public_key, again["id"]),)


def test_an_untrusted_key_that_has_the_car_is_a_driver_until_it_gives_it_back() -> None:
    sold = transfer(REGISTERED, STRANGER)
    back = transfer(sold, LESSOR)

    assert started(decided(sold, REGISTERED)) == [STRANGER.public_key]
    assert ended(decided(back, REGISTERED, sold)) == [(STRANGER.public_key, sold["id"])]


# Shares


DIVIDED = transfer(create(share(LESSOR, amount=3)), share(ANN), share(BOB, amount=2))
OF_ANN = transfer([(DIVIDED, 0)], CAT)
OF_BOB = transfer([(DIVIDED, 1)], share(CAT, amount=2))


@pytest.mark.parametrize("predecessor", ["", "0" * 64, OF_BOB["asset"]["id"]])
def test_a_transfer_of_a_divided_car_waits_unless_it_follows_what_the_car_stands_at(predecessor: str) -> None:
    standing = fold(create(share(LESSOR, amount=3)), DIVIDED)
    told = msgspec.structs.replace(event(OF_BOB), predecessor=predecessor)
    decision = decide(standing, told, LESSORS)
    assert decision.outcome is Outcome.DEFERRED
    assert standing.last_transaction in decision.detail
    assert decide(standing, event(OF_BOB, after=standing), LESSORS).outcome is Outcome.APPLIED


def test_a_transfer_on_another_branch_cannot_pass_one_that_is_missing() -> None:
    standing = fold(create(share(LESSOR, amount=3)), DIVIDED)
    after_ann = fold(create(share(LESSOR, amount=3)), DIVIDED, OF_ANN)
    assert decide(standing, event(OF_BOB, after=after_ann), LESSORS).outcome is Outcome.DEFERRED
    assert decide(after_ann, event(OF_BOB, after=after_ann), LESSORS).outcome is Outcome.APPLIED


def test_what_spends_all_there_is_of_a_car_needs_no_predecessor() -> None:
    standing = fold(create(share(LESSOR, amount=3)))
    assert decide(standing, event(DIVIDED), LESSORS).outcome is Outcome.APPLIED
    divided = fold(create(share(LESSOR, amount=3)), DIVIDED)
    joined = transfer([(DIVIDED, 0), (DIVIDED, 1)], share(CAT, amount=3))
    assert decide(divided, event(joined), LESSORS).outcome is Outcome.APPLIED


def test_a_forged_transfer_of_a_divided_car_is_rejected_whatever_it_follows() -> None:
    standing = fold(create(share(LESSOR, amount=3)), DIVIDED)
    forged = signed_by_hand(OF_BOB, ANN)
    assert decide(standing, event(forged), LESSORS).outcome is Outcome.REJECTED


def test_a_driver_with_two_outputs_keeps_the_lease_until_the_last_one_goes() -> None:
    divided = transfer(create(share(LESSOR, amount=3)), share(ANN), share(ANN, amount=2))
    one_back = transfer([(divided, 0)], LESSOR)
    all_back = transfer([(divided, 1)], share(LESSOR, amount=2))
    registered = create(share(LESSOR, amount=3))

    first = decided(one_back, registered, divided)
    assert first.effects == ()
    assert car_after(first).holders == (Holder(ANN.public_key, divided["id"]),)
    assert ended(decided(all_back, registered, divided, one_back)) == [(ANN.public_key, divided["id"])]


def test_a_driver_who_gives_some_shares_away_and_keeps_the_rest_keeps_the_lease() -> None:
    """An output is spent as a whole: what is kept comes back to its owner in the same transaction."""
    registered = create(share(LESSOR, amount=3))
    leased = transfer(registered, share(ANN, amount=3), metadata=lease("2026-01-01", "2027-12-31", 15_000))
    shared = transfer(leased, share(BOB), share(ANN, amount=2), metadata=lease("2026-06-01", "2026-06-30", 500))

    decision = decided(shared, registered, leased)

    assert started(decision) == [BOB.public_key]
    assert ended(decision) == []


def test_a_driver_of_some_shares_has_the_car_while_the_lessor_keeps_the_others() -> None:
    registered = create(share(LESSOR, amount=3))
    leased = transfer(registered, share(ANN), share(LESSOR, amount=2))
    decision = decided(leased, registered)
    assert (started(decision), [one.amount for one in car_after(decision).unspent]) == ([ANN.public_key], [1, 2])

    more = transfer([(leased, 1)], share(BOB, amount=2))
    assert (started(decided(more, registered, leased)), ended(decided(more, registered, leased))) == (
        [BOB.public_key],
        [],
    )
    returned = decided(transfer(leased, LESSOR), registered, leased, more)
    assert ended(returned) == [(ANN.public_key, leased["id"])]
    assert car_after(returned).holders == (Holder(BOB.public_key, more["id"]),)


def test_a_driver_who_has_shares_and_gets_more_from_the_lessor_keeps_the_lease() -> None:
    registered = create(share(LESSOR, amount=2))
    leased = transfer(registered, share(ANN), share(LESSOR))
    decision = decided(transfer([(leased, 1)], share(ANN)), registered, leased)

    assert decision.effects == ()
    assert car_after(decision).holders == (Holder(ANN.public_key, leased["id"]),)


def test_a_driver_who_joins_all_shares_into_one_output_has_renewed() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(ANN))
    joined = transfer([(divided, 0), (divided, 1)], share(ANN, amount=2))
    decision = decided(joined, registered, divided)

    assert ended(decision) == [(ANN.public_key, divided["id"])]
    assert started(decision) == [ANN.public_key]


def test_drivers_who_exchange_their_shares_have_each_renewed() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(BOB))
    exchanged = transfer([(divided, 0), (divided, 1)], share(BOB), share(ANN))
    decision = decided(exchanged, registered, divided)

    assert sorted(ended(decision)) == sorted([(ANN.public_key, divided["id"]), (BOB.public_key, divided["id"])])
    assert {one.lease for one in car_after(decision).holders} == {exchanged["id"]}


def test_one_driver_of_a_divided_car_passes_their_shares_on_and_the_other_is_untouched() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(BOB))
    passed_on = transfer([(divided, 0)], share(CAT))
    decision = decided(passed_on, registered, divided)

    assert (ended(decision), started(decision)) == ([(ANN.public_key, divided["id"])], [CAT.public_key])
    assert {one.driver: one.lease for one in car_after(decision).holders} == {
        BOB.public_key: divided["id"],
        CAT.public_key: passed_on["id"],
    }


def test_a_driver_who_takes_over_the_others_shares_keeps_the_lease_that_they_had() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(BOB))
    decision = decided(transfer([(divided, 0)], share(BOB)), registered, divided)

    assert (ended(decision), started(decision)) == ([(ANN.public_key, divided["id"])], [])
    assert car_after(decision).holders == (Holder(BOB.public_key, divided["id"]),)


def test_shares_of_several_drivers_come_back_in_one_transfer() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(BOB))
    back = transfer([(divided, 1), (divided, 0)], share(LESSOR, amount=2))

    decision = decided(back, registered, divided)

    assert sorted(ended(decision)) == sorted([(ANN.public_key, divided["id"]), (BOB.public_key, divided["id"])])
    assert [one.amount for one in car_after(decision).unspent] == [2]


@pytest.mark.parametrize("amount", ["1", "3"])
def test_a_transfer_that_gives_more_or_less_than_it_spends_is_rejected(amount: str) -> None:
    registered = create(share(LESSOR, amount=2))
    body = transfer(registered, share(ANN, amount=2))
    body["outputs"][0]["amount"] = amount
    decision = decided(signed_by_hand(body, LESSOR), registered)

    assert decision.outcome is Outcome.REJECTED
    assert f"spends 2 shares and gives {amount}" in decision.detail


def test_a_transfer_that_spends_one_output_twice_is_not_applied() -> None:
    registered = create(share(LESSOR, amount=2))
    body = transfer(registered, share(ANN, amount=4))
    body["inputs"] = body["inputs"] * 2

    assert decided(signed_by_hand(body, LESSOR, LESSOR), registered).outcome in {Outcome.REJECTED, Outcome.DEFERRED}


# Who owns an output is what its condition says: the ledger does not look at public_keys


def test_a_driver_who_only_claims_to_return_the_car_still_has_it() -> None:
    body = transfer(LEASED, ANN)
    body["outputs"][0]["public_keys"] = [LESSOR.public_key]
    claimed = signed_by_hand(body, ANN)
    assert Ledger([REGISTERED, LEASED]).accepts(claimed)

    decision = decided(claimed, REGISTERED, LEASED)

    assert [one.driver for one in car_after(decision).holders] == [ANN.public_key]
    (begun,) = (one for one in decision.effects if isinstance(one, LeaseStarted))
    assert "public_keys are not the keys that the condition names" in begun.terms.remarks


@pytest.mark.parametrize("claimed", [[], None, [STRANGER.public_key]], ids=["nobody", "null", "somebody else"])
def test_who_may_spend_the_car_has_it_whoever_public_keys_name(claimed: list[str] | None) -> None:
    body = transfer(REGISTERED, ANN)
    body["outputs"][0]["public_keys"] = claimed
    odd = signed_by_hand(body, LESSOR)
    assert Ledger([REGISTERED]).accepts(odd)

    assert started(decided(odd, REGISTERED)) == [ANN.public_key]


@pytest.mark.parametrize("added", ["\n", "\t", " ", "\u2028", " " * 2000], ids=repr)
def test_an_owner_is_written_as_one_key_that_table_storage_takes(added: str) -> None:
    """The ledger takes white space after a key in a condition. A key with a line break is refused by Table Storage."""
    body = transfer(REGISTERED, ANN)
    body["outputs"][0]["condition"]["details"]["public_key"] += added
    odd = signed_by_hand(body, LESSOR)
    assert Ledger([REGISTERED]).accepts(odd)

    decision = decided(odd, REGISTERED)

    assert all(one.driver == ANN.public_key for one in decision.effects)
    assert decision.outcome is Outcome.REJECTED or started(decision) == [ANN.public_key]


@pytest.mark.parametrize("key", ["", "a/b#?", "x" * 1200, "0OIl", "1" * 44, "\x00"], ids=lambda key: repr(key[:9]))
def test_what_is_no_public_key_never_becomes_a_driver(key: str) -> None:
    body = transfer(REGISTERED, ANN)
    body["outputs"][0]["condition"]["details"]["public_key"] = key

    decision = decided(signed_by_hand(body, LESSOR), REGISTERED)

    assert all(is_public_key(one.driver) for one in decision.effects)


# Duplicates, order, evidence


def test_a_registration_that_comes_again_is_a_duplicate() -> None:
    assert decided(REGISTERED, REGISTERED).outcome is Outcome.DUPLICATE
    assert decided(REGISTERED, REGISTERED, LEASED).outcome is Outcome.DUPLICATE


def test_the_last_transfer_is_a_duplicate_and_an_earlier_one_is_left_to_be_looked_up() -> None:
    assert decided(RETURNED, REGISTERED, LEASED, RETURNED).outcome is Outcome.DUPLICATE
    assert decided(LEASED, REGISTERED, LEASED, RETURNED).outcome is Outcome.DEFERRED


def test_a_transfer_of_an_unknown_car_is_deferred() -> None:
    decision = decided(LEASED)

    assert decision.outcome is Outcome.DEFERRED
    assert REGISTERED["id"] in decision.detail


def test_a_transfer_before_its_predecessor_is_deferred_and_names_what_is_missing() -> None:
    decision = decided(RETURNED, REGISTERED)

    assert decision.outcome is Outcome.DEFERRED
    assert LEASED["id"] in decision.detail


def test_a_second_transfer_of_a_spent_output_is_not_applied() -> None:
    assert decided(transfer(REGISTERED, BOB), REGISTERED, LEASED).outcome is Outcome.DEFERRED


def test_an_output_that_does_not_exist_is_not_spent() -> None:
    body = transfer(REGISTERED, ANN)
    body["inputs"][0]["fulfills"]["output_index"] = 7

    assert decided(signed_by_hand(body, LESSOR), REGISTERED).outcome is Outcome.DEFERRED


def test_an_unsigned_transfer_is_rejected() -> None:
    decision = decided(with_fulfillment(LEASED, ""), REGISTERED)

    assert (decision.outcome, decision.detail) == (
        Outcome.REJECTED,
        "input 0: it is not signed by the owners of what it spends",
    )


def test_a_transfer_signed_by_a_stranger_is_rejected() -> None:
    stolen = signed_by_hand(transfer(REGISTERED, STRANGER), STRANGER)

    assert decided(stolen, REGISTERED).outcome is Outcome.REJECTED


def test_a_lessor_cannot_take_the_car_from_a_driver() -> None:
    taken = signed_by_hand(RETURNED, LESSOR)

    assert decided(taken, REGISTERED, LEASED).outcome is Outcome.REJECTED


def test_one_input_signed_by_another_inputs_owner_is_rejected() -> None:
    registered = create(share(LESSOR, amount=2))
    divided = transfer(registered, share(ANN), share(BOB))
    forged = signed_by_hand(transfer([(divided, 0), (divided, 1)], share(CAT, amount=2)), ANN, ANN)
    decision = decided(forged, registered, divided)

    assert decision.outcome is Outcome.REJECTED
    assert "input 1" in decision.detail


def test_a_transfer_that_spends_nothing_is_rejected() -> None:
    body = copy.deepcopy(LEASED)
    body["inputs"][0]["fulfills"] = None
    decision = decided(signed_by_hand(body, LESSOR), REGISTERED)

    assert decision.outcome is Outcome.REJECTED
    assert "spends nothing" in decision.detail


def test_a_changed_transfer_is_rejected_before_anything_else() -> None:
    assert decided(LEASED | {"metadata": None}, REGISTERED).outcome is Outcome.REJECTED
    assert decided(LEASED | {"metadata": None}).outcome is Outcome.REJECTED


# Any history

OWNERS = st.lists(st.sampled_from([LESSOR, OTHER_LESSOR, ANN, BOB, CAT]), min_size=1, max_size=2, unique=True)


@st.composite
def shares(draw: st.DrawFn, amount: int) -> list[Any]:
    """Owners for this amount, divided among one to three outputs."""
    cuts = sorted(draw(st.sets(st.integers(1, amount - 1), max_size=2))) if amount > 1 else []
    return [share(*draw(OWNERS), amount=end - begin) for begin, end in zip([0, *cuts], [*cuts, amount], strict=True)]


@st.composite
def histories(draw: st.DrawFn) -> list[JsonObject]:
    """A car's chain as a ledger would hold it: each transfer spends some of the outputs that are unspent then."""
    bodies = [create(*draw(shares(draw(st.integers(1, 4)))))]
    unspent: list[Spent] = [(bodies[0], index) for index in range(len(bodies[0]["outputs"]))]
    for _ in range(draw(st.integers(1, 5))):
        chosen = draw(st.sets(st.integers(0, len(unspent) - 1), min_size=1, max_size=3))
        spent = [unspent[index] for index in sorted(chosen)]
        amount = sum(int(body["outputs"][index]["amount"]) for body, index in spent)
        bodies.append(transfer(spent, *draw(shares(amount))))
        unspent = [one for index, one in enumerate(unspent) if index not in chosen]
        unspent += [(bodies[-1], index) for index in range(len(bodies[-1]["outputs"]))]
    return bodies


def drivers_of(bodies: list[JsonObject]) -> set[str]:
    """The owners of the outputs that no transaction spends, without lessors."""
    links = [one["fulfills"] for body in bodies for one in body["inputs"] if one["fulfills"]]
    spent = {(link["transaction_id"], link["output_index"]) for link in links}
    owners = {
        key
        for body in bodies
        for index, one in enumerate(body["outputs"])
        if (body["id"], index) not in spent
        for key in one["public_keys"]
    }
    return owners - LESSORS


@settings(max_examples=40, deadline=None)
@given(histories())
def test_any_history_folds_in_order_and_the_holders_are_the_owners_who_are_no_lessors(
    history: list[JsonObject],
) -> None:
    car: Car | None = None
    open_leases: dict[str, str] = {}
    ledger = Ledger()
    for height, body in enumerate(history, start=1):
        assert ledger.accepts(body)
        ledger = Ledger(history[:height])
        decision = decide(car, event(body, f"{height:012d}-000000", car), LESSORS)
        car = car_after(decision)
        _follow(open_leases, decision.effects)

        holders = {one.driver: one.lease for one in car.holders}
        assert set(holders) == drivers_of(history[:height])
        assert holders == open_leases
        assert sum(one.amount for one in car.unspent) == sum(int(one["amount"]) for one in history[0]["outputs"])
        assert (car.last_transaction, car.sequence) == (body["id"], f"{height:012d}-000000")


def _follow(open_leases: dict[str, str], effects: tuple[Effect, ...]) -> None:
    """Open and close leases as the effects say; a lease ends that is open, and begins where none is."""
    for effect in effects:
        if isinstance(effect, LeaseEnded):
            assert open_leases.pop(effect.driver) == effect.lease
        else:
            assert effect.driver not in open_leases
            open_leases[effect.driver] = effect.transaction


@settings(max_examples=25, deadline=None)
@given(history=histories(), data=st.data())
def test_no_event_of_a_history_is_applied_twice_or_before_its_turn(
    history: list[JsonObject], data: st.DataObject
) -> None:
    height = data.draw(st.integers(0, len(history) - 1))
    car = fold(*history[: height + 1])

    again = [decide(car, event(body, after=car), LESSORS) for body in history[: height + 1]]
    assert {one.outcome for one in again} <= {Outcome.DUPLICATE, Outcome.DEFERRED}
    assert again[0].outcome is again[-1].outcome is Outcome.DUPLICATE
    assert all(one.car is None and not one.effects for one in again)
    for body in history[height + 2 :]:
        if any(one["fulfills"]["transaction_id"] == history[height + 1]["id"] for one in body["inputs"]):
            assert decide(car, event(body, after=car), LESSORS).outcome is Outcome.DEFERRED


@settings(max_examples=25, deadline=None)
@given(history=histories(), data=st.data())
def test_whoever_does_not_own_all_that_a_transfer_spends_cannot_make_it(
    history: list[JsonObject], data: st.DataObject
) -> None:
    *before, last = history
    signers = data.draw(st.lists(OWNERS.map(lambda found: found[0]), min_size=1, max_size=3))
    signers = (signers * 3)[: len(last["inputs"])]
    forged = signed_by_hand(last, *signers)

    car = fold(*before)
    applied = decide(car, event(forged, after=car), LESSORS).outcome is Outcome.APPLIED

    own_all = all(one["owners_before"] == [by.public_key] for one, by in zip(last["inputs"], signers, strict=True))
    assert applied == own_all == Ledger(before).accepts(forged)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PLACES: list[tuple[Any, ...]] = [
    *((name,) for name in LEASED),
    ("asset", "id"),
    ("metadata", "lease"),
    ("metadata", "lease", "startDate"),
    ("metadata", "lease", "annualMileage"),
    ("inputs", 0, "owners_before"),
    ("inputs", 0, "fulfills", "output_index"),
    ("inputs", 0, "fulfills", "transaction_id"),
    ("outputs", 0),
    ("outputs", 0, "amount"),
    ("outputs", 0, "public_keys"),
    ("outputs", 0, "condition", "uri"),
    ("outputs", 0, "condition", "details"),
    ("outputs", 0, "condition", "details", "type"),
    ("outputs", 0, "condition", "details", "public_key"),
]


def changed(body: JsonObject, place: tuple[Any, ...], value: Any) -> JsonObject:
    made = copy.deepcopy(body)
    *way, name = place
    inner: Any = made
    for step in way:
        inner = inner[step]
    inner[name] = value
    return made


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), value=ANY_JSON, known=st.booleans())
@example(place=("outputs", 0, "amount"), value="9" * 5000, known=True)
@example(place=("asset", "data"), value={"model": 10**4000}, known=True)
@example(
    place=("outputs", 0, "condition", "details"),
    value={"type": "threshold-sha-256", "threshold": 2**70, "subconditions": [{"type": []}]},
    known=True,
)
def test_whatever_a_genuine_owner_signs_is_decided(place: tuple[Any, ...], value: Any, known: bool) -> None:  # noqa: FBT001
    body = changed(LEASED, place, value)
    try:
        body = signed_by_hand(body, LESSOR)
    except (TypeError, KeyError, ValueError, AttributeError):
        body = with_own_id(body)
    try:
        made = event(body)
    except MalformedTransactionError:
        return

    decision = decide(fold(REGISTERED) if known else None, made, LESSORS)

    assert decision.outcome in set(Outcome) - {Outcome.FAILED}
    assert (decision.car is not None) == (decision.outcome is Outcome.APPLIED)


def test_a_condition_that_nobody_can_fulfil_does_not_end_the_lease() -> None:
    """The ledger refuses such a condition: here it can only come from elsewhere."""
    body = transfer(LEASED, LESSOR)
    body["outputs"][0]["condition"]["details"] = {"type": "preimage-sha-256"}

    assert decided(signed_by_hand(body, ANN), REGISTERED, LEASED).outcome is Outcome.REJECTED


def test_a_genuine_transfer_is_not_shut_out_by_one_that_was_made_from_it() -> None:
    """Who reads the ledger can rewrite a fulfillment; that and the Function's key must not be enough to stop a car."""
    second = with_fulfillment(LEASED, encoded(b"\xa4\x81\x64" + decoded(LEASED)[2:]))
    first = decided(second, REGISTERED)
    car = first.car if first.outcome is Outcome.APPLIED else fold(REGISTERED)

    assert decide(car, event(LEASED), LESSORS).outcome in {Outcome.APPLIED, Outcome.DUPLICATE}


def test_a_key_in_two_parts_of_a_condition_counts_as_the_condition_counts_it() -> None:
    twice = with_outputs(REGISTERED, output(threshold(2, ANN, ANN), ANN))
    returned = transfer(twice, LESSOR)

    assert Ledger([REGISTERED, twice]).accepts(returned)
    assert ended(decided(returned, REGISTERED, twice)) == [(ANN.public_key, twice["id"])]
