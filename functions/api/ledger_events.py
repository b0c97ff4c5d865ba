"""POST /api/ledger-events: takes a batch of CloudEvents from the relay and answers an outcome for each event.

The contract is docs/contract.md. A fault of the batch is the sender's (4xx), and nothing of it is applied; a fault of
one event is its outcome `rejected`, and touches no other.
"""

import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Any, Literal

import azure.functions as func
import msgspec

from functions.api.answers import RequestError, check_size, decoded, json_answer, parsed
from functions.api.operations import Operation, Served, json_body
from functions.api.routes import Parts, answering
from functions.api.signatures import check_signature
from functions.leasing import transactions
from functions.leasing.car import Decision, LedgerEvent
from functions.leasing.outcomes import Outcome
from functions.settings import shown

CONTENT_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "bigchaindb.transaction.committed"
MAX_BODY_BYTES = 1_048_576
MAX_EVENTS = 500
SEQUENCE = re.compile(r"[0-9]{12}-[0-9]{6}")
PREDECESSOR = re.compile(r"([0-9a-f]{64})?")


class CloudEvent(msgspec.Struct, frozen=True):
    """One event in the batch: CloudEvents 1.0 with the extensions sequence, partitionkey and predecessor."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(extra_json_schema={"minLength": 1})]
    source: str
    type: str
    subject: str = ""
    partitionkey: str = ""
    sequence: str = ""
    predecessor: str = ""
    datacontenttype: str = "application/json"
    # No plain default: msgspec cannot write a Raw into the document.
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"null"))


class Result(msgspec.Struct, frozen=True):
    """What became of one event."""

    id: str
    outcome: Outcome
    detail: str


class Results(msgspec.Struct, frozen=True):
    """The answer: one result an event, in the order of the batch."""

    results: list[Result]


def served(parts: Parts) -> tuple[Served, ...]:
    """The operation of the relay."""

    @answering
    async def ledger_events(req: func.HttpRequest) -> func.HttpResponse:
        body = req.get_body()
        check_size(body, MAX_BODY_BYTES)
        if parts.settings.webhook_secrets:
            check_signature(req.headers, body, parts.settings.webhook_secrets, int(time.time()))
        batch = read_batch(req.headers.get("content-type", ""), body)
        check_source(batch, parts.settings.event_source)
        read = [read_event(event) for event in batch]
        events = [event for event in read if isinstance(event, LedgerEvent)]
        decisions = iter(await parts.recording.apply(events))
        results = []
        for sent, event in zip(batch, read, strict=True):
            decision = next(decisions) if isinstance(event, LedgerEvent) else event
            results.append(Result(sent.id, decision.outcome, decision.detail))
        return json_answer(Results(results))

    return (Served(APPLY_EVENTS, ledger_events),)


def read_batch(content_type: str, body: bytes) -> list[CloudEvent]:
    """The events in a request. Raises RequestError: 415, 413, or 400 with the path of the fault.

    How many there are is known before any of them is read.
    """
    if content_type.partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type is {shown(content_type)}; it must be {CONTENT_TYPE}"
        )
    check_size(body, MAX_BODY_BYTES)
    number = len(decoded(body, list[msgspec.Raw]))
    if number > MAX_EVENTS:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the batch has {number} events; at most {MAX_EVENTS} are taken"
        )
    events = parsed(body, list[CloudEvent])
    for index, event in enumerate(events):
        if not event.id:
            raise RequestError(HTTPStatus.BAD_REQUEST, f"an event has no id - at `$[{index}].id`")
    return events


def check_source(events: Iterable[CloudEvent], source: str) -> None:
    """Raise RequestError 421 when an event is of another ledger than the one that this record follows.

    That is a fault of the settings, not of the event: to reject it would have the relay park its car, and every car.
    """
    for event in events:
        if event.source != source:
            raise RequestError(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"an event's source is {shown(event.source)}; this record follows {source!r}. LEDGER_NAME must be the "
                "same for the relay and the Function app",
            )


def read_event(event: CloudEvent) -> LedgerEvent | Decision:
    """The ledger's transaction in an event, or why the event is rejected or ignored."""
    if event.type != EVENT_TYPE:
        return Decision(Outcome.REJECTED, f"type is {shown(event.type)}; it must be {EVENT_TYPE}")
    if not SEQUENCE.fullmatch(event.sequence):
        return Decision(Outcome.REJECTED, f"sequence is {shown(event.sequence)}; it must be HHHHHHHHHHHH-PPPPPP")
    if not PREDECESSOR.fullmatch(event.predecessor):
        return Decision(Outcome.REJECTED, f"predecessor is {shown(event.predecessor)}; it must be a transaction's id")
    try:
        body = msgspec.json.decode(event.data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Decision(Outcome.REJECTED, f"data is not a transaction, a JSON object: {error}")
    try:
        transaction = transactions.parse(body)
    except transactions.MalformedTransactionError as error:
        return Decision(Outcome.REJECTED, str(error))
    if transaction.operation not in {transactions.CREATE, transactions.TRANSFER}:
        return Decision(Outcome.IGNORED, f"a transaction {shown(transaction.operation)} moves no car")
    if event.id != transaction.id:
        return Decision(Outcome.REJECTED, f"the event's id is not that of its transaction {shown(transaction.id)}")
    if not event.subject == event.partitionkey == transaction.asset_id:
        return Decision(Outcome.REJECTED, "subject and partitionkey must both be the id of the transaction's asset")
    return LedgerEvent(transaction, body, event.sequence, event.predecessor)


APPLY_EVENTS = Operation(
    name="ledger_events",
    method="POST",
    path="ledger-events",
    summary="Apply a batch of the ledger's transactions: for the relay",
    body=Annotated[list[CloudEvent], msgspec.Meta(max_length=MAX_EVENTS)],
    body_type=CONTENT_TYPE,
    answers={HTTPStatus.OK: json_body("one result for each event, in order", Results)},
    problems=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.MISDIRECTED_REQUEST,
    ),
)
