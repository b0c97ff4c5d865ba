"""The tariff: one JSON file with a version, read and validated at start. It knows no driver and no lease."""

from decimal import Decimal
from pathlib import Path

import msgspec

MAX_BASE_RATE = Decimal(1_000_000)
TARIFF_FILE = Path(__file__).with_name("tariff.json")


class TariffError(ValueError):
    """The tariff file cannot be used; the message names the file and the fault."""


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


class Tariff(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Prices: `annual_base_rate` in `currency` a year for a driver at level 100."""

    version: str
    currency: str
    annual_base_rate: Decimal
    scale: Scale


def read_tariff(path: Path = TARIFF_FILE) -> Tariff:
    """The tariff in the file `path`. Raises TariffError when the file is missing or not a tariff."""
    try:
        tariff = msgspec.json.decode(path.read_bytes(), type=Tariff)
    except OSError as error:
        raise TariffError(f"the tariff {path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TariffError(f"the tariff {path} is not valid: {error}") from error
    scale = tariff.scale
    steps = (scale.claim_free_year, scale.first_claim_of_year, scale.further_claim_of_year)
    if not scale.levels or min(scale.levels) <= 0 or list(scale.levels) != sorted(scale.levels):
        raise TariffError(f"the tariff {path} is not valid: $.scale.levels must rise from the best class to the worst")
    if not all(0 <= one <= scale.worst_class for one in (scale.entry_class, scale.reset_class)):
        raise TariffError(
            f"the tariff {path} is not valid: entryClass and resetClass must be classes of $.scale.levels"
        )
    if min(steps) < 1 or scale.claim_free_years_to_reset < 1:
        raise TariffError(f"the tariff {path} is not valid: steps and years must be above zero")
    if not (tariff.annual_base_rate.is_finite() and 0 < tariff.annual_base_rate <= MAX_BASE_RATE):
        raise TariffError(f"the tariff {path} is not valid: the base rate must be above 0, and at most {MAX_BASE_RATE}")
    return tariff
