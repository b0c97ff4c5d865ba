"""The insurer's own entries: a driver's profile and claims, their erasure, and the pricing of all drivers anew.

Every entry prices the driver's open leases again. An entry may be bound to the version of the driver that its sender
has seen. It knows no HTTP.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from decimal import Decimal

import msgspec

from functions.conflicts import ATTEMPTS, let_others_finish
from functions.leasing import driver as drivers
from functions.leasing.driver import Change, Claim, Driver, Profile
from functions.rating.premium import PastClaim
from functions.rating.tariff import Tariff
from functions.records.errors import ConflictError, UnavailableError
from functions.records.record import Record, StoredDriver, Token

ROWS_PER_WRITE = 90
"""Leases or claims written together with the driver's record, below the 100 rows that Table Storage takes."""


class UnknownDriverError(LookupError):
    """The record knows nothing of the driver."""


class UnknownClaimError(LookupError):
    """The driver has no such claim."""


class ClaimExistsError(ValueError):
    """The driver has another claim with this id, or had it and it was withdrawn."""


class PreconditionFailedError(RuntimeError):
    """The driver is not of the version that the entry was bound to."""


class Condition(msgspec.Struct, frozen=True):
    """What a driver must be for an entry to be made: of one of `versions`, where given; there, or not there yet."""

    versions: frozenset[str] | None = None
    exists: bool | None = None

    def check(self, key: str, etag: str | None) -> None:
        """Raise PreconditionFailedError unless a driver who was read with `etag` is so."""
        found = version(etag)
        if self.exists is not None and self.exists != bool(found):
            there = "in" if found else "not in"
            raise PreconditionFailedError(f"driver {key} is {there} the record")
        if self.versions is not None and found not in self.versions:
            raise PreconditionFailedError(f"driver {key} has changed: read it again, and decide again")


ALWAYS = Condition()


class Repriced(msgspec.Struct, frozen=True, rename="camel"):
    """What another tariff changes for one driver: the sum of yearly premiums, the class, and how many open leases."""

    driver: str
    annual_premium_before: Decimal
    annual_premium_after: Decimal
    bonus_malus_class_before: int | None
    bonus_malus_class_after: int | None
    leases: int


def version(etag: str | None) -> str:
    """A driver's version, as callers see it: it changes with every write. Empty while there is no record."""
    return hashlib.sha256(etag.encode()).hexdigest()[:16] if etag else ""


Decide = Callable[[StoredDriver], Awaitable[Change | None]]


