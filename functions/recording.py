"""Applies ledger events to the record: what is read, decided, and written in which order.

A batch is folded by partition. Each car is read once and its events are decided in memory; the drivers they touch are
read once, and written first, the car last: the car's partition is the commit point. A crash before it leaves drivers
who know of a transaction that the car does not show yet; delivering the event again heals that, since what a driver's
rows already show changes nothing. It knows no HTTP.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec

from functions.conflicts import ATTEMPTS, let_others_finish
from functions.leasing import driver as drivers
from functions.leasing.car import Car, Decision, Effect, LeaseEnded, LedgerEvent, Mark, decide, effects_again, mark_of
from functions.leasing.evidence import EvidenceError
from functions.leasing.outcomes import Outcome
from functions.rating.tariff import Tariff
from functions.records.errors import (
    ConflictError,
    DamagedError,
    RecordError,
    RefusedError,
    RowTooLargeError,
    UnavailableError,
)
from functions.records.guard import MAX_OPERATIONS
from functions.records.record import Record, StoredCar
from functions.turns import Turns

EVENTS_PER_WRITE = MAX_OPERATIONS - 1
"""Events of one car, or effects on one driver, written together: each is at most one row beside the record's."""

AFTER_FAILURE = Decision(Outcome.FAILED, "an earlier transaction of this car failed")

log = logging.getLogger("leasehook.recording")


class _Plan(msgspec.Struct):
    """What a wave does with one car: the decisions on its events, in order, the car as read and as it becomes."""

    stored: StoredCar
    events: Sequence[LedgerEvent]
    decisions: list[Decision]
    applied: list[Mark]
    car: Car | None

    @property
    def effects(self) -> list[Effect]:
        return [effect for decision in self.decisions for effect in decision.effects]


