"""Judges the event stream by progress: blocks that reading finds at the tip must be announced. Pure.

A BigchainDB node's publisher can die while its sockets stay open and answer pings, so that neither an open connection
nor a pong proves anything (docs/decisions/0003-the-stream-is-a-hint.md). Nor does an announcement alone: only one of a
block that is then found is believed. Times are monotonic seconds.
"""

import enum
from collections import OrderedDict
from collections.abc import Collection

GRACE_S = 5.0
"""How long after a block was found its announcement may come."""
REMEMBERED = 1_024
"""How many heights, announced or owed, are remembered."""
FRESH_BLOCKS = REMEMBERED // 2
"""A block further above the last known tip than this came while the relay was not looking; its announcement may be
forgotten already."""


class StreamState(enum.StrEnum):
    """What is known of the stream."""

    DISCONNECTED = "disconnected"
    """There is no connection just now."""
    UNPROVEN = "unproven"
    """This connection has announced nothing yet, and no block has shown that it should have."""
    ANNOUNCING = "announcing"
    """It announces the blocks that are found."""
    SILENT = "silent"
    """A block came that it did not announce, and it has announced none since."""


class Silence:
    """Compares the blocks that are found with those that the stream announces. Memory is bounded."""

    def __init__(self) -> None:
        self.state = StreamState.UNPROVEN
        self._announced: OrderedDict[int, None] = OrderedDict()
        self._owed: OrderedDict[int, float] = OrderedDict()
        self._tip: int | None = None

    def connected(self) -> None:
        """There is a new connection: it owes only what comes after the tip is reached next, and has to prove itself."""
        self._owed.clear()
        self._tip = None
        if self.state is StreamState.ANNOUNCING:
            self.state = StreamState.UNPROVEN

    def announced(self, heights: Collection[int]) -> None:
        """The stream has announced these blocks."""
        if len(heights) >= REMEMBERED:
            # Others may have come before them and be forgotten: what is owed can be told no longer.
            self._owed.clear()
        for height in heights:
            if self._owed.pop(height, None) is not None:
                self.state = StreamState.ANNOUNCING
            _remember(self._announced, height, None)

    def found(self, height: int, now: float) -> None:
        """A block with transactions was found at this height."""
        if height in self._announced:
            self.state = StreamState.ANNOUNCING
        elif self._tip is not None and self._tip < height <= self._tip + FRESH_BLOCKS:
            _remember(self._owed, height, now)

    def at_tip(self, height: int) -> None:
        """There is no block above this height just now."""
        self._tip = height

    def is_overdue(self, now: float) -> bool:
        """Whether an announcement has not come within the grace: the connection is then to be made anew."""
        if not any(now - since > GRACE_S for since in self._owed.values()):
            return False
        self._owed.clear()
        self.state = StreamState.SILENT
        return True

    def seconds_to_verdict(self, now: float) -> float | None:
        """When `is_overdue` may become true, if nothing is announced; None where nothing is owed."""
        return max(0.0, GRACE_S - (now - min(self._owed.values()))) + 0.01 if self._owed else None


def _remember[V](heights: OrderedDict[int, V], height: int, value: V) -> None:
    heights[height] = value
    if len(heights) > REMEMBERED:
        heights.popitem(last=False)
