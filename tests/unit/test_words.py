"""A premium in words: one sentence, and step by step."""

import datetime as dt
from decimal import Decimal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rating.premium import LeasedCar, PastClaim, PastHistory, Premium, rate
from functions.rating.tariff import Novice, read_tariff
from functions.rating.words import explain, in_words

TARIFF = read_tariff()
SINCE = dt.date(2010, 5, 1)
CREATE, TRANSFER = "a" * 64, "b" * 64


def history(*faults: str, since: dt.date | None = SINCE, licensed: dt.date | None = None) -> PastHistory:
    claims = tuple(PastClaim(f"C-{number}", dt.date.fromisoformat(date), True) for number, date in enumerate(faults, 1))  # noqa: FBT003
    return PastHistory(since, claims, licensed)


def premium_on(start: str | None, past: PastHistory, manufacturer: str = "", model: str = "") -> Premium:
    first_day = dt.date.fromisoformat(start) if start else None
    return rate(TARIFF, past, LeasedCar(manufacturer, model, first_day, (CREATE, TRANSFER)))


def told(start: str | None, past: PastHistory, manufacturer: str = "", model: str = "") -> str:
    return "\n".join(explain(premium_on(start, past, manufacturer, model), past))


# One sentence


def test_a_premium_says_in_one_sentence_how_it_came_about() -> None:
    past = history("2010-06-01", licensed=dt.date(2008, 6, 1))

    assert in_words(premium_on("2012-05-01", past, "Volvo", "XC40")) == (
        "1200.00 EUR x 1.20 (sport utility vehicle) x 117 % x 1.20 (licensed 3 years) = 2021.76 EUR a year: "
        "bonus-malus class 17 (1 claim at fault, 1 claim-free year in a row, as of 2012-05-01; "
        f"tariff {TARIFF.version})"
    )


def test_factors_of_one_are_left_out_of_the_sentence() -> None:
    assert in_words(premium_on(None, PastHistory())) == (
        "1200.00 EUR x 100 % = 1200.00 EUR a year: bonus-malus class 14 (no claim at fault, 0 claim-free years in a "
        f"row, the lease names no date; tariff {TARIFF.version})"
    )


def test_a_factor_for_unknown_years_is_named_as_such() -> None:
    tariff = msgspec.structs.replace(TARIFF, novice=Novice(Decimal("1.10"), ()))

    assert in_words(rate(tariff, PastHistory(), LeasedCar("", "", SINCE))).startswith(
        "1200.00 EUR x 100 % x 1.10 (years with a licence unknown) = 1320.00 EUR a year"
    )


# Step by step


def test_the_whole_account_of_a_premium() -> None:
    past = history("2013-06-01", "2013-07-01", "2018-06-01", licensed=dt.date(2016, 5, 2))

    assert explain(premium_on("2019-05-01", past, "Renault", "Zoe"), past) == tuple(
        f"""\
The base rate is 1200.00 EUR a year.
The car is in the class "small electric car": factor 0.90.
The driver is insured since 2010-05-01, and entered the scale then.
3 claim-free years from 2010-05-01: from class 14 to class 11.
Insurance year from 2013-05-01: 2 claims at fault (C-1 of 2013-06-01, C-2 of 2013-07-01), from class 11 to class 20.
4 claim-free years from 2014-05-01: from class 20 to class 14, because nobody stands above class 14 after \
4 claim-free years in a row.
Insurance year from 2018-05-01: 1 claim at fault (C-3 of 2018-06-01), from class 14 to class 18.
So, as of 2019-05-01, the driver stands in class 18 of the bonus-malus scale (0 is the best): 123 % of the base rate.
On the lease's first day the driver had been licensed for 2 whole years: factor 1.20.
1200.00 EUR x 0.90 x 123 % x 1.20 = 1594.08 EUR a year, rounded to the cent once, at the end.
The prices are those of tariff {TARIFF.version}.
The car and the lease are as these transactions on the ledger say: {CREATE}, {TRANSFER}.""".splitlines()
    )


