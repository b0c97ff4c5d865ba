"""What goes wrong, and when: decided by a seed and a length, before anything runs.

Every accident there is lies in one of two decks, which are shuffled, dealt, and shuffled again when they are used up,
so that a run that is long enough has them all. What happens to one place happens there one after the other; different
places may be hit at once.
"""

import enum
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle

from local.faults.fault import Fault, Kind, Level

NODE_A, NODE_B = "node a", "node b"
STREAM = "event stream"
TO_FUNCTION = "relay to Function"
RELAY_TABLES = "relay to tables"
FUNCTION_TABLES = "Function to tables"
LINKS = (NODE_A, NODE_B, STREAM, TO_FUNCTION, RELAY_TABLES, FUNCTION_TABLES)
RELAY, FUNCTION, STORAGE = "relay", "Function app", "table storage"
PARTS = (RELAY, FUNCTION, STORAGE)

QUIET_BEFORE_S = 3.0
GAP_S = (0.5, 4.0)
"""How long it is from the beginning of an accident to the next one's, least and most."""
REST_S = 0.5
"""How long a place is left alone after an accident."""
HAPPENING = 0.3
"""So large a part of the accidents are kills and the like; the others are faults of a link."""
LONG_RUN_S = 480.0
"""A run so long has answers that come after the relay has given up waiting, and clocks that are wrong for a while."""
PAST_THE_TIMEOUT_S = 63.0


class What(enum.StrEnum):
    """The sorts of accident."""

    FAULT = "fault"
    KILL = "kill -9"
    STOP = "stop and start"
    FREEZE = "freeze"
    SECOND_RELAY = "second relay"
    PAUSE = "pause and resume"
    REPLAY = "replay"
    CLOCK = "clock jumps"
    POWER_CUT = "power cut"


@dataclass(frozen=True)
class Accident:
    """Something that happens at a place: a link, a part, or all parts. `amount`: of a clock, the jump in seconds."""

    what: What
    where: str
    fault: Fault | None = None
    amount: float = 0.0

    def __str__(self) -> str:
        if self.what is What.CLOCK:
            return f"{self.where}: clock jumps by {self.amount:+.0f} s"
        return f"{self.where}: {self.fault or self.what}"


@dataclass(frozen=True)
class Episode:
    """An accident, when it begins, in seconds from the start, and how long it lasts."""

    at: float
    lasts: float
    accident: Accident


def plan(seed: int, seconds: float) -> list[Episode]:
    """The accidents of a run, in the order in which they begin; the last is over by its end."""
    dice = random.Random(f"schedule {seed}")
    episodes: list[Episode] = []
    free: dict[str, float] = {}
    faults, happenings = _dealt(dice, [FAULTS]), _dealt(dice, [HAPPENINGS, [*HAPPENINGS, *KILLS]])
    at = QUIET_BEFORE_S
    while at < seconds:
        where, draw = next(happenings if dice.random() < HAPPENING else faults)
        accident, lasts = draw(dice, where, seconds)
        touched = PARTS if accident.what is What.POWER_CUT else (where,)
        begins = max(at, *(free.get(place, 0.0) for place in touched))
        if begins + lasts < seconds:
            episodes.append(Episode(round(begins, 2), round(lasts, 2), accident))
            free.update(dict.fromkeys(touched, begins + lasts + REST_S))
        at += dice.uniform(*GAP_S)
    return sorted(episodes, key=lambda one: one.at)


def _dealt(dice: random.Random, decks: list[list["Deal"]]) -> Iterator["Deal"]:
    """The cards of each deck in turn, shuffled, without end."""
    for deck in cycle(decks):
        yield from dice.sample(deck, len(deck))


# ---- the decks: a place, and what draws an accident there and how long it lasts

Draw = Callable[[random.Random, str, float], tuple[Accident, float]]
Deal = tuple[str, Draw]

