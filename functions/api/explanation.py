"""/api/drivers/{key}/explanation: how a driver's premiums came about, for a person or a program."""

from collections.abc import Iterator
from decimal import Decimal
from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api.answers import JSON, RequestError, json_answer
from functions.api.operations import Answer, Operation, Served
from functions.api.routes import Parts, answering, driver_key
from functions.leasing.driver import Driver, Lease
from functions.rating.premium import Premium
from functions.rating.words import explain
from functions.wording import on_one_line

PLAIN_TEXT = "text/plain"


class LeaseExplanation(msgspec.Struct, frozen=True, rename="camel"):
    """How the premium of one open lease came about: in sentences, and as data."""

    car: str
    asset_id: str
    start_transaction: str
    remarks: tuple[str, ...]
    sentences: tuple[str, ...]
    premium: Premium


class DriverExplanation(msgspec.Struct, frozen=True, rename="camel"):
    """How a driver's premiums came about. `annualPremium` is the sum over the open leases."""

    key: str
    summary: str
    annual_premium: Decimal
    leases: list[LeaseExplanation]


def served(parts: Parts) -> tuple[Served, ...]:
    """The operation that explains."""

    @answering
    async def explanation(req: func.HttpRequest) -> func.HttpResponse:
        key = driver_key(req, parts.settings)
        stored = await parts.record.load_driver(key)
        if stored.etag is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"no lease and no entry names the driver {key}")
        leases = await parts.record.load_open_leases(stored.driver)
        explained = _explained(stored.driver, sorted(leases.values(), key=lambda lease: lease.sequence))
        if JSON in req.headers.get("accept", ""):
            return json_answer(explained)
        return func.HttpResponse("\n".join(_lines(explained)) + "\n", mimetype=PLAIN_TEXT, charset="utf-8")

    return (Served(EXPLAIN_DRIVER, explanation),)


def _explained(driver: Driver, leases: list[Lease]) -> DriverExplanation:
    return DriverExplanation(
        key=driver.key,
        summary=_summary(driver),
        annual_premium=driver.annual_premium,
        leases=[
            LeaseExplanation(
                car=_car(lease),
                asset_id=lease.asset_id,
                start_transaction=lease.transaction,
                remarks=lease.terms.remarks,
                sentences=explain(lease.premium, driver.history),
                premium=lease.premium,
            )
            for lease in leases
        ],
    )


def _summary(driver: Driver) -> str:
    named = on_one_line(driver.profile.name) if driver.profile else ""
    who = named or f"The driver with the key {driver.key}"
    number = len(driver.open_leases)
    cars = f"{number} car{'s' if number != 1 else ''}"
    known = "" if driver.profile else " The insurer has entered nothing about them yet: they are priced provisionally."
    return f"{who} has {cars} now, for {driver.annual_premium} a year in all.{known}"


def _car(lease: Lease) -> str:
    about = lease.description
    name = " ".join(word for word in (about.manufacturer, about.model, about.model_year) if word)
    # What a lessor wrote on the ledger must not look like a sentence of ours.
    return on_one_line(f"{name or 'A car without a description'}, VIN {about.vin or 'unknown'}")


def _lines(explained: DriverExplanation) -> Iterator[str]:
    yield explained.summary
    for lease in explained.leases:
        yield ""
        yield f"{lease.car}: {lease.premium.annual} {lease.premium.currency} a year."
        for sentence in lease.sentences:
            yield f"- {sentence}"
        if lease.remarks:
            yield f"- A person should look at the terms of this lease: {'; '.join(lease.remarks)}."


EXPLAIN_DRIVER = Operation(
    name="explanation",
    method="GET",
    path="drivers/{key}/explanation",
    summary="How a driver's premiums came about: plain words, or JSON where Accept asks for it",
    answers={HTTPStatus.OK: Answer("the explanation", {PLAIN_TEXT: str, JSON: DriverExplanation})},
    problems=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT),
)
