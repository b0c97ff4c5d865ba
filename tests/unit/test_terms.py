"""What is written beside a car and a lease: read where it makes sense, remarked upon where it does not."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.leasing.terms import MAX_LEASE_DAYS, CarDescription, LeaseTerms, describe_car, read_terms
from local.scenario import car, lease

START, END = dt.date(2026, 1, 1), dt.date(2027, 12, 31)
GOOD = lease("2026-01-01", "2027-12-31", 15_000)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TERM = ANY | st.dates().map(str) | st.dates(START, dt.date(2040, 1, 1)).map(str) | st.integers(0, 400_000)
LEASE = st.dictionaries(st.sampled_from(["startDate", "endDate", "annualMileage", "other"]), TERM)
DATE = "is not a date (YYYY-MM-DD)"


def with_terms(**changes: Any) -> LeaseTerms:
    return read_terms({"lease": GOOD["lease"] | changes})


def test_whole_terms_are_read_without_a_remark() -> None:
    assert read_terms(GOOD) == LeaseTerms(START, END, 15_000, ())


@pytest.mark.parametrize("metadata", [None, {}, {"lease": None}, {"Lease": {}}, [], "lease", 7, True])
def test_missing_terms_are_one_remark(metadata: Any) -> None:
    assert read_terms(metadata) == LeaseTerms(remarks=("no lease terms",))


@pytest.mark.parametrize("written", [[], [GOOD["lease"]], "2026", 7, 1.5, False], ids=repr)
def test_terms_that_are_no_object_are_one_remark_that_says_so(written: Any) -> None:
    assert read_terms({"lease": written}) == LeaseTerms(remarks=("lease is not an object",))


def test_each_missing_term_is_named() -> None:
    assert read_terms({"lease": {}}).remarks == ("no startDate", "no endDate", "no annualMileage")


@pytest.mark.parametrize(
    ("written", "remark"),
    [
        ("1.1.2026", DATE),
        ("2026-02-30", DATE),
        ("2026-01-01T00:00:00", DATE),
        ("20260101", DATE),
        ("2026-W01-4", DATE),
        ("", DATE),
        (20260101, DATE),
        (["2026-01-01"], DATE),
        (True, DATE),
        ("1989-12-31", "is not a plausible date"),
        ("2101-01-01", "is not a plausible date"),
        ("9999-12-31", "is not a plausible date"),
        ("0001-01-01", "is not a plausible date"),
    ],
)
def test_an_odd_date_is_left_out_with_a_remark(written: Any, remark: str) -> None:
    assert with_terms(startDate=written) == LeaseTerms(None, END, 15_000, (f"startDate {remark}",))
    assert with_terms(endDate=written) == LeaseTerms(START, None, 15_000, (f"endDate {remark}",))


def test_an_end_before_the_start_is_kept_with_a_remark() -> None:
    assert with_terms(endDate="2025-12-31") == LeaseTerms(
        START, dt.date(2025, 12, 31), 15_000, ("endDate is before startDate",)
    )


def test_a_lease_of_more_than_ten_years_is_kept_with_a_remark() -> None:
    assert with_terms(endDate="2036-01-03") == LeaseTerms(
        START, dt.date(2036, 1, 3), 15_000, ("the lease is longer than 10 years",)
    )
    assert with_terms(endDate="2036-01-02").remarks == ()


def test_what_else_is_written_beside_the_terms_is_passed_over() -> None:
    assert with_terms(note="x" * 900_000, startdate=[], extra={"annualMileage": None}) == read_terms(GOOD)


def test_a_lease_of_one_day_is_no_remark() -> None:
    assert with_terms(endDate="2026-01-01").remarks == ()


@pytest.mark.parametrize("written", [0, -1, 300_001, 10**30, 15_000.0, "15000", True, [15_000], {"km": 15_000}])
def test_an_odd_mileage_is_left_out_with_a_remark(written: Any) -> None:
    assert with_terms(annualMileage=written) == LeaseTerms(
        START, END, None, ("annualMileage is not a plausible number of km",)
    )


@pytest.mark.parametrize("written", [1, 300_000])
def test_a_plausible_mileage_is_kept(written: int) -> None:
    assert with_terms(annualMileage=written).annual_mileage == written


@settings(max_examples=200)
@given(ANY | st.fixed_dictionaries({"lease": ANY | LEASE}))
def test_whatever_is_written_makes_terms_and_a_remark_for_what_is_missing(metadata: Any) -> None:
    terms = read_terms(metadata)

    if terms.remarks in {("no lease terms",), ("lease is not an object",)}:
        assert terms == LeaseTerms(remarks=terms.remarks)
        return
    kept = {"startDate": terms.start_date, "endDate": terms.end_date, "annualMileage": terms.annual_mileage}
    left_out = {
        name for remark in terms.remarks for name in kept if remark.startswith((f"no {name}", f"{name} is not"))
    }
    assert left_out == {name for name, value in kept.items() if value is None}
    odd = terms.start_date and terms.end_date and not 0 <= (terms.end_date - terms.start_date).days <= MAX_LEASE_DAYS
    assert len(terms.remarks) == len(left_out) + bool(odd)


def test_a_car_is_described_after_schema_org() -> None:
    assert describe_car(car("5YJRE11B781001174", "Tesla", "Roadster", 2008)) == CarDescription(
        "5YJRE11B781001174", "Tesla", "Roadster", "2008"
    )


def test_a_model_year_may_be_a_number() -> None:
    assert describe_car({"vehicleModelDate": 2008}).model_year == "2008"


@pytest.mark.parametrize("written", [None, [], "Tesla", 7, {}, {"manufacturer": {"name": "Tesla"}, "model": True}])
def test_an_unusable_description_is_empty(written: Any) -> None:
    assert describe_car(written) == CarDescription()


def test_a_long_text_is_cut() -> None:
    assert describe_car({"model": "x" * 201}).model == "x" * 200


@settings(max_examples=100)
@given(ANY | st.dictionaries(st.sampled_from(["vehicleIdentificationNumber", "manufacturer", "model"]), ANY))
@example({"model": True})
def test_whatever_is_written_about_a_car_makes_short_texts(written: Any) -> None:
    found = describe_car(written)

    assert all(len(text) <= 200 for text in (found.vin, found.manufacturer, found.model, found.model_year))
