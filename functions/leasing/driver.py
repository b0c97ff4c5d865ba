"""The fold of a driver: what the leases' beginnings and ends, and the insurer's own entries, make of the record.

Pure. A driver's partition holds the record, one row a lease and one row a claim; these are their values. The record
names the open leases, so that most effects need no other row. Effects may come again after a crash: one that the record
already shows changes nothing.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import batched

import msgspec

from functions.leasing.car import Effect, LeaseEnded, LeaseStarted
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.premium import LeasedCar, PastClaim, PastHistory, Premium, class_on, rate
from functions.rating.tariff import Tariff

LEASE, CLAIM = "lease", "claim"
ERASED = "erased"
"""Stands in an ended lease's premium for the id of a claim that was erased."""


class LeaseOrderError(RuntimeError):
    """A lease is to end that was never started: the car's row and the driver's rows contradict each other."""


class Profile(msgspec.Struct, frozen=True):
    """What the insurer entered about a driver."""

    name: str = ""
    licence_number: str = ""
    licensed_since: dt.date | None = None
    insured_since: dt.date | None = None


class Claim(msgspec.Struct, frozen=True):
    """One claim of a driver's past history, as the insurer entered it; `amount` in the tariff's currency.

    A claim that was `withdrawn` counts for nothing. It is kept, so that its id is never given to another.
    """

    id: str
    date: dt.date
    at_fault: bool
    amount: Decimal
    description: str = ""
    withdrawn: bool = False


class Lease(msgspec.Struct, frozen=True):
    """One lease: the transaction that started it, the car, the terms, its end if it has ended, and its premium."""

    driver: str
    transaction: str
    sequence: str
    asset_id: str
    lessor: str
    description: CarDescription
    terms: LeaseTerms
    premium: Premium
    end_transaction: str = ""
    end_sequence: str = ""

    @property
    def is_open(self) -> bool:
        """Whether the driver has the car now."""
        return not self.end_transaction

    @property
    def is_flagged(self) -> bool:
        """Whether a person should look at its terms."""
        return bool(self.terms.remarks)


class OpenLease(msgspec.Struct, frozen=True, array_like=True):
    """What the driver's record says of an open lease: its yearly premium, and whether its terms are flagged."""

    premium: Decimal
    flagged: bool


class Driver(msgspec.Struct, frozen=True):
    """A driver's record. `profile` is None while the insurer does not know the driver: the record is provisional.

    `open_leases` is by the id of the transaction that started each; `claims` is what rating needs of the claims.
    `latest_start` is the latest first day of any lease, and `bonus_malus_class` the class as of then (or as of the last
    claim, if that is later); None before the first lease.
    """

    key: str
    profile: Profile | None = None
    claims: tuple[PastClaim, ...] = ()
    open_leases: dict[str, OpenLease] = {}
    latest_start: dt.date | None = None
    bonus_malus_class: int | None = None

    @property
    def history(self) -> PastHistory:
        """The past history that premiums rest on."""
        profile = self.profile or Profile()
        return PastHistory(profile.insured_since, self.claims, profile.licensed_since)

    @property
    def annual_premium(self) -> Decimal:
        """The sum of the yearly premiums of the open leases."""
        return sum((lease.premium for lease in self.open_leases.values()), Decimal("0.00"))

    @property
    def is_flagged(self) -> bool:
        """Whether a person should look at the terms of an open lease."""
        return any(lease.flagged for lease in self.open_leases.values())


class Change(msgspec.Struct, frozen=True):
    """Rows of a driver that change together: the record as it becomes, and what happens to leases and claims.

    `repriced` gives leases, by id, a new premium; `withdrawn_claim` and `erased_claims` are ids.
    """

    driver: Driver
    started: tuple[Lease, ...] = ()
    ended: tuple[LeaseEnded, ...] = ()
    repriced: dict[str, Premium] = {}
    new_claim: Claim | None = None
    withdrawn_claim: str = ""
    erased_claims: tuple[str, ...] = ()

    def is_shown_by(self, driver: Driver) -> bool:
        """Whether the driver's rows show it already, so that nothing is to be written."""
        return self == Change(driver)


def unsure(driver: Driver, effects: Iterable[Effect]) -> set[str]:
    """Ids of leases that the record does not show open, though `effects` end them or start them once more.

    Only their own rows tell why.
    """
    started: set[str] = set()
    found: set[str] = set()
    for effect in effects:
        if isinstance(effect, LeaseStarted):
            started.add(effect.transaction)
            if effect.is_again and effect.transaction not in driver.open_leases:
                found.add(effect.transaction)
        elif effect.lease not in driver.open_leases and effect.lease not in started:
            found.add(effect.lease)
    return found


