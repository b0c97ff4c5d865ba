"""What the audit calls a difference: whatever was damaged by hand, and nothing that is merely ahead."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from audit.comparison import CARS, DRIVERS, WHOLE, Comparison, Difference, Place
from audit.facts import Facts
from audit.rows import CAR_COLUMNS, DRIVER_COLUMNS
from functions.leasing import driver as drivers
from functions.leasing.car import Car, decide, mark_of
from functions.leasing.driver import Driver, Lease, Profile
from functions.leasing.outcomes import Outcome
from functions.records import rows
from local.scenario import JsonObject
from tests.integration.test_record_converges import histories
from tests.unit.ledger_writing import ANN, BOB, CAT, LESSOR, LESSORS, asset_id, create, event, share, transfer
from tests.unit.test_audit_facts import as_read, folded
from tests.unit.test_driver_fold import TARIFF, looked_at, written

Rows = list[dict[str, Any]]
Table = dict[str, Rows]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def recorded(bodies: Sequence[JsonObject]) -> tuple[Table, Table]:
    """The rows of Cars and Drivers, by partition, as the Function app writes them for a history."""
    cars: dict[str, Car] = {}
    people: dict[str, tuple[Driver, dict[str, Lease]]] = {}
    in_cars: Table = {}
    for height, body in enumerate(bodies, start=1):
        asset, before = asset_id(body), cars.get(asset_id(body))
        one = event(body, f"{height:012d}-000000", before)
        decision = decide(before, one, LESSORS)
        assert decision.outcome is Outcome.APPLIED
        assert decision.car is not None
        cars[asset] = decision.car
        in_cars.setdefault(asset, []).append(rows.transaction_row(asset, mark_of(one, decision)))
        for effect in decision.effects:
            driver, leases = people.get(effect.driver, (Driver(effect.driver), {}))
            change = drivers.apply(driver, looked_at(driver, leases, [effect]), [effect], TARIFF)
            people[effect.driver] = written(driver, leases, change)
    for asset, car in cars.items():
        in_cars[asset].append(rows.car_row(car))
    in_drivers = {
        key: [*map(rows.lease_row, leases.values()), rows.driver_row(driver)]
        for key, (driver, leases) in people.items()
    }
    return in_cars, in_drivers


def picked(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The row as Table Storage gives it to whoever asks for these properties only."""
    return {name: value for name, value in row.items() if name in columns}


def compared(
    facts: Facts, cars: Mapping[str, Rows], people: Mapping[str, Rows], left_out: Sequence[str] = (), start: int = 0
) -> Comparison:
    """The comparison after all rows were shown, with no more properties than are asked for."""
    comparison = Comparison(facts, left_out)
    for asset, found in cars.items():
        comparison.show_car(asset, [picked(row, CAR_COLUMNS) for row in found])
    for driver, found in people.items():
        comparison.show_driver(driver, [picked(row, DRIVER_COLUMNS) for row in found])
    comparison.miss(start)
    return comparison


