"""The tariff: prices with a version, validated as a whole before anything is priced. It knows no driver and no lease.

The one in force is a JSON file, read at start; a candidate may come from elsewhere. docs/rating.md says what each field
means.
"""

import functools
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

MAX_BASE_RATE = Decimal(1_000_000)
MAX_FACTOR = Decimal(10)
MAX_LEVEL = 1000
MAX_CLASS_NAME = 60
MAX_NOVICE_YEARS = 100
NO_CHANGE = Decimal("1.00")
TARIFF_FILE = Path(__file__).with_name("tariff.json")

Version = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,40}\Z")]
Currency = Annotated[str, Meta(pattern=r"\A[A-Z]{3}\Z")]


class TariffError(ValueError):
    """A tariff cannot be used; the message names where it came from, and the fault with its path."""


class CarEntry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Cars of one manufacturer: one model, or, without `model`, all that no other entry names."""

    manufacturer: str
    model: str | None = None


class CarClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of cars, and the factor that its premiums are multiplied by."""

    name: str
    factor: Decimal
    cars: tuple[CarEntry, ...]


class NoviceStep(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The factor of who has held a licence for fewer than `below_years` whole years."""

    below_years: int
    factor: Decimal


class Novice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What new drivers pay more. `unknown` is the factor where the years cannot be told; `steps` rise in years."""

    unknown: Decimal
    steps: tuple[NoviceStep, ...]

    def factor(self, licensed_years: int | None) -> Decimal:
        """The factor after whole years with a licence (None: unknown): that of the first step above them, else 1."""
        if licensed_years is None:
            return self.unknown
        return next((step.factor for step in self.steps if licensed_years < step.below_years), NO_CHANGE)


class Scale(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A bonus-malus scale. `levels[c]` is the premium of class c in per cent of the base rate, best class first.

    A claim-free year takes a driver down by `claim_free_year` classes; a year with claims takes them up by
    `first_claim_of_year` and by `further_claim_of_year` for each claim after the first. Who has had
    `claim_free_years_to_reset` claim-free years in a row stands no higher than `reset_class`.
    """

    source: str
    entry_class: int
    levels: tuple[int, ...]
    claim_free_year: int
    first_claim_of_year: int
    further_claim_of_year: int
    claim_free_years_to_reset: int
    reset_class: int

    @property
    def worst_class(self) -> int:
        """The highest class there is."""
        return len(self.levels) - 1


class Tariff(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, dict=True):
    """Prices: `annual_base_rate` in `currency` a year for a driver at level 100 in a car of factor 1."""

    version: Version
    currency: Currency
    annual_base_rate: Decimal
    car_classes: tuple[CarClass, ...]
    default_car_class: str
    novice: Novice
    scale: Scale

    def car_class(self, manufacturer: str, model: str) -> CarClass:
        """The class of a car: by manufacturer and model, else by manufacturer alone, else the default class.

        Names are compared without regard to case and to white space around them; empty ones are unknown.
        """
        of_model, of_manufacturer = (folded(manufacturer), folded(model)), (folded(manufacturer), None)
        by_car = self._class_by_car
        return by_car.get(of_model) or by_car.get(of_manufacturer) or self._default_class

    @functools.cached_property
    def _class_by_car(self) -> dict[tuple[str, str | None], CarClass]:
        return {car_key(entry): car_class for car_class in self.car_classes for entry in car_class.cars}

    @functools.cached_property
    def _default_class(self) -> CarClass:
        return next(car_class for car_class in self.car_classes if car_class.name == self.default_car_class)


def read_tariff(path: Path = TARIFF_FILE) -> Tariff:
    """The tariff in the file `path`. Raises TariffError when the file is missing or not a tariff."""
    where = f"the tariff {path}"
    try:
        text = path.read_bytes()
    except OSError as error:
        raise TariffError(f"{where} cannot be read: {error.strerror}") from error
    return parse_tariff(text, where)


def parse_tariff(text: bytes, where: str) -> Tariff:
    """The tariff that is written in `text`, JSON in UTF-8. `where` says in errors which one is meant.

    Raises TariffError, in one line, when it is not a tariff or a rule of docs/rating.md is broken.
    """
    try:
        msgspec.json.decode(text, type=_TariffAsWritten)
        tariff = msgspec.json.decode(text, type=Tariff)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TariffError(f"{where} is not valid: {error}") from error
    fault = next(_faults(tariff), None)
    if fault:
        raise TariffError(f"{where} is not valid: {fault}")
    return tariff


def folded(text: str) -> str:
    """A manufacturer's or model's name as it is compared: trimmed, in one case, accents in one encoding."""
    return unicodedata.normalize("NFC", text.strip().casefold())


def car_key(entry: CarEntry) -> tuple[str, str | None]:
    """What tells one entry from another."""
    return folded(entry.manufacturer), None if entry.model is None else folded(entry.model)


# How money and factors must be written. Decoding to Decimal alone would take JSON numbers too, and numbers are binary
# fractions to many who write JSON: 1.1 is then not 1.1.

_Money = Annotated[str, Meta(pattern=r"\A(0|[1-9][0-9]{0,6})(\.[0-9]{1,2})?\Z")]
_Factor = Annotated[str, Meta(pattern=r"\A(0|[1-9][0-9]?)(\.[0-9]{1,4})?\Z")]


class _WithFactor(msgspec.Struct):
    factor: _Factor


class _NoviceAsWritten(msgspec.Struct):
    unknown: _Factor
    steps: tuple[_WithFactor, ...]


class _TariffAsWritten(msgspec.Struct, rename="camel"):
    annual_base_rate: _Money
    car_classes: tuple[_WithFactor, ...]
    novice: _NoviceAsWritten


# The rules that types cannot say. Each fault begins with its path.


def _faults(tariff: Tariff) -> Iterator[str]:
    if not 0 < tariff.annual_base_rate <= MAX_BASE_RATE:
        yield f"$.annualBaseRate must be above 0, and at most {MAX_BASE_RATE}"
    yield from _car_class_faults(tariff)
    yield from _novice_faults(tariff.novice)
    yield from _scale_faults(tariff.scale)


def _car_class_faults(tariff: Tariff) -> Iterator[str]:
    names: dict[str, str] = {}
    cars: dict[tuple[str, str | None], str] = {}
    for number, car_class in enumerate(tariff.car_classes):
        at, name = f"$.carClasses[{number}]", car_class.name
        if not (0 < len(name) <= MAX_CLASS_NAME and name == name.strip() and name.isprintable()):
            yield f"{at}.name must be 1 to {MAX_CLASS_NAME} printable characters, without white space around them"
        if folded(name) in names:
            yield f"{at}.name is that of {names[folded(name)]} too"
        names[folded(name)] = at
        yield from _factor_faults(f"{at}.factor", car_class.factor)
        for place, entry in enumerate(car_class.cars):
            here, key = f"{at}.cars[{place}]", car_key(entry)
            if "" in key:
                yield f"{here} has an empty name"
            if key in cars:
                yield f"{here} is listed at {cars[key]} too"
            cars[key] = here
    if not any(car_class.name == tariff.default_car_class for car_class in tariff.car_classes):
        yield "$.defaultCarClass must be the name of one of $.carClasses"


def _novice_faults(novice: Novice) -> Iterator[str]:
    yield from _factor_faults("$.novice.unknown", novice.unknown)
    years = 0
    for number, step in enumerate(novice.steps):
        at = f"$.novice.steps[{number}]"
        if not years < step.below_years <= MAX_NOVICE_YEARS:
            yield f"{at}.belowYears must be above {years}, and at most {MAX_NOVICE_YEARS}"
        years = step.below_years
        yield from _factor_faults(f"{at}.factor", step.factor)
        following = novice.steps[number + 1].factor if number + 1 < len(novice.steps) else NO_CHANGE
        if step.factor < following:
            yield f"{at}.factor must be at least {following}, which is paid with more years: a novice pays no less"


def _factor_faults(at: str, factor: Decimal) -> Iterator[str]:
    if not 0 < factor <= MAX_FACTOR:
        yield f"{at} must be above 0, and at most {MAX_FACTOR}"


def _scale_faults(scale: Scale) -> Iterator[str]:
    levels = list(scale.levels)
    if not levels or levels != sorted(levels) or not 0 < levels[0] <= levels[-1] <= MAX_LEVEL:
        yield f"$.scale.levels must rise from the best class to the worst, from above 0 to at most {MAX_LEVEL} per cent"
    for name, one in (("entryClass", scale.entry_class), ("resetClass", scale.reset_class)):
        if not 0 <= one <= scale.worst_class:
            yield f"$.scale.{name} must be a class of $.scale.levels"
    for name, steps in (
        ("claimFreeYear", scale.claim_free_year),
        ("firstClaimOfYear", scale.first_claim_of_year),
        ("furtherClaimOfYear", scale.further_claim_of_year),
        ("claimFreeYearsToReset", scale.claim_free_years_to_reset),
    ):
        if steps < 1:
            yield f"$.scale.{name} must be above 0"
