"""What the beginnings and ends of leases, and the insurer's entries, make of a driver's record."""

import datetime as dt
from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.leasing.car import Effect, LeaseEnded, LeaseStarted
from functions.leasing.driver import (
    ERASED,
    Change,
    Claim,
    Driver,
    Lease,
    LeaseOrderError,
    OpenLease,
    Profile,
    apply,
    erase,
    in_steps,
    reprice,
    unsure,
)
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.premium import PastClaim
from functions.rating.tariff import read_tariff

TARIFF = read_tariff()
KEY = "6yx5SyVFXbckEZMNZhnVc9zhErXYFXLaxDGZPYhsxKqT"
EXPERIENCED = Profile("Ann", "B-1", licensed_since=dt.date(2010, 1, 1), insured_since=dt.date(2016, 1, 1))


def start(lease: str, day: dt.date | None = dt.date(2026, 1, 1), sequence: str = "000000000001-000000") -> LeaseStarted:
    terms = LeaseTerms(start_date=day, remarks=() if day else ("no startDate",))
    return LeaseStarted(KEY, lease, sequence, f"car of {lease}", "lessor", CarDescription(vin="V"), terms)


def end(lease: str, transaction: str = "end", sequence: str = "000000000002-000000") -> LeaseEnded:
    return LeaseEnded(KEY, lease, transaction, sequence)


def folded(*batches: Sequence[Effect], driver: Driver | None = None) -> tuple[Driver, dict[str, Lease]]:
    """The driver and all leases after batches of effects, each written before the next is applied."""
    driver, stored = driver or Driver(KEY), dict[str, Lease]()
    for effects in batches:
        change = apply(driver, looked_at(driver, stored, effects), effects, TARIFF)
        driver, stored = written(driver, stored, change)
    return driver, stored


def looked_at(driver: Driver, stored: Mapping[str, Lease], effects: Sequence[Effect]) -> dict[str, Lease]:
    """The rows that are read before effects are applied: what the record leaves unsure, and starts that conflict."""
    started = {effect.transaction for effect in effects if isinstance(effect, LeaseStarted)}
    return {one: stored[one] for one in unsure(driver, effects) | started if one in stored}


def written(driver: Driver, stored: Mapping[str, Lease], change: Change | None) -> tuple[Driver, dict[str, Lease]]:
    """The driver and the lease rows after a change was written."""
    leases = dict(stored)
    if change is None:
        return driver, leases
    for lease in change.started:
        assert lease.transaction not in leases, "an insert of a row that is there fails"
        leases[lease.transaction] = lease
    for ended in change.ended:
        leases[ended.lease] = msgspec.structs.replace(
            leases[ended.lease], end_transaction=ended.transaction, end_sequence=ended.sequence
        )
    for one, premium in change.repriced.items():
        leases[one] = msgspec.structs.replace(leases[one], premium=premium)
    return change.driver, leases


def repriced(driver: Driver, leases: Mapping[str, Lease]) -> tuple[Driver, dict[str, Lease]]:
    """The driver and the leases after the open ones were priced anew."""
    return written(driver, leases, reprice(driver, open_ones(leases), TARIFF))


def open_ones(leases: Mapping[str, Lease]) -> dict[str, Lease]:
    """The leases that are open."""
    return {one: lease for one, lease in leases.items() if lease.is_open}


def test_a_driver_unknown_to_the_insurer_is_provisional_and_priced_at_the_entry_class() -> None:
    driver, leases = folded([start("one")])

    assert driver.profile is None
    assert (driver.bonus_malus_class, driver.annual_premium) == (14, Decimal("1200.00"))
    assert leases["one"].is_open
    assert leases["one"].premium.annual == Decimal("1200.00")


def test_a_lease_shows_the_car_the_terms_and_its_place_on_the_ledger() -> None:
    _, leases = folded([start("one")])

    lease = leases["one"]
    assert (lease.driver, lease.transaction, lease.sequence) == (KEY, "one", "000000000001-000000")
    assert (lease.asset_id, lease.description.vin) == ("car of one", "V")
    assert lease.terms.start_date == lease.premium.as_of == dt.date(2026, 1, 1)


def test_a_known_driver_is_priced_by_their_history() -> None:
    driver, leases = folded([start("one")], driver=Driver(KEY, profile=EXPERIENCED))

    assert (driver.bonus_malus_class, leases["one"].premium.level) == (4, 60)
    assert driver.annual_premium == Decimal("720.00")


def test_a_lease_that_ended_costs_nothing_and_stays_on_record() -> None:
    driver, leases = folded([start("one")], [end("one", "back", "000000000009-000000")])

    assert (driver.open_leases, driver.annual_premium) == ({}, Decimal("0.00"))
    assert not leases["one"].is_open
    assert (leases["one"].end_transaction, leases["one"].end_sequence) == ("back", "000000000009-000000")
    assert leases["one"].premium.annual == Decimal("1200.00")


