"""The rows of tables Drivers and Cars: what is written is read again, under keys that Table Storage takes."""

import datetime as dt
import re
from decimal import Decimal
from typing import Any

import base58
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.leasing.car import Car, Holder, LeaseEnded, Mark, UnspentOutput
from functions.leasing.driver import Claim, Driver, Lease, OpenLease, Profile
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.leasing.transactions import OutputReference
from functions.rating.premium import InsuranceYears, LeasedCar, PastClaim, PastHistory, Premium, rate
from functions.rating.tariff import read_tariff
from functions.records import rows
from functions.records.errors import DamagedError

FORBIDDEN = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
"""Characters that Table Storage refuses in PartitionKey and RowKey."""
MAX_KEY_BYTES = 1024

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)
KEYS = st.binary(min_size=32, max_size=32).map(lambda key: base58.b58encode(key).decode())
DATES = st.dates()
MAYBE_DATES = st.none() | DATES
CENTS = st.integers(0, 10**12).map(lambda cents: Decimal(cents).scaleb(-2))
SEQUENCES = st.builds("{:012d}-{:06d}".format, st.integers(0, 10**12 - 1), st.integers(0, 10**6 - 1))
DETAILS = st.recursive(
    st.builds(lambda key: {"type": "ed25519-sha-256", "public_key": key}, KEYS),
    lambda inner: st.builds(
        lambda parts: {"type": "threshold-sha-256", "threshold": len(parts), "subconditions": parts},
        st.lists(inner, min_size=1, max_size=2),
    ),
    max_leaves=3,
)
DESCRIPTIONS = st.builds(CarDescription, TEXT, TEXT, TEXT, TEXT)
REFERENCES = st.builds(OutputReference, IDS, st.integers(0, 10**6))
UNSPENT = st.builds(
    UnspentOutput, REFERENCES, st.integers(1, 9 * 10**18), st.lists(KEYS, max_size=2).map(tuple), DETAILS
)
CARS = st.builds(
    Car,
    asset_id=IDS,
    registered_by=KEYS,
    lessor=KEYS,
    description=DESCRIPTIONS,
    unspent=st.lists(UNSPENT, max_size=2).map(tuple),
    holders=st.lists(st.builds(Holder, KEYS, IDS), max_size=2).map(tuple),
    last_transaction=IDS,
    sequence=SEQUENCES,
)
TRANSACTIONS = st.builds(
    Mark,
    IDS,
    st.sampled_from(["CREATE", "TRANSFER"]),
    SEQUENCES,
    owners=st.lists(KEYS, max_size=3).map(tuple),
    lessor=st.just("") | KEYS,
    started=st.lists(KEYS, max_size=3).map(tuple),
    ended=st.lists(st.tuples(KEYS, IDS), max_size=3).map(tuple),
)
PREMIUMS = st.builds(
    Premium,
    annual=CENTS,
    currency=st.just("EUR"),
    base_rate=CENTS,
    car_class=TEXT,
    car_class_factor=CENTS,
    bonus_malus_class=st.integers(0, 22),
    level=st.integers(54, 200),
    as_of=MAYBE_DATES,
    claim_free_years=st.integers(0, 200),
    claims_counted=st.lists(TEXT, max_size=2).map(tuple),
    licensed_years=st.none() | st.integers(0, 80),
    novice_factor=CENTS,
    transactions=st.lists(IDS, max_size=2).map(tuple),
    tariff=TEXT,
    insurance_years=st.lists(
        st.builds(InsuranceYears, DATES, st.integers(1, 9), st.integers(0, 9), st.integers(0, 22), st.integers(0, 22)),
        max_size=2,
    ).map(tuple),
)
TERMS = st.builds(
    LeaseTerms, MAYBE_DATES, MAYBE_DATES, st.none() | st.integers(1, 300_000), st.lists(TEXT, max_size=2).map(tuple)
)
LEASES = st.builds(
    Lease, KEYS, IDS, SEQUENCES, IDS, KEYS, DESCRIPTIONS, TERMS, PREMIUMS, st.just("") | IDS, st.just("") | SEQUENCES
)
CLAIM_IDS = st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
CLAIMS = st.builds(Claim, CLAIM_IDS, DATES, st.booleans(), CENTS, TEXT, st.booleans())
PAST_CLAIMS = st.builds(PastClaim, CLAIM_IDS, DATES, st.booleans())
PROFILES = st.builds(Profile, TEXT, TEXT, MAYBE_DATES, MAYBE_DATES)
DRIVERS = st.builds(
    Driver,
    key=KEYS,
    profile=st.none() | PROFILES,
    claims=st.lists(PAST_CLAIMS, max_size=2).map(tuple),
    open_leases=st.dictionaries(IDS, st.builds(OpenLease, CENTS, st.booleans()), max_size=2),
    latest_start=MAYBE_DATES,
    bonus_malus_class=st.none() | st.integers(0, 22),
)