def places(differences: Sequence[Difference]) -> set[Place]:
    return {one.place for one in differences}


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories())
def test_a_whole_record_does_not_differ(bodies: list[JsonObject]) -> None:
    assert compared(folded(bodies), *recorded(bodies)).differences == []


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories(), dice=st.randoms(use_true_random=False))
def test_a_record_that_is_ahead_each_car_by_as_much_as_it_likes_does_not_differ_in_the_end(
    bodies: list[JsonObject], dice: random.Random
) -> None:
    """The checkpoint stands somewhere; of what comes after, each car's first transactions may be applied already."""
    checkpoint = dice.randint(0, len(bodies))
    ahead = {asset_id(body): dice.randint(checkpoint, len(bodies)) for body in bodies}
    applied = [body for height, body in enumerate(bodies, start=1) if height <= ahead[asset_id(body)]]
    facts = folded(bodies[:checkpoint])

    comparison = compared(facts, *recorded(applied))
    for height, body in enumerate(bodies[checkpoint:], start=checkpoint + 1):
        comparison.moved(facts.apply(as_read(body), height))

    assert comparison.differences == []


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories(), dice=st.randoms(use_true_random=False))
def test_a_record_that_lacks_a_cars_last_transactions_differs_however_the_ledger_moves_on(
    bodies: list[JsonObject], dice: random.Random
) -> None:
    assume(len(bodies) > 1)
    checkpoint = dice.randint(1, len(bodies))
    lost = dice.choice(bodies[:checkpoint])
    applied = [body for body in bodies if asset_id(body) != asset_id(lost)]
    applied += [body for body in bodies[: bodies.index(lost)] if asset_id(body) == asset_id(lost)]
    facts = folded(bodies[:checkpoint])

    comparison = compared(facts, *recorded(applied))
    for height, body in enumerate(bodies[checkpoint:], start=checkpoint + 1):
        comparison.moved(facts.apply(as_read(body), height))

    lacking = Place(CARS, asset_id(lost), f"transaction-{lost['id']}")
    assert places(comparison.differences) & {lacking, Place(CARS, asset_id(lost), WHOLE)}


@settings(max_examples=100, deadline=None, suppress_health_check=SLOW)
@given(bodies=histories(), dice=st.randoms(use_true_random=False))
def test_a_row_that_is_lost_is_named(bodies: list[JsonObject], dice: random.Random) -> None:
    cars, people = recorded(bodies)
    table, partitions = dice.choice([(CARS, cars), *([(DRIVERS, people)] if people else [])])
    partition = dice.choice(sorted(partitions))
    lost = partitions[partition].pop(dice.randrange(len(partitions[partition])))

    found = places(compared(folded(bodies), cars, people).differences)

    assert Place(table, partition, lost["RowKey"]) in found


REGISTERED = create()
LEASED = [REGISTERED, transfer(REGISTERED, ANN)]
LEASED.append(transfer(LEASED[-1], BOB))
CAR, LEASE = REGISTERED["id"], LEASED[1]["id"]
IS_FLAGGED = next(row["Flagged"] for row in recorded(LEASED)[1][BOB.public_key] if "Flagged" in row)
PREMIUM = recorded(LEASED)[1][BOB.public_key][0]["AnnualPremium"].removesuffix(".00")


def changed(found: Rows, row_key: str, **properties: object) -> None:
    next(row for row in found if row["RowKey"] == row_key).update(properties)


Damage = Callable[[Table, Table], None]


def lose_the_end(_: Table, people: Table) -> None:
    changed(people[ANN.public_key], f"lease-{LEASE}", EndTransaction="", EndSequence="")


def change_the_holder(cars: Table, _: Table) -> None:
    changed(cars[CAR], f"record-{CAR}", Holders="[]")


def invent_a_lease(_: Table, people: Table) -> None:
    invented = {**people[ANN.public_key][0], "RowKey": f"lease-{'0' * 64}"}
    people[ANN.public_key].append(invented)


def give_a_lease_another_car(_: Table, people: Table) -> None:
    changed(people[ANN.public_key], f"lease-{LEASE}", AssetId="0" * 64)


def invent_a_car(cars: Table, _: Table) -> None:
    cars["0" * 64] = [{**cars[CAR][-1], "PartitionKey": "0" * 64, "RowKey": f"record-{'0' * 64}"}]


def change_the_premium(_: Table, people: Table) -> None:
    changed(people[BOB.public_key], f"record-{BOB.public_key}", AnnualPremium="1.00")


def forget_an_open_lease(_: Table, people: Table) -> None:
    changed(people[BOB.public_key], f"record-{BOB.public_key}", OpenLeases="{}")


def break_a_row(cars: Table, _: Table) -> None:
    changed(cars[CAR], f"record-{CAR}", Holders="[{")


def add_a_row_of_another_kind(_: Table, people: Table) -> None:
    people[ANN.public_key].append({"PartitionKey": ANN.public_key, "RowKey": "note-1"})


