"""Frames of the event stream, one a line: each names a height or is passed over, and memory stays bounded."""

import logging

from relay.logs import log
from relay.silence import Silence, StreamState
from relay.stream import KEPT_HEIGHTS, Stream

log.addHandler(logging.NullHandler())
log.propagate = False


def check(data: bytes) -> None:
    """Hold the listener, and the judge of the stream's silence, to their bounds."""
    hints: list[None] = []
    stream = Stream(lambda: "", lambda: hints.append(None))
    for frame in data.split(b"\n"):
        stream._hear(frame)
    heights = stream.heard()
    assert len(heights) <= min(KEPT_HEIGHTS, len(hints))
    assert all(type(height) is int for height in heights)
    silence = Silence()
    silence.at_tip(1)
    silence.announced(heights)
    silence.found(2, now=0.0)
    assert (silence.state is StreamState.ANNOUNCING) == (2 in heights)
    assert silence.is_overdue(now=60.0) == (2 not in heights)
