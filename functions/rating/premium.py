"""From a driver's past history to a bonus-malus class, and from the class to a premium with its explanation.

Pure and without a clock: a lease is rated as of a date that the history and the lease themselves give, so that the
same ledger and the same entries give the same premium whenever they are applied.
"""

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from functions.rating.tariff import Scale, Tariff

CENT = Decimal("0.01")


class PastClaim(msgspec.Struct, frozen=True):
    """One claim as far as rating is concerned; `id` is the insurer's."""

    id: str
    date: dt.date
    at_fault: bool


class PastHistory(msgspec.Struct, frozen=True):
    """What the insurer knows of a driver: since when insured (None: unknown), and the claims."""

    insured_since: dt.date | None = None
    claims: tuple[PastClaim, ...] = ()


class Standing(msgspec.Struct, frozen=True):
    """Where a driver stands on the scale as of a date, and from what."""

    bonus_malus_class: int
    claim_free_years: int
    claims_counted: tuple[str, ...]


class Premium(msgspec.Struct, frozen=True, rename="camel"):
    """A yearly premium and how it was computed. `level` is in per cent; `claims_counted` are the ids of claims."""

    annual: Decimal
    currency: str
    base_rate: Decimal
    bonus_malus_class: int
    level: int
    as_of: dt.date | None
    claim_free_years: int
    claims_counted: tuple[str, ...]
    tariff: str


def rate(tariff: Tariff, history: PastHistory, lease_start: dt.date | None) -> Premium:
    """The premium of a lease that starts on `lease_start` (None when the lessor gave no usable date)."""
    # Claims after the lease began can only raise it: the years in between earn nothing.
    as_of, standing = max(
        ((date, stand(tariff.scale, history, date)) for date in rating_dates(history, lease_start)),
        key=lambda rated: rated[1].bonus_malus_class,
    )
    level = tariff.scale.levels[standing.bonus_malus_class]
    return Premium(
        annual=(tariff.annual_base_rate * level / 100).quantize(CENT, ROUND_HALF_UP),
        currency=tariff.currency,
        base_rate=tariff.annual_base_rate,
        bonus_malus_class=standing.bonus_malus_class,
        level=level,
        as_of=as_of,
        claim_free_years=standing.claim_free_years,
        claims_counted=standing.claims_counted,
        tariff=tariff.version,
    )


def rating_dates(history: PastHistory, lease_start: dt.date | None) -> list[dt.date | None]:
    """The dates as of which a lease is looked at: its first day, and those of later claims at fault.

    Without a first day, those of all claims at fault; without any, None.
    """
    claims = sorted(claim.date for claim in history.claims if claim.at_fault)
    later = [date for date in claims if lease_start is None or date > lease_start]
    return [lease_start, *later] if lease_start else [*later] or [None]


def stand(scale: Scale, history: PastHistory, as_of: dt.date | None) -> Standing:
    """The driver's class as of a date: the entry class, changed by every insurance year since.

    A year counts as claim-free once it is complete; a claim at fault counts at once. Insurance years run from
    `insured_since`; where that is unknown, from the first claim, and the class is then never better than at entry.
    Claims before `insured_since` do not count.
    """
    faults = sorted((claim for claim in history.claims if claim.at_fault), key=lambda claim: (claim.date, claim.id))
    since = history.insured_since or (faults[0].date if faults else None)
    if since is None or as_of is None:
        return Standing(scale.entry_class, 0, ())
    counted = [claim for claim in faults if since <= claim.date <= as_of]
    best = 0 if history.insured_since else scale.entry_class
    in_class, claim_free = scale.entry_class, 0
    for year in range(as_of.year - since.year + 1):
        begin, end = anniversary(since, year), anniversary(since, year + 1)
        claims = sum(begin <= claim.date < end for claim in counted)
        if claims:
            claim_free = 0
            in_class += scale.first_claim_of_year + scale.further_claim_of_year * (claims - 1)
        elif end <= as_of:
            claim_free += 1
            in_class -= scale.claim_free_year
            if claim_free >= scale.claim_free_years_to_reset:
                in_class = min(in_class, scale.reset_class)
        in_class = min(max(in_class, best), scale.worst_class)
    return Standing(in_class, claim_free, tuple(claim.id for claim in counted))


def anniversary(since: dt.date, years: int) -> dt.date:
    """The day `years` after `since`; 29 February is kept on 1 March in common years."""
    year = since.year + years
    try:
        return since.replace(year=year)
    except ValueError:
        return dt.date(year, 3, 1)


def in_words(premium: Premium) -> str:
    """How a premium came about, in one sentence for a person."""
    claims = len(premium.claims_counted)
    counted = f"{claims} claim{'s' if claims != 1 else ''} at fault" if claims else "no claim at fault"
    years = f"{premium.claim_free_years} claim-free year{'s' if premium.claim_free_years != 1 else ''} in a row"
    as_of = f"as of {premium.as_of}" if premium.as_of else "the lease names no date"
    return (
        f"{premium.base_rate} {premium.currency} x {premium.level} % = {premium.annual} {premium.currency} a year: "
        f"bonus-malus class {premium.bonus_malus_class} ({counted}, {years}, {as_of}; tariff {premium.tariff})"
    )