AMOUNTS: dict[Kind, tuple[float, float]] = {
    Kind.DELAY: (0.02, 1.5),
    Kind.BANDWIDTH: (4_000, 200_000),
    Kind.TRUNCATE: (0, 600),
    Kind.LATE: (1, 8),
    Kind.SLOW_BODY: (0.5, 5),
    Kind.THROTTLED: (1, 4),
    Kind.FLOOD: (100, 2_000),
}
ALWAYS = {
    Kind.DELAY,
    Kind.BANDWIDTH,
    Kind.HALF_OPEN,
    Kind.STALL_REQUESTS,
    Kind.STALL_ANSWERS,
    Kind.CRASH_ON_A_CAR,
    Kind.SILENCE,
    Kind.FLOOD,
}
"""These hit everything while they last; of the others, each message has a chance."""
EVERYWHERE = tuple(kind for kind in Kind if kind.level is Level.BYTES)
ANY_HTTP = (Kind.TWICE, Kind.LOST_BEFORE, Kind.LOST_AFTER, Kind.LATE, Kind.SLOW_BODY)
OF_FUNCTION = (
    Kind.STARTING,
    Kind.STOPPED,
    Kind.ACCEPTED,
    Kind.CRASH,
    Kind.CRASH_ON_A_CAR,
    Kind.BAD_GATEWAY,
    Kind.UNAVAILABLE,
    Kind.THROTTLED,
    Kind.PAGE,
    Kind.ID_MISSING,
)
OF_NODE = (Kind.STARTING, Kind.BAD_GATEWAY, Kind.UNAVAILABLE, Kind.THROTTLED, Kind.PAGE)
OF_TABLES = (Kind.TABLES_TIMED_OUT, Kind.TABLES_BUSY, Kind.TABLES_CONFLICT)
FRAMES = tuple(kind for kind in Kind if kind.level is Level.FRAMES)


def _fault(kind: Kind) -> Draw:
    def draw(dice: random.Random, where: str, seconds: float) -> tuple[Accident, float]:
        amount = round(dice.uniform(*AMOUNTS[kind]), 2) if kind in AMOUNTS else 0.0
        chance = 1.0 if kind in ALWAYS else dice.choice((0.1, 0.3, 0.6, 1.0))
        if kind is Kind.LATE and where == TO_FUNCTION and seconds > LONG_RUN_S:
            amount, chance = PAST_THE_TIMEOUT_S, 0.3
        return Accident(What.FAULT, where, Fault(kind, amount, chance)), dice.uniform(1.0, 7.0)

    return draw


def _happening(what: What, least: float, most: float) -> Draw:
    def draw(dice: random.Random, where: str, seconds: float) -> tuple[Accident, float]:
        return Accident(what, where), dice.uniform(least, min(most, seconds / 8))

    return draw


def _clock(dice: random.Random, where: str, seconds: float) -> tuple[Accident, float]:
    jump = dice.choice((-86_400, -3_600, -400, -30, 30, 400, 3_600, 86_400)) * dice.uniform(0.8, 1.2)
    return Accident(What.CLOCK, where, amount=round(jump)), dice.uniform(2.0, 15.0 if seconds > LONG_RUN_S else 5.0)


FAULTS: list[Deal] = [
    *((link, _fault(kind)) for link in LINKS for kind in EVERYWHERE),
    *((link, _fault(kind)) for link in LINKS if link != STREAM for kind in ANY_HTTP),
    *((STREAM, _fault(kind)) for kind in FRAMES),
    *((TO_FUNCTION, _fault(kind)) for kind in OF_FUNCTION),
    *((node, _fault(kind)) for node in (NODE_A, NODE_B) for kind in OF_NODE),
    *((tables, _fault(kind)) for tables in (RELAY_TABLES, FUNCTION_TABLES) for kind in OF_TABLES),
]
KILLS: list[Deal] = [(part, _happening(What.KILL, 0.0, 5.0)) for part in PARTS]
HAPPENINGS: list[Deal] = [
    *KILLS,
    *((part, _happening(What.STOP, 0.0, 5.0)) for part in PARTS),
    *((part, _happening(What.FREEZE, 1.0, 8.0)) for part in PARTS),
    *((part, _clock) for part in (RELAY, FUNCTION)),
    ("relays", _happening(What.SECOND_RELAY, 5.0, 20.0)),
    ("relays", _happening(What.PAUSE, 2.0, 6.0)),
    ("replays", _happening(What.REPLAY, 0.0, 0.0)),
    ("everything", _happening(What.POWER_CUT, 0.0, 3.0)),
]