def test_a_lease_of_which_nothing_is_known_says_what_is_missing() -> None:
    found = told(None, PastHistory())

    assert (
        "The lease names no first day, and no claim at fault leads to a worse class: the driver counts as new." in found
    )
    assert "No claim at fault counted." in found
    assert "cannot be told without the date of the licence: factor 1.00, which changes nothing." in found


def test_a_lease_without_a_first_day_says_that_it_is_missing() -> None:
    found = told(None, history(licensed=SINCE))

    assert "cannot be told without the lease's first day" in found


def test_an_unknown_beginning_is_said_to_earn_nothing() -> None:
    found = told("2022-01-01", history("2020-03-15", since=None))

    assert "Since when the driver is insured is not known" in found
    assert "Insurance year from 2020-01-01: 1 claim at fault (C-1 of 2020-03-15), from class 14 to class 18." in found


def test_a_driver_who_was_not_insured_yet_counts_as_new() -> None:
    assert "The driver is insured since 2010-05-01 only: before that, they count as new." in told(
        "2009-01-01", history()
    )


def test_who_can_go_no_further_is_said_to_stay() -> None:
    past = history("2010-06-01", "2010-07-01", "2011-06-01")
    assert "Insurance year from 2011-05-01: 1 claim at fault (C-3 of 2011-06-01), still class 22." in told(
        "2011-06-01", past
    )


def test_a_claim_after_the_lease_began_is_named_as_the_day_of_rating() -> None:
    assert "So, as of 2013-06-01, the day of claim C-1, the driver stands in class 16 " in told(
        "2012-05-01", history("2013-06-01", since=dt.date(2011, 5, 1))
    )


def test_less_than_a_year_with_a_licence_is_said_so() -> None:
    found = told("2012-05-01", history(licensed=dt.date(2012, 1, 1)))

    assert "the driver had been licensed for less than a year: factor 1.50." in found


def test_a_claim_that_the_record_no_longer_has_is_still_named() -> None:
    premium = premium_on("2013-05-01", history("2012-06-01"))

    found = "\n".join(explain(premium, history()))

    assert "These claims at fault counted, and are not in the record any more: C-1." in found
    assert "Insurance year from 2012-05-01: 1 claim at fault, from class 12 to class 16." in found


def test_a_claim_of_another_day_that_shares_its_id_with_one_that_counted_is_not_named() -> None:
    days = (dt.date(2010, 4, 30), dt.date(2012, 6, 1), dt.date(2020, 6, 1))
    past = PastHistory(SINCE, tuple(PastClaim("C-1", day, at_fault=True) for day in days))

    account = told("2013-04-30", past)

    assert "1 claim at fault (C-1 of 2012-06-01), from class 12 to class 16" in account
    assert "So, as of 2013-04-30, the driver stands in class 16" in account
    assert account.count("C-1") == 1


def test_without_transactions_none_are_named() -> None:
    assert "ledger" not in " ".join(explain(rate(TARIFF, history(), LeasedCar("", "", SINCE)), history()))


DATES = st.dates(dt.date(1990, 1, 1), dt.date(2040, 12, 31))
CLAIMS = st.builds(PastClaim, st.text("abc", min_size=1, max_size=3), DATES, st.booleans())
HISTORIES = st.builds(PastHistory, st.none() | DATES, st.lists(CLAIMS, max_size=6).map(tuple), st.none() | DATES)


@settings(max_examples=200)
@given(past=HISTORIES, start=st.none() | DATES)
def test_every_account_names_each_claim_that_counted_and_the_premium(past: PastHistory, start: dt.date | None) -> None:
    premium = rate(TARIFF, past, LeasedCar("Volvo", "XC40", start, (CREATE,)))

    sentences = explain(premium, past)
    account = " ".join(sentences)

    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in sentences)
    assert f"= {premium.annual} EUR a year" in account
    assert f"class {premium.bonus_malus_class} of the bonus-malus scale" in account
    assert CREATE in account
    assert all(f"{claim} of " in account for claim in premium.claims_counted)
    assert "not in the record any more" not in account
