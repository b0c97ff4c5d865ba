"""The fold of a driver: what the leases' beginnings and ends, and the insurer's own entries, make of the record.

Pure. A driver's partition holds the record, one row a lease and one row a claim; these are their values. Effects may
come again after a crash: one that the leases already show changes nothing.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

import msgspec

from functions.leasing.car import Effect, LeaseEnded, LeaseStarted
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.premium import PastClaim, PastHistory, Premium

Rate = Callable[[PastHistory, dt.date | None], Premium]
"""Prices a lease that starts on a date for a driver with a history."""


class LeaseOrderError(RuntimeError):
    """A lease is to end that was never started: the car's row and the driver's rows contradict each other."""


class Profile(msgspec.Struct, frozen=True):
    """What the insurer entered about a driver."""

    name: str = ""
    licence_number: str = ""
    licensed_since: dt.date | None = None
    insured_since: dt.date | None = None


class Claim(msgspec.Struct, frozen=True):
    """One claim of a driver's past history, as the insurer entered it; `amount` in the tariff's currency."""

    id: str
    date: dt.date
    at_fault: bool
    amount: Decimal
    description: str = ""


class Lease(msgspec.Struct, frozen=True):
    """One lease: the transaction that started it, the car, the terms, its end if it has ended, and its premium."""

    driver: str
    transaction: str
    sequence: str
    asset_id: str
    description: CarDescription
    terms: LeaseTerms
    premium: Premium
    end_transaction: str = ""
    end_sequence: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the driver has the car now."""
        return not self.end_transaction


class Driver(msgspec.Struct, frozen=True):
    """A driver's record. `profile` is None while the insurer does not know the driver: the record is provisional.

    `open_leases` maps the id of each open lease to its yearly premium; `claims` is what rating needs of the claims.
    `latest_start` is the latest first day of any lease, and `bonus_malus_class` the class as of then (or as of the last
    claim, if that is later); None before the first lease.
    """

    key: str
    profile: Profile | None = None
    claims: tuple[PastClaim, ...] = ()
    open_leases: dict[str, Decimal] = {}
    latest_start: dt.date | None = None
    bonus_malus_class: int | None = None

    @property
    def history(self) -> PastHistory:
        """The past history that premiums rest on."""
        return PastHistory(self.profile.insured_since if self.profile else None, self.claims)

    @property
    def annual_premium(self) -> Decimal:
        """The sum of the yearly premiums of the open leases."""
        return sum(self.open_leases.values(), Decimal("0.00"))


def apply(
    driver: Driver, leases: Mapping[str, Lease], effects: Iterable[Effect], rate_lease: Rate
) -> tuple[Driver, dict[str, Lease]]:
    """The driver after `effects`, and the leases that changed, by id.

    `leases` are the stored ones among those that the effects name. Raises LeaseOrderError when a lease is to end that
    neither `leases` nor an earlier effect holds.
    """
    changed: dict[str, Lease] = {}
    for effect in effects:
        match effect:
            case LeaseStarted() if effect.transaction not in leases and effect.transaction not in changed:
                changed[effect.transaction] = Lease(
                    driver=driver.key,
                    transaction=effect.transaction,
                    sequence=effect.sequence,
                    asset_id=effect.asset_id,
                    description=effect.description,
                    terms=effect.terms,
                    premium=rate_lease(driver.history, effect.terms.start_date),
                )
            case LeaseEnded():
                lease = changed.get(effect.lease) or leases.get(effect.lease)
                if lease is None:
                    raise LeaseOrderError(f"lease {effect.lease} ends but never started")
                if lease.is_open:
                    changed[effect.lease] = msgspec.structs.replace(
                        lease, end_transaction=effect.transaction, end_sequence=effect.sequence
                    )
    return _with_leases(driver, changed, rate_lease), changed


def rerate(driver: Driver, open_leases: Mapping[str, Lease], rate_lease: Rate) -> tuple[Driver, dict[str, Lease]]:
    """The driver and their open leases, priced anew from the driver's present history."""
    priced = {
        lease_id: msgspec.structs.replace(lease, premium=rate_lease(driver.history, lease.terms.start_date))
        for lease_id, lease in open_leases.items()
    }
    return _with_leases(driver, priced, rate_lease), priced


def _with_leases(driver: Driver, leases: Mapping[str, Lease], rate_lease: Rate) -> Driver:
    """The driver's record with these leases in it: open ones with their premium, ended ones gone."""
    if not leases and driver.bonus_malus_class is None:
        return driver
    premiums = {lease_id: premium for lease_id, premium in driver.open_leases.items() if lease_id not in leases}
    premiums |= {lease_id: lease.premium.annual for lease_id, lease in leases.items() if lease.is_open}
    starts = [driver.latest_start, *(lease.terms.start_date for lease in leases.values())]
    latest_start = max((start for start in starts if start), default=None)
    return msgspec.structs.replace(
        driver,
        open_leases=dict(sorted(premiums.items())),
        latest_start=latest_start,
        bonus_malus_class=rate_lease(driver.history, latest_start).bonus_malus_class,
    )
