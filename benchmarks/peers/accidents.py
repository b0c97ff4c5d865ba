"""The accidents: what is taken away in the middle of a history, for how long, and how."""

import enum
from dataclasses import dataclass

from local.faults.fault import Fault, Kind


class Place(enum.StrEnum):
    """Where an accident happens. To the last three go connections through a proxy, in the run that needs it."""

    NOWHERE = "nowhere"
    FORWARDER = "forwarder"
    FUNCTION = "function"
    TABLES = "tables"
    STREAM = "stream"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class Accident:
    """What happens, where, for how many seconds; where there is no fault, the process is killed and started again."""

    name: str
    place: Place
    lasts: float = 0.0
    fault: Fault | None = None


NONE = Accident("nothing", Place.NOWHERE)
KILLED = Accident("the forwarder is killed, and started again after 5 s", Place.FORWARDER, 5.0)
FUNCTION_AWAY = Accident("the Function app is killed, and started again after 5 s", Place.FUNCTION, 5.0)
FUNCTION_LONG_AWAY = Accident("the Function app is killed, and started again after 15 s", Place.FUNCTION, 15.0)
TABLES_AWAY = Accident("Table Storage answers 503 for 5 s", Place.TABLES, 5.0, Fault(Kind.TABLES_BUSY))
RESET = Accident("the stream is reset, for 1 s", Place.STREAM, 1.0, Fault(Kind.RESET))
SILENT = Accident("the stream is silent for 10 s, its socket open", Place.STREAM, 10.0, Fault(Kind.SILENCE))
NODE_AWAY = Accident("the node's HTTP API answers 503 for 5 s", Place.NODE, 5.0, Fault(Kind.UNAVAILABLE))

ALL = (NONE, KILLED, FUNCTION_AWAY, FUNCTION_LONG_AWAY, TABLES_AWAY, RESET, SILENT, NODE_AWAY)
FEW = (KILLED,)
"""Those of a quick run."""
