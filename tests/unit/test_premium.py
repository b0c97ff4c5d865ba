"""From a driver's past to a class of the Belgian scale of 1992, and from class, car and licence to exact cents."""

import datetime as dt
import random
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from functions.rating.premium import (
    InsuranceYears,
    LeasedCar,
    PastClaim,
    PastHistory,
    Premium,
    anniversary,
    class_on,
    rate,
    stand,
    whole_years,
)
from functions.rating.tariff import CarClass, CarEntry, Novice, NoviceStep, Tariff, read_tariff

TARIFF = read_tariff()
SCALE = TARIFF.scale
SINCE = dt.date(2010, 5, 1)


def history(*faults: str, since: dt.date | None = SINCE, without_fault: tuple[str, ...] = ()) -> PastHistory:
    """Claims on these dates, insured since 1 May 2010."""
    dates = [(date, True) for date in faults] + [(date, False) for date in without_fault]
    claims = (PastClaim(str(number), dt.date.fromisoformat(date), fault) for number, (date, fault) in enumerate(dates))
    return PastHistory(since, tuple(claims))


def standing_on(date: str, past: PastHistory) -> int:
    """The class as of a day, whatever happened after it."""
    return stand(SCALE, past, dt.date.fromisoformat(date)).bonus_malus_class


def leased(start: str | dt.date | None, manufacturer: str = "", model: str = "") -> LeasedCar:
    return LeasedCar(manufacturer, model, dt.date.fromisoformat(start) if isinstance(start, str) else start)


def premium_on(date: str, past: PastHistory) -> Premium:
    return rate(TARIFF, past, leased(date))


# The scale


def test_the_tariff_holds_the_belgian_scale_of_1992() -> None:
    assert SCALE.levels == (
        *(54, 54, 54, 57, 60, 63, 66, 69, 73, 77, 81, 85, 90, 95),
        *(100, 105, 111, 117, 123, 130, 140, 160, 200),
    )
    assert (SCALE.entry_class, SCALE.worst_class, SCALE.levels[SCALE.entry_class]) == (14, 22, 100)


def through(*claims_a_year: int) -> tuple[PastHistory, dt.date]:
    """A history of complete insurance years with so many claims at fault each, and the day after the last one."""
    claims = tuple(
        PastClaim(f"{year}-{number}", anniversary(SINCE, year) + dt.timedelta(days=100 + number), at_fault=True)
        for year, count in enumerate(claims_a_year)
        for number in range(count)
    )
    return PastHistory(SINCE, claims), anniversary(SINCE, len(claims_a_year))


