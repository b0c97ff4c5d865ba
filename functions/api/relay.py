"""Where the relay stands: /api/relay for whoever asks, and one line in the log each minute, which alerts are made on.

The relay says how it is in table Relay. The line is written by this app, so that a relay that is gone is noticed too.
"""

import datetime as dt
import logging
from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api.answers import json_answer
from functions.api.operations import Operation, Served, json_body
from functions.api.routes import Parts, answering
from functions.following import PROPERTIES, Following, following
from functions.records.errors import RecordError

LINE = "relay state "
"""How the line begins; then comes JSON with the names of Following. infra/modules/alerts.bicep looks for both."""
EACH_MINUTE = "0 * * * * *"

log = logging.getLogger("leasehook.relay")


def served(parts: Parts) -> tuple[Served, ...]:
    """The operation that tells."""

    @answering
    async def relay(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
        return json_answer(await _now_of(parts))

    return (Served(SHOW_RELAY, relay),)


def watch(parts: Parts) -> func.Blueprint:
    """The timer `relay_watch`, which writes the line. A run fails when Table Storage does not answer."""
    timers = func.Blueprint()  # type: ignore[no-untyped-call]

    @timers.timer_trigger(arg_name="timer", schedule=EACH_MINUTE, use_monitor=False)
    async def relay_watch(timer: func.TimerRequest) -> None:  # noqa: ARG001
        try:
            found = await _now_of(parts)
        except RecordError as error:
            # Alone: the host logs what a run ends with, and the errors behind it quote requests and rows.
            raise type(error)(str(error)) from None
        log.info("%s%s", LINE, msgspec.json.encode(msgspec.structs.asdict(found)).decode())

    return timers


async def _now_of(parts: Parts) -> Following:
    ledger = parts.settings.ledger_name
    return following(ledger, await parts.record.relay_rows(ledger, PROPERTIES), dt.datetime.now(dt.UTC))


SHOW_RELAY = Operation(
    name="relay",
    method="GET",
    path="relay",
    summary="How far the record follows the ledger, as the relay and the last audit say",
    answers={HTTPStatus.OK: json_body("where the relay stands", Following)},
)
