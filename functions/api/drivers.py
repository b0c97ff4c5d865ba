"""/api/drivers: who drives what at which premium, and the insurer's own entries on a driver's past history."""

import base64
import binascii
import datetime as dt
import re
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import azure.functions as func
import msgspec

from functions.api.answers import RequestError, decoded, json_answer
from functions.api.routes import Parts, answering, driver_key
from functions.leasing.driver import Claim, Driver, Lease, Profile
from functions.leasing.terms import CarDescription
from functions.rating.premium import Premium, in_words
from functions.recording import ClaimExistsError

CLAIM_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_TEXT = 200
MAX_DRIVERS = 200
CENT = Decimal("0.01")
MAX_AMOUNT = Decimal(1_000_000_000)
PLAUSIBLE_YEARS = range(1900, 2101)


class ProfileEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of PUT /api/drivers/{key}."""

    name: str
    licence_number: str = ""
    licensed_since: dt.date | None = None
    insured_since: dt.date | None = None


class ClaimEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of POST /api/drivers/{key}/claims; `amount` in the tariff's currency."""

    id: str
    date: dt.date
    at_fault: bool
    amount: Decimal
    description: str = ""


class ClaimView(msgspec.Struct, frozen=True, rename="camel"):
    """A claim as it is returned."""

    id: str
    date: dt.date
    at_fault: bool
    amount: Decimal
    description: str


class LeaseView(msgspec.Struct, frozen=True, rename="camel"):
    """A lease as it is returned: `remarks` say what was odd in its terms, `explanation` how its premium came about."""

    asset_id: str
    vin: str
    manufacturer: str
    model: str
    start_transaction: str
    start_date: dt.date | None
    end_date: dt.date | None
    annual_mileage: int | None
    end_transaction: str | None
    remarks: tuple[str, ...]
    premium: Premium
    explanation: str