# Worked by hand from the rules in J. Lemaire, Bonus-Malus Systems in Automobile Insurance, Kluwer 1995, and M. Denuit
# et al., Actuarial Modelling of Claim Counts, Wiley 2007, section 4.7.1: classes 0 to 22; entry at 14 (business use) or
# 11 (pleasure and commuting); a claim-free year is one down; a year's first claim four up, each further one five; after
# four claim-free years nobody is above 14. `classes` are those after each insurance year, `level` that of the last.
@pytest.mark.parametrize(
    ("entry", "claims_a_year", "classes", "level"),
    [
        (14, [], "14", 100),
        (14, [0], "13", 95),
        (14, [0] * 3, "13 12 11", 85),
        (14, [0] * 14, "13 12 11 10 9 8 7 6 5 4 3 2 1 0", 54),
        (14, [0] * 16, "13 12 11 10 9 8 7 6 5 4 3 2 1 0 0 0", 54),
        (14, [1], "18", 123),
        (14, [2], "22", 200),
        (14, [1, 1], "18 22", 200),
        (14, [0, 0, 0, 0, 0, 1], "13 12 11 10 9 13", 95),
        (14, [0, 0, 0, 0, 0, 2], "13 12 11 10 9 18", 123),
        (14, [0, 0, 0, 0, 0, 3], "13 12 11 10 9 22", 200),
        (14, [0] * 14 + [1, 0, 0, 0, 0], "13 12 11 10 9 8 7 6 5 4 3 2 1 0 4 3 2 1 0", 54),
        (14, [0] * 15 + [2], "13 12 11 10 9 8 7 6 5 4 3 2 1 0 0 9", 77),
        (14, [1, 0, 0, 0, 0, 0], "18 17 16 15 14 13", 95),
        (14, [1, 0, 0, 0, 1], "18 17 16 15 19", 130),
        (14, [0, 1, 0, 1, 0, 1], "13 17 16 20 19 22", 200),
        (14, [2, 0, 0, 0], "22 21 20 19", 130),
        (14, [2, 0, 0, 0, 0], "22 21 20 19 14", 100),
        (14, [2, 0, 0, 0, 0, 0], "22 21 20 19 14 13", 95),
        (14, [2, 0, 0, 1, 0, 0, 0, 0], "22 21 20 22 21 20 19 14", 100),
        (14, [1, 1, 1, 1, 0, 0, 0, 0, 1], "18 22 22 22 21 20 19 14 18", 123),
        (11, [], "11", 85),
        (11, [0, 0], "10 9", 77),
        (11, [1], "15", 105),
        (11, [2], "20", 140),
        (11, [1, 0, 0, 0, 0], "15 14 13 12 11", 85),
        (11, [2, 0, 0, 0, 0], "20 19 18 17 14", 100),
        (11, [0, 3], "10 22", 200),
    ],
)
def test_histories_worked_by_hand(entry: int, claims_a_year: list[int], classes: str, level: int) -> None:
    scale = msgspec.structs.replace(SCALE, entry_class=entry)
    past, end = through(*claims_a_year)

    found = [stand(scale, past, anniversary(SINCE, years)) for years in range(1, len(claims_a_year) + 1)]

    assert [standing.bonus_malus_class for standing in found or [stand(scale, past, SINCE)]] == [
        int(one) for one in classes.split()
    ]
    assert scale.levels[stand(scale, past, end).bonus_malus_class] == level


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2010-05-01", 14),
        ("2011-04-30", 14),
        ("2011-05-01", 13),
        ("2012-05-01", 12),
        ("2014-05-01", 10),
        ("2023-05-01", 1),
        ("2024-05-01", 0),
        ("2024-04-30", 1),
        ("2100-01-01", 0),
        ("2010-04-30", 14),
        ("1990-01-01", 14),
    ],
)
def test_each_complete_claim_free_year_is_one_class_down_to_none(date: str, expected: int) -> None:
    assert standing_on(date, history()) == expected


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (["2010-06-01"], 18),
        (["2010-06-01", "2010-07-01"], 22),
        (["2010-06-01", "2010-06-01", "2010-06-01"], 22),
        (["2011-06-01"], 17),
        (["2011-06-01", "2012-04-30"], 22),
        (["2011-06-01", "2012-05-01"], 21),
    ],
)
def test_the_first_claim_of_a_year_is_four_classes_and_each_further_one_five(faults: list[str], expected: int) -> None:
    assert standing_on(max(faults), history(*faults)) == expected


def test_a_further_claim_of_the_same_year_is_five_classes() -> None:
    past = history("2015-06-01", "2016-04-30")

    assert [standing_on(date, past) for date in ("2015-05-31", "2015-06-01", "2016-04-30", "2016-05-01")] == [
        9,
        13,
        18,
        18,
    ]


def test_a_claim_counts_on_its_day_and_the_year_with_it_is_not_claim_free() -> None:
    past = history("2011-06-01")

    assert [standing_on(date, past) for date in ("2011-05-31", "2011-06-01", "2012-05-01", "2013-05-01")] == [
        *(13, 17, 17),
        16,
    ]


@pytest.mark.parametrize(("date", "expected"), [("2013-05-01", 20), ("2014-05-01", 19), ("2015-05-01", 14)])
def test_four_claim_free_years_in_a_row_leave_nobody_above_the_entry_class(date: str, expected: int) -> None:
    assert standing_on(date, history("2010-06-01", "2010-07-01", since=SINCE)) == expected


