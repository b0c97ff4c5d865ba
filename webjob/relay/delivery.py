"""Delivers events until each is settled: acknowledged by the Function, or its car parked.

Events of one car are sent in order. What is not settled is sent again, with backoff; a car whose predecessor the record
lacks is sent whole, from the ledger; a car that cannot be delivered is parked, so that it stops no other.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from relay import backoff
from relay.bell import Bell
from relay.blocks import Block, asset_id, sequence
from relay.cars import Cars
from relay.checkpoint import CheckpointTable, ParkedCar
from relay.errors import LedgerError
from relay.events import CarEvent, UnsendableError, batches, make_event
from relay.ledger import Ledger
from relay.logs import fields, log
from relay.patience import until_done
from relay.post import Post
from relay.verdict import DONE, Crashed, Outcome, Result, Settled, Split, Unauthorised, Unknown

UNAUTHORISED_WAIT_S = 30.0
ATTEMPTS_TOGETHER = 3
"""How often cars that fail are sent again together, before each is sent alone."""
ATTEMPTS_ALONE = 5
"""How often a car may fail alone before it is parked."""

OnDeferred = Callable[[Sequence[CarEvent], str], None]
"""What to do with one car's events in a batch whose predecessor is not in the record; the text says which."""


class Parts(msgspec.Struct, frozen=True):
    """What delivery works with. `source` is the CloudEvents source, `batch_events` the most events in a batch."""

    post: Post
    ledger: Ledger
    table: CheckpointTable
    cars: Cars
    bell: Bell
    source: str
    batch_events: int