def add_a_driver_without_a_reason(_: Table, people: Table) -> None:
    people["nobody"] = [rows.driver_row(Driver("nobody"))]


def take_a_lessor_for_a_driver(_: Table, people: Table) -> None:
    people[LESSOR.public_key] = [rows.driver_row(Driver(LESSOR.public_key))]


def invent_a_lease_in_a_mark(cars: Table, _: Table) -> None:
    changed(cars[CAR], f"transaction-{LEASE}", Started=f'["{CAT.public_key}"]')


def forget_an_end_in_a_mark(cars: Table, _: Table) -> None:
    changed(cars[CAR], f"transaction-{LEASED[2]['id']}", Ended="[]")


def change_an_amount(cars: Table, _: Table) -> None:
    unspent = cars[CAR][-1]["UnspentOutputs"]
    assert unspent.count('"amount":1,') == 1
    changed(cars[CAR], f"record-{CAR}", UnspentOutputs=unspent.replace('"amount":1,', '"amount":2,'))


def call_a_car_free(cars: Table, _: Table) -> None:
    changed(cars[CAR], f"record-{CAR}", Leased=False)


def call_a_driver_carless(_: Table, people: Table) -> None:
    changed(people[BOB.public_key], f"record-{BOB.public_key}", Leasing=False)


def flag_a_driver(_: Table, people: Table) -> None:
    changed(people[BOB.public_key], f"record-{BOB.public_key}", Flagged=not IS_FLAGGED)


def flag_a_lease(_: Table, people: Table) -> None:
    named = f'{{"{LEASED[2]["id"]}":["{PREMIUM}.00",{str(not IS_FLAGGED).lower()}]}}'
    changed(people[BOB.public_key], f"record-{BOB.public_key}", OpenLeases=named, Flagged=not IS_FLAGGED)


def change_the_premium_of_one_open_lease(_: Table, people: Table) -> None:
    named = f'{{"{LEASED[2]["id"]}":["1.00",{str(IS_FLAGGED).lower()}]}}'
    changed(people[BOB.public_key], f"record-{BOB.public_key}", OpenLeases=named)


