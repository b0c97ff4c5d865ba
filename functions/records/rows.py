"""The rows of tables Drivers and Cars, to and from the domain's values. See docs/record.md for each field.

A row of one kind has the same properties in every partition; lists stand in them as JSON. Nothing here reads a clock:
every ledger-derived row is a function of the ledger and of what the insurer entered.
"""

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from functions.leasing.car import Car, Holder, LeaseEnded, Mark, UnspentOutput
from functions.leasing.driver import Claim, Driver, Lease, OpenLease, Profile
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.premium import PastClaim, Premium
from functions.records.errors import DamagedError

Entity = dict[str, Any]

RECORD = "record-"
LEASE = "lease-"
CLAIM = "claim-"
TRANSACTION = "transaction-"
PIECE_CHARACTERS = 16_000
"""Of a text that may be longer than the 32,768 UTF-16 units of one property: it goes on in the next, as OpenLeases2."""
SHOWN_CHARACTERS = 20


def _read_whole[Value](read: Callable[[Mapping[str, Any]], Value]) -> Callable[[Mapping[str, Any]], Value]:
    """The reading of a row, which raises DamagedError for one that no write of ours leaves."""

    @functools.wraps(read)
    def reading(row: Mapping[str, Any]) -> Value:
        try:
            return read(row)
        except (KeyError, TypeError, ValueError, ArithmeticError, msgspec.MsgspecError) as error:
            key = str(row.get("RowKey", ""))[:SHOWN_CHARACTERS]
            raise DamagedError(f"row {key}… cannot be read: {type(error).__name__}") from error

    return reading


def record_key(partition: str) -> str:
    """RowKey of the record of a car or driver. It repeats the partition's key: a constant would be slow in Azurite."""
    return RECORD + partition


def car_row(car: Car) -> Entity:
    """The record of a car."""
    return {
        "PartitionKey": car.asset_id,
        "RowKey": record_key(car.asset_id),
        "RegisteredBy": car.registered_by,
        "Lessor": car.lessor,
        "Leased": bool(car.holders),
        **_description_columns(car.description),
        "Holders": _json(car.holders),
        "UnspentOutputs": _json(car.unspent),
        "LastTransaction": car.last_transaction,
        "Sequence": car.sequence,
    }


@_read_whole
def car_from(row: Mapping[str, Any]) -> Car:
    """The car that a record describes."""
    return Car(
        asset_id=row["PartitionKey"],
        registered_by=row["RegisteredBy"],
        lessor=row["Lessor"],
        description=_description(row),
        holders=msgspec.json.decode(row["Holders"], type=tuple[Holder, ...]),
        unspent=msgspec.json.decode(row["UnspentOutputs"], type=tuple[UnspentOutput, ...]),
        last_transaction=row["LastTransaction"],
        sequence=row["Sequence"],
    )


def transaction_row(asset_id: str, applied: Mark) -> Entity:
    """The mark of an applied transaction."""
    return {
        "PartitionKey": asset_id,
        "RowKey": TRANSACTION + applied.id,
        "Operation": applied.operation,
        "Sequence": applied.sequence,
        "Owners": _json(applied.owners),
        "Lessor": applied.lessor,
        "Started": _json(applied.started),
        "Ended": _json(applied.ended),
    }


@_read_whole
def transaction_from(row: Mapping[str, Any]) -> Mark:
    """The applied transaction that a row marks."""
    return Mark(
        id=row["RowKey"].removeprefix(TRANSACTION),
        operation=row["Operation"],
        sequence=row["Sequence"],
        owners=msgspec.json.decode(row["Owners"], type=tuple[str, ...]),
        lessor=row["Lessor"],
        started=msgspec.json.decode(row["Started"], type=tuple[str, ...]),
        ended=msgspec.json.decode(row["Ended"], type=tuple[tuple[str, str], ...]),
    )


def driver_row(driver: Driver) -> Entity:
    """The record of a driver."""
    profile = driver.profile or Profile()
    return {
        "PartitionKey": driver.key,
        "RowKey": record_key(driver.key),
        "Provisional": driver.profile is None,
        "Name": profile.name,
        "LicenceNumber": profile.licence_number,
        "LicensedSince": _date_text(profile.licensed_since),
        "InsuredSince": _date_text(profile.insured_since),
        "BonusMalusClass": driver.bonus_malus_class,
        "LatestStart": _date_text(driver.latest_start),
        "AnnualPremium": str(driver.annual_premium),
        "Leasing": bool(driver.open_leases),
        "Flagged": driver.is_flagged,
        **_pieces("OpenLeases", _json(driver.open_leases)),
        **_pieces("RatedClaims", _json(driver.claims)),
    }