class Delivery:
    """Delivers the events of one ledger. Every call raises StopRequestedError when it is time to stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._bell = parts.bell
        self.parked: set[str] = set()
        """Asset ids of the cars that are left out."""

    def reload_parked(self) -> None:
        """Read again which cars are parked."""
        self.parked = {car.asset_id for car in until_done(self._bell, "parked cars", self._parts.table.parked)}

    def events_of(self, block: Block) -> list[CarEvent]:
        """The events of those transactions of a block that move cars."""
        events = []
        for position, body in enumerate(block.transactions):
            place = sequence(block.height, position)
            if until_done(self._bell, "looking up a car", partial(self._parts.cars.moves_car, body)):
                try:
                    events.append(make_event(body, place, self._parts.source))
                except UnsendableError as error:
                    event = CarEvent(body["id"], asset_id(body), place, b"")
                    self._park(event, str(error))
                    self._pass_over([event])
        return events

    def settle(self, events: Sequence[CarEvent]) -> None:
        """Deliver events, those of one car in the order given, and return when every one is settled.

        After StopRequestedError, what was not settled is to be delivered again.
        """
        self._settle(events, self._repair)
        self._pass_over(events)

    def redrive(self) -> None:
        """Send the whole chain of each parked car that somebody asked to try again; unpark those that get through."""
        for car in until_done(self._bell, "parked cars", self._parts.table.parked):
            if not car.redrive:
                continue
            last = car.last_transaction or car.transaction_id
            try:
                chain = self._chain(car.asset_id, {car.transaction_id, last})
            except LedgerError as error:
                log.warning("car cannot be redriven yet", extra=fields(car=car.asset_id, reason=str(error)))
                continue
            except UnsendableError as error:
                self._park(CarEvent(car.transaction_id, car.asset_id, car.sequence, b""), str(error))
                self._pass_over([CarEvent(last, car.asset_id, car.sequence, b"")])
                continue
            log.info("redriving", extra=fields(car=car.asset_id, events=len(chain)))
            # From here on its events are delivered again: what the chain brings already are duplicates then.
            self.parked.discard(car.asset_id)
            self._settle(chain, self._give_up)
            if car.asset_id in self.parked:
                self._pass_over(chain)
            else:
                until_done(self._bell, "unparking a car", partial(self._parts.table.unpark, car.asset_id))
                log.info("car redriven", extra=fields(car=car.asset_id))

    def _pass_over(self, events: Sequence[CarEvent]) -> None:
        """Note the last of these events of each parked car, before the checkpoint passes it.

        A redrive must bring it, so that a node which is behind cannot make a gap.
        """
        for car, event in {event.asset_id: event for event in events if event.asset_id in self.parked}.items():
            note = partial(self._parts.table.pass_over, car, event.transaction_id)
            if not until_done(self._bell, "noting what a parked car leaves out", note):
                self._park(event, "it was parked before, and its row was lost, as with a restored account; redrive it")

    def _settle(self, events: Sequence[CarEvent], on_deferred: OnDeferred) -> None:
        waiting = deque(batches(events, self._parts.batch_events))
        failures: Counter[str] = Counter()
        attempt = 0
        while waiting:
            batch = [event for event in waiting.popleft() if self._is_wanted(event.asset_id)]
            if not batch:
                continue
            began = time.monotonic()
            verdict = self._parts.post.send(batch)
            match verdict:
                case Settled(results):
                    _log_results(batch, results, time.monotonic() - began)
                    failed = self._act(batch, results, on_deferred)
                    attempt = attempt + 1 if failed else 0
                    if failed:
                        together = attempt < ATTEMPTS_TOGETHER
                        waiting.extendleft([failed] if together else reversed(_by_car(failed).values()))
                        if len(_by_car(batch)) == 1:
                            self._park_hopeless(failed[0], results[failed[0].transaction_id].detail, failures)
                        self._bell.wait_out(backoff.delay(attempt))
                case Split(reason) if len(batch) == 1:
                    self._park(batch[0], reason)
                case Split(reason):
                    log.warning("batch halved", extra=fields(events=len(batch), reason=reason))
                    middle = len(batch) // 2
                    waiting.extendleft((batch[middle:], batch[:middle]))
                case Crashed(reason):
                    attempt += 1
                    if attempt >= ATTEMPTS_TOGETHER and len(batch) > 1:
                        log.warning("batch halved", extra=fields(events=len(batch), reason=reason))
                        waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))
                        continue
                    waiting.appendleft(batch)
                    if len(batch) == 1 and self._function_works():
                        self._park_hopeless(batch[0], reason, failures)
                    self._wait_to_retry(len(batch), reason, attempt)
                case Unauthorised(reason):
                    waiting.appendleft(batch)
                    log.error("REFUSED", extra=fields(reason=reason, events=len(batch), retry_in_s=UNAUTHORISED_WAIT_S))
                    self._bell.wait_out(UNAUTHORISED_WAIT_S)
                case Unknown(reason, retry_after):
                    waiting.appendleft(batch)
                    attempt += 1
                    self._wait_to_retry(len(batch), reason, attempt, retry_after)

    def _act(self, batch: Sequence[CarEvent], results: Mapping[str, Result], on_deferred: OnDeferred) -> list[CarEvent]:
        """Do what the results ask for, car by car; the events that are to be sent again, in order."""
        again: set[str] = set()
        for car, events in _by_car(batch).items():
            open_events = [event for event in events if results[event.transaction_id].outcome not in DONE]
            if results[events[0].transaction_id].outcome is Outcome.IGNORED and events[0].transaction_id == car:
                self._parts.cars.forget(car)
            elif open_events:
                first = results[open_events[0].transaction_id]
                if first.outcome is Outcome.REJECTED:
                    self._park(open_events[0], first.detail)
                elif first.outcome is Outcome.DEFERRED:
                    on_deferred(open_events, first.detail)
                else:
                    again.update(event.transaction_id for event in open_events)
        return [event for event in batch if event.transaction_id in again]

    def _wait_to_retry(self, events: int, reason: str, attempt: int, at_least: float = 0.0) -> None:
        delay = max(backoff.delay(attempt), at_least)
        log.warning("not delivered", extra=fields(events=events, reason=reason, attempt=attempt, retry_in_s=delay))
        self._bell.wait_out(delay)

    def _function_works(self) -> bool:
        """Whether the Function answers a batch of nothing as it should: then it is not down."""
        return isinstance(self._parts.post.send([]), Settled)

    def _park_hopeless(self, event: CarEvent, reason: str, failures: Counter[str]) -> None:
        """Count an attempt of a car that failed although it was sent alone; park it when it has failed too often."""
        failures[event.asset_id] += 1
        if failures[event.asset_id] >= ATTEMPTS_ALONE:
            self._park(event, f"failed {failures[event.asset_id]} times: {reason}")

    def _is_wanted(self, car: str) -> bool:
        return car not in self.parked and not self._parts.cars.is_no_car(car)

    def _repair(self, events: Sequence[CarEvent], reason: str) -> None:
        """Send a car's whole chain from the ledger, since the record lacks what these events build on."""
        car = events[0].asset_id
        log.warning("car repaired from the ledger", extra=fields(car=car, reason=reason))
        needed = {event.transaction_id for event in events}
        try:
            chain = until_done(self._bell, "a car's transactions", lambda: self._chain(car, needed))
        except UnsendableError as error:
            self._park(events[0], str(error))
        else:
            self._settle(chain, self._give_up)

    def _give_up(self, events: Sequence[CarEvent], reason: str) -> None:
        self._park(events[0], f"its transactions on the ledger do not lead to it: {reason}")

    def _chain(self, car: str, needed: set[str]) -> list[CarEvent]:
        """The events of all of a car's transactions, in the order of the ledger.

        Raises LedgerError when the node does not know all of those that are needed, being behind another;
        UnsendableError when one of them cannot be sent.
        """
        places: dict[str, str] = {}
        chain = self._parts.ledger.chain(car)
        if missing := needed - {body["id"] for body in chain}:
            raise LedgerError(f"the node knows asset {car} without transaction {min(missing)}")
        for body in chain:
            if body["id"] not in places:
                block = self._parts.ledger.block(self._parts.ledger.height_of(body["id"]))
                for position, one in enumerate(block.transactions if block else ()):
                    places[one["id"]] = sequence(block.height if block else 0, position)
            if body["id"] not in places:
                raise LedgerError(f"the node does not show transaction {body['id']} in its block")
        events = [make_event(body, places[body["id"]], self._parts.source) for body in chain]
        return sorted(events, key=lambda event: event.sequence)

    def _park(self, event: CarEvent, reason: str) -> None:
        car = ParkedCar(event.asset_id, event.transaction_id, event.sequence, reason)
        until_done(self._bell, "parking a car", lambda: self._parts.table.park(car))
        self.parked.add(event.asset_id)
        log.error("CAR PARKED", extra=fields(car=event.asset_id, transaction=event.transaction_id, reason=reason))


def _by_car(events: Sequence[CarEvent]) -> dict[str, list[CarEvent]]:
    """The events of each car, in order."""
    by_car: dict[str, list[CarEvent]] = {}
    for event in events:
        by_car.setdefault(event.asset_id, []).append(event)
    return by_car


def _log_results(batch: Sequence[CarEvent], results: Mapping[str, Result], seconds: float) -> None:
    counts = Counter(str(results[event.transaction_id].outcome) for event in batch)
    facts = {"first": batch[0].sequence, "last": batch[-1].sequence, "events": len(batch), **counts}
    log.info("delivered", extra=fields(**facts, ms=round(seconds * 1000)))