class Entries:
    """What the insurer does to one record, with the tariff in force."""

    def __init__(self, record: Record, tariff: Tariff) -> None:
        self._record = record
        self._tariff = tariff

    async def enter_profile(self, key: str, profile: Profile, condition: Condition = ALWAYS) -> None:
        """Enter or replace what the insurer knows of a driver."""

        async def decide(stored: StoredDriver) -> Change:
            return await self._reprice(msgspec.structs.replace(stored.driver, profile=profile))

        await self._enter(key, condition, decide)

    async def enter_claim(self, key: str, claim: Claim, condition: Condition = ALWAYS) -> bool:
        """Add a claim to a driver's past history; whether it was new.

        The same claim again changes nothing. Raises ClaimExistsError when its id stands for another claim.
        """
        is_new = False

        async def decide(stored: StoredDriver) -> Change | None:
            nonlocal is_new
            known = await self._record.load_claim(key, claim.id)
            if known and known != claim:
                was = "was withdrawn" if known.withdrawn else "says something else"
                raise ClaimExistsError(f"driver {key} has a claim {claim.id!r} already, which {was}")
            if known:
                return await self._healing(stored.driver)
            is_new = True
            claims = (*stored.driver.claims, PastClaim(claim.id, claim.date, claim.at_fault))
            claims = tuple(sorted(claims, key=lambda one: (one.date, one.id)))
            change = await self._reprice(msgspec.structs.replace(stored.driver, claims=claims))
            return msgspec.structs.replace(change, new_claim=claim)

        await self._enter(key, condition, decide)
        return is_new

    async def withdraw_claim(self, key: str, claim_id: str, condition: Condition = ALWAYS) -> None:
        """Let a claim count for nothing. Done again it changes nothing. Raises UnknownClaimError when there is none."""

        async def decide(stored: StoredDriver) -> Change | None:
            known = await self._record.load_claim(key, claim_id)
            if known is None:
                raise UnknownClaimError(f"driver {key} has no claim {claim_id!r}")
            if known.withdrawn:
                return await self._healing(stored.driver)
            claims = tuple(claim for claim in stored.driver.claims if claim.id != claim_id)
            change = await self._reprice(msgspec.structs.replace(stored.driver, claims=claims))
            return msgspec.structs.replace(change, withdrawn_claim=claim_id)

        await self._enter(key, condition, decide)

    async def erase(self, key: str, condition: Condition = ALWAYS) -> None:
        """Delete all that the insurer entered about a driver, and the record itself if they never had a car.

        What the ledger says stays: it is not the insurer's to delete. Raises UnknownDriverError.
        """

        async def decide(stored: StoredDriver) -> Change:
            if stored.etag is None:
                raise UnknownDriverError(f"no lease and no entry names the driver {key}")
            # All of the partition; if it has changed since the record was read, the write conflicts.
            file = await self._record.driver_file(key)
            return drivers.erase(stored.driver, file.leases, file.claims, self._tariff)

        async def remove_if_blank(stored: StoredDriver) -> None:
            file = await self._record.driver_file(key)
            if stored.etag and not file.leases and not file.claims and file.stored.driver.profile is None:
                await self._record.remove_driver(stored)

        await self._enter(key, condition, decide)
        await self._enter(key, ALWAYS, remove_if_blank)

    async def what_would_change(
        self, tariff: Tariff, limit: int, after: Token | None
    ) -> tuple[int, list[Repriced], Token | None]:
        """What `tariff` would change on a page of drivers: how many there are, those who change, and the next page."""
        page, following = await self._record.drivers({}, limit, after)
        changes = await asyncio.gather(*(self._priced_under(tariff, stored.driver) for stored in page))
        found = [_difference(stored.driver, change) for stored, change in zip(page, changes, strict=True)]
        return len(page), [one for one in found if one], following

    async def reprice_all(self, limit: int, after: Token | None) -> tuple[int, list[Repriced], Token | None]:
        """Price a page of drivers under the tariff in force: how many there are, those who changed, and the next page.

        Drivers who are priced under it already are not written, so that it can be begun again at any place.
        """
        page, following = await self._record.drivers({}, limit, after)
        found = await asyncio.gather(*(self._bring_under_tariff(stored.driver.key) for stored in page))
        return len(page), [one for one in found if one], following

    async def _bring_under_tariff(self, key: str) -> Repriced | None:
        difference: Repriced | None = None

        async def decide(stored: StoredDriver) -> Change | None:
            nonlocal difference
            change = await self._healing(stored.driver)
            difference = _difference(stored.driver, change) if change else None
            return change

        await self._enter(key, ALWAYS, decide)
        return difference

    async def _enter(self, key: str, condition: Condition, decide: Decide) -> None:
        """Write what `decide` makes of the driver, and decide again when another was quicker."""
        written: Driver | None = None
        for attempt in range(1, ATTEMPTS + 1):
            stored = await self._record.load_driver(key)
            # A write of ours whose answer was lost, or the first of several steps, has met the condition.
            if stored.driver != written:
                condition.check(key, stored.etag)
            try:
                change = await decide(stored)
                if change is None:
                    return
                for step in drivers.in_steps(stored.driver, change, ROWS_PER_WRITE):
                    written = step.driver
                    stored = await self._record.save_driver(stored.etag, step)
            except ConflictError:
                await let_others_finish(attempt)
            else:
                return
        # It is logged, and who drives what is nobody's business there.
        raise UnavailableError(f"driver {key[:8]}… is being written by others")

    async def _reprice(self, driver: Driver) -> Change:
        return await self._priced_under(self._tariff, driver)

    async def _priced_under(self, tariff: Tariff, driver: Driver) -> Change:
        return drivers.reprice(driver, await self._record.load_open_leases(driver), tariff)

    async def _healing(self, driver: Driver) -> Change | None:
        """What is still to be priced, after an entry that was cut off or under another tariff; None for nothing."""
        change = await self._reprice(driver)
        return change if change.repriced or change.driver != driver else None


def _difference(before: Driver, change: Change) -> Repriced | None:
    after = change.driver
    if (before.annual_premium, before.bonus_malus_class) == (after.annual_premium, after.bonus_malus_class):
        return None
    return Repriced(
        driver=before.key,
        annual_premium_before=before.annual_premium,
        annual_premium_after=after.annual_premium,
        bonus_malus_class_before=before.bonus_malus_class,
        bonus_malus_class_after=after.bonus_malus_class,
        leases=len(change.repriced),
    )