def test_a_claim_breaks_the_row_of_claim_free_years() -> None:
    past = history("2010-06-01", "2010-07-01", "2013-06-01")

    assert standing_on("2017-05-01", past) == 19
    assert standing_on("2018-05-01", past) == 14


def test_the_four_years_do_not_lift_who_stands_lower() -> None:
    assert standing_on("2015-05-01", history("2010-06-01")) == 14
    assert standing_on("2016-05-01", history("2010-06-01")) == 13


def test_nobody_falls_below_the_worst_class_and_recovers_from_there() -> None:
    past = history(*["2010-06-01"] * 30)

    assert [standing_on(date, past) for date in ("2010-06-01", "2012-05-01")] == [22, 21]


@pytest.mark.parametrize(
    ("date", "years", "expected"),
    [
        ("2020-02-29", 1, "2021-03-01"),
        ("2020-02-29", 4, "2024-02-29"),
        ("2020-02-29", 80, "2100-03-01"),
        ("2020-02-28", 1, "2021-02-28"),
        ("2020-03-01", 1, "2021-03-01"),
    ],
)
def test_the_anniversary_of_29_february_is_1_march_in_common_years(date: str, years: int, expected: str) -> None:
    assert anniversary(dt.date.fromisoformat(date), years) == dt.date.fromisoformat(expected)


def test_who_is_insured_since_29_february_completes_a_year_on_1_march() -> None:
    past = history(since=dt.date(2020, 2, 29))

    dates = ("2021-02-28", "2021-03-01", "2024-02-28", "2024-02-29")
    assert [standing_on(date, past) for date in dates] == [14, 13, 11, 10]


# What counts


def test_claims_before_the_insurance_began_do_not_count() -> None:
    standing = stand(SCALE, history("2010-04-30", "2009-01-01"), dt.date(2011, 5, 1))

    assert (standing.bonus_malus_class, standing.claims_counted) == (13, ())


def test_claims_after_the_date_do_not_count() -> None:
    assert stand(SCALE, history("2013-06-01"), dt.date(2013, 5, 31)).claims_counted == ()


def test_claims_not_at_fault_do_not_count() -> None:
    standing = stand(SCALE, history(without_fault=("2010-06-01", "2011-06-01")), dt.date(2012, 5, 1))

    assert (standing.bonus_malus_class, standing.claim_free_years, standing.claims_counted) == (12, 2, ())


def test_without_a_history_the_class_is_the_entry_class() -> None:
    assert standing_on("2026-01-01", history(since=None)) == 14
    assert standing_on("2026-01-01", history(since=None, without_fault=("2001-01-01",))) == 14


def test_where_the_beginning_is_unknown_calendar_years_count_from_that_of_the_first_claim_at_fault() -> None:
    past = history("2020-03-15", since=None, without_fault=("2001-01-01",))

    dates = ("2020-03-14", "2020-03-15", "2021-12-31", "2022-01-01", "2023-01-01")
    assert [standing_on(date, past) for date in dates] == [14, 18, 18, 17, 16]


def test_claims_of_a_day_are_counted_by_their_ids() -> None:
    claims = tuple(PastClaim(name, dt.date(2020, 1, 1), at_fault=True) for name in "bca")

    assert stand(SCALE, PastHistory(SINCE, claims), dt.date(2020, 1, 1)).claims_counted == ("a", "b", "c")


@pytest.mark.parametrize(
    ("since", "as_of"),
    [
        ("1900-01-01", "2100-12-31"),
        ("0001-01-01", "2100-01-01"),
        ("2100-12-31", "1900-01-01"),
        ("0001-01-01", "9998-12-31"),
    ],
)
def test_absurd_dates_neither_hang_nor_leave_the_scale(since: str, as_of: str) -> None:
    past = history(*["2000-01-01"] * 50, since=dt.date.fromisoformat(since))

    assert 0 <= standing_on(as_of, past) <= 22


# The date of rating


