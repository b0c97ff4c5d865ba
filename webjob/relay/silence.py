"""Judges the event stream by progress: blocks that polling finds must have been announced. Pure.

A BigchainDB node's publisher can die while its sockets stay open and answer pings, so that neither an open connection
nor a pong proves anything (docs/decisions/0003-the-stream-is-a-hint.md).
"""

import enum

GRACE_S = 5.0
"""How long after a block was found its announcement may come."""


class StreamState(enum.StrEnum):
    """What is known of the stream."""

    DISCONNECTED = "disconnected"
    """There is no connection just now."""
    UNPROVEN = "unproven"
    """It has announced nothing yet, and no block has shown that it should have."""
    ANNOUNCING = "announcing"
    """It announces blocks."""
    SILENT = "silent"
    """A block came that it did not announce, and it has announced none since."""


class Silence:
    """Compares the blocks that polling finds with those that the stream announces. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.state = StreamState.UNPROVEN
        self._announced = 0
        self._excused = 0
        self._waiting_for = 0
        self._since = 0.0

    def excuse(self, height: int) -> None:
        """Take blocks up to `height` as none that the stream owes: they came before it was connected."""
        self._excused = height
        self._waiting_for = 0

    def observe(self, found: int, announced: int, now: float) -> bool:
        """Whether the connection is to be made anew, given the highest block with transactions found and announced.

        It is when the grace has passed for a block that was not announced; the state is then SILENT until the stream
        announces a block again.
        """
        if announced > self._announced:
            self._announced = announced
            self.state = StreamState.ANNOUNCING
        if found <= max(announced, self._excused):
            self._waiting_for = 0
        elif not self._waiting_for or announced >= self._waiting_for:
            self._waiting_for, self._since = found, now
        elif now - self._since > GRACE_S:
            self._waiting_for = 0
            self.state = StreamState.SILENT
            return True
        return False
