"""Percentiles, spreads, and whether a goal was reached. Pure: it does not know what was measured.

A verdict looks at every repetition: where some lie on one side of the goal and some on the other, the noise hides the
answer, and the verdict says so.
"""

import enum
import math
import statistics
from collections.abc import Sequence

import msgspec


class Verdict(enum.StrEnum):
    """Whether a goal was reached."""

    REACHED = "reached"
    MISSED = "missed"
    TOO_NOISY = "too noisy"


class Goal(msgspec.Struct, frozen=True):
    """A bound that a figure is to keep: at least it, or at most it where `is_ceiling`."""

    bound: float
    is_ceiling: bool = False

    def is_kept_by(self, value: float) -> bool:
        """Whether one value is on the right side."""
        return value <= self.bound if self.is_ceiling else value >= self.bound

    def verdict(self, values: Sequence[float]) -> Verdict:
        """The verdict on the repetitions of one figure: they must agree."""
        kept = {self.is_kept_by(value) for value in values}
        if len(kept) != 1:
            return Verdict.TOO_NOISY
        return Verdict.REACHED if kept == {True} else Verdict.MISSED


class Figure(msgspec.Struct, frozen=True):
    """One figure in all its repetitions, in the order measured; a ratio has the unit "x"."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """The middle repetition."""
        return statistics.median(self.values)

    @property
    def spread(self) -> float:
        """How far the repetitions lie apart, as a part of the median; nan where the median is 0."""
        return (max(self.values) - min(self.values)) / self.median if self.median else math.nan

    @property
    def verdict(self) -> Verdict | None:
        """Whether the goal was reached; None where there is none."""
        return self.goal.verdict(self.values) if self.goal else None


AGREED = 0.1
"""Repetitions on both sides of 1 that lie no further apart than this agree that a ratio is about 1."""
HIDDEN, ALONE = "too noisy", "one repetition"


def told_ratio(ratios: Sequence[float]) -> str:
    """The median of a ratio's repetitions, with least and most; not that where their spread hides it.

    It is hidden where they do not agree which of the two is the larger, or where one of them is twice another.
    """
    least, most = min(ratios), max(ratios)
    if len(ratios) == 1:
        return ALONE
    if most > 2 * least or (least < 1 < most and most - least > AGREED):
        return HIDDEN
    return f"{statistics.median(ratios):.2f} ({least:.2f} to {most:.2f})"


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part (0 to 1) of all values do not exceed (the nearest rank).

    Raises ValueError when there are no values.
    """
    if not values:
        raise ValueError("there is no percentile of nothing")
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