@pytest.mark.parametrize(
    ("faults", "start", "expected"),
    [
        ([], None, None),
        ([], "2026-01-01", "2026-01-01"),
        (["2025-06-01"], "2026-01-01", "2026-01-01"),
        (["2026-06-01"], "2026-01-01", "2026-06-01"),
        (["2010-06-01"], None, "2010-06-01"),
        (["2026-06-01"], None, None),
    ],
)
def test_a_lease_is_rated_on_its_first_day_or_on_a_claim_after_it(
    faults: list[str], start: str | None, expected: str | None
) -> None:
    found = rate(TARIFF, history(*faults), leased(start))

    assert found.as_of == (dt.date.fromisoformat(expected) if expected else None)


def test_a_claim_not_at_fault_changes_no_premium() -> None:
    before = premium_on("2015-05-01", history())
    after = premium_on("2015-05-01", history(without_fault=("2020-06-01",)))

    assert after.annual == before.annual


def test_a_claim_at_fault_after_the_lease_began_never_makes_it_cheaper() -> None:
    before = premium_on("2011-05-01", history())
    after = premium_on("2011-05-01", history("2024-06-01"))

    assert after.annual >= before.annual


def test_an_old_claim_found_later_never_makes_a_driver_without_known_beginning_better() -> None:
    before = standing_on("2022-05-01", history("2020-06-01", since=None))
    after = standing_on("2022-05-01", history("2000-03-01", "2020-06-01", since=None))

    assert after >= before


# Premiums


@pytest.mark.parametrize(
    ("date", "annual", "level"),
    [("2010-05-01", "1200.00", 100), ("2011-05-01", "1140.00", 95), ("2024-05-01", "648.00", 54)],
)
def test_a_premium_is_the_level_of_the_class_in_per_cent_of_the_base_rate(date: str, annual: str, level: int) -> None:
    premium = premium_on(date, history())

    assert (str(premium.annual), premium.level, premium.currency) == (annual, level, "EUR")
    assert (premium.base_rate, premium.tariff) == (Decimal("1200.00"), TARIFF.version)


@pytest.mark.parametrize(
    ("base", "annual"),
    [("1000.01", "950.01"), ("0.10", "0.10"), ("0.30", "0.29"), ("0.09", "0.09"), ("333.33", "316.66")],
)
def test_half_a_cent_is_rounded_up(base: str, annual: str) -> None:
    tariff = msgspec.structs.replace(TARIFF, annual_base_rate=Decimal(base))

    assert str(rate(tariff, history(), leased("2011-05-01")).annual) == annual


def licensed(since: str | None, past: PastHistory) -> PastHistory:
    return msgspec.structs.replace(past, licensed_since=dt.date.fromisoformat(since) if since else None)


def test_a_lease_of_which_nothing_is_known_costs_the_base_rate() -> None:
    premium = rate(TARIFF, PastHistory(), leased(None))

    assert (str(premium.annual), premium.bonus_malus_class, premium.as_of) == ("1200.00", 14, None)
    assert (premium.car_class, premium.car_class_factor) == ("other car", Decimal(1))
    assert (premium.licensed_years, premium.novice_factor, premium.transactions) == (None, Decimal(1), ())


def test_a_premium_is_base_rate_by_car_by_level_by_licence() -> None:
    past = licensed("2008-06-01", history("2010-06-01"))

    premium = rate(TARIFF, past, LeasedCar("Volvo", "XC40", dt.date(2012, 5, 1), ("create", "transfer")))

    assert str(premium.annual) == "2021.76"  # 1200.00 x 1.20 = 1440.00; x 117 % = 1684.80; x 1.20 = 2021.76
    assert (premium.car_class, premium.car_class_factor) == ("sport utility vehicle", Decimal("1.20"))
    assert (premium.bonus_malus_class, premium.level) == (17, 117)
    assert (premium.licensed_years, premium.novice_factor) == (3, Decimal("1.20"))
    assert premium.transactions == ("create", "transfer")


