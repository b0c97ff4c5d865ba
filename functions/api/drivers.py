"""/api/drivers: who drives what at which premium, and what the insurer enters about a driver or erases."""

import datetime as dt
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any

import azure.functions as func
import msgspec
from msgspec import UNSET, UnsetType

from functions.api import conditions
from functions.api.answers import RequestError, entry, json_answer, query
from functions.api.operations import Answer, Operation, Served, json_body
from functions.api.paging import MAX_PAGE, After, Flag, Limit, filters, page_end, page_start, truth
from functions.api.routes import Parts, answering, driver_key
from functions.api.texts import Day, Text, check_days
from functions.entries import version
from functions.leasing.driver import Claim, Driver, Lease, Profile
from functions.rating.premium import Premium
from functions.rating.words import in_words
from functions.records.record import DriverFile


class ProfileEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What the insurer knows of a driver; a date that is left out is unknown."""

    name: Text
    licence_number: Text = ""
    licensed_since: Day | None = None
    insured_since: Day | None = None

    def __post_init__(self) -> None:
        check_days(self)


class DriversWanted(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which drivers are listed; what is left out does not matter."""

    limit: Limit = MAX_PAGE
    after: After = ""
    provisional: Annotated[Flag, msgspec.Meta(description="the insurer has entered nothing about them")] | UnsetType = (
        UNSET
    )
    leasing: Annotated[Flag, msgspec.Meta(description="they have a car now")] | UnsetType = UNSET
    flagged: Annotated[Flag, msgspec.Meta(description="the terms of an open lease are odd")] | UnsetType = UNSET
    bonus_malus_class: Annotated[int, msgspec.Meta(ge=0, le=999)] | UnsetType = UNSET


class ClaimView(msgspec.Struct, frozen=True, rename="camel"):
    """A claim; one that was `withdrawn` counts for nothing."""

    id: str
    date: dt.date
    at_fault: bool
    amount: Decimal
    description: str
    withdrawn: bool


class LeaseView(msgspec.Struct, frozen=True, rename="camel"):
    """A lease: `remarks` say what was odd in its terms, `explanation` how its premium came about."""

    asset_id: str
    lessor: str
    vin: str
    manufacturer: str
    model: str
    model_year: str
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
    flagged: bool
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


def served(parts: Parts) -> tuple[Served, ...]:
    """The operations on drivers."""

    @answering
    async def drivers(req: func.HttpRequest) -> func.HttpResponse:
        wanted = query(req, DriversWanted)
        found, following = await parts.record.drivers(
            filters(
                Provisional=truth(wanted.provisional),
                Leasing=truth(wanted.leasing),
                Flagged=truth(wanted.flagged),
                BonusMalusClass=wanted.bonus_malus_class,
            ),
            wanted.limit,
            page_start(wanted.after),
        )
        return json_answer(DriverPage([DriverSummary(**summary(one.driver)) for one in found], page_end(following)))

    @answering
    async def driver(req: func.HttpRequest) -> func.HttpResponse:
        return await driver_answer(parts, driver_key(req, parts.settings), HTTPStatus.OK)

    @answering
    async def driver_profile(req: func.HttpRequest) -> func.HttpResponse:
        key, condition = driver_key(req, parts.settings), conditions.read(req)
        entered = entry(req, ProfileEntry)
        profile = Profile(entered.name, entered.licence_number, entered.licensed_since, entered.insured_since)
        await parts.entries.enter_profile(key, profile, condition)
        return await driver_answer(parts, key, HTTPStatus.OK)

    @answering
    async def driver_erasure(req: func.HttpRequest) -> func.HttpResponse:
        await parts.entries.erase(driver_key(req, parts.settings), conditions.read(req))
        return func.HttpResponse(status_code=HTTPStatus.NO_CONTENT)

    return (
        Served(LIST_DRIVERS, drivers),
        Served(GET_DRIVER, driver),
        Served(ENTER_PROFILE, driver_profile),
        Served(ERASE_DRIVER, driver_erasure),
    )


async def driver_answer(parts: Parts, key: str, status: HTTPStatus) -> func.HttpResponse:
    """The driver, with the version to bind a next entry to. Raises RequestError 404."""
    file = await parts.record.driver_file(key)
    if file.stored.etag is None:
        raise RequestError(HTTPStatus.NOT_FOUND, f"no lease and no entry names the driver {key}")
    return json_answer(_view(file), status, {"ETag": conditions.etag(version(file.stored.etag))})


def summary(driver: Driver) -> dict[str, Any]:
    """The fields of DriverSummary."""
    return {
        "key": driver.key,
        "name": driver.profile.name if driver.profile else "",
        "provisional": driver.profile is None,
        "flagged": driver.is_flagged,
        "bonus_malus_class": driver.bonus_malus_class,
        "open_leases": len(driver.open_leases),
        "annual_premium": driver.annual_premium,
    }


def _view(file: DriverFile) -> DriverView:
    driver = file.stored.driver
    profile = driver.profile or Profile()
    return DriverView(
        **summary(driver),
        licence_number=profile.licence_number,
        licensed_since=profile.licensed_since,
        insured_since=profile.insured_since,
        leases=[_lease(lease) for lease in file.leases],
        claims=[_claim(claim) for claim in file.claims],
    )


def _lease(lease: Lease) -> LeaseView:
    return LeaseView(
        asset_id=lease.asset_id,
        lessor=lease.lessor,
        vin=lease.description.vin,
        manufacturer=lease.description.manufacturer,
        model=lease.description.model,
        model_year=lease.description.model_year,
        start_transaction=lease.transaction,
        start_date=lease.terms.start_date,
        end_date=lease.terms.end_date,
        annual_mileage=lease.terms.annual_mileage,
        end_transaction=lease.end_transaction or None,
        remarks=lease.terms.remarks,
        premium=lease.premium,
        explanation=in_words(lease.premium),
    )


def _claim(claim: Claim) -> ClaimView:
    return ClaimView(claim.id, claim.date, claim.at_fault, claim.amount, claim.description, claim.withdrawn)


ENTRY_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)
"""What may be wrong with an entry, or stand in its way."""
DELETION_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
)
"""What may be wrong with taking an entry back, or stand in its way."""

LIST_DRIVERS = Operation(
    name="drivers",
    method="GET",
    path="drivers",
    summary="The drivers, a page at a time, in no particular order",
    query=DriversWanted,
    answers={HTTPStatus.OK: json_body("a page", DriverPage)},
    problems=(HTTPStatus.BAD_REQUEST,),
)
GET_DRIVER = Operation(
    name="driver",
    method="GET",
    path="drivers/{key}",
    summary="One driver, with leases, premiums and claims",
    answers={HTTPStatus.OK: json_body("the driver", DriverView, etag=True)},
    problems=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
ENTER_PROFILE = Operation(
    name="driver_profile",
    method="PUT",
    path="drivers/{key}",
    summary="Enter what the insurer knows of a driver; open leases are priced anew",
    headers=("If-Match", "If-None-Match"),
    body=ProfileEntry,
    answers={HTTPStatus.OK: json_body("the driver as they are now", DriverView, etag=True)},
    problems=ENTRY_PROBLEMS,
)
ERASE_DRIVER = Operation(
    name="driver_erasure",
    method="DELETE",
    path="drivers/{key}",
    summary="Erase all that the insurer entered about a driver; what the ledger says stays",
    headers=("If-Match",),
    answers={HTTPStatus.NO_CONTENT: Answer("nothing that the insurer entered is left")},
    problems=DELETION_PROBLEMS,
)
