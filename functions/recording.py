"""Applies events and the insurer's entries to the record: what is read, decided, and written in which order.

A batch is folded by partition. Each car is loaded once, its events are decided in memory, the drivers they touch are
written first and the car last: the car's partition is the commit point. A crash before it leaves drivers who know of a
transaction that the car does not show yet; delivering the event again heals that, since what a driver's rows already
show changes nothing. It knows no HTTP.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from functions.leasing import driver as drivers
from functions.leasing.car import Car, Decision, Effect, LeaseEnded, LedgerEvent, decide
from functions.leasing.driver import Claim, Driver, Profile
from functions.leasing.outcomes import Outcome
from functions.rating.premium import PastClaim
from functions.records.errors import ConflictError, RecordError, RefusedError, RowTooLargeError, UnavailableError
from functions.records.record import Record, StoredCar
from functions.records.rows import AppliedTransaction

EVENTS_PER_WRITE = 45
"""Events of one car, or effects on one driver, written together: with the record, well below the 100 rows that fit."""
ATTEMPTS = 8
"""How often a partition is read and decided again after a conflict."""

log = logging.getLogger("leasehook.recording")


class ClaimExistsError(ValueError):
    """The driver has a claim with this id and date already."""


class _Plan(msgspec.Struct):
    """What a wave does with one car: the decisions on its events, in order, the car as read and as it becomes."""

    stored: StoredCar
    decisions: list[Decision]
    applied: list[AppliedTransaction]
    car: Car | None

    @property
    def effects(self) -> list[Effect]:
        return [effect for decision in self.decisions for effect in decision.effects]


class Recording:
    """The use cases of the Function app, on one record, with one tariff and one set of trusted lessors."""

    def __init__(self, record: Record, lessors: Collection[str], rate_lease: drivers.Rate) -> None:
        self._record = record
        self._lessors = lessors
        self._rate_lease = rate_lease

    async def apply(self, events: Sequence[LedgerEvent]) -> list[Decision]:
        """Apply events, those of one car in the order given; one decision for each.

        Raises UnavailableError when Table Storage does not answer: nothing is known then, and sending again is safe.
        """
        decisions: list[Decision | None] = [None] * len(events)
        waiting: dict[str, list[int]] = defaultdict(list)
        for index, event in enumerate(events):
            waiting[event.transaction.asset_id].append(index)
        conflicts: dict[str, int] = defaultdict(int)
        while waiting:
            wave = {asset_id: indices[:EVENTS_PER_WRITE] for asset_id, indices in waiting.items()}
            settled = await self._apply_wave({asset: [events[i] for i in indices] for asset, indices in wave.items()})
            for asset_id, indices in wave.items():
                outcome = settled[asset_id]
                if outcome is None:
                    conflicts[asset_id] += 1
                    if conflicts[asset_id] < ATTEMPTS:
                        continue
                    failed = Decision(Outcome.FAILED, f"{ATTEMPTS} conflicts with other writers")
                    outcome, indices = [failed] * len(waiting[asset_id]), waiting[asset_id]
                for index, decision in zip(indices, outcome, strict=True):
                    decisions[index] = decision
                del waiting[asset_id][: len(indices)]
            waiting = defaultdict(list, {asset_id: rest for asset_id, rest in waiting.items() if rest})
        return [decision for decision in decisions if decision is not None]

    async def enter_profile(self, key: str, profile: Profile) -> Driver:
        """Enter or replace what the insurer knows of a driver, and price their open leases anew."""
        return await self._enter(key, lambda driver: msgspec.structs.replace(driver, profile=profile))

    async def enter_claim(self, key: str, claim: Claim) -> Driver:
        """Add a claim to a driver's past history, and price their open leases anew.

        Raises ClaimExistsError when the driver has a claim with this id already.
        """

        def add(driver: Driver) -> Driver:
            if any(known.id == claim.id for known in driver.claims):
                raise ClaimExistsError(f"driver {key} has a claim {claim.id!r} already")
            claims = (*driver.claims, PastClaim(claim.id, claim.date, claim.at_fault))
            return msgspec.structs.replace(driver, claims=tuple(sorted(claims, key=lambda one: (one.date, one.id))))

        return await self._enter(key, add, claim)

    async def _enter(self, key: str, change: Callable[[Driver], Driver], claim: Claim | None = None) -> Driver:
        for _ in range(ATTEMPTS):
            stored = await self._record.load_driver(key)
            driver, leases = drivers.rerate(change(stored.driver), stored.leases, self._rate_lease)
            try:
                await self._record.save_driver(stored, driver, leases, claim)
            except ConflictError:
                continue
            return driver
        raise UnavailableError(f"driver {key} is being written by others")

    async def _apply_wave(self, wave: Mapping[str, list[LedgerEvent]]) -> dict[str, list[Decision] | None]:
        """Apply one run of events for each car; None for a car that met another writer and must be read again."""
        plans = dict(zip(wave, await asyncio.gather(*(self._plan(*one) for one in wave.items())), strict=True))
        effects: dict[str, list[Effect]] = defaultdict(list)
        for plan in plans.values():
            for effect in plan.effects:
                effects[effect.driver].append(effect)
        faults = await asyncio.gather(*(self._write_driver(*one) for one in effects.items()))
        failed = {driver: fault for driver, fault in zip(effects, faults, strict=True) if fault}
        written = await asyncio.gather(*(self._write_car(plan, failed) for plan in plans.values()))
        return dict(zip(plans, written, strict=True))

    async def _plan(self, asset_id: str, events: Sequence[LedgerEvent]) -> _Plan:
        try:
            stored = await self._record.load_car(asset_id)
        except RefusedError as error:
            return _Plan(StoredCar(None, None), [Decision(Outcome.FAILED, str(error)) for _ in events], [], None)
        plan = _Plan(stored, [], [], stored.car)
        for event in events:
            decision = await self._decide(plan, event)
            if decision.outcome is Outcome.APPLIED and decision.car is not None:
                applied = _mark(event, decision.car)
                try:
                    self._record.check_car(decision.car, applied)
                except RowTooLargeError as error:
                    decision = Decision(Outcome.FAILED, str(error))
                else:
                    plan.car = decision.car
                    plan.applied.append(applied)
            plan.decisions.append(decision)
        return plan

    async def _decide(self, plan: _Plan, event: LedgerEvent) -> Decision:
        transaction = event.transaction
        try:
            decision = decide(plan.car, event, self._lessors)
        except Exception:
            # A fault of our own in one car's event must not keep the other cars from being applied.
            log.exception("transaction %s could not be decided", transaction.id)
            return Decision(Outcome.FAILED, "an error in the Function; its log tells more")
        if decision.outcome is Outcome.DEFERRED and (
            any(one.id == transaction.id for one in plan.applied)
            or (plan.stored.car and await self._record.is_applied(transaction.asset_id, transaction.id))
        ):
            return Decision(Outcome.DUPLICATE)
        return decision

    async def _write_driver(self, key: str, effects: Sequence[Effect]) -> str:
        """Write the effects on one driver; what went wrong, or an empty text."""
        try:
            for start in range(0, len(effects), EVENTS_PER_WRITE):
                await self._write_effects(key, effects[start : start + EVENTS_PER_WRITE])
        except UnavailableError:
            raise
        except (RecordError, drivers.LeaseOrderError) as error:
            log.error("driver %s could not be written: %s", key[:8], error)  # noqa: TRY400  the message says it all
            return str(error)
        return ""

    async def _write_effects(self, key: str, effects: Sequence[Effect]) -> None:
        named = {effect.lease if isinstance(effect, LeaseEnded) else effect.transaction for effect in effects}
        for _ in range(ATTEMPTS):
            stored = await self._record.load_driver(key, sorted(named))
            driver, leases = drivers.apply(stored.driver, stored.leases, effects, self._rate_lease)
            if not leases:
                return
            try:
                await self._record.save_driver(stored, driver, leases)
            except ConflictError:
                continue
            return
        raise ConflictError(f"driver {key[:8]}… is being written by others")

    async def _write_car(self, plan: _Plan, failed: Mapping[str, str]) -> list[Decision] | None:
        faults = [failed[effect.driver] for effect in plan.effects if effect.driver in failed]
        if faults:
            return _without_applied(plan.decisions, faults[0])
        if plan.car is None or not plan.applied:
            return plan.decisions
        try:
            await self._record.save_car(plan.stored, plan.car, plan.applied)
        except ConflictError:
            return None
        except UnavailableError:
            raise
        except RecordError as error:
            return _without_applied(plan.decisions, str(error))
        return plan.decisions


def _mark(event: LedgerEvent, car: Car) -> AppliedTransaction:
    """The mark of an event that made the car so."""
    owners = {owner for output in car.unspent for owner in output.owners}
    transaction = event.transaction
    return AppliedTransaction(transaction.id, transaction.operation, event.sequence, tuple(sorted(owners)))


def _without_applied(decisions: Sequence[Decision], fault: str) -> list[Decision]:
    """The decisions on a car that could not be written: what would have been applied, and all after it, failed."""
    first = next(i for i, decision in enumerate(decisions) if decision.outcome is Outcome.APPLIED)
    return [*decisions[:first], *(Decision(Outcome.FAILED, fault) for _ in decisions[first:])]