def stored(row: rows.Entity) -> rows.Entity:
    """The row as Table Storage gives it back: it keeps no property without a value."""
    for name, value in row.items():
        assert re.fullmatch("[A-Z][A-Za-z]+[0-9]*", name)
        assert value is None or isinstance(value, str | bool) or -(2**31) <= value < 2**31
    for key in (row["PartitionKey"], row["RowKey"]):
        assert not FORBIDDEN.search(key)
        assert 0 < len(key.encode("utf-16-le")) <= MAX_KEY_BYTES
    return {name: value for name, value in row.items() if value is not None}


@settings(max_examples=60)
@given(CARS)
def test_a_car_is_read_as_it_was_written(car: Car) -> None:
    assert rows.car_from(stored(rows.car_row(car))) == car


@settings(max_examples=60)
@given(IDS, TRANSACTIONS)
def test_an_applied_transaction_is_read_as_it_was_written(asset_id: str, applied: Mark) -> None:
    assert rows.transaction_from(stored(rows.transaction_row(asset_id, applied))) == applied


@settings(max_examples=60)
@given(DRIVERS)
def test_a_driver_is_read_as_they_were_written(driver: Driver) -> None:
    row = stored(rows.driver_row(driver))

    assert rows.driver_from(row) == driver
    assert row["Provisional"] == (driver.profile is None)


@settings(max_examples=60)
@given(LEASES)
def test_a_lease_is_read_as_it_was_written(lease: Lease) -> None:
    found = rows.lease_from(stored(rows.lease_row(lease)))

    assert found == lease
    assert str(found.premium.annual) == str(lease.premium.annual)


@settings(max_examples=60)
@given(KEYS, CLAIMS)
def test_a_claim_is_read_as_it_was_written(driver: str, claim: Claim) -> None:
    found = rows.claim_from(stored(rows.claim_row(driver, claim)))

    assert found == claim
    assert str(found.amount) == str(claim.amount)


@settings(max_examples=60)
@given(LEASES, IDS, SEQUENCES, PREMIUMS)
def test_what_is_merged_into_a_lease_ends_or_prices_it_and_leaves_the_rest(
    lease: Lease, transaction: str, sequence: str, premium: Premium
) -> None:
    end = rows.ended_lease_row(LeaseEnded(lease.driver, lease.transaction, transaction, sequence))
    price = rows.repriced_lease_row(lease.driver, lease.transaction, premium)

    merged = rows.lease_from(stored(rows.lease_row(lease)) | end | price)

    assert merged == msgspec.structs.replace(lease, end_transaction=transaction, end_sequence=sequence, premium=premium)


@pytest.mark.parametrize("characters", [0, 1, 15_999, 16_000, 16_001, 32_000, 100_000])
def test_a_text_of_any_length_is_read_from_its_pieces(characters: int) -> None:
    claims = (PastClaim("x" * characters, dt.date(2020, 1, 1), at_fault=True),)
    row = stored(rows.driver_row(Driver("A", claims=claims)))

    assert rows.driver_from(row).claims == claims
    assert max(len(value) for value in row.values() if isinstance(value, str)) <= rows.PIECE_CHARACTERS


def test_a_shorter_premium_that_is_merged_in_is_not_read_with_the_rest_of_a_longer_one() -> None:
    for length in (0, *range(15_000, 16_200, 13)):
        longer = msgspec.structs.replace(_lease().premium, claims_counted=("x" * 40_000,))
        shorter = msgspec.structs.replace(_lease().premium, claims_counted=("y" * length,))
        row = rows.lease_row(msgspec.structs.replace(_lease(), premium=longer))

        merged = row | rows.repriced_lease_row("Driver", "ef" * 32, shorter)

        assert rows.lease_from(stored(merged)).premium == shorter


