"""How far the ledger has been read, and up to which block everything is settled. It does no I/O.

Lanes finish out of order; the watermark is the highest block below which nothing is left open. What is under way is
counted, so that reading can wait: memory stays bounded however slow the Function is.
"""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from relay.bell import Bell
from relay.events import CarEvent

MAX_EVENTS = 5_000
"""Events that may be under way: read, and not settled."""
MAX_BYTES = 32 * 1024 * 1024
"""Bytes that they may have together. One block that is larger is taken alone."""

LOOK_AGAIN_S = 1.0


class Mark(msgspec.Struct, frozen=True):
    """A height up to which everything is settled; the last block with transactions below it, and its fingerprint."""

    height: int
    anchor_height: int = 0
    anchor: str = ""


@dataclass
class _OpenBlock:
    height: int
    fingerprint: str
    left: int


class Progress:
    """Counts the events of each block down. One thread opens blocks, in order; any may settle events."""

    def __init__(self, start: Mark, bell: Bell) -> None:
        self._mark = start
        self._bell = bell
        self._blocks: deque[_OpenBlock] = deque()
        self._by_height: dict[int, _OpenBlock] = {}
        self._events = 0
        self._bytes = 0
        self._is_awaited = False
        self._lock = threading.Lock()
        self.read = start.height
        """The last block that was opened."""

    @property
    def mark(self) -> Mark:
        """Up to where everything is settled."""
        with self._lock:
            return self._mark

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way."""
        return self.mark.height == self.read

    def wait_for_room(self) -> None:
        """Wait until another block may be opened. Raises StopRequestedError when it is time to stop."""
        while not self._has_room():
            self._is_awaited = True
            if not self._has_room():
                self._bell.wait(LOOK_AGAIN_S)
            self._is_awaited = False

    def open(self, height: int, fingerprint: str, events: Iterable[CarEvent]) -> None:
        """The next block was read; these events of it are under way until they are settled."""
        with self._lock:
            block = _OpenBlock(height, fingerprint, 0)
            for event in events:
                block.left += 1
                self._bytes += event.size
            self._events += block.left
            self._blocks.append(block)
            self._by_height[height] = block
            self.read = height
            self._move()

    def settle(self, events: Iterable[CarEvent]) -> None:
        """These events are settled: acknowledged, or their car is parked. Each is to be settled once."""
        with self._lock:
            for event in events:
                self._by_height[event.height].left -= 1
                self._events -= 1
                self._bytes -= event.size
            self._move()
        if self._is_awaited:
            self._bell.ring()

    def _has_room(self) -> bool:
        return self._events < MAX_EVENTS and self._bytes < MAX_BYTES

    def _move(self) -> None:
        while self._blocks and self._blocks[0].left == 0:
            block = self._blocks.popleft()
            del self._by_height[block.height]
            anchor = (block.height, block.fingerprint) if block.fingerprint else self._mark_anchor()
            self._mark = Mark(block.height, *anchor)

    def _mark_anchor(self) -> tuple[int, str]:
        return self._mark.anchor_height, self._mark.anchor
