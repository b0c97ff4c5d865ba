"""A premium in words, for people who are not actuaries. Pure; it computes no premium and changes none."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

from functions.rating.premium import InsuranceYears, PastClaim, PastHistory, Premium, anniversary


def in_words(premium: Premium) -> str:
    """How a premium came about, in one sentence. Factors that are 1 are left out; the level is always there."""
    number = len(premium.claims_counted)
    claims = f"{_count(number, 'claim')} at fault" if number else "no claim at fault"
    years = f"{_count(premium.claim_free_years, 'claim-free year')} in a row"
    as_of = f"as of {premium.as_of}" if premium.as_of else "the lease names no date"
    return (
        f"{' x '.join(_factors_that_matter(premium))} = {premium.annual} {premium.currency} a year: "
        f"bonus-malus class {premium.bonus_malus_class} ({claims}, {years}, {as_of}; tariff {premium.tariff})"
    )


def explain(premium: Premium, history: PastHistory) -> tuple[str, ...]:
    """How a premium came about, step by step, in plain sentences: base rate, car, class, licence, product, sources.

    `history` is the one that the premium was computed from; a claim that it no longer has is named without its date.
    """
    return tuple(_explanation(premium, history))


def _explanation(premium: Premium, history: PastHistory) -> Iterator[str]:
    currency = premium.currency
    yield f"The base rate is {premium.base_rate} {currency} a year."
    yield f'The car is in the class "{premium.car_class}": {_effect_of(premium.car_class_factor)}.'
    yield from _standing(premium, history)
    yield _licence(premium, history)
    yield (
        f"{premium.base_rate} {currency} x {premium.car_class_factor} x {premium.level} % x {premium.novice_factor} "
        f"= {premium.annual} {currency} a year, rounded to the cent once, at the end."
    )
    yield f"The prices are those of tariff {premium.tariff}."
    if premium.transactions:
        yield f"The car and the lease are as these transactions on the ledger say: {', '.join(premium.transactions)}."


def _standing(premium: Premium, history: PastHistory) -> Iterator[str]:
    """Where the driver stands on the scale, and how they came there."""
    claims = _counted(premium, history)
    yield _beginning(premium, history)
    for years in premium.insurance_years:
        yield _years(years, claims)
    if not premium.claims_counted:
        yield "No claim at fault counted."
    dated = {claim.id for claim in claims}
    gone = [claim for claim in premium.claims_counted if claim not in dated]
    if gone:
        yield f"These claims at fault counted, and are not in the record any more: {', '.join(gone)}."
    of_that_day = [claim.id for claim in claims if claim.date == premium.as_of]
    day = f", the day of claim {of_that_day[0]}" if of_that_day else ""
    so = f"So, as of {premium.as_of}{day}," if premium.as_of else "So"
    yield (
        f"{so} the driver stands in class {premium.bonus_malus_class} of the bonus-malus scale (0 is the best): "
        f"{premium.level} % of the base rate."
    )


def _beginning(premium: Premium, history: PastHistory) -> str:
    since, as_of = history.insured_since, premium.as_of
    if as_of is None:
        return "The lease names no first day, and no claim at fault leads to a worse class: the driver counts as new."
    if since is None:
        return (
            "Since when the driver is insured is not known: calendar years count, from that of the first claim at "
            "fault, and the driver stands no better than a new one."
        )
    if since > as_of:
        return f"The driver is insured since {since} only: before that, they count as new."
    return f"The driver is insured since {since}, and entered the scale then."


def _years(years: InsuranceYears, claims: list[PastClaim]) -> str:
    stands = f"from class {years.from_class} to class {years.to_class}"
    moved = stands if years.from_class != years.to_class else f"still class {years.to_class}"
    if years.claims:
        end = anniversary(years.since, 1)
        named = [f"{claim.id} of {claim.date}" for claim in claims if years.since <= claim.date < end]
        which = f" ({', '.join(named)})" if named else ""
        return f"Insurance year from {years.since}: {_count(years.claims, 'claim')} at fault{which}, {moved}."
    rule = (
        f", because nobody stands above class {years.to_class} after {_count(years.years, 'claim-free year')} in a row"
        if years.was_reset
        else ""
    )
    return f"{_count(years.years, 'claim-free year')} from {years.since}: {moved}{rule}."


def _counted(premium: Premium, history: PastHistory) -> list[PastClaim]:
    """The claims that counted, as far as the history has them, by date."""
    first, last = history.insured_since or dt.date.min, premium.as_of or dt.date.max
    found = (
        claim
        for claim in history.claims
        if claim.at_fault and claim.id in premium.claims_counted and first <= claim.date <= last
    )
    return sorted(found, key=lambda claim: (claim.date, claim.id))


def _licence(premium: Premium, history: PastHistory) -> str:
    years, effect = premium.licensed_years, _effect_of(premium.novice_factor)
    if years is None:
        missing = "the lease's first day" if history.licensed_since else "the date of the licence"
        return f"How long the driver has been licensed cannot be told without {missing}: {effect}."
    whole = _count(years, "whole year") if years else "less than a year"
    return f"On the lease's first day the driver had been licensed for {whole}: {effect}."


def _factors_that_matter(premium: Premium) -> Iterator[str]:
    yield f"{premium.base_rate} {premium.currency}"
    if premium.car_class_factor != 1:
        yield f"{premium.car_class_factor} ({premium.car_class})"
    yield f"{premium.level} %"
    if premium.novice_factor != 1:
        years = premium.licensed_years
        licensed = "years with a licence unknown" if years is None else f"licensed {_count(years, 'year')}"
        yield f"{premium.novice_factor} ({licensed})"


def _effect_of(factor: Decimal) -> str:
    return f"factor {factor}" if factor != 1 else f"factor {factor}, which changes nothing"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"