@pytest.mark.parametrize(
    ("damage", "place", "ledger", "record"),
    [
        (lose_the_end, Place(DRIVERS, ANN.public_key, f"lease-{LEASE}"), f"ended by {LEASED[2]['id']}", "open"),
        (
            change_the_holder,
            Place(CARS, CAR, f"record-{CAR}"),
            f"held by {BOB.public_key} by lease",
            "held by no driver",
        ),
        (invent_a_lease, Place(DRIVERS, ANN.public_key, f"lease-{'0' * 64}"), "no such row", f"car {CAR}"),
        (give_a_lease_another_car, Place(DRIVERS, ANN.public_key, f"lease-{LEASE}"), f"car {CAR}", f"car {'0' * 64}"),
        (invent_a_car, Place(CARS, "0" * 64, f"record-{'0' * 64}"), "no such row", "held by"),
        (
            change_the_premium,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            f"by the leases beside it: premium {PREMIUM}",
            "premium 1",
        ),
        (
            forget_an_open_lease,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            f"by the leases beside it: open leases {LEASED[2]['id']}",
            "open leases none",
        ),
        (break_a_row, Place(CARS, CAR, f"record-{CAR}"), "held by", "a row that cannot be read (JSONDecodeError)"),
        (
            add_a_row_of_another_kind,
            Place(DRIVERS, ANN.public_key, "note-1"),
            "no such row",
            "a row of no kind that is known",
        ),
        (add_a_driver_without_a_reason, Place(DRIVERS, "nobody", "record-nobody"), "no such row", "open leases none"),
        (
            take_a_lessor_for_a_driver,
            Place(DRIVERS, LESSOR.public_key, f"record-{LESSOR.public_key}"),
            "no such row",
            "open leases none",
        ),
        (
            invent_a_lease_in_a_mark,
            Place(CARS, CAR, f"transaction-{LEASE}"),
            f"leases started: {ANN.public_key}",
            f"leases started: {CAT.public_key}",
        ),
        (
            forget_an_end_in_a_mark,
            Place(CARS, CAR, f"transaction-{LEASED[2]['id']}"),
            f"leases ended: {LEASE} of {ANN.public_key}",
            "leases ended: none",
        ),
        (change_an_amount, Place(CARS, CAR, f"record-{CAR}"), "unspent", "unspent"),
        (call_a_car_free, Place(CARS, CAR, f"record-{CAR}"), "held by", "Leased is False"),
        (
            call_a_driver_carless,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            "by the leases beside it",
            "Leasing is False",
        ),
        (
            flag_a_driver,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            "by the leases beside it",
            f"Flagged is {not IS_FLAGGED}",
        ),
        (
            flag_a_lease,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            f"by the leases beside it: open leases {LEASED[2]['id']} at {PREMIUM}",
            f"open leases {LEASED[2]['id']} at {PREMIUM}",
        ),
        (
            change_the_premium_of_one_open_lease,
            Place(DRIVERS, BOB.public_key, f"record-{BOB.public_key}"),
            f"by the leases beside it: open leases {LEASED[2]['id']} at {PREMIUM}",
            f"open leases {LEASED[2]['id']} at 1",
        ),
    ],
)
def test_damage_by_hand_is_named_with_what_should_be_there(
    damage: Damage, place: Place, ledger: str, record: str
) -> None:
    cars, people = recorded(LEASED)
    damage(cars, people)
    found = {one.place: one for one in compared(folded(LEASED), cars, people).differences}
    assert place in found
    assert found[place].on_ledger.startswith(ledger)
    assert found[place].in_record.startswith(record)


def test_a_car_of_which_the_record_has_nothing_is_one_difference_for_the_car_and_one_for_each_lease() -> None:
    comparison = compared(folded(LEASED), {}, {})
    assert places(comparison.differences) == {Place(CARS, CAR, WHOLE)}
    cars, people = recorded(LEASED)
    assert places(compared(folded(LEASED), {}, people).differences) == {Place(CARS, CAR, WHOLE)}
    assert places(compared(folded(LEASED), {}, people, start=9).differences) == {Place(CARS, CAR, WHOLE)}
    comparison = compared(folded(LEASED), cars, {})
    assert {one.place.table for one in comparison.differences} == {DRIVERS}
    assert len(comparison.differences) == 2


def test_a_lease_is_missed_too_where_the_record_has_another_of_that_car_but_not_the_car() -> None:
    _, people = recorded(LEASED)
    del people[BOB.public_key]
    found = places(compared(folded(LEASED), {}, people).differences)
    assert found == {Place(CARS, CAR, WHOLE), Place(DRIVERS, BOB.public_key, f"lease-{LEASED[2]['id']}")}


def test_cars_that_have_not_moved_since_the_relay_began_need_not_be_there_but_if_they_are_must_be_whole() -> None:
    other = create(metadata={"number": 2})
    bodies = [*LEASED, other]
    facts = folded(bodies)
    cars, people = recorded([other])
    comparison = Comparison(facts, [])
    for asset, found in cars.items():
        comparison.show_car(asset, found)
    assert comparison.miss(start=3) == 1
    parked = Comparison(folded(bodies), [CAR])
    parked.show_car(other["id"], cars[other["id"]])
    assert parked.miss(start=3) == 0, "a parked car is told as such"
    assert comparison.differences == []
    assert people == {}

    assert places(compared(folded(bodies), {}, {}, start=2).differences) == {
        Place(CARS, CAR, WHOLE),
        Place(CARS, other["id"], WHOLE),
    }
    partly = {CAR: [row for row in recorded(LEASED)[0][CAR] if row["RowKey"] != f"transaction-{LEASE}"]}
    found_partly = places(compared(folded(LEASED), partly, recorded(LEASED)[1], start=3).differences)
    assert found_partly == {Place(CARS, CAR, f"transaction-{LEASE}")}


