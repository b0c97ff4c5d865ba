"""The fold of a car's transactions: its owners on the ledger, and the leases that each transaction starts and ends.

Pure: it is given the car as it stands and one genuine-looking event, and returns the decision. It knows no storage,
no HTTP and no money.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from functions.leasing import evidence
from functions.leasing.conditions import ConditionError, condition_of_owners, owners, read_condition
from functions.leasing.outcomes import Outcome
from functions.leasing.terms import CarDescription, LeaseTerms, describe_car, read_terms
from functions.leasing.transactions import CREATE, Output, OutputReference, Transaction


class UnspentOutput(msgspec.Struct, frozen=True):
    """An output of the car that no applied transaction has spent: who owns it, and what spending it takes."""

    reference: OutputReference
    amount: int
    owners: tuple[str, ...]
    condition: dict[str, Any]


class Holder(msgspec.Struct, frozen=True):
    """A driver who has the car now; `lease` is the id of the transaction that started it."""

    driver: str
    lease: str


class Car(msgspec.Struct, frozen=True):
    """A car after the transactions applied so far. `sequence` is the place of the last one on the ledger.

    `registered_by` is the trusted lessor who signed its CREATE, `lessor` the one who owned it last.
    """

    asset_id: str
    registered_by: str
    lessor: str
    description: CarDescription
    unspent: tuple[UnspentOutput, ...]
    holders: tuple[Holder, ...]
    last_transaction: str
    sequence: str


class LedgerEvent(msgspec.Struct, frozen=True):
    """A transaction as it came: parsed, with the JSON object it was parsed from, and its place on the ledger.

    `sequence` is height and position in the block, zero-padded, so that text order is ledger order. `predecessor` is
    the car's transaction before it on the ledger; empty where that is not told. Both are the sender's word.
    """

    transaction: Transaction
    body: dict[str, Any]
    sequence: str
    predecessor: str = ""


class LeaseStarted(msgspec.Struct, frozen=True):
    """A transaction gave the car to a driver; `lessor` is the trusted lessor who owned the car last before it.

    `is_again`: the car shows it already; so should the driver.
    """

    driver: str
    transaction: str
    sequence: str
    asset_id: str
    lessor: str
    description: CarDescription
    terms: LeaseTerms
    is_again: bool = False


class LeaseEnded(msgspec.Struct, frozen=True):
    """A transaction took the car from a driver, or renewed the lease; `lease` is the transaction that started it."""

    driver: str
    lease: str
    transaction: str
    sequence: str


Effect = LeaseStarted | LeaseEnded


class Decision(msgspec.Struct, frozen=True):
    """What becomes of an event. If applied, `car` is the car afterwards and `effects` are what its drivers get."""

    outcome: Outcome
    detail: str = ""
    car: Car | None = None
    effects: tuple[Effect, ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """What a car keeps of a transaction that was applied to it.

    `owners` owned it afterwards. `started` are the drivers whose leases it started, `lessor` is whose car it was then;
    `ended` are drivers and their leases, by the transaction that started each.
    """

    id: str
    operation: str
    sequence: str
    owners: tuple[str, ...]
    lessor: str = ""
    started: tuple[str, ...] = ()
    ended: tuple[tuple[str, str], ...] = ()


def mark_of(event: LedgerEvent, decision: Decision) -> Mark:
    """The mark of an event that was applied."""
    unspent = decision.car.unspent if decision.car else ()
    started = [effect for effect in decision.effects if isinstance(effect, LeaseStarted)]
    return Mark(
        id=event.transaction.id,
        operation=event.transaction.operation,
        sequence=event.sequence,
        owners=tuple(sorted({owner for output in unspent for owner in output.owners})),
        lessor=started[0].lessor if started else "",
        started=tuple(effect.driver for effect in started),
        ended=tuple((effect.driver, effect.lease) for effect in decision.effects if isinstance(effect, LeaseEnded)),
    )


def effects_again(car: Car, event: LedgerEvent, mark: Mark) -> tuple[Effect, ...]:
    """The effects of an event that was applied to `car` before, by its mark: a driver may have lost them since.

    Raises EvidenceError when the event is not the transaction whose id it bears.
    """
    evidence.check_id(event.body, event.transaction)
    terms = _terms(event.transaction, _created(event.transaction))
    return (
        *(LeaseEnded(driver, lease, mark.id, mark.sequence) for driver, lease in mark.ended),
        *(
            LeaseStarted(
                driver, mark.id, mark.sequence, car.asset_id, mark.lessor, car.description, terms, is_again=True
            )
            for driver in mark.started
        ),
    )


def decide(car: Car | None, event: LedgerEvent, lessors: Collection[str]) -> Decision:
    """What `event` does to `car` (None while the car is not in the record), `lessors` being the trusted public keys.

    The outcome `duplicate` is given for what the car shows to be applied. A transfer whose inputs are not unspent is
    `deferred`: whether it was applied long ago is for the caller to look up. So is one that leaves shares of the car
    unspent and does not name what was applied last as its predecessor: nothing else tells that one is missing.
    """
    try:
        if event.transaction.operation == CREATE:
            return _register(car, event, lessors)
        return _transfer(car, event, lessors)
    except (evidence.EvidenceError, ConditionError) as error:
        return Decision(Outcome.REJECTED, str(error))


def _register(car: Car | None, event: LedgerEvent, lessors: Collection[str]) -> Decision:
    if car is not None:
        return Decision(Outcome.DUPLICATE)
    # Whether the evidence holds matters only where it is a trusted lessor's: what others write must park nothing.
    lessor = evidence.registering_lessor(event.transaction, lessors)
    if lessor is None:
        return Decision(Outcome.IGNORED, "the car was not registered by a trusted lessor")
    evidence.check_id(event.body, event.transaction)
    one_input = event.transaction.inputs[0]
    condition = condition_of_owners(one_input.owners_before or ())
    evidence.check_signatures(evidence.Message(event.body), one_input, condition)
    blank = Car(
        asset_id=event.transaction.id,
        registered_by=lessor,
        lessor=lessor,
        description=describe_car(event.transaction.asset.get("data")),
        unspent=(),
        holders=(),
        last_transaction="",
        sequence="",
    )
    return _applied(blank, event, spent=(), lessors=lessors)


def _transfer(car: Car | None, event: LedgerEvent, lessors: Collection[str]) -> Decision:
    transaction = event.transaction
    evidence.check_id(event.body, transaction)
    if car is None:
        return Decision(Outcome.DEFERRED, f"car {transaction.asset_id} is not in the record")
    if car.last_transaction == transaction.id:
        return Decision(Outcome.DUPLICATE)
    unspent = {output.reference: output for output in car.unspent}
    spent = []
    message = evidence.Message(event.body)
    for index, one in enumerate(transaction.inputs):
        if one.fulfills is None:
            return Decision(Outcome.REJECTED, f"input {index} of transfer {transaction.id} spends nothing")
        output = unspent.pop(one.fulfills, None)
        if output is None:
            return Decision(
                Outcome.DEFERRED,
                f"output {one.fulfills.output_index} of transaction {one.fulfills.transaction_id} is not unspent",
            )
        try:
            evidence.check_signatures(message, one, read_condition(output.condition))
        except evidence.EvidenceError as error:
            return Decision(Outcome.REJECTED, f"input {index}: {error}")
        spent.append(output)
    received, given = sum(output.amount for output in spent), sum(int(one.amount) for one in transaction.outputs)
    if received != given:
        return Decision(Outcome.REJECTED, f"it spends {received} shares and gives {given}")
    if unspent and event.predecessor != car.last_transaction:
        told = f"follows {event.predecessor}" if event.predecessor else "names no predecessor"
        return Decision(Outcome.DEFERRED, f"the car is divided and stands at {car.last_transaction}; the event {told}")
    return _applied(car, event, tuple(spent), lessors)


def _applied(car: Car, event: LedgerEvent, spent: tuple[UnspentOutput, ...], lessors: Collection[str]) -> Decision:
    transaction = event.transaction
    created = _created(transaction)
    kept = tuple(output for output in car.unspent if output not in spent)

    leases = {holder.driver: holder.lease for holder in car.holders}
    keeping = _drivers(kept, lessors)
    receiving = _drivers(created, lessors)
    if leases.keys() == {*keeping, *receiving}:
        # The drivers stay the same: who gave up all they had and got the car anew has renewed the lease.
        ended = [driver for driver in leases if driver not in keeping]
    else:
        # An output is spent as a whole: what a driver keeps of it comes back to them.
        ended = [driver for driver in leases if driver not in keeping and driver not in receiving]
    still = {driver: lease for driver, lease in leases.items() if driver not in ended}
    started = [driver for driver in receiving if driver not in still]
    now = still | dict.fromkeys(started, transaction.id)

    terms = _terms(transaction, created)
    if event.sequence < car.sequence:
        # It spends what this car has, so it comes after all the same: the relay's word on one of the two is wrong.
        terms = msgspec.structs.replace(terms, remarks=(*terms.remarks, "applied out of the ledger's order"))
    effects: tuple[Effect, ...] = (
        *(LeaseEnded(driver, leases[driver], transaction.id, event.sequence) for driver in ended),
        *(
            LeaseStarted(driver, transaction.id, event.sequence, car.asset_id, car.lessor, car.description, terms)
            for driver in started
        ),
    )
    after = msgspec.structs.replace(
        car,
        lessor=_lessor(car.lessor, kept + created, lessors),
        unspent=kept + created,
        holders=tuple(Holder(driver, lease) for driver, lease in sorted(now.items())),
        last_transaction=transaction.id,
        sequence=event.sequence,
    )
    return Decision(Outcome.APPLIED, car=after, effects=effects)


def _created(transaction: Transaction) -> tuple[UnspentOutput, ...]:
    return tuple(_unspent(transaction.id, index, output) for index, output in enumerate(transaction.outputs))


def _terms(transaction: Transaction, created: tuple[UnspentOutput, ...]) -> LeaseTerms:
    """The terms of the leases that a transaction starts, with what is odd about it."""
    terms = read_terms(transaction.metadata)
    if all(
        set(output.public_keys or ()) == set(one.owners)
        for output, one in zip(transaction.outputs, created, strict=True)
    ):
        return terms
    remark = "public_keys are not the keys that the condition names"
    return msgspec.structs.replace(terms, remarks=(*terms.remarks, remark))


def _unspent(transaction_id: str, index: int, output: Output) -> UnspentOutput:
    details = output.condition.details
    names = tuple(sorted(owners(read_condition(details))))
    return UnspentOutput(OutputReference(transaction_id, index), int(output.amount), names, details)


def _lessor(before: str, unspent: tuple[UnspentOutput, ...], lessors: Collection[str]) -> str:
    """Whose car it is: the lessor of before, until what is left of the car belongs to other trusted lessors alone."""
    owning = {owner for output in unspent for owner in output.owners if owner in lessors}
    return before if before in owning or not owning else min(owning)


def _drivers(outputs: tuple[UnspentOutput, ...], lessors: Collection[str]) -> list[str]:
    """The owners of `outputs` who are not trusted lessors, each once, in order."""
    return sorted({owner for output in outputs for owner in output.owners if owner not in lessors})
