"""From a driver's past history to a bonus-malus class, and from the class, the car and the licence to a premium.

Pure and without a clock: a lease is rated as of a date that the history and the lease themselves give, so that the
same ledger and the same entries give the same premium whenever they are applied.
"""

import datetime as dt
import functools
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from functions.rating.tariff import Scale, Tariff

CENT = Decimal("0.01")
REMEMBERED_HISTORIES = 64
"""Drivers whose standings are kept: a driver's leases are priced one after the other."""


class PastClaim(msgspec.Struct, frozen=True):
    """One claim as far as rating is concerned; `id` is the insurer's."""

    id: str
    date: dt.date
    at_fault: bool


class PastHistory(msgspec.Struct, frozen=True):
    """What the insurer knows of a driver: since when insured and licensed (None: unknown), and the claims."""

    insured_since: dt.date | None = None
    claims: tuple[PastClaim, ...] = ()
    licensed_since: dt.date | None = None


class LeasedCar(msgspec.Struct, frozen=True):
    """What is to be priced, and the ids of the ledger transactions that say so.

    `manufacturer` and `model` are as the ledger has them, empty where unknown; `lease_start` is the lease's first day,
    None when the lessor gave no usable date.
    """

    manufacturer: str
    model: str
    lease_start: dt.date | None
    transactions: tuple[str, ...] = ()


class InsuranceYears(msgspec.Struct, frozen=True, rename="camel"):
    """Insurance years in a row that went alike: complete claim-free ones, or a single one with claims at fault.

    They begin on `since`, and took the driver from one class to another. `was_reset` says that so many claim-free years
    in a row had the driver placed in the scale's reset class, lower than they would have come by themselves.
    """

    since: dt.date
    years: int
    claims: int
    from_class: int
    to_class: int
    was_reset: bool = False


class Standing(msgspec.Struct, frozen=True):
    """Where a driver stands on the scale as of a date, and from what; without `insurance_years`, as they entered."""

    bonus_malus_class: int
    claim_free_years: int = 0
    claims_counted: tuple[str, ...] = ()
    insurance_years: tuple[InsuranceYears, ...] = ()


class Premium(msgspec.Struct, frozen=True, rename="camel"):
    """A yearly premium and how it was computed: base rate x car class factor x level x novice factor.

    `annual` and `base_rate` are in `currency`; `level` is in per cent; `licensed_years` are whole years on the lease's
    first day, None when unknown; `claims_counted` are the ids of claims, `transactions` those of the ledger;
    `insurance_years` are how the driver came to stand in the class.
    """

    annual: Decimal
    currency: str
    base_rate: Decimal
    car_class: str
    car_class_factor: Decimal
    bonus_malus_class: int
    level: int
    as_of: dt.date | None
    claim_free_years: int
    claims_counted: tuple[str, ...]
    licensed_years: int | None
    novice_factor: Decimal
    transactions: tuple[str, ...]
    tariff: str
    insurance_years: tuple[InsuranceYears, ...] = ()


def rate(tariff: Tariff, history: PastHistory, leased: LeasedCar) -> Premium:
    """The premium of a lease for a driver with this history, rounded once, half up to cents."""
    car_class = tariff.car_class(leased.manufacturer, leased.model)
    as_of, standing = _worst_standing(tariff.scale, history, leased.lease_start)
    level = tariff.scale.levels[standing.bonus_malus_class]
    licensed_years = whole_years(history.licensed_since, leased.lease_start)
    novice_factor = tariff.novice.factor(licensed_years)
    # Exact before it is rounded: the digits that a tariff may have come to 25 at most, Decimal keeps 28.
    exact = tariff.annual_base_rate * car_class.factor * level / 100 * novice_factor
    return Premium(
        annual=exact.quantize(CENT, ROUND_HALF_UP),
        currency=tariff.currency,
        base_rate=tariff.annual_base_rate,
        car_class=car_class.name,
        car_class_factor=car_class.factor,
        bonus_malus_class=standing.bonus_malus_class,
        level=level,
        as_of=as_of,
        claim_free_years=standing.claim_free_years,
        claims_counted=standing.claims_counted,
        licensed_years=licensed_years,
        novice_factor=novice_factor,
        transactions=leased.transactions,
        tariff=tariff.version,
        insurance_years=standing.insurance_years,
    )


def class_on(tariff: Tariff, history: PastHistory, date: dt.date | None) -> int:
    """The bonus-malus class in which a lease that starts on `date` (None: unknown) is rated."""
    _, standing = _worst_standing(tariff.scale, history, date)
    return standing.bonus_malus_class