class Recording:
    """What the relay's events do to one record, with one tariff and one set of trusted lessors."""

    def __init__(self, record: Record, lessors: Collection[str], tariff: Tariff) -> None:
        self._record = record
        self._lessors = lessors
        self._tariff = tariff
        self._drivers: Turns[Effect] = Turns(self._write_effects, EVENTS_PER_WRITE, outage=UnavailableError)

    async def apply(self, events: Sequence[LedgerEvent]) -> list[Decision]:
        """Apply events, those of one car in the order given; one decision for each.

        Raises UnavailableError when Table Storage does not answer: nothing is known then, and sending again is safe.
        """
        decisions: list[Decision | None] = [None] * len(events)
        waiting: dict[str, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            waiting[event.transaction.asset_id].append(index)
        conflicts: dict[str, int] = defaultdict(int)
        kept: dict[str, StoredCar] = {}
        while waiting:
            wave = {asset_id: indices[:EVENTS_PER_WRITE] for asset_id, indices in waiting.items()}
            settled = await self._apply_wave({car: [events[i] for i in one] for car, one in wave.items()}, kept)
            for asset_id, indices in wave.items():
                outcome = settled[asset_id]
                if outcome is None:
                    conflicts[asset_id] += 1
                    if conflicts[asset_id] < ATTEMPTS:
                        continue
                    failed = Decision(Outcome.FAILED, f"{ATTEMPTS} conflicts with other writers")
                    outcome, indices = [failed] * len(waiting[asset_id]), waiting[asset_id]
                elif any(decision.outcome is Outcome.FAILED for decision in outcome):
                    # A car's transactions are applied in their order: none goes on past one that failed.
                    indices = waiting[asset_id]
                    outcome = [*outcome, *[AFTER_FAILURE] * (len(indices) - len(outcome))]
                for index, decision in zip(indices, outcome, strict=True):
                    decisions[index] = decision
                del waiting[asset_id][: len(indices)]
            if None in settled.values():
                await let_others_finish(max(conflicts.values()))
            waiting = defaultdict(list, {asset_id: rest for asset_id, rest in waiting.items() if rest})
        return [decision for decision in decisions if decision is not None]

    async def _apply_wave(
        self, wave: Mapping[str, list[LedgerEvent]], kept: dict[str, StoredCar]
    ) -> dict[str, list[Decision] | None]:
        """Apply one run of events for each car; None for a car that met another writer and must be read again.

        `kept` are the batch's cars as last read or written.
        """
        plans = dict(zip(wave, await asyncio.gather(*(self._plan(*one, kept) for one in wave.items())), strict=True))
        effects: dict[str, list[Effect]] = defaultdict(list)
        for plan in plans.values():
            for effect in plan.effects:
                effects[effect.driver].append(effect)
        faults = await asyncio.gather(*(self._write_driver(*one) for one in effects.items()))
        failed = {driver: fault for driver, fault in zip(effects, faults, strict=True) if fault}
        written = await asyncio.gather(*(self._write_car(plan, failed, kept) for plan in plans.values()))
        return dict(zip(plans, written, strict=True))

    async def _plan(self, asset_id: str, events: Sequence[LedgerEvent], kept: dict[str, StoredCar]) -> _Plan:
        try:
            stored = kept.pop(asset_id, None) or await self._record.load_car(asset_id)
        except (RefusedError, DamagedError) as error:
            return _Plan(
                StoredCar(None, None), events, [Decision(Outcome.FAILED, str(error)) for _ in events], [], None
            )
        plan = _Plan(stored, events, [], [], stored.car)
        for event in events:
            if plan.decisions and plan.decisions[-1].outcome is Outcome.FAILED:
                # Of a divided car another branch could go on; but a car's transactions are applied in their order.
                plan.decisions.append(AFTER_FAILURE)
                continue
            decision = self._decide(plan.car, event)
            if decision.outcome is Outcome.APPLIED and decision.car is not None:
                applied = mark_of(event, decision)
                try:
                    self._record.check_car(decision.car, applied)
                except (RowTooLargeError, RefusedError) as error:
                    decision = Decision(Outcome.FAILED, str(error))
                else:
                    plan.car = decision.car
                    plan.applied.append(applied)
            plan.decisions.append(decision)
        try:
            await self._find_duplicates(plan)
        except (RefusedError, DamagedError) as error:
            return _Plan(stored, events, [Decision(Outcome.FAILED, str(error)) for _ in events], [], None)
        return plan

    def _decide(self, car: Car | None, event: LedgerEvent) -> Decision:
        try:
            return decide(car, event, self._lessors)
        except Exception:
            # A fault of our own in one car's event must not keep the other cars from being applied.
            log.exception("transaction %s could not be decided", event.transaction.id)
            return Decision(Outcome.FAILED, "an error in the Function; its log tells more")

    async def _find_duplicates(self, plan: _Plan) -> None:
        """Turn `deferred` into `duplicate` for what was applied long ago, or earlier in this batch.

        What was applied long ago has its effects once more: drivers and car are written one after the other, and
        storage that went back in between may have kept the car alone. What the drivers show already changes nothing.
        """
        in_doubt = [i for i, one in enumerate(plan.decisions) if one.outcome in {Outcome.DEFERRED, Outcome.DUPLICATE}]
        car = plan.car
        if not in_doubt or car is None:
            return
        applied = {one.id for one in plan.applied}
        asked = {plan.events[i].transaction.id for i in in_doubt} - applied if plan.stored.car else set()
        marks = await self._record.load_marks(car.asset_id, sorted(asked))
        for i in in_doubt:
            event = plan.events[i]
            if event.transaction.id in marks:
                plan.decisions[i] = Decision(Outcome.DUPLICATE, effects=_again(car, event, marks[event.transaction.id]))
            elif event.transaction.id in applied:
                plan.decisions[i] = Decision(Outcome.DUPLICATE)

    async def _write_driver(self, key: str, effects: Sequence[Effect]) -> Decision | None:
        """Write the effects on one driver; what becomes of the events that have them, if that went wrong.

        A driver who lacks a lease that is to end has lost it: the car's transactions, sent again, bring it back.
        """
        try:
            for start in range(0, len(effects), EVENTS_PER_WRITE):
                await self._drivers.write(key, effects[start : start + EVENTS_PER_WRITE])
        except UnavailableError:
            raise
        except drivers.LeaseOrderError as error:
            log.warning("driver %s lacks what the car shows: %s", key[:8], error)
            return Decision(Outcome.DEFERRED, str(error))
        except RecordError as error:
            log.error("driver %s could not be written: %s", key[:8], error)  # noqa: TRY400  the message says it all
            return Decision(Outcome.FAILED, str(error))
        return None

    async def _write_effects(self, key: str, effects: Sequence[Effect]) -> None:
        named = {effect.lease if isinstance(effect, LeaseEnded) else effect.transaction for effect in effects}
        for attempt in range(1, ATTEMPTS + 1):
            stored = await self._record.load_driver(key)
            # At first the record alone tells what is new; after a conflict the rows themselves are looked at.
            asked = drivers.unsure(stored.driver, effects) if attempt == 1 else named
            known = await self._record.load_leases(key, sorted(asked))
            try:
                change = drivers.apply(stored.driver, known, effects, self._tariff)
                if change:
                    await self._record.save_driver(stored.etag, change)
            except (ConflictError, drivers.LeaseOrderError):
                # Rows that are read while another writes them may contradict each other for a moment.
                if attempt == ATTEMPTS:
                    raise
                await let_others_finish(attempt)
            else:
                return

    async def _write_car(
        self, plan: _Plan, failed: Mapping[str, Decision], kept: dict[str, StoredCar]
    ) -> list[Decision] | None:
        faults = [failed[effect.driver] for effect in plan.effects if effect.driver in failed]
        if faults:
            return _without_applied(plan, next((one for one in faults if one.outcome is Outcome.FAILED), faults[0]))
        if plan.car is None or not plan.applied:
            return plan.decisions
        try:
            kept[plan.car.asset_id] = await self._record.save_car(plan.stored.etag, plan.car, plan.applied)
        except ConflictError:
            return None
        except UnavailableError:
            raise
        except RecordError as error:
            return _without_applied(plan, Decision(Outcome.FAILED, str(error)))
        return plan.decisions


def _again(car: Car, event: LedgerEvent, mark: Mark) -> tuple[Effect, ...]:
    """The effects of a duplicate; none of one that only bears the name of what was applied."""
    try:
        return effects_again(car, event, mark)
    except EvidenceError:
        return ()


def _without_applied(plan: _Plan, fault: Decision) -> list[Decision]:
    """The decisions on a car when it, or its drivers, could not be written.

    The fault is that of what has effects, or would have been applied, and of all after it; and of a duplicate before
    it, if it is one of what would have been applied.
    """
    applied = {one.id for one in plan.applied}
    first = next(i for i, one in enumerate(plan.decisions) if one.outcome is Outcome.APPLIED or one.effects)
    return [
        fault if i >= first or one.transaction.id in applied else decision
        for i, (one, decision) in enumerate(zip(plan.events, plan.decisions, strict=True))
    ]