@_read_whole
def driver_from(row: Mapping[str, Any]) -> Driver:
    """The driver that a record describes."""
    profile = Profile(
        name=row["Name"],
        licence_number=row["LicenceNumber"],
        licensed_since=_date(row["LicensedSince"]),
        insured_since=_date(row["InsuredSince"]),
    )
    return Driver(
        key=row["PartitionKey"],
        profile=None if row["Provisional"] else profile,
        claims=msgspec.json.decode(_whole(row, "RatedClaims"), type=tuple[PastClaim, ...]),
        open_leases=msgspec.json.decode(_whole(row, "OpenLeases"), type=dict[str, OpenLease]),
        latest_start=_date(row["LatestStart"]),
        bonus_malus_class=row.get("BonusMalusClass"),
    )


def lease_row(lease: Lease) -> Entity:
    """One lease."""
    return {
        "PartitionKey": lease.driver,
        "RowKey": LEASE + lease.transaction,
        "Sequence": lease.sequence,
        "AssetId": lease.asset_id,
        "Lessor": lease.lessor,
        **_description_columns(lease.description),
        "StartDate": _date_text(lease.terms.start_date),
        "EndDate": _date_text(lease.terms.end_date),
        "AnnualMileage": lease.terms.annual_mileage,
        "Remarks": _json(lease.terms.remarks),
        **_end(lease.end_transaction, lease.end_sequence),
        **_premium(lease.premium),
    }


def ended_lease_row(ended: LeaseEnded) -> Entity:
    """What changes in a lease's row when the lease ends."""
    return {
        "PartitionKey": ended.driver,
        "RowKey": LEASE + ended.lease,
        **_end(ended.transaction, ended.sequence),
    }


def repriced_lease_row(driver: str, lease_id: str, premium: Premium) -> Entity:
    """What changes in a lease's row when it is priced anew."""
    return {"PartitionKey": driver, "RowKey": LEASE + lease_id, **_premium(premium)}


@_read_whole
def lease_from(row: Mapping[str, Any]) -> Lease:
    """The lease that a row describes."""
    return Lease(
        driver=row["PartitionKey"],
        transaction=row["RowKey"].removeprefix(LEASE),
        sequence=row["Sequence"],
        asset_id=row["AssetId"],
        lessor=row["Lessor"],
        description=_description(row),
        terms=LeaseTerms(
            start_date=_date(row["StartDate"]),
            end_date=_date(row["EndDate"]),
            annual_mileage=row.get("AnnualMileage"),
            remarks=msgspec.json.decode(row["Remarks"], type=tuple[str, ...]),
        ),
        premium=msgspec.json.decode(_whole(row, "Premium"), type=Premium),
        end_transaction=row["EndTransaction"],
        end_sequence=row["EndSequence"],
    )


def claim_row(driver: str, claim: Claim) -> Entity:
    """One claim of a driver."""
    return {
        "PartitionKey": driver,
        "RowKey": CLAIM + claim.id,
        "Date": claim.date.isoformat(),
        "AtFault": claim.at_fault,
        "Amount": str(claim.amount),
        "Description": claim.description,
        "Withdrawn": claim.withdrawn,
    }


def withdrawn_claim_row(driver: str, claim_id: str) -> Entity:
    """What changes in a claim's row when the claim is withdrawn."""
    return {"PartitionKey": driver, "RowKey": CLAIM + claim_id, "Withdrawn": True}


@_read_whole
def claim_from(row: Mapping[str, Any]) -> Claim:
    """The claim that a row describes."""
    return Claim(
        id=row["RowKey"].removeprefix(CLAIM),
        date=dt.date.fromisoformat(row["Date"]),
        at_fault=row["AtFault"],
        amount=Decimal(row["Amount"]),
        description=row["Description"],
        withdrawn=row["Withdrawn"],
    )


def _end(transaction: str, sequence: str) -> Entity:
    return {"EndTransaction": transaction, "EndSequence": sequence}


def _premium(premium: Premium) -> Entity:
    return {"AnnualPremium": str(premium.annual), **_pieces("Premium", _json(premium))}


def _description_columns(description: CarDescription) -> Entity:
    return {
        "Vin": description.vin,
        "Manufacturer": description.manufacturer,
        "Model": description.model,
        "ModelYear": description.model_year,
    }


def _description(row: Mapping[str, Any]) -> CarDescription:
    return CarDescription(row["Vin"], row["Manufacturer"], row["Model"], row["ModelYear"])


def _pieces(name: str, text: str) -> Entity:
    """A text as a property, and further ones where it is long. The last is never full: by that it is known.

    What is merged into a row cannot take a further property out of it, that an earlier, longer text needed.
    """
    starts = range(0, len(text) + 1, PIECE_CHARACTERS)
    return {
        name if number == 1 else f"{name}{number}": text[start : start + PIECE_CHARACTERS]
        for number, start in enumerate(starts, 1)
    }


def _whole(row: Mapping[str, Any], name: str) -> str:
    """The text that stands in a property and in those in which it goes on."""
    pieces = [str(row[name])]
    while len(pieces[-1]) == PIECE_CHARACTERS:
        pieces.append(str(row[f"{name}{len(pieces) + 1}"]))
    return "".join(pieces)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _date_text(date: dt.date | None) -> str:
    return date.isoformat() if date else ""


def _date(text: str) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None