def _worst_standing(scale: Scale, history: PastHistory, lease_start: dt.date | None) -> tuple[dt.date | None, Standing]:
    """The worst of the lease's first day and of the days of later claims at fault, and which of them it is.

    Where the first day is unknown (None, when the driver stands as they entered), of all claims at fault.
    """
    # Claims after the lease began can only raise it: the years in between earn nothing.
    later = (one for one in _standings_at_claims(scale, history) if lease_start is None or one[0] > lease_start)
    return max(
        ((lease_start, stand(scale, history, lease_start)), *later), key=lambda rated: rated[1].bonus_malus_class
    )


@functools.lru_cache(REMEMBERED_HISTORIES)
def _standings_at_claims(scale: Scale, history: PastHistory) -> tuple[tuple[dt.date, Standing], ...]:
    """Where the driver stood on the day of each claim at fault, by date: the same for all of a driver's leases."""
    days = sorted({claim.date for claim in history.claims if claim.at_fault})
    return tuple((day, stand(scale, history, day)) for day in days)


def stand(scale: Scale, history: PastHistory, as_of: dt.date | None) -> Standing:
    """The driver's class as of a date: the entry class, changed by every insurance year since.

    A year counts as claim-free once it is complete; a claim at fault counts at once. Insurance years run from
    `insured_since`, and claims before it do not count. Where it is unknown they are calendar years, from that of the
    first claim at fault, and the class is never better than at entry.
    """
    faults = sorted((claim for claim in history.claims if claim.at_fault), key=lambda claim: (claim.date, claim.id))
    # Years that began on the first claim would begin anew when an older one is entered, which could lower the class.
    since = history.insured_since or (faults[0].date.replace(month=1, day=1) if faults else None)
    if since is None or as_of is None:
        return Standing(scale.entry_class)
    counted = [claim for claim in faults if since <= claim.date <= as_of]
    in_year = Counter(_insurance_year(since, claim.date) for claim in counted)
    best = 0 if history.insured_since else scale.entry_class
    in_class, claim_free = scale.entry_class, 0
    path: list[InsuranceYears] = []
    for year in range(as_of.year - since.year + 1):
        begin, end = anniversary(since, year), anniversary(since, year + 1)
        claims = in_year[year]
        if not claims and end > as_of:
            continue
        claim_free = 0 if claims else claim_free + 1
        to_class = _after_year(scale, in_class, claims, best)
        was_reset = claim_free >= scale.claim_free_years_to_reset and to_class > max(scale.reset_class, best)
        if was_reset:
            to_class = max(scale.reset_class, best)
        path.append(InsuranceYears(begin, 1, claims, in_class, to_class, was_reset))
        in_class = to_class
    return Standing(in_class, claim_free, tuple(claim.id for claim in counted), _joined(path))


def _insurance_year(since: dt.date, day: dt.date) -> int:
    """The insurance year of a day: 0 is the one that begins on `since`."""
    year = day.year - since.year
    return year if anniversary(since, year) <= day else year - 1


def _after_year(scale: Scale, in_class: int, claims: int, best: int) -> int:
    """The class after one more year with so many claims at fault, before a row of claim-free years is looked at."""
    if not claims:
        return max(in_class - scale.claim_free_year, best)
    return min(in_class + scale.first_claim_of_year + scale.further_claim_of_year * (claims - 1), scale.worst_class)


def _joined(years: list[InsuranceYears]) -> tuple[InsuranceYears, ...]:
    """The years with claim-free ones in a row made one, up to and including a reset."""
    joined: list[InsuranceYears] = []
    for year in years:
        last = joined[-1] if joined else None
        if last and not (last.claims or last.was_reset or year.claims):
            joined[-1] = msgspec.structs.replace(
                last, years=last.years + 1, to_class=year.to_class, was_reset=year.was_reset
            )
        else:
            joined.append(year)
    return tuple(joined)


def whole_years(since: dt.date | None, day: dt.date | None) -> int | None:
    """Whole years from `since` to `day`, 0 when `since` is the later one, None when either is unknown."""
    if since is None or day is None:
        return None
    years = day.year - since.year
    return max(years if anniversary(since, years) <= day else years - 1, 0)


def anniversary(since: dt.date, years: int) -> dt.date:
    """The day `years` after `since`; 29 February is kept on 1 March in common years."""
    year = since.year + years
    try:
        return since.replace(year=year)
    except ValueError:
        return dt.date(year, 3, 1)