def test_a_premium_is_rounded_once_at_the_end() -> None:
    tariff = priced("0.55", car="1.50", novice="1.50")

    premium = rate(tariff, licensed("2010-05-01", history()), leased("2010-05-01"))

    assert str(premium.annual) == "1.24"  # 0.55 x 1.50 x 1.50 = 1.2375; rounded on the way, 0.83 x 1.50 would be 1.25


@pytest.mark.parametrize(
    ("since", "start", "years", "factor"),
    [
        (None, "2020-03-01", None, "1.00"),
        ("2018-03-01", None, None, "1.00"),
        ("2021-01-01", "2020-03-01", 0, "1.50"),
        ("2020-03-01", "2020-03-01", 0, "1.50"),
        ("2018-03-02", "2020-03-01", 1, "1.50"),
        ("2018-03-01", "2020-03-01", 2, "1.20"),
        ("2015-03-02", "2020-03-01", 4, "1.20"),
        ("2015-03-01", "2020-03-01", 5, "1.00"),
        ("2016-02-29", "2018-02-28", 1, "1.50"),
        ("2016-02-29", "2018-03-01", 2, "1.20"),
        ("1950-01-01", "2020-03-01", 70, "1.00"),
    ],
)
def test_a_new_driver_pays_more_by_whole_years_on_the_first_day(
    since: str | None, start: str | None, years: int | None, factor: str
) -> None:
    premium = rate(TARIFF, licensed(since, PastHistory()), leased(start))

    assert (premium.licensed_years, premium.novice_factor) == (years, Decimal(factor))
    assert premium.annual == Decimal("1200.00") * Decimal(factor)


def test_a_claim_after_the_lease_began_leaves_the_novice_factor_as_it_was() -> None:
    past = licensed("2019-03-01", history("2021-06-01", since=dt.date(2019, 3, 1)))

    premium = rate(TARIFF, past, leased("2020-03-01"))

    assert (premium.as_of, premium.licensed_years, premium.novice_factor) == (dt.date(2021, 6, 1), 1, Decimal("1.50"))


def test_another_tariff_gives_another_premium() -> None:
    doubled: Tariff = msgspec.structs.replace(TARIFF, annual_base_rate=Decimal("2400.00"), version="2")

    premium = rate(doubled, history(), leased(SINCE))

    assert (premium.annual, premium.tariff) == (Decimal("2400.00"), "2")


# How the class came about


def test_insurance_years_that_went_alike_are_told_together() -> None:
    standing = stand(SCALE, history("2013-06-01", "2013-07-01"), dt.date(2019, 5, 1))

    assert standing.insurance_years == (
        InsuranceYears(dt.date(2010, 5, 1), years=3, claims=0, from_class=14, to_class=11),
        InsuranceYears(dt.date(2013, 5, 1), years=1, claims=2, from_class=11, to_class=20),
        InsuranceYears(dt.date(2014, 5, 1), years=4, claims=0, from_class=20, to_class=14, was_reset=True),
        InsuranceYears(dt.date(2018, 5, 1), years=1, claims=0, from_class=14, to_class=13),
    )


def test_four_claim_free_years_that_reach_the_entry_class_by_themselves_are_no_reset() -> None:
    standing = stand(SCALE, history("2010-06-01"), dt.date(2015, 5, 1))

    assert (standing.bonus_malus_class, [years.was_reset for years in standing.insurance_years]) == (14, [False, False])


def test_the_class_of_a_driver_is_the_one_a_lease_is_rated_in() -> None:
    assert class_on(TARIFF, PastHistory(), None) == 14
    assert class_on(TARIFF, history(), dt.date(2012, 5, 1)) == 12
    assert class_on(TARIFF, history("2015-06-01"), dt.date(2011, 5, 1)) == 13
    assert class_on(TARIFF, history("2010-06-01"), None) == 18
    assert class_on(TARIFF, history("2026-06-01"), None) == 14


# Any history

