"""/api/health: whether the app can do its work, which is whether the tables answer."""

from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api.answers import json_answer
from functions.api.operations import Operation, Served, json_body
from functions.api.routes import Parts, answering


class Health(msgspec.Struct, frozen=True):
    """The tables answer. `ledger` is the one that this record follows, `tariff` the version in force."""

    status: str
    ledger: str
    tariff: str


def served(parts: Parts) -> tuple[Served, ...]:
    """The operation that tells."""

    @answering
    async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
        await parts.record.check()
        return json_answer(Health("ok", parts.settings.ledger_name, parts.tariff.version))

    return (Served(CHECK_HEALTH, health),)


CHECK_HEALTH = Operation(
    name="health",
    method="GET",
    path="health",
    summary="Whether the tables answer",
    answers={HTTPStatus.OK: json_body("they do", Health)},
)
