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
from functions.records.errors import ConflictError, DamagedError, UnavailableError
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
        if self.versions is not None and (not found or found not in self.versions):
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


class LeftAlone(msgspec.Struct, frozen=True):
    """A driver who could not be priced, and why: their rows contradict each other."""

    driver: str
    reason: str


class RepricedPage(msgspec.Struct, frozen=True):
    """A page of drivers: how many there are, those whose premium or class changes, those left alone, the next page."""

    drivers: int
    changed: list[Repriced]
    left_alone: list[LeftAlone]
    following: Token | None


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

        async def decide(stored: StoredDriver) -> Change:
            nonlocal is_new
            known = await self._record.load_claim(key, claim.id)
            if known and known != claim:
                was = "was withdrawn" if known.withdrawn else "says something else"
                raise ClaimExistsError(f"driver {key} has a claim {claim.id!r} already, which {was}")
            is_new = known is None
            # A claim that is there may have lost its place in the record: by an erasure that was cut off.
            others = (one for one in stored.driver.claims if one.id != claim.id)
            claims = sorted(
                (*others, PastClaim(claim.id, claim.date, claim.at_fault)), key=lambda one: (one.date, one.id)
            )
            change = await self._reprice(msgspec.structs.replace(stored.driver, claims=tuple(claims)))
            return msgspec.structs.replace(change, new_claim=claim if is_new else None)

        await self._enter(key, condition, decide)
        return is_new

    async def withdraw_claim(self, key: str, claim_id: str, condition: Condition = ALWAYS) -> None:
        """Let a claim count for nothing. Done again it changes nothing. Raises UnknownClaimError when there is none."""

        async def decide(stored: StoredDriver) -> Change:
            known = await self._record.load_claim(key, claim_id)
            if known is None:
                raise UnknownClaimError(f"driver {key} has no claim {claim_id!r}")
            claims = tuple(claim for claim in stored.driver.claims if claim.id != claim_id)
            change = await self._reprice(msgspec.structs.replace(stored.driver, claims=claims))
            return msgspec.structs.replace(change, withdrawn_claim="" if known.withdrawn else claim_id)

        await self._enter(key, condition, decide)

    async def erase(self, key: str, condition: Condition = ALWAYS) -> None:
        """Delete all that the insurer entered about a driver, and the record itself if they never had a car.

        What the ledger says stays: it is not the insurer's to delete. Raises UnknownDriverError.
        """

        async def decide(stored: StoredDriver) -> Change:
            if stored.etag is None:
                raise UnknownDriverError(f"no lease and no entry names the driver {key}")
            file = await self._record.driver_file(key)
            if file.stored.etag != stored.etag:
                raise ConflictError(f"driver {key[:8]}… has changed since they were read")
            return drivers.erase(stored.driver, file.leases, file.claims, self._tariff)

        async def remove_if_blank(stored: StoredDriver) -> None:
            file = await self._record.driver_file(key)
            if stored.etag and not file.leases and not file.claims and file.stored.driver.profile is None:
                await self._record.remove_driver(stored)

        await self._enter(key, condition, decide)
        await self._enter(key, ALWAYS, remove_if_blank)

    async def what_would_change(self, tariff: Tariff, limit: int, after: Token | None) -> RepricedPage:
        """What `tariff` would change on a page of drivers."""
        page, following = await self._record.drivers({}, limit, after)
        found = await asyncio.gather(*(self._would_change(tariff, stored.driver) for stored in page))
        return _page(found, following)

    async def reprice_all(self, limit: int, after: Token | None) -> RepricedPage:
        """Price a page of drivers under the tariff in force.

        Drivers who are priced under it already are not written, so that it can be begun again at any place.
        """
        page, following = await self._record.drivers({}, limit, after)
        found = await asyncio.gather(*(self._bring_under_tariff(stored.driver.key) for stored in page))
        return _page(found, following)

    async def _would_change(self, tariff: Tariff, driver: Driver) -> Repriced | LeftAlone | None:
        try:
            return _difference(driver, await self._priced_under(tariff, driver))
        except DamagedError as error:
            return LeftAlone(driver.key, str(error))

    async def _bring_under_tariff(self, key: str) -> Repriced | LeftAlone | None:
        difference: Repriced | None = None

        async def decide(stored: StoredDriver) -> Change:
            nonlocal difference
            change = await self._reprice(stored.driver)
            # The first attempt tells what changes; after a lost answer the next finds it done.
            difference = difference or _difference(stored.driver, change)
            return change

        try:
            await self._enter(key, ALWAYS, decide)
        except DamagedError as error:
            return LeftAlone(key, str(error))
        return difference

    async def _enter(self, key: str, condition: Condition, decide: Decide) -> None:
        """Write what `decide` makes of the driver, and decide again when another was quicker.

        The condition is met once: what is written after that, by its own first step or by one whose answer was lost,
        must not make it fail.
        """
        is_met = False
        tried: list[Driver] = []
        for attempt in range(1, ATTEMPTS + 1):
            try:
                stored = await self._record.load_driver(key)
                is_met = is_met or stored.driver in tried
                if not is_met and not tried:
                    condition.check(key, stored.etag)
                change = await decide(stored)
                if change is None or change.is_shown_by(stored.driver):
                    return
                if not is_met:
                    condition.check(key, stored.etag)
                for step in drivers.in_steps(stored.driver, change, ROWS_PER_WRITE):
                    tried.append(step.driver)
                    stored = await self._record.save_driver(stored.etag, step)
                    is_met = True
            except ConflictError:
                await let_others_finish(attempt)
            else:
                return
        raise UnavailableError(f"driver {key[:8]}… is being written by others")

    async def _reprice(self, driver: Driver) -> Change:
        return await self._priced_under(self._tariff, driver)

    async def _priced_under(self, tariff: Tariff, driver: Driver) -> Change:
        return drivers.reprice(driver, await self._record.load_open_leases(driver), tariff)


def _page(found: list[Repriced | LeftAlone | None], following: Token | None) -> RepricedPage:
    return RepricedPage(
        drivers=len(found),
        changed=[one for one in found if isinstance(one, Repriced)],
        left_alone=[one for one in found if isinstance(one, LeftAlone)],
        following=following,
    )


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