FIRST, LAST = dt.date(1990, 1, 1), dt.date(2040, 12, 31)
DATES = st.dates(FIRST, LAST)
CLAIMS = st.builds(PastClaim, st.text("abc", min_size=1, max_size=3), DATES, st.booleans())
MANY_CLAIMS = st.lists(CLAIMS, max_size=8).map(tuple)
HISTORIES = st.builds(PastHistory, st.none() | DATES, MANY_CLAIMS, st.none() | DATES)
KNOWN = st.builds(PastHistory, DATES, MANY_CLAIMS, st.none() | DATES)
FAULTS = st.builds(PastClaim, st.just("new"), DATES, st.just(True))  # noqa: FBT003
FACTORS = st.decimals("0.0001", "10", places=4)
SURCHARGES = st.decimals("1", "10", places=4)
CAR = CarEntry("Any")


def priced(base: str, car: str, novice: str) -> Tariff:
    """The tariff in force with another base rate, this factor for every car, and this one for every new driver."""
    return msgspec.structs.replace(
        TARIFF,
        annual_base_rate=Decimal(base),
        car_classes=(CarClass("any", Decimal(car), (CAR,)),),
        default_car_class="any",
        novice=Novice(Decimal(1), (NoviceStep(2, Decimal(novice)),)),
    )


@st.composite
def tariffs(draw: st.DrawFn) -> Tariff:
    """Tariffs that differ from the one in force in base rate and factors, all of them valid."""
    cheaper, dearer = sorted((draw(FACTORS), draw(FACTORS)))
    factors = sorted(draw(st.lists(SURCHARGES, max_size=4)), reverse=True)
    years = sorted(draw(st.sets(st.integers(1, 30), min_size=len(factors), max_size=len(factors))))
    return msgspec.structs.replace(
        TARIFF,
        annual_base_rate=draw(st.decimals("0.01", "1000000", places=2)),
        car_classes=(CarClass("cheaper", cheaper, (CAR,)), CarClass("dearer", dearer, ())),
        default_car_class="dearer",
        novice=Novice(draw(FACTORS), tuple(map(NoviceStep, years, factors))),
    )


def with_claim(past: PastHistory, claim: PastClaim) -> PastHistory:
    return msgspec.structs.replace(past, claims=(*past.claims, claim))


@settings(max_examples=200)
@given(past=HISTORIES, start=st.none() | DATES)
def test_any_premium_is_that_of_a_class_of_the_scale_in_whole_cents(past: PastHistory, start: dt.date | None) -> None:
    premium = rate(TARIFF, past, leased(start))

    assert 0 <= premium.bonus_malus_class <= 22
    assert premium.level == SCALE.levels[premium.bonus_malus_class]
    assert premium.annual.as_tuple().exponent == -2
    assert premium.annual * 100 == premium.base_rate * premium.level * premium.novice_factor
    assert set(premium.claims_counted) <= {claim.id for claim in past.claims if claim.at_fault}
    assert premium.bonus_malus_class == class_on(TARIFF, past, start)


@settings(max_examples=300)
@given(tariff=tariffs(), past=HISTORIES, start=st.none() | DATES, manufacturer=st.sampled_from(["Any", "Other"]))
def test_any_premium_is_within_half_a_cent_of_the_exact_product(
    tariff: Tariff, past: PastHistory, start: dt.date | None, manufacturer: str
) -> None:
    premium = rate(tariff, past, leased(start, manufacturer))

    exact = (
        Fraction(premium.base_rate)
        * Fraction(premium.car_class_factor)
        * Fraction(premium.level, 100)
        * Fraction(premium.novice_factor)
    )
    assert Fraction(-1, 200) < Fraction(premium.annual) - exact <= Fraction(1, 200)


@settings(max_examples=200)
@given(past=HISTORIES, as_of=st.none() | DATES)
def test_the_insurance_years_lead_from_the_entry_class_to_the_standing(
    past: PastHistory, as_of: dt.date | None
) -> None:
    standing = stand(SCALE, past, as_of)
    path = standing.insurance_years

    assert [years.from_class for years in path] + [standing.bonus_malus_class] == [
        SCALE.entry_class,
        *(years.to_class for years in path),
    ]
    assert sum(years.claims for years in path) == len(standing.claims_counted)
    assert all(years.years == 1 for years in path if years.claims)


