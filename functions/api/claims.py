"""/api/drivers/{key}/claims: the claims of a driver's past history, as the insurer enters and withdraws them."""

from decimal import Decimal
from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api import conditions
from functions.api.answers import RequestError, entry
from functions.api.drivers import DELETION_PROBLEMS, ENTRY_PROBLEMS, DriverView, driver_answer
from functions.api.operations import Operation, Served, json_body
from functions.api.routes import Parts, answering, driver_key
from functions.api.texts import Amount, ClaimId, Day, Text, check_days
from functions.leasing.driver import Claim
from functions.settings import shown

CENT = Decimal("0.01")


class ClaimEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A claim. The same claim sent again changes nothing; its `id` stands for no other."""

    id: ClaimId
    date: Day
    at_fault: bool
    amount: Amount
    description: Text = ""

    def __post_init__(self) -> None:
        check_days(self)


def served(parts: Parts) -> tuple[Served, ...]:
    """The operations on claims."""

    @answering
    async def driver_claims(req: func.HttpRequest) -> func.HttpResponse:
        key, condition = driver_key(req, parts.settings), conditions.read(req)
        is_new = await parts.entries.enter_claim(key, _claim(entry(req, ClaimEntry)), condition)
        return await driver_answer(parts, key, HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    @answering
    async def claim_withdrawal(req: func.HttpRequest) -> func.HttpResponse:
        key = driver_key(req, parts.settings)
        await parts.entries.withdraw_claim(key, _claim_id(req), conditions.read(req))
        return await driver_answer(parts, key, HTTPStatus.OK)

    return (Served(ENTER_CLAIM, driver_claims), Served(WITHDRAW_CLAIM, claim_withdrawal))


def _claim(entered: ClaimEntry) -> Claim:
    amount = Decimal(entered.amount).quantize(CENT)
    return Claim(entered.id, entered.date, entered.at_fault, amount, entered.description)


def _claim_id(req: func.HttpRequest) -> str:
    claim_id: str = req.route_params["claim_id"]
    try:
        return msgspec.convert(claim_id, ClaimId)
    except msgspec.ValidationError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{shown(claim_id)} is not the id of a claim") from error


ENTER_CLAIM = Operation(
    name="driver_claims",
    method="POST",
    path="drivers/{key}/claims",
    summary="Add a claim to a driver's past history; open leases are priced anew",
    headers=("If-Match", "If-None-Match"),
    body=ClaimEntry,
    answers={
        HTTPStatus.CREATED: json_body("the claim is entered; the driver as they are now", DriverView, etag=True),
        HTTPStatus.OK: json_body("the claim was entered before; the driver as they are now", DriverView, etag=True),
    },
    problems=ENTRY_PROBLEMS,
)
WITHDRAW_CLAIM = Operation(
    name="claim_withdrawal",
    method="DELETE",
    path="drivers/{key}/claims/{claim_id}",
    summary="Withdraw a claim: it counts for nothing from now on, and stays on file; open leases are priced anew",
    headers=("If-Match",),
    answers={HTTPStatus.OK: json_body("the driver as they are now", DriverView, etag=True)},
    problems=DELETION_PROBLEMS,
)