class DriverSummary(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A driver in a list. `provisional`: the insurer has entered nothing about this key yet."""

    key: str
    name: str
    provisional: bool
    bonus_malus_class: int | None
    open_leases: int
    annual_premium: Decimal


class DriverView(DriverSummary, frozen=True, rename="camel", kw_only=True):
    """A driver with all leases, in ledger order, and all claims, by date."""

    licence_number: str
    licensed_since: dt.date | None
    insured_since: dt.date | None
    leases: list[LeaseView]
    claims: list[ClaimView]


class DriverPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page of drivers; `next` is the value of ?after= for the page after it, where there is one."""

    drivers: list[DriverSummary]
    next: str = ""


def blueprint(parts: Parts) -> func.Blueprint:
    """The routes of drivers."""
    routes = func.Blueprint()  # type: ignore[no-untyped-call]

    @routes.route("drivers", methods=["GET"])
    @answering
    async def drivers(req: func.HttpRequest) -> func.HttpResponse:
        found, following = await parts.record.drivers(_limit(req), _continuation(req))
        following_text = base64.urlsafe_b64encode(msgspec.json.encode(following)).decode() if following else ""
        return json_answer(DriverPage([DriverSummary(**_summary(driver)) for driver in found], following_text))

    @routes.route("drivers/{key}", methods=["GET"])
    @answering
    async def driver(req: func.HttpRequest) -> func.HttpResponse:
        return json_answer(await _view(parts, driver_key(req, parts.settings)))

    @routes.route("drivers/{key}", methods=["PUT"])
    @answering
    async def driver_profile(req: func.HttpRequest) -> func.HttpResponse:
        key = driver_key(req, parts.settings)
        await parts.recording.enter_profile(key, _profile(decoded(req.get_body(), ProfileEntry)))
        return json_answer(await _view(parts, key))

    @routes.route("drivers/{key}/claims", methods=["POST"])
    @answering
    async def driver_claims(req: func.HttpRequest) -> func.HttpResponse:
        key = driver_key(req, parts.settings)
        try:
            await parts.recording.enter_claim(key, _claim(decoded(req.get_body(), ClaimEntry)))
        except ClaimExistsError as error:
            raise RequestError(HTTPStatus.CONFLICT, str(error)) from error
        return json_answer(await _view(parts, key), HTTPStatus.CREATED)

    return routes


async def _view(parts: Parts, key: str) -> DriverView:
    stored = await parts.record.load_driver(key, ())
    if stored.etag is None:
        raise RequestError(HTTPStatus.NOT_FOUND, f"no lease and no entry names the driver {key}")
    leases = await parts.record.driver_leases(key)
    claims = await parts.record.driver_claims(key)
    profile = stored.driver.profile or Profile()
    return DriverView(
        **_summary(stored.driver),
        licence_number=profile.licence_number,
        licensed_since=profile.licensed_since,
        insured_since=profile.insured_since,
        leases=[_lease(lease) for lease in leases],
        claims=[ClaimView(one.id, one.date, one.at_fault, one.amount, one.description) for one in claims],
    )


def _summary(driver: Driver) -> dict[str, Any]:
    return {
        "key": driver.key,
        "name": driver.profile.name if driver.profile else "",
        "provisional": driver.profile is None,
        "bonus_malus_class": driver.bonus_malus_class,
        "open_leases": len(driver.open_leases),
        "annual_premium": driver.annual_premium,
    }


def _lease(lease: Lease) -> LeaseView:
    car: CarDescription = lease.description
    return LeaseView(
        asset_id=lease.asset_id,
        vin=car.vin,
        manufacturer=car.manufacturer,
        model=car.model,
        start_transaction=lease.transaction,
        start_date=lease.terms.start_date,
        end_date=lease.terms.end_date,
        annual_mileage=lease.terms.annual_mileage,
        end_transaction=lease.end_transaction or None,
        remarks=lease.terms.remarks,
        premium=lease.premium,
        explanation=in_words(lease.premium),
    )


def _profile(entry: ProfileEntry) -> Profile:
    for name, text in (("name", entry.name), ("licenceNumber", entry.licence_number)):
        _check_text(name, text)
    _check_date("licensedSince", entry.licensed_since)
    _check_date("insuredSince", entry.insured_since)
    return Profile(entry.name, entry.licence_number, entry.licensed_since, entry.insured_since)


def _claim(entry: ClaimEntry) -> Claim:
    if not CLAIM_ID.fullmatch(entry.id):
        raise RequestError(HTTPStatus.BAD_REQUEST, "1 to 64 characters of A-Z, a-z, 0-9, . _ - are allowed - at `$.id`")
    if not (entry.amount.is_finite() and 0 <= entry.amount <= MAX_AMOUNT):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"an amount from 0 to {MAX_AMOUNT} is allowed - at `$.amount`")
    if entry.amount != entry.amount.quantize(CENT):
        raise RequestError(HTTPStatus.BAD_REQUEST, "an amount in whole cents is allowed - at `$.amount`")
    _check_text("description", entry.description)
    _check_date("date", entry.date)
    # Plus zero: -0.00 is 0.00.
    return Claim(entry.id, entry.date, entry.at_fault, entry.amount.quantize(CENT) + 0, entry.description)


def _check_text(name: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"at most {MAX_TEXT} characters are allowed - at `$.{name}`")


def _check_date(name: str, date: dt.date | None) -> None:
    if date is not None and date.year not in PLAUSIBLE_YEARS:
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            f"a date from {PLAUSIBLE_YEARS.start} to {PLAUSIBLE_YEARS.stop - 1} is allowed - at `$.{name}`",
        )


def _limit(req: func.HttpRequest) -> int:
    text = req.params.get("limit", str(MAX_DRIVERS))
    if not (re.fullmatch("[0-9]{1,9}", text) and 1 <= int(text) <= MAX_DRIVERS):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"limit must be a number from 1 to {MAX_DRIVERS}")
    return int(text)


def _continuation(req: func.HttpRequest) -> dict[str, str] | None:
    text = req.params.get("after")
    if not text:
        return None
    try:
        token = msgspec.json.decode(base64.urlsafe_b64decode(text), type=dict[str, str])
    except (binascii.Error, ValueError):
        token = {}
    if token.keys() != {"PartitionKey", "RowKey"}:
        raise RequestError(HTTPStatus.BAD_REQUEST, "after must be the value of `next` in an earlier page")
    return token