def test_a_lease_may_start_and_end_in_one_batch() -> None:
    assert folded([start("one"), end("one")]) == folded([start("one")], [end("one")])


def test_a_renewal_leaves_one_open_lease() -> None:
    driver, leases = folded([start("one")], [end("one", "two"), start("two", dt.date(2028, 1, 1))])

    assert list(driver.open_leases) == ["two"]
    assert [lease.is_open for lease in leases.values()] == [False, True]


def test_the_premium_is_the_sum_of_the_open_leases() -> None:
    driver, _ = folded([start("one"), start("two"), start("three")], [end("two")])

    assert driver.open_leases == dict.fromkeys(["one", "three"], OpenLease(Decimal("1200.00"), flagged=False))
    assert driver.annual_premium == Decimal("2400.00")


def test_effects_that_come_again_change_nothing() -> None:
    once = folded([start("one"), start("two")], [end("one")])
    driver, leases = once

    assert apply(driver, leases, [start("one"), start("two"), end("one")], TARIFF) is None


def test_what_the_record_shows_open_needs_no_other_row() -> None:
    driver, _ = folded([start("one")])

    assert unsure(driver, [end("one"), start("two"), end("two")]) == set()
    assert unsure(driver, [end("three")]) == {"three"}
    assert apply(driver, {}, [start("one")], TARIFF) is None


def test_an_effect_that_comes_twice_in_one_batch_counts_once() -> None:
    assert folded([start("one"), start("one"), end("one"), end("one", "later")]) == folded([start("one"), end("one")])


def test_a_lease_ends_once_and_by_its_first_end() -> None:
    _, leases = folded([start("one")], [end("one", "first")], [end("one", "second")])

    assert leases["one"].end_transaction == "first"


def test_an_end_without_a_start_is_an_error_that_names_the_lease() -> None:
    with pytest.raises(LeaseOrderError, match="lease unheard-of ends but never started"):
        apply(Driver(KEY), {}, [start("one"), end("unheard-of")], TARIFF)


def test_a_driver_whom_nothing_happened_to_is_unchanged() -> None:
    assert apply(Driver(KEY), {}, [], TARIFF) is None


def test_a_lease_without_a_date_is_priced_and_does_not_change_the_class_of_the_others() -> None:
    driver, leases = folded([start("one")], [start("two", None)], driver=Driver(KEY, profile=EXPERIENCED))

    assert (driver.latest_start, driver.bonus_malus_class) == (dt.date(2026, 1, 1), 4)
    assert leases["two"].premium.as_of is None


def test_the_class_is_that_of_the_latest_start_whichever_came_last() -> None:
    new, old = start("new", dt.date(2026, 1, 1)), start("old", dt.date(2020, 1, 1))

    driver, leases = folded([new], [old], driver=Driver(KEY, profile=EXPERIENCED))

    assert driver.bonus_malus_class == leases["new"].premium.bonus_malus_class == 4
    assert leases["old"].premium.bonus_malus_class == 10


def test_a_claim_prices_the_open_leases_anew_and_leaves_the_ended_ones() -> None:
    driver, leases = folded([start("one"), start("two")], [end("two")])
    claim = PastClaim("c", dt.date(2025, 6, 1), at_fault=True)

    after, priced = repriced(msgspec.structs.replace(driver, claims=(claim,)), leases)

    assert priced["two"] == leases["two"]
    assert (after.bonus_malus_class, after.annual_premium) == (18, Decimal("1476.00"))
    assert priced["one"].premium.claims_counted == ("c",)


def test_a_profile_makes_a_provisional_driver_known_and_prices_anew() -> None:
    driver, leases = folded([start("one")])

    after, priced = repriced(msgspec.structs.replace(driver, profile=EXPERIENCED), leases)

    assert after.annual_premium == priced["one"].premium.annual == Decimal("720.00")


def test_an_entry_about_a_driver_without_leases_prices_nothing() -> None:
    driver, priced = repriced(Driver(KEY, profile=EXPERIENCED), {})

    assert (driver.bonus_malus_class, driver.annual_premium, priced) == (None, Decimal("0.00"), {})


def test_pricing_anew_twice_is_pricing_once() -> None:
    driver, leases = folded([start("one"), start("two", dt.date(2027, 5, 5))])
    known = msgspec.structs.replace(driver, profile=EXPERIENCED)

    after, priced = repriced(known, leases)

    assert reprice(after, priced, TARIFF) == Change(after)


def test_a_lease_with_odd_terms_flags_its_driver_while_it_is_open() -> None:
    driver, _ = folded([start("one"), start("two", None)])
    later, _ = folded([start("one"), start("two", None)], [end("two")])

    assert driver.is_flagged
    assert not later.is_flagged


