"""How quiet the machine was: a fixed piece of work is timed again and again, between what is measured."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import Figure

ROUNDS = 60_000
"""Steps of the fixed piece of work: some milliseconds."""
TIMES = 5
"""It is done so often at a time, and the quickest counts: what disturbs for a moment is not the machine's speed."""


class Noise(msgspec.Struct):
    """What a run has seen of the machine: seconds of the fixed piece of work, and the load before the run."""

    load: float
    seconds: list[float] = []
    stolen: float = 0.0
    """The part of the CPU time that the machine's host took away (steal in /proc/stat), 0 to 1."""

    @property
    def spread(self) -> float:
        """How far the times of the same work lie apart, as a part of their median."""
        return Figure("", "s", tuple(self.seconds)).spread


class Watch:
    """Times the fixed piece of work whenever it is asked to, and sums up at the end."""

    def __init__(self) -> None:
        self._noise = Noise(os.getloadavg()[0])
        self._began = _cpu_times()

    def look(self) -> None:
        """Time the fixed piece of work."""
        self._noise.seconds.append(min(_work() for _ in range(TIMES)))

    def noise(self) -> Noise:
        """All that was seen."""
        total, stolen = (after - before for after, before in zip(_cpu_times(), self._began, strict=True))
        self._noise.stolen = stolen / total if total else 0.0
        return self._noise


def _work() -> float:
    began, state = time.perf_counter(), 1
    for _ in range(ROUNDS):
        state = state * 1_103_515_245 % 2_147_483_648
    return time.perf_counter() - began


def _cpu_times() -> Sequence[float]:
    """All CPU time of the machine, and what was stolen of it: the first line of /proc/stat, proc(5)."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    ticks = [int(one) for one in fields]
    return sum(ticks), ticks[7]
