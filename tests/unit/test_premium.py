"""From a driver's past to a class of the Belgian scale of 1992, and from the class to a premium in exact cents."""

import datetime as dt
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from functions.rating.premium import PastClaim, PastHistory, Premium, anniversary, in_words, rate, stand
from functions.rating.tariff import Tariff, read_tariff

TARIFF = read_tariff()
SCALE = TARIFF.scale
SINCE = dt.date(2010, 5, 1)


def history(*faults: str, since: dt.date | None = SINCE, without_fault: tuple[str, ...] = ()) -> PastHistory:
    """Claims on these dates, insured since 1 May 2010."""
    dates = [(date, True) for date in faults] + [(date, False) for date in without_fault]
    claims = (PastClaim(str(number), dt.date.fromisoformat(date), fault) for number, (date, fault) in enumerate(dates))
    return PastHistory(since, tuple(claims))


def class_on(date: str, past: PastHistory) -> int:
    return stand(SCALE, past, dt.date.fromisoformat(date)).bonus_malus_class


def premium_on(date: str, past: PastHistory) -> Premium:
    return rate(TARIFF, past, dt.date.fromisoformat(date))


# The scale


def test_the_tariff_holds_the_belgian_scale_of_1992() -> None:
    assert SCALE.levels == (
        *(54, 54, 54, 57, 60, 63, 66, 69, 73, 77, 81, 85, 90, 95),
        *(100, 105, 111, 117, 123, 130, 140, 160, 200),
    )
    assert (SCALE.entry_class, SCALE.worst_class, SCALE.levels[SCALE.entry_class]) == (14, 22, 100)


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
    assert class_on(date, history()) == expected


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
    assert class_on(max(faults), history(*faults)) == expected


def test_a_further_claim_of_the_same_year_is_five_classes() -> None:
    past = history("2015-06-01", "2016-04-30")

    assert [class_on(date, past) for date in ("2015-05-31", "2015-06-01", "2016-04-30", "2016-05-01")] == [
        9,
        13,
        18,
        18,
    ]


def test_a_claim_counts_on_its_day_and_the_year_with_it_is_not_claim_free() -> None:
    past = history("2011-06-01")

    assert [class_on(date, past) for date in ("2011-05-31", "2011-06-01", "2012-05-01", "2013-05-01")] == [
        *(13, 17, 17),
        16,
    ]


@pytest.mark.parametrize(("date", "expected"), [("2013-05-01", 20), ("2014-05-01", 19), ("2015-05-01", 14)])
def test_four_claim_free_years_in_a_row_leave_nobody_above_the_entry_class(date: str, expected: int) -> None:
    assert class_on(date, history("2010-06-01", "2010-07-01", since=SINCE)) == expected


def test_a_claim_breaks_the_row_of_claim_free_years() -> None:
    past = history("2010-06-01", "2010-07-01", "2013-06-01")

    assert class_on("2017-05-01", past) == 19
    assert class_on("2018-05-01", past) == 14


def test_the_four_years_do_not_lift_who_stands_lower() -> None:
    assert class_on("2015-05-01", history("2010-06-01")) == 14
    assert class_on("2016-05-01", history("2010-06-01")) == 13


def test_nobody_falls_below_the_worst_class_and_recovers_from_there() -> None:
    past = history(*["2010-06-01"] * 30)

    assert [class_on(date, past) for date in ("2010-06-01", "2012-05-01")] == [22, 21]


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
    assert [class_on(date, past) for date in dates] == [14, 13, 11, 10]


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
    assert class_on("2026-01-01", history(since=None)) == 14
    assert class_on("2026-01-01", history(since=None, without_fault=("2001-01-01",))) == 14


def test_where_the_beginning_is_unknown_years_run_from_the_first_claim_at_fault() -> None:
    past = history("2020-03-15", since=None, without_fault=("2001-01-01",))

    assert [class_on(date, past) for date in ("2020-03-15", "2021-03-15", "2022-03-15")] == [18, 18, 17]


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

    assert 0 <= class_on(as_of, past) <= 22


# The date of rating