def test_a_parked_car_is_left_out_also_where_it_was_parked_while_the_rows_were_read() -> None:
    cars, people = recorded(LEASED[:2])
    assert compared(folded(LEASED), cars, people).differences
    assert compared(folded(LEASED), cars, people, left_out=[CAR]).differences == []
    comparison = compared(folded(LEASED), cars, people)
    comparison.leave_out([CAR])
    assert comparison.differences == []


def test_what_the_insurer_entered_is_no_difference() -> None:
    cars, people = recorded(LEASED)
    known = Driver("known", profile=Profile("Known"))
    people["known"] = [rows.driver_row(known)]
    claim = {"PartitionKey": "claimed", "RowKey": "claim-1", "Withdrawn": True}
    people["claimed"] = [claim, rows.driver_row(Driver("claimed"))]
    assert compared(folded(LEASED), cars, people).differences == []


def test_what_is_whole_when_it_is_looked_at_again_differs_no_more() -> None:
    facts = folded(LEASED)
    whole_cars, whole_people = recorded(LEASED)
    cars, people = recorded(LEASED[:2])
    comparison = compared(facts, cars, people)
    assert {one.place.table for one in comparison.differences} == {CARS, DRIVERS}
    for one in comparison.differences:
        table = whole_cars if one.place.table == CARS else whole_people
        comparison.look_again(one.place, one.car, table[one.place.partition])
    assert comparison.differences == []


def test_what_was_written_since_is_no_difference_where_something_else_is_looked_at_again() -> None:
    facts = folded(LEASED[:2])
    cars, people = recorded(LEASED[:2])
    invent_a_lease_in_a_mark(cars, people)
    comparison = compared(facts, cars, people)
    [damaged] = comparison.differences
    comparison.look_again(damaged.place, damaged.car, recorded(LEASED)[0][CAR])
    assert comparison.differences == []


@pytest.mark.parametrize(
    ("table", "row_key", "properties"),
    [
        (CARS, f"record-{CAR}", {"Holders": "[" * 100_000}),
        (CARS, f"record-{CAR}", {"Holders": "{}", "UnspentOutputs": "5"}),
        (CARS, f"record-{CAR}", {"Leased": None}),
        (CARS, f"transaction-{LEASE}", {"Started": "[5]", "Ended": "[[]]"}),
        (DRIVERS, f"record-{BOB.public_key}", {"AnnualPremium": "many"}),
        (DRIVERS, f"record-{BOB.public_key}", {"AnnualPremium": "1E+999999999"}),
        (DRIVERS, f"record-{BOB.public_key}", {"OpenLeases": "[]"}),
        (DRIVERS, f"record-{BOB.public_key}", {"OpenLeases": '{"a":"b"}'}),
        (DRIVERS, f"lease-{LEASED[2]['id']}", {"AssetId": 5}),
    ],
)
def test_a_row_that_nobody_would_write_is_a_difference_and_not_the_audits_end(
    table: str, row_key: str, properties: dict[str, Any]
) -> None:
    cars, people = recorded(LEASED)
    partition = CAR if table == CARS else BOB.public_key
    changed((cars if table == CARS else people)[partition], row_key, **properties)
    assert Place(table, partition, row_key) in places(compared(folded(LEASED), cars, people).differences)


def test_a_driver_with_hundreds_of_open_leases_is_read_whole() -> None:
    """Their names go on in OpenLeases2 and OpenLeases3."""
    bodies = [create(share(ANN), metadata={"number": number}) for number in range(400)]
    cars, people = recorded(bodies)
    [record] = [row for row in people[ANN.public_key] if "OpenLeases" in row]
    assert "OpenLeases3" in record
    assert compared(folded(bodies), cars, people).differences == []