@pytest.mark.parametrize("odd", [{"OpenLeases": "{"}, {"RatedClaims": "[1]"}, {"LicensedSince": "soon"}, {}])
def test_a_row_that_cannot_be_read_is_damaged_and_named(odd: dict[str, str]) -> None:
    row = rows.driver_row(Driver("A-driver-with-a-long-key")) | odd
    if not odd:
        del row["Name"]

    with pytest.raises(DamagedError, match="row record-A-driver-with… cannot be read") as damaged:
        rows.driver_from(row)
    assert "long-key" not in str(damaged.value)


@settings(max_examples=60)
@given(KEYS, CLAIMS)
def test_what_is_merged_into_a_claim_withdraws_it(driver: str, claim: Claim) -> None:
    merged = rows.claim_row(driver, claim) | rows.withdrawn_claim_row(driver, claim.id)

    assert rows.claim_from(merged) == msgspec.structs.replace(claim, withdrawn=True)


def _car() -> Car:
    return Car("ab" * 32, "Lessor", "Lessor", CarDescription(), (), (), "cd" * 32, "000000000001-000000")


def _lease() -> Lease:
    premium = rate(read_tariff(), PastHistory(), LeasedCar("", "", None))
    place = "000000000001-000000"
    return Lease("Driver", "ef" * 32, place, "ab" * 32, "Lessor", CarDescription(), LeaseTerms(), premium)


def _claim() -> Claim:
    return Claim("C-1", dt.date(2020, 2, 29), at_fault=True, amount=Decimal("10.00"))


def _applied() -> Mark:
    return Mark("cd" * 32, "CREATE", "000000000001-000000", ())


@pytest.mark.parametrize(
    ("row", "partition", "key"),
    [
        (rows.car_row(_car()), "ab" * 32, "record-" + "ab" * 32),
        (rows.transaction_row("ab" * 32, _applied()), "ab" * 32, "transaction-" + "cd" * 32),
        (rows.driver_row(Driver("Driver")), "Driver", "record-Driver"),
        (rows.lease_row(_lease()), "Driver", "lease-" + "ef" * 32),
        (rows.claim_row("Driver", _claim()), "Driver", "claim-C-1"),
    ],
    ids=["car", "transaction", "driver", "lease", "claim"],
)
def test_a_row_has_its_place(row: rows.Entity, partition: str, key: str) -> None:
    assert (row["PartitionKey"], row["RowKey"]) == (partition, key)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rows.record_key("x"), rows.LEASE),
        (rows.record_key("x"), rows.CLAIM),
        (rows.record_key("x"), rows.TRANSACTION),
        (rows.LEASE, rows.CLAIM),
    ],
)
def test_no_kind_of_row_is_mistaken_for_another(first: str, second: str) -> None:
    assert not first.startswith(second)
    assert not second.startswith(first)


def _filled(kind: str) -> list[dict[str, Any]]:
    """An empty and a filled row of the kind, as they are stored."""
    profile = Profile("Ann", "B-1", dt.date(2010, 1, 1), dt.date(2011, 1, 1))
    terms = LeaseTerms(dt.date(2026, 1, 1), dt.date(2027, 1, 1), 1)
    made = {
        "driver": [rows.driver_row(Driver("A")), rows.driver_row(Driver("A", profile=profile, bonus_malus_class=1))],
        "lease": [
            rows.lease_row(_lease()),
            rows.lease_row(Lease("A", "b", "c", "d", "l", CarDescription("V"), terms, _lease().premium, "e", "f")),
        ],
    }
    return made[kind]


@pytest.mark.parametrize("kind", ["driver", "lease"])
def test_rows_of_one_kind_have_the_same_properties(kind: str) -> None:
    empty, filled = _filled(kind)

    assert list(empty) == list(filled)


def test_money_and_dates_are_written_as_a_person_reads_them() -> None:
    row = rows.lease_row(_lease())

    assert (row["AnnualPremium"], row["StartDate"], row["AnnualMileage"]) == ("1200.00", "", None)
    assert rows.claim_row("Driver", _claim())["Date"] == "2020-02-29"