@pytest.mark.parametrize(
    ("faults", "start", "expected"),
    [
        ([], None, None),
        ([], "2026-01-01", "2026-01-01"),
        (["2025-06-01"], "2026-01-01", "2026-01-01"),
        (["2026-06-01"], "2026-01-01", "2026-06-01"),
        (["2026-06-01"], None, "2026-06-01"),
    ],
)
def test_a_lease_is_rated_on_its_first_day_or_on_a_claim_after_it(
    faults: list[str], start: str | None, expected: str | None
) -> None:
    found = rate(TARIFF, history(*faults), dt.date.fromisoformat(start) if start else None)

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
    before = class_on("2020-06-01", history("2020-01-01", since=None))
    after = class_on("2020-06-01", history("2000-01-01", "2020-01-01", since=None))

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

    assert str(rate(tariff, history(), dt.date(2011, 5, 1)).annual) == annual


def test_a_premium_says_in_words_how_it_came_about() -> None:
    assert in_words(premium_on("2012-05-01", history("2010-06-01"))) == (
        "1200.00 EUR x 117 % = 1404.00 EUR a year: bonus-malus class 17 "
        f"(1 claim at fault, 1 claim-free year in a row, as of 2012-05-01; tariff {TARIFF.version})"
    )
    assert "no claim at fault, 0 claim-free years in a row, the lease names no date" in in_words(
        rate(TARIFF, PastHistory(), None)
    )


# Any history

DATES = st.dates(dt.date(1990, 1, 1), dt.date(2040, 12, 31))
CLAIMS = st.builds(PastClaim, st.text("abc", min_size=1, max_size=3), DATES, st.booleans())
HISTORIES = st.builds(PastHistory, st.none() | DATES, st.lists(CLAIMS, max_size=8).map(tuple))
KNOWN = st.builds(PastHistory, DATES, st.lists(CLAIMS, max_size=8).map(tuple))
FAULTS = st.builds(PastClaim, st.just("new"), DATES, st.just(True))  # noqa: FBT003


def with_claim(past: PastHistory, claim: PastClaim) -> PastHistory:
    return msgspec.structs.replace(past, claims=(*past.claims, claim))


@settings(max_examples=200)
@given(past=HISTORIES, start=st.none() | DATES)
def test_any_premium_is_that_of_a_class_of_the_scale_in_whole_cents(past: PastHistory, start: dt.date | None) -> None:
    premium = rate(TARIFF, past, start)

    assert 0 <= premium.bonus_malus_class <= 22
    assert premium.level == SCALE.levels[premium.bonus_malus_class]
    assert premium.annual.as_tuple().exponent == -2
    assert premium.annual * 100 == premium.base_rate * premium.level
    assert set(premium.claims_counted) <= {claim.id for claim in past.claims if claim.at_fault}


@settings(max_examples=300)
@given(past=KNOWN, extra=FAULTS, as_of=DATES)
@example(past=history(), extra=PastClaim("new", SINCE, at_fault=True), as_of=SINCE)
def test_one_more_claim_at_fault_never_lowers_the_class_of_a_day(
    past: PastHistory, extra: PastClaim, as_of: dt.date
) -> None:
    before, after = stand(SCALE, past, as_of), stand(SCALE, with_claim(past, extra), as_of)

    assert after.bonus_malus_class >= before.bonus_malus_class
    assert after.claim_free_years <= before.claim_free_years


@settings(max_examples=200)
@given(past=KNOWN, extra=FAULTS, start=DATES)
@example(past=history(), extra=PastClaim("new", dt.date(2024, 6, 1), at_fault=True), start=dt.date(2011, 5, 1))
def test_one_more_claim_at_fault_never_lowers_a_premium(past: PastHistory, extra: PastClaim, start: dt.date) -> None:
    assert rate(TARIFF, with_claim(past, extra), start).annual >= rate(TARIFF, past, start).annual


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


def test_another_tariff_gives_another_premium() -> None:
    doubled: Tariff = msgspec.structs.replace(TARIFF, annual_base_rate=Decimal("2400.00"), version="2")

    premium = rate(doubled, history(), SINCE)

    assert (premium.annual, premium.tariff) == (Decimal("2400.00"), "2")