def test_many_leases_are_priced_anew_in_steps_that_each_leave_the_record_true_to_its_rows() -> None:
    driver, leases = folded([start(f"{number:03d}") for number in range(25)])
    known = msgspec.structs.replace(driver, profile=EXPERIENCED)
    change = reprice(known, leases, TARIFF)

    steps = list(in_steps(driver, change, 10))

    assert [len(step.repriced) for step in steps] == [10, 10, 5]
    for step in steps:
        driver, leases = written(driver, leases, step)
        assert driver.open_leases == {
            one: OpenLease(lease.premium.annual, lease.is_flagged) for one, lease in leases.items()
        }
    assert driver == change.driver


def test_a_claim_is_written_with_the_first_step_alone() -> None:
    driver, leases = folded([start("one"), start("two"), start("three")])
    claim = Claim("c", dt.date(2025, 6, 1), at_fault=True, amount=Decimal("1.00"))
    rated = msgspec.structs.replace(driver, claims=(PastClaim(claim.id, claim.date, claim.at_fault),))
    change = msgspec.structs.replace(reprice(rated, leases, TARIFF), new_claim=claim)

    assert [step.new_claim for step in in_steps(driver, change, 2)] == [claim, None]


def test_an_entry_that_prices_nothing_is_one_step() -> None:
    change = reprice(Driver(KEY, profile=EXPERIENCED), {}, TARIFF)

    assert list(in_steps(Driver(KEY), change, 10)) == [change]


def test_erasure_leaves_what_the_ledger_says_and_the_price_of_a_stranger() -> None:
    claim = PastClaim("jane-doe-1", dt.date(2020, 6, 1), at_fault=True)
    entered = Driver(KEY, profile=EXPERIENCED, claims=(claim,))
    driver, leases = folded([start("one"), start("two")], [end("one")], driver=entered)
    row = Claim(claim.id, claim.date, claim.at_fault, Decimal("1.00"))

    change = erase(driver, list(leases.values()), [row], TARIFF)
    after, priced = written(driver, leases, change)

    assert (after.profile, after.claims, change.erased_claims) == (None, (), ("jane-doe-1",))
    assert after.annual_premium == priced["two"].premium.annual == Decimal("1200.00")
    ended = priced["one"].premium
    assert ended.annual == leases["one"].premium.annual
    assert (ended.claims_counted, ended.insurance_years) == ((ERASED,), ())
    assert "jane-doe-1" not in str(change.repriced)
    assert erase(after, list(priced.values()), [], TARIFF) == Change(after)


# Any cars in any order

DAYS = st.none() | st.dates(dt.date(2015, 1, 1), dt.date(2030, 1, 1))


@st.composite
def cars(draw: st.DrawFn) -> list[list[Effect]]:
    """The effects of one to three cars on one driver, each car's in its own order."""
    made = []
    for car in range(draw(st.integers(1, 3))):
        effects: list[Effect] = []
        for lease in range(draw(st.integers(1, 3))):
            effects += [start(f"{car}-{lease}", draw(DAYS)), end(f"{car}-{lease}", f"{car}-{lease + 1}")]
        made.append(effects if draw(st.booleans()) else effects[:-1])
    return made


@st.composite
def deliveries(draw: st.DrawFn, made: list[list[Effect]]) -> list[list[Effect]]:
    """The cars' effects mixed, cut into batches, and some batches delivered again."""
    waiting = [list(effects) for effects in made]
    mixed: list[Effect] = []
    while any(waiting):
        mixed.append(draw(st.sampled_from([effects for effects in waiting if effects])).pop(0))
    batches: list[list[Effect]] = []
    while mixed:
        size = draw(st.integers(1, 4))
        batches += [mixed[:size]] * draw(st.integers(1, 2))
        mixed = mixed[size:]
    return batches


@settings(max_examples=150, deadline=None)
@given(made=cars(), known=st.booleans(), data=st.data())
def test_the_order_of_the_cars_does_not_matter_for_the_record(
    made: list[list[Effect]],
    known: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    driver = Driver(KEY, profile=EXPERIENCED if known else None)

    one_car_after_the_other = folded(*made, driver=driver)
    mixed = folded(*data.draw(deliveries(made)), driver=driver)

    assert mixed == one_car_after_the_other


@settings(max_examples=150, deadline=None)
@given(made=cars())
def test_the_open_leases_of_the_record_are_the_leases_that_are_open(made: list[list[Effect]]) -> None:
    driver, leases = folded(*made)

    shown = {one: lease.premium for one, lease in driver.open_leases.items()}
    assert shown == {one: lease.premium.annual for one, lease in leases.items() if lease.is_open}
    assert driver.annual_premium == sum((lease.premium.annual for lease in leases.values() if lease.is_open), Decimal())