def apply(driver: Driver, known: Mapping[str, Lease], effects: Iterable[Effect], tariff: Tariff) -> Change | None:
    """What `effects` change; None where the driver shows them all already.

    `known` are the lease rows that were read, by id. A lease that is neither open nor known is taken for new: its row
    is to be inserted, which fails if it is there. Raises LeaseOrderError when a lease is to end that never started.
    """
    started: dict[str, Lease] = {}
    ended: dict[str, LeaseEnded] = {}
    for effect in effects:
        match effect:
            case LeaseStarted():
                if not any(effect.transaction in leases for leases in (driver.open_leases, known, started)):
                    started[effect.transaction] = _lease(driver, effect, tariff)
            case LeaseEnded() if effect.lease in started:
                if started[effect.lease].is_open:
                    started[effect.lease] = msgspec.structs.replace(
                        started[effect.lease], end_transaction=effect.transaction, end_sequence=effect.sequence
                    )
            case LeaseEnded() if effect.lease in driver.open_leases:
                ended.setdefault(effect.lease, effect)
            case LeaseEnded() if effect.lease not in known or known[effect.lease].is_open:
                raise LeaseOrderError(f"lease {effect.lease} ends but never started")
    if not started and not ended:
        return None
    still = {lease_id: lease for lease_id, lease in driver.open_leases.items() if lease_id not in ended}
    new = {lease_id: _shown(lease, lease.premium) for lease_id, lease in started.items() if lease.is_open}
    starts = [driver.latest_start, *(lease.terms.start_date for lease in started.values())]
    latest_start = max((start for start in starts if start), default=None)
    after = msgspec.structs.replace(
        driver,
        open_leases=dict(sorted((still | new).items())),
        latest_start=latest_start,
        bonus_malus_class=class_on(tariff, driver.history, latest_start),
    )
    return Change(after, started=tuple(started.values()), ended=tuple(ended.values()))


def reprice(driver: Driver, open_leases: Mapping[str, Lease], tariff: Tariff) -> Change:
    """The driver with `open_leases`, all there are, priced from the present history under `tariff`."""
    premiums = {lease_id: _price(driver.history, lease, tariff) for lease_id, lease in open_leases.items()}
    has_leased = driver.bonus_malus_class is not None
    after = msgspec.structs.replace(
        driver,
        open_leases={lease_id: _shown(open_leases[lease_id], premiums[lease_id]) for lease_id in sorted(open_leases)},
        bonus_malus_class=class_on(tariff, driver.history, driver.latest_start) if has_leased else None,
    )
    return Change(after, repriced={one: new for one, new in premiums.items() if new != open_leases[one].premium})


def erase(driver: Driver, leases: Collection[Lease], claims: Collection[Claim], tariff: Tariff) -> Change:
    """The driver without anything that the insurer entered; `leases` and `claims` are all there are.

    Open leases are priced as those of a driver nobody knows. Ended ones keep their premium, but neither the ids of
    claims nor the days from which insurance years ran.
    """
    blank = msgspec.structs.replace(driver, profile=None, claims=())
    change = reprice(blank, {lease.transaction: lease for lease in leases if lease.is_open}, tariff)
    nameless = {
        lease.transaction: premium
        for lease in leases
        if not lease.is_open and (premium := _nameless(lease)) != lease.premium
    }
    return msgspec.structs.replace(
        change, repriced=change.repriced | nameless, erased_claims=tuple(claim.id for claim in claims)
    )


def in_steps(before: Driver, change: Change, size: int) -> Iterator[Change]:
    """`change`, which starts and ends no lease, in steps of at most `size` leases and claims, which fit one write.

    After every step the record says of each open lease what its row says.
    """
    shown = before.open_leases
    rows = [(LEASE, one) for one in change.repriced] + [(CLAIM, one) for one in change.erased_claims]
    for number, part in enumerate(list(batched(rows, size, strict=False)) or [()]):
        premiums = {one: change.repriced[one] for kind, one in part if kind == LEASE}
        shown = {one: change.driver.open_leases[one] if one in premiums else was for one, was in shown.items()}
        yield Change(
            msgspec.structs.replace(change.driver, open_leases=shown),
            repriced=premiums,
            new_claim=None if number else change.new_claim,
            withdrawn_claim="" if number else change.withdrawn_claim,
            erased_claims=tuple(one for kind, one in part if kind == CLAIM),
        )


def _lease(driver: Driver, started: LeaseStarted, tariff: Tariff) -> Lease:
    leased = _leased(started.description, started.terms, started.asset_id, started.transaction)
    return Lease(
        driver=driver.key,
        transaction=started.transaction,
        sequence=started.sequence,
        asset_id=started.asset_id,
        lessor=started.lessor,
        description=started.description,
        terms=started.terms,
        premium=rate(tariff, driver.history, leased),
    )


def _price(history: PastHistory, lease: Lease, tariff: Tariff) -> Premium:
    return rate(tariff, history, _leased(lease.description, lease.terms, lease.asset_id, lease.transaction))


def _leased(description: CarDescription, terms: LeaseTerms, *relied_on: str) -> LeasedCar:
    return LeasedCar(description.manufacturer, description.model, terms.start_date, relied_on)


def _nameless(lease: Lease) -> Premium:
    """A lease's premium as it was charged, without what came from the driver's erased history: ids and days."""
    erased = (ERASED,) * len(lease.premium.claims_counted)
    first_day = lease.terms.start_date
    return msgspec.structs.replace(lease.premium, claims_counted=erased, insurance_years=(), as_of=first_day)


def _shown(lease: Lease, premium: Premium) -> OpenLease:
    """What the record says of a lease."""
    return OpenLease(premium.annual, lease.is_flagged)