@settings(max_examples=300)
@given(past=HISTORIES, extra=FAULTS, as_of=DATES)
@example(past=history(), extra=PastClaim("new", SINCE, at_fault=True), as_of=SINCE)
def test_one_more_claim_at_fault_never_lowers_the_class_of_a_day(
    past: PastHistory, extra: PastClaim, as_of: dt.date
) -> None:
    before, after = stand(SCALE, past, as_of), stand(SCALE, with_claim(past, extra), as_of)

    assert after.bonus_malus_class >= before.bonus_malus_class


@settings(max_examples=200)
@given(past=KNOWN, extra=FAULTS, as_of=DATES)
def test_one_more_claim_at_fault_never_adds_a_claim_free_year(
    past: PastHistory, extra: PastClaim, as_of: dt.date
) -> None:
    before, after = stand(SCALE, past, as_of), stand(SCALE, with_claim(past, extra), as_of)

    assert after.claim_free_years <= before.claim_free_years


@settings(max_examples=300)
@given(tariff=tariffs(), past=HISTORIES, extra=FAULTS, start=st.none() | DATES)
@example(
    tariff=TARIFF,
    past=history(),
    extra=PastClaim("new", dt.date(2024, 6, 1), at_fault=True),
    start=dt.date(2011, 5, 1),
)
@example(
    tariff=TARIFF,
    past=PastHistory(SINCE, (), SINCE),
    extra=PastClaim("new", dt.date(2024, 6, 1), at_fault=True),
    start=dt.date(2011, 5, 1),
)
def test_one_more_claim_at_fault_never_lowers_a_premium(
    tariff: Tariff, past: PastHistory, extra: PastClaim, start: dt.date | None
) -> None:
    assert rate(tariff, with_claim(past, extra), leased(start)).annual >= rate(tariff, past, leased(start)).annual


@settings(max_examples=300)
@given(tariff=tariffs(), past=HISTORIES, start=DATES, licences=st.tuples(DATES, DATES).map(sorted))
def test_more_years_with_a_licence_never_raise_a_premium(
    tariff: Tariff, past: PastHistory, start: dt.date, licences: list[dt.date]
) -> None:
    longer, shorter = (
        rate(tariff, msgspec.structs.replace(past, licensed_since=since), leased(start)) for since in licences
    )

    assert longer.annual <= shorter.annual


@settings(max_examples=200)
@given(tariff=tariffs(), past=HISTORIES, start=st.none() | DATES)
def test_a_car_of_a_better_class_never_raises_a_premium(
    tariff: Tariff, past: PastHistory, start: dt.date | None
) -> None:
    cheaper, dearer = (rate(tariff, past, leased(start, manufacturer)) for manufacturer in ("Any", "Other"))

    assert (cheaper.car_class, dearer.car_class) == ("cheaper", "dearer")
    assert cheaper.annual <= dearer.annual


@given(since=DATES, day=DATES)
def test_whole_years_are_the_anniversaries_that_have_come(since: dt.date, day: dt.date) -> None:
    come = [years for years in range(1, 60) if anniversary(since, years) <= day]

    assert whole_years(since, day) == len(come)


@settings(max_examples=200)
@given(past=KNOWN, as_of=DATES, order=st.randoms())
def test_the_order_in_which_claims_are_entered_does_not_matter(
    past: PastHistory, as_of: dt.date, order: random.Random
) -> None:
    claims = list(past.claims)
    order.shuffle(claims)

    assert stand(SCALE, PastHistory(past.insured_since, tuple(claims)), as_of) == stand(SCALE, past, as_of)


@settings(max_examples=200)
@given(past=KNOWN, as_of=DATES)
def test_a_year_without_a_claim_never_raises_the_class(past: PastHistory, as_of: dt.date) -> None:
    later = anniversary(as_of, 1)
    assume(not any(claim.at_fault and as_of < claim.date <= later for claim in past.claims))

    assert stand(SCALE, past, later).bonus_malus_class <= stand(SCALE, past, as_of).bonus_malus_class
