"""What the lessor wrote beside a car and a lease: the asset's description and the transfer's lease terms.

Nothing written there can hide a change of driver: what is missing or odd becomes a remark for review, never an error.
Cars follow schema.org/Car; lease terms are `{"lease": {"startDate", "endDate", "annualMileage"}}`.
"""

import datetime as dt
import re
from typing import Any

import msgspec

MAX_ANNUAL_MILEAGE_KM = 300_000
MAX_LEASE_DAYS = 3_653
"""Ten years with three leap days: nobody leases a car for longer."""
MAX_TEXT = 200
PLAUSIBLE_YEARS = range(1990, 2101)
DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
MAX_NUMBER = 10**9


class CarDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the CREATE says about the car; an empty text where it says nothing usable."""

    vin: str = ""
    manufacturer: str = ""
    model: str = ""
    model_year: str = ""


class LeaseTerms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the TRANSFER says about the lease; `annual_mileage` in km. `remarks` name what was missing or odd."""

    start_date: dt.date | None = None
    end_date: dt.date | None = None
    annual_mileage: int | None = None
    remarks: tuple[str, ...] = ()


def describe_car(asset_data: Any) -> CarDescription:
    """The description in a CREATE's asset data, whatever that data is."""
    facts = asset_data if isinstance(asset_data, dict) else {}
    return CarDescription(
        vin=_text(facts.get("vehicleIdentificationNumber")),
        manufacturer=_text(facts.get("manufacturer")),
        model=_text(facts.get("model")),
        model_year=_text(facts.get("vehicleModelDate")),
    )


def read_terms(metadata: Any) -> LeaseTerms:
    """The lease terms in a transaction's metadata, whatever that is, with a remark for each that is missing or odd."""
    lease = metadata.get("lease") if isinstance(metadata, dict) else None
    if not isinstance(lease, dict):
        return LeaseTerms(remarks=("no lease terms" if lease is None else "lease is not an object",))
    remarks: list[str] = []
    start = _date(lease, "startDate", remarks)
    end = _date(lease, "endDate", remarks)
    if start and end and end < start:
        remarks.append("endDate is before startDate")
    if start and end and (end - start).days > MAX_LEASE_DAYS:
        remarks.append("the lease is longer than 10 years")
    mileage = lease.get("annualMileage")
    if not isinstance(mileage, int) or isinstance(mileage, bool) or not 0 < mileage <= MAX_ANNUAL_MILEAGE_KM:
        remarks.append("no annualMileage" if mileage is None else "annualMileage is not a plausible number of km")
        mileage = None
    return LeaseTerms(start_date=start, end_date=end, annual_mileage=mileage, remarks=tuple(remarks))


def _date(lease: dict[str, Any], name: str, remarks: list[str]) -> dt.date | None:
    value = lease.get(name)
    if value is None:
        remarks.append(f"no {name}")
        return None
    try:
        date = dt.date.fromisoformat(value) if DATE.fullmatch(value) else None
    except (TypeError, ValueError):
        date = None
    if date is None:
        remarks.append(f"{name} is not a date (YYYY-MM-DD)")
        return None
    if date.year not in PLAUSIBLE_YEARS:
        remarks.append(f"{name} is not a plausible date")
        return None
    return date


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < MAX_NUMBER else ""
    return value[:MAX_TEXT] if isinstance(value, str) else ""
