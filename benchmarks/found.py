"""What a report is made of: a run with all that it found, and the steps of optimisation. No I/O but for steps.json."""

from pathlib import Path

import msgspec

from benchmarks.run import FULL, QUICK, Found, Scale

STEPS = Path(__file__).parent / "steps.json"


class Run(msgspec.Struct, frozen=True):
    """A run: whether it was quick, the commit that it measured, how many minutes it took, the day, what it found."""

    is_quick: bool
    commit: str
    minutes: float
    day: str
    found: Found

    @property
    def scale(self) -> Scale:
        """How much was measured."""
        return QUICK if self.is_quick else FULL


class Step(msgspec.Struct, frozen=True):
    """One step of optimisation: what was changed, where, and a figure before and after, in its repetitions."""

    name: str
    commit: str
    unit: str
    before: list[float]
    after: list[float]
    why: str


def read_steps() -> list[Step]:
    """The steps of optimisation, as steps.json has them: each was measured when it was made."""
    return msgspec.json.decode(STEPS.read_bytes(), type=list[Step])
