"""A link between two parts: the fault in force on it, and what it has done. Read by connections, switched by whoever
plays the accidents; both may be in different threads."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from local.faults.answers import Answer, Request
from local.faults.fault import Fault, Kind, Level

Observe = Callable[[Request, Answer], None]


@dataclass
class Link:
    """What goes to `port` of 127.0.0.1 is carried to `server`. `observe` is told of all that the server answers."""

    name: str
    server: tuple[str, int]
    observe: Observe | None = None
    seed: int = 0
    port: int = 0
    fault: Fault | None = None
    hits: Counter[Kind] = field(default_factory=Counter)
    requests: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(f"{self.name} {self.seed}")  # noqa: S311  # chance, not secrecy

    @property
    def address(self) -> str:
        """Where clients connect, `127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"

    def switch(self, fault: Fault) -> None:
        """Put this fault in force, in place of another."""
        self.fault = fault

    def clear(self) -> None:
        """End the fault; what it held back goes on."""
        self.fault = None

    def hit(self, level: Level, *but: Kind) -> Fault | None:
        """The fault that hits the next piece, request or frame, if one does; it is counted."""
        fault = self.fault
        if fault is None or fault.kind.level is not level or fault.kind in but:
            return None
        if fault.chance < 1 and self._dice.random() >= fault.chance:
            return None
        self.hits[fault.kind] += 1
        return fault
