"""One lane: delivers the events of its cars, those of one car in order, until each is settled.

Settled means acknowledged by the Function, or its car parked. What is not settled is sent again, with backoff, which
ends early where an outage does (relay.outage). A batch
that keeps failing is halved until the car to blame stands alone; that car is set aside and the others go on
(relay.case). When to park is decided in relay.parking, what an answer means in relay.verdict.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from relay import backoff
from relay.bell import Bell
from relay.cars import Recent
from relay.case import Case
from relay.errors import StopRequestedError
from relay.events import CarEvent, by_car, how_many_fit
from relay.gate import Gate
from relay.logs import fields, log, short
from relay.outage import Outage, Retry
from relay.parked import ParkedCar, Parking
from relay.parking import Evidence, Strikes
from relay.patience import until_done
from relay.post import Post
from relay.progress import Progress
from relay.repair import Repairs
from relay.signing import batch_id
from relay.tally import PARKED, Tally
from relay.verdict import DONE, Misconfigured, Outcome, Refused, Result, Settled, Unknown

ATTEMPTS_TOGETHER = 3
"""How often a batch is sent as it is, before it is halved to find the event to blame."""
MISCONFIGURED_WAIT_S = 30.0
BISECTING_CAP_S = 1.0
"""The longest wait between attempts while a batch is halved and other events get through."""
REPAIR_CAP_S = 5.0
IGNORED_S = 60.0
"""How long an asset that the Function ignored is left out: after that its settings may have been corrected."""
REMEMBERED_ASSETS = 10_000
IDLE_S = 5.0


class Again(msgspec.Struct, frozen=True):
    """A batch, or half of one, that failed `attempts` times in a row and is to be sent again."""

    events: list[CarEvent]
    attempts: int


class Parts(msgspec.Struct, frozen=True):
    """What all lanes share. A batch holds at most `most` events and `most_bytes`, and waits `linger_s` to fill."""

    new_post: Callable[[], Post]
    repairs: Repairs
    parking: Parking
    progress: Progress
    evidence: Evidence
    gate: Gate
    outage: Outage
    tally: Tally
    most: int
    most_bytes: int
    linger_s: float


class Lane:
    """Delivers what `put` hands it, in a thread of its own, until `stop`."""

    def __init__(self, number: int, parts: Parts) -> None:
        self.bell = Bell()
        self.error: Exception | None = None
        """What ended the thread, if it was not a stop."""
        self._parts = parts
        self._inbox: deque[tuple[float, list[CarEvent]]] = deque()
        self._redrives: deque[ParkedCar] = deque()
        self._parked: set[str] = set()
        self._waiting: deque[CarEvent] = deque()
        self._oldest = 0.0
        self._is_flushed = False
        self._again: deque[Again] = deque()
        self._failures = 0
        self._retry = Retry()
        self._seen_evidence = 0
        self._cases: dict[str, Case] = {}
        self._ignored: Recent[float] = Recent(REMEMBERED_ASSETS)
        self._post = parts.new_post()
        self._thread = threading.Thread(target=self._run, name=f"lane-{number}", daemon=True)

    def start(self, parked: Iterable[str]) -> None:
        """Begin. `parked` are the cars that are left out."""
        self._parked = set(parked)
        self._thread.start()

    def put(self, events: list[CarEvent]) -> None:
        """Deliver these events, after all that were put before."""
        self._inbox.append((time.monotonic(), events))
        self._is_flushed = False
        self.bell.ring()

    def flush(self) -> None:
        """Nothing more is coming for now: wait no longer for batches to fill."""
        if not self._is_flushed:
            self._is_flushed = True
            self.bell.ring()

    def redrive(self, car: ParkedCar) -> None:
        """Try a parked car again, from its first transaction."""
        self._redrives.append(car)
        self.bell.ring()

    def stop(self) -> None:
        """End the thread, after the request that is under way."""
        self.bell.stop()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    # ---- the thread

    def _run(self) -> None:
        try:
            while True:
                self._take_in()
                if not self._send_something():
                    self.bell.wait(self._seconds_to_next())
        except StopRequestedError:
            pass
        except Exception as error:  # noqa: BLE001  a fault of our own: the relay's main thread raises it
            self.error = error
        finally:
            self._post.close()

    def _take_in(self) -> None:
        """Take what was put: into the queue, to its car's case, or past a parked car."""
        while self._redrives:
            self._begin_redrive(self._redrives.popleft())
        while self._inbox:
            arrived, events = self._inbox.popleft()
            if not self._waiting:
                self._oldest = arrived
            self._waiting.extend(events)

    def _send_something(self) -> bool:
        """Send one batch, if one is due: of a case, of a halved batch, or the next from the queue."""
        self.bell.check()
        now = time.monotonic()
        due = [case for case in self._cases.values() if case.retry.due <= now and not case.is_fetching]
        if due:
            self._send_case(min(due, key=lambda case: case.retry.due))
            # One of the others goes between two cases, so that a car that fails slows its lane, and does not stop it.
        batch = self._next_again() or Again(self._next_batch(time.monotonic()), 0)
        if batch.events:
            self._send_batch(batch.events, batch.attempts)
        return bool(due or batch.events)

    def _seconds_to_next(self) -> float:
        now = time.monotonic()
        waits = [case.retry.due - now for case in self._cases.values() if not case.is_fetching]
        if self._waiting:
            waits.append(self._oldest + self._parts.linger_s - now)
        return max(0.001, min([*waits, IDLE_S]))

    def _next_again(self) -> Again | None:
        """The next batch that is to be sent again, if there is one."""
        while self._again:
            again = self._again.popleft()
            if events := self._without_left_out(again.events):
                return Again(events, again.attempts)
        return None

    def _next_batch(self, now: float) -> list[CarEvent]:
        """The next events to send together; none when there are none, or when more may come to fill the batch."""
        while self._waiting:
            most, most_bytes = self._parts.most, self._parts.most_bytes
            fit = how_many_fit(self._waiting, most, most_bytes)
            is_full = fit == most or fit < len(self._waiting)
            if not (is_full or self._is_flushed or now >= self._oldest + self._parts.linger_s):
                return []
            batch = [self._waiting.popleft() for _ in range(fit)]
            if batch := self._without_left_out(batch):
                return batch
        return []

    def _without_left_out(self, events: list[CarEvent]) -> list[CarEvent]:
        """The events that are to be sent now: not those of cars that are set aside, parked, or ignored."""
        kept: list[CarEvent] = []
        for event in events:
            car = event.asset_id
            if car in self._cases:
                self._cases[car].add([event])
            elif car in self._parked:
                self._pass_over([event])
            elif self._is_ignored(car):
                self._parts.tally.add(Outcome.IGNORED, 1)
                self._parts.progress.settle([event])
            elif event.unsendable:
                # What comes before it goes with it, so that it is delivered first, whatever happens to it.
                self._set_aside(car, [*(one for one in kept if one.asset_id == car), event])
                kept = [one for one in kept if one.asset_id != car]
            else:
                kept.append(event)
        return kept

    # ---- batches of several cars

    def _send_batch(self, batch: list[CarEvent], attempts: int) -> None:
        self._parts.gate.wait(self.bell)
        began = time.monotonic()
        match self._post.send(batch):
            case Settled(results):
                self._acknowledged(batch, results, time.monotonic() - began)
                self._failures = 0
                for car, events in by_car(batch).items():
                    self._take_results(car, events, results)
            case Refused(reason, by_function):
                self._note_failure()
                self._halve(batch, attempts, reason, is_final=by_function)
                if not by_function:
                    self._wait(may_be_outage=False)
            case Misconfigured(reason):
                self._again.appendleft(Again(batch, attempts))
                self._hold(reason)
            case Unknown(reason, may_be_an_event, retry_after, is_busy):
                self._note_failure()
                _log_retry(batch, reason, self._failures)
                if may_be_an_event and attempts + 1 >= ATTEMPTS_TOGETHER:
                    self._halve(batch, attempts + 1, reason, is_final=False)
                else:
                    self._again.appendleft(Again(batch, attempts + 1))
                self._parts.gate.close(retry_after)
                self._wait(may_be_outage=not is_busy)

    def _halve(self, batch: list[CarEvent], attempts: int, reason: str, *, is_final: bool) -> None:
        """Send a batch in two. One that is of a single car is set aside; a single event is parked where `is_final`."""
        cars = by_car(batch)
        if len(batch) == 1 and is_final:
            self._park(batch[0].asset_id, batch[0], batch, reason)
        elif len(cars) == 1:
            self._fail(self._set_aside(batch[0].asset_id, batch), reason)
        else:
            middle = len(batch) // 2
            log.warning("batch halved", extra=fields(batch=_name(batch), events=len(batch), reason=short(reason)))
            self._again.extendleft((Again(batch[middle:], attempts), Again(batch[:middle], attempts)))

    def _note_failure(self) -> None:
        if self._failures == 0:
            self._seen_evidence = self._parts.evidence.count
        self._failures += 1

    def _wait(self, *, may_be_outage: bool) -> None:
        """Wait before the next attempt: shortly while a batch is halved and others get through."""
        is_bisecting = self._failures > ATTEMPTS_TOGETHER and self._parts.evidence.count > self._seen_evidence
        cap = BISECTING_CAP_S if is_bisecting else backoff.CAP_S
        self._retry.due = time.monotonic() + backoff.delay(self._failures, cap)
        if may_be_outage:
            self._parts.outage.failed(self.bell, self._retry)
        while (left := self._retry.due - time.monotonic()) > 0:
            self.bell.wait(left)

    def _hold(self, reason: str) -> None:
        if self._parts.gate.close(MISCONFIGURED_WAIT_S):
            log.error("REFUSED", extra=fields(reason=short(reason), retry_in_s=MISCONFIGURED_WAIT_S))

    # ---- results

    def _acknowledged(self, batch: Sequence[CarEvent], results: Mapping[str, Result], seconds: float) -> None:
        """Note what came back, for the log and as evidence."""
        came = [results[event.transaction_id] for event in batch]
        counts = self._parts.tally.note(batch, came)
        self._parts.evidence.note(came)
        if any(result.outcome in DONE for result in came):
            self._parts.outage.got_through()
        places = {"first": batch[0].sequence, "last": batch[-1].sequence}
        ms = round(seconds * 1000)
        log.info("delivered", extra=fields(batch=_name(batch), **places, events=len(batch), **counts, ms=ms))

    def _take_results(self, car: str, events: list[CarEvent], results: Mapping[str, Result]) -> None:
        """Do what the results of one car in a batch of several ask for."""
        done, rest = _split(events, results)
        self._parts.progress.settle(done)
        is_ignored = _is_ignored_create(car, done, results)
        if is_ignored:
            self._ignored.put(car, time.monotonic())
        if rest:
            case = self._set_aside(car, rest)
            case.is_ignored = is_ignored
            self._judge(case, results[rest[0].transaction_id])

    def _judge(self, case: Case, result: Result) -> None:
        """Decide what becomes of a car that is set aside, by the result of its first event that is not done."""
        if result.outcome is Outcome.REJECTED and self._parts.evidence.believes_rejection():
            self._park_case(case, result.detail)
        elif result.outcome is Outcome.DEFERRED and case.is_ignored:
            self._parts.tally.add(Outcome.IGNORED, len(case.owed))
            self._close(case)
        elif result.outcome is Outcome.DEFERRED and case.is_chain and case.stuck_at == result.id:
            self._park_case(case, f"its transactions on the ledger do not lead to it: {result.detail}")
        elif result.outcome is Outcome.DEFERRED:
            log.warning("car repaired from the ledger", extra=fields(car=case.car, reason=short(result.detail)))
            # Once more for another transaction: storage may have gone back, or this one came after the chain was read.
            case.needs_chain, case.stuck_at, case.retry.due = True, result.id, time.monotonic()
        else:
            self._fail(case, f"{result.outcome}: {result.detail}")

    # ---- cars that are set aside

    def _set_aside(self, car: str, events: Sequence[CarEvent]) -> Case:
        """Deliver these events of a car by themselves, before those of it that are set aside already."""
        case = self._cases.setdefault(car, Case(car, Strikes(self._parts.evidence), Retry(time.monotonic())))
        case.put_before(events)
        return case

    def _send_case(self, case: Case) -> None:
        """Send the next events of a car that is set aside."""
        if case.needs_chain and not self._take_chain(case):
            return
        if case.first is None:
            self._close(case)
            return
        if case.first.unsendable:
            self._park_case(case, case.first.unsendable)
            return
        batch = case.batch(self._parts.most, self._parts.most_bytes)
        self._parts.gate.wait(self.bell)
        began = time.monotonic()
        match self._post.send(batch):
            case Settled(results):
                self._acknowledged(batch, results, time.monotonic() - began)
                done, rest = _split(batch, results)
                case.is_ignored = case.is_ignored or _is_ignored_create(case.car, done, results)
                if done:
                    self._parts.progress.settle(case.got_through(done))
                if rest:
                    self._judge(case, results[rest[0].transaction_id])
                elif case.first is None:
                    self._close(case)
            case Refused(reason, True) if len(batch) == 1:
                self._park_case(case, reason)
            case Misconfigured(reason):
                self._hold(reason)
            case Unknown(reason, may_be_an_event, retry_after, is_busy):
                self._parts.gate.close(retry_after)
                if may_be_an_event:
                    self._fail_case(case, batch, reason, may_be_outage=not is_busy)
                else:
                    case.strikes.stumble()
                    self._try_later(case, reason, may_be_outage=not is_busy)
            case Refused(reason):
                self._fail_case(case, batch, reason, may_be_outage=False)

    def _fail_case(self, case: Case, batch: Sequence[CarEvent], reason: str, *, may_be_outage: bool) -> None:
        """Events of a car failed together: try fewer later. One event that fails alone counts against the car."""
        if len(batch) == 1:
            self._fail(case, reason, may_be_outage=may_be_outage)
        else:
            case.size = len(batch) // 2
            case.strikes.stumble()
            self._try_later(case, reason, may_be_outage=may_be_outage)

    def _fail(self, case: Case, reason: str, *, may_be_outage: bool = True) -> None:
        """A car failed alone: try it again later, or park it."""
        if case.strikes.fail():
            self._park_case(case, f"failed alone {case.strikes.failures} times: {reason}")
        else:
            self._try_later(case, reason, may_be_outage=may_be_outage)

    def _try_later(self, case: Case, reason: str, *, may_be_outage: bool) -> None:
        delay = backoff.delay(case.strikes.failures)
        case.retry.due = time.monotonic() + delay
        facts = fields(car=case.car, reason=short(reason), attempt=case.strikes.failures, retry_in_s=delay)
        log.warning("car set aside", extra=facts)
        if may_be_outage:
            self._parts.outage.failed(self.bell, case.retry)

    def _take_chain(self, case: Case) -> bool:
        """Have a car's chain fetched, and put it before the car; False while it is not there."""
        fetch, case.fetch = case.fetch, None
        if fetch is None:
            case.fetch = self._parts.repairs.fetch(case.car, case.needed | set(case.owed), self.bell.ring)
            return False
        if fetch.error is not None:
            case.strikes.failures += 1
            delay = max(backoff.delay(case.strikes.failures, REPAIR_CAP_S), fetch.error.retry_after)
            case.retry.due = time.monotonic() + delay
            message = "car cannot be redriven yet" if case.is_redrive else "car cannot be repaired yet"
            log.warning(message, extra=fields(car=case.car, reason=short(str(fetch.error)), retry_in_s=delay))
            return False
        case.take_chain(fetch.chain)
        return True

    def _close(self, case: Case) -> None:
        """A car got through: it is not set aside any longer."""
        del self._cases[case.car]
        self._parts.progress.settle(case.owed.values())
        if case.is_ignored:
            self._ignored.put(case.car, time.monotonic())
        if case.is_redrive:
            until_done(self.bell, "unparking a car", partial(self._parts.parking.unpark, case.car))
            log.info("car redriven", extra=fields(car=case.car, is_car=not case.is_ignored))

    def _begin_redrive(self, car: ParkedCar) -> None:
        # Read again, here where it is written: more may have been left out since, or it was tried already.
        find = partial(self._parts.parking.find, car.asset_id)
        row = until_done(self.bell, "a parked car", find) if car.asset_id not in self._cases else None
        if row is None or not row.redrive:
            return
        log.info("redriving", extra=fields(car=car.asset_id))
        self._parked.discard(car.asset_id)
        case = self._set_aside(car.asset_id, [])
        case.is_redrive, case.last = True, row.last_transaction or row.transaction_id
        case.needed = {row.transaction_id, case.last}
        case.needs_chain = True

    def _park_case(self, case: Case, reason: str) -> None:
        del self._cases[case.car]
        self._park(case.car, case.first, list(case.owed.values()), reason, case.last)

    # ---- cars that are left out

    def _park(self, car: str, first: CarEvent | None, owed: Sequence[CarEvent], reason: str, last: str = "") -> None:
        """Leave a car out from its event `first` on. The checkpoint passes what is `owed`, or has passed `last`."""
        row = ParkedCar(
            asset_id=car,
            transaction_id=first.transaction_id if first else last,
            sequence=first.sequence if first else "",
            reason=reason,
            last_transaction=owed[-1].transaction_id if owed else last,
        )
        until_done(self.bell, "parking a car", partial(self._parts.parking.park, row))
        self._parked.add(car)
        log.error("CAR PARKED", extra=fields(car=car, transaction=row.transaction_id, reason=short(reason)))
        self._parts.tally.add(PARKED, len(owed))
        self._parts.progress.settle(owed)

    def _pass_over(self, events: list[CarEvent]) -> None:
        """Let the checkpoint pass events of a parked car. A redrive must bring the last of them, so it is noted."""
        car, last = events[0].asset_id, events[-1]
        note = partial(self._parts.parking.pass_over, car, last.transaction_id)
        if until_done(self.bell, "noting what a parked car leaves out", note):
            self._parts.tally.add(PARKED, len(events))
            self._parts.progress.settle(events)
        else:
            self._park(
                car,
                events[0],
                events,
                "it was parked before, and its row was lost, as with a restored account; redrive it",
            )

    def _is_ignored(self, car: str) -> bool:
        since = self._ignored.get(car)
        return since is not None and time.monotonic() - since < IGNORED_S


def _split(events: list[CarEvent], results: Mapping[str, Result]) -> tuple[list[CarEvent], list[CarEvent]]:
    """One car's events: those that are done, and those from the first on that is not."""
    for place, event in enumerate(events):
        if results[event.transaction_id].outcome not in DONE:
            return events[:place], events[place:]
    return events, []


def _is_ignored_create(car: str, done: Sequence[CarEvent], results: Mapping[str, Result]) -> bool:
    """Whether the car's registration is among these, and the Function takes it for no car."""
    return bool(done) and done[0].transaction_id == car and results[car].outcome is Outcome.IGNORED


def _name(batch: Sequence[CarEvent]) -> str:
    return batch_id(event.transaction_id for event in batch)[:14]


def _log_retry(batch: Sequence[CarEvent], reason: str, attempt: int) -> None:
    facts = fields(batch=_name(batch), events=len(batch), reason=short(reason), attempt=attempt)
    log.warning("not delivered", extra=facts)
