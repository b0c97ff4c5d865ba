"""The faults by name: on which level each bites, what its amount means, and what it does."""

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """What a fault is applied to, one at a time: the pieces of a byte stream, HTTP requests, or WebSocket frames."""

    BYTES = "bytes"
    REQUESTS = "requests"
    FRAMES = "frames"


class Kind(enum.Enum):
    """A fault: its name, its level, what its amount is (nothing: it has none), and what happens."""

    DELAY = "delay", Level.BYTES, "seconds", "every piece is handed on so much later, both ways"
    BANDWIDTH = "bandwidth", Level.BYTES, "bytes a second", "pieces pass at this rate, both ways"
    RESET = "reset", Level.BYTES, "", "the connection is reset (RST) when the next piece comes"
    HALF_OPEN = "half-open", Level.BYTES, "", "connections are accepted, nothing is answered; reset at the end"
    TRUNCATE = "truncate", Level.BYTES, "bytes", "so much of an answer passes, then the connection ends"
    STALL_REQUESTS = "stall-requests", Level.BYTES, "", "nothing passes towards the server until the end"
    STALL_ANSWERS = "stall-answers", Level.BYTES, "", "nothing passes towards the client until the end"

    TWICE = "twice", Level.REQUESTS, "", "the server gets the request twice; the second answer is handed on"
    LOST_BEFORE = "lost-before", Level.REQUESTS, "", "the connection is lost before the server has the request"
    LOST_AFTER = "lost-after", Level.REQUESTS, "", "the server does the work, the connection is lost before its answer"
    LATE = "late", Level.REQUESTS, "seconds", "the server does the work, its answer is handed on so much later"
    SLOW_BODY = "slow-body", Level.REQUESTS, "seconds", "the answer's body trickles for so long"

    STARTING = "starting", Level.REQUESTS, "", "404 with a page: the Function app is starting"
    STOPPED = "stopped", Level.REQUESTS, "", "403 with a page: the Function app is stopped"
    ACCEPTED = "accepted", Level.REQUESTS, "", "202 without a body: nothing was done"
    CRASH = "crash", Level.REQUESTS, "", "500 without a body"
    BAD_GATEWAY = "bad-gateway", Level.REQUESTS, "", "502 with a page"
    UNAVAILABLE = "unavailable", Level.REQUESTS, "", "503 with a page"
    THROTTLED = "throttled", Level.REQUESTS, "seconds", "429 with Retry-After"
    PAGE = "page", Level.REQUESTS, "", "200 with an HTML page: nothing was done"
    CRASH_ON_A_CAR = (
        "crash-on-a-car",
        Level.REQUESTS,
        "",
        "500 for what holds an event of certain cars, one in 64",
    )
    ID_MISSING = "id-missing", Level.REQUESTS, "", "the work is done, the answer leaves out one event"

    TABLES_TIMED_OUT = "tables-timed-out", Level.REQUESTS, "", "500 OperationTimedOut of Table Storage"
    TABLES_BUSY = "tables-busy", Level.REQUESTS, "", "503 ServerBusy of Table Storage"
    TABLES_CONFLICT = "tables-conflict", Level.REQUESTS, "", "412 UpdateConditionNotSatisfied, for writes"

    DROP = "drop", Level.FRAMES, "", "an event is dropped"
    REPEAT = "repeat", Level.FRAMES, "", "an event comes twice"
    REORDER = "reorder", Level.FRAMES, "", "an event comes after its successor"
    GARBLE = "garble", Level.FRAMES, "", "an event is cut and its bytes changed"
    SILENCE = "silence", Level.FRAMES, "", "no event comes; pings are answered"
    FLOOD = "flood", Level.FRAMES, "frames a second", "invented events come between the true ones"

    def __init__(self, title: str, level: Level, unit: str, effect: str) -> None:
        self.title = title
        self.level = level
        self.unit = unit
        self.effect = effect


@dataclass(frozen=True)
class Fault:
    """A fault in force. `amount` is in the kind's unit; `chance` is that of each piece, request or frame to be hit."""

    kind: Kind
    amount: float = 0.0
    chance: float = 1.0

    def __str__(self) -> str:
        amount = f" {self.amount:g} {self.kind.unit}" if self.kind.unit else ""
        return f"{self.kind.title}{amount}" + (f" ({self.chance:.0%})" if self.chance < 1 else "")


def named(title: str) -> Kind:
    """The kind of this name. Raises ValueError that lists them all."""
    for kind in Kind:
        if kind.title == title:
            return kind
    raise ValueError(f"no fault {title!r}; there are {', '.join(kind.title for kind in Kind)}")
