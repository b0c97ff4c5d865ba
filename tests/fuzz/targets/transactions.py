"""A car's transactions, a JSON array: each is refused, or decided without a fault, and nobody gains a share by it."""

from typing import Any

from functions.api.answers import RequestError, decoded
from functions.leasing.car import Car, Decision, LedgerEvent, decide
from functions.leasing.evidence import check_id
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import CREATE, TRANSFER, MalformedTransactionError, parse
from tests.unit.ledger_writing import LESSORS


def check(data: bytes) -> None:
    """Fold the transactions, and hold each decision to what the record builds on."""
    try:
        bodies = decoded(data, list[dict[str, Any]])
    except RequestError:
        return
    car: Car | None = None
    for height, body in enumerate(bodies, start=1):
        try:
            transaction = parse(body)
        except MalformedTransactionError:
            continue
        if transaction.operation not in {CREATE, TRANSFER}:
            continue
        event = LedgerEvent(transaction, body, f"{height:012d}-000000", car.last_transaction if car else "")
        decision = decide(car, event, LESSORS)
        if decision.outcome is Outcome.APPLIED:
            _check_applied(car, event, decision)
            car = decision.car


def _check_applied(before: Car | None, event: LedgerEvent, decision: Decision) -> None:
    check_id(event.body, event.transaction)
    after = decision.car
    assert after is not None
    if before is not None:
        assert sum(one.amount for one in after.unspent) == sum(one.amount for one in before.unspent)
        assert after.registered_by == before.registered_by
    assert after.registered_by in LESSORS
    assert after.lessor in LESSORS
    owners = {owner for output in after.unspent for owner in output.owners}
    assert {holder.driver for holder in after.holders} == owners - LESSORS
    assert decide(after, event, LESSORS).outcome is Outcome.DUPLICATE