def test_what_still_differs_when_it_is_looked_at_again_stays() -> None:
    cars, people = recorded(LEASED)
    invent_a_lease(cars, people)
    lose_the_end(cars, people)
    invent_a_car(cars, people)
    changed(cars[CAR], f"record-{CAR}", LastTransaction=LEASE)
    del people[BOB.public_key]
    comparison = compared(folded(LEASED), cars, people)
    before = comparison.differences
    assert len(before) == 5 + 1, "the driver whose lease has lost its end does not name it either"
    for one in before:
        table = cars if one.place.table == CARS else people
        comparison.look_again(one.place, one.car, table.get(one.place.partition, []))
    assert comparison.differences == before


def test_a_car_that_has_lost_its_last_row_when_it_is_looked_at_again_is_a_difference() -> None:
    cars, people = recorded(LEASED)
    changed(cars[CAR], f"record-{CAR}", Holders="[]")
    comparison = compared(folded(LEASED), cars, people)
    [damaged] = comparison.differences
    comparison.look_again(damaged.place, damaged.car, [])
    assert places(comparison.differences) == {Place(CARS, CAR, WHOLE)}


def test_a_car_that_was_wholly_lost_is_held_against_the_ledger_row_by_row_when_it_is_there_again() -> None:
    cars, people = recorded(LEASED)
    comparison = compared(folded(LEASED), {}, people)
    [lost] = comparison.differences
    comparison.look_again(lost.place, lost.car, cars[CAR][1:])
    assert places(comparison.differences) == {Place(CARS, CAR, cars[CAR][0]["RowKey"])}
    comparison.look_again(Place(CARS, CAR, cars[CAR][0]["RowKey"]), CAR, cars[CAR])
    assert comparison.differences == []


def test_a_driver_who_has_lost_a_lease_has_a_record_for_a_reason() -> None:
    """A record that was written before its lease was lost is not called another difference."""
    cars, people = recorded(LEASED)
    people[ANN.public_key] = [row for row in people[ANN.public_key] if not row["RowKey"].startswith("lease-")]
    found = places(compared(folded(LEASED), cars, people).differences)
    assert found == {Place(DRIVERS, ANN.public_key, f"lease-{LEASE}")}


def test_of_very_many_differences_the_last_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.comparison.MOST_KEPT", 2)
    cars, people = recorded(LEASED)
    comparison = compared(folded([]), cars, people)
    assert (len(comparison.differences), comparison.beyond) == (2, 4 + 2 - 2)


def test_a_car_that_is_wholly_lost_stays_lost_while_it_moves() -> None:
    facts = folded(LEASED[:2])
    comparison = compared(facts, {}, {})
    comparison.moved(facts.apply(as_read(LEASED[2]), 3))
    [lost] = comparison.differences
    assert lost.on_ledger == "a car with 3 transactions"


def test_an_unreadable_transaction_is_a_difference_unless_its_car_is_parked() -> None:
    facts = folded(LEASED[:1])
    facts.apply(as_read(LEASED[1] | {"outputs": [{"amount": "many", "condition": {"details": {}}}]}), 2)
    cars, people = recorded(LEASED[:1])
    [found] = compared(facts, cars, people).differences
    assert f"transaction {LEASE} cannot be read" in found.on_ledger
    comparison = compared(facts, cars, people)
    comparison.look_again(found.place, found.car, cars[CAR])
    comparison.moved(CAR)
    assert comparison.differences == [found]
    assert compared(facts, cars, people, left_out=[CAR]).differences == []


def test_an_unreadable_transaction_from_before_the_relays_beginning_parks_no_car_and_is_no_difference() -> None:
    facts = folded(LEASED[:1])
    facts.apply(as_read(LEASED[1] | {"outputs": [{"amount": "many", "condition": {"details": {}}}]}), 2)
    assert compared(facts, {}, {}, start=2).differences == []
    assert places(compared(facts, {}, {}, start=1).differences) == {Place(CARS, CAR, WHOLE)}
