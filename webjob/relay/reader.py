"""Reads the ledger ahead of delivery: several blocks at a time, given out in order. It does not know what is read.

Far behind the tip it asks for more and more blocks at once; at the tip for one. What is ahead is bounded in blocks and
in bytes.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from relay.bell import Bell

MAX_AHEAD_BYTES = 32 * 1024 * 1024
LOOK_FOR_STOP_S = 0.2
BLOCKS_AT_TIP = 2
"""So many blocks in a row say nothing about how far the tip is: there a block mostly comes with an empty one."""


class Sized(Protocol):
    """What is read: it has a size in bytes."""

    @property
    def size(self) -> int: ...


class _Slot[B: Sized]:
    """One height that is being read, and what came of it."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.is_done = threading.Event()
        self.block: B | None = None
        self.error: Exception | None = None


class Reader[B: Sized]:
    """Reads blocks with `read`, in up to `workers` threads of its own, until `bell` says stop.

    `read` returns None above the tip, and raises what `next` is then to raise.
    """

    def __init__(self, read: Callable[[int], B | None], workers: int, bell: Bell) -> None:
        self._read = read
        self._bell = bell
        self._workers = workers
        self._in_a_row = 0
        self._depth = 1
        self._last_size = 0
        self._ahead: deque[_Slot[B]] = deque()
        self._wanted: queue.SimpleQueue[_Slot[B] | None] = queue.SimpleQueue()
        for number in range(workers):
            threading.Thread(target=self._work, name=f"reader-{number}", daemon=True).start()

    def next(self, height: int) -> B | None:
        """The block at `height`, None when it is above the tip. Raises what reading it raised, or StopRequestedError.

        Heights are to be asked for in order; after None or an error, the same height again.
        """
        if self._ahead and self._ahead[0].height != height:
            self._ahead.clear()
        self._ask_ahead(height)
        slot = self._ahead[0]
        # Not the bell: a hint that comes while the tip is being read must still be there afterwards.
        while not slot.is_done.wait(LOOK_FOR_STOP_S):
            self._bell.check()
        if slot.error is not None or slot.block is None:
            # What was read beyond may be of another moment, or of another node: it is read again.
            self._ahead.clear()
            self._in_a_row, self._depth = 0, 1
            if slot.error is not None:
                raise slot.error
            return None
        self._ahead.popleft()
        self._last_size = slot.block.size
        self._in_a_row += 1
        if self._in_a_row > BLOCKS_AT_TIP:
            self._depth = min(self._depth * 2, self._workers)
        return slot.block

    @property
    def is_ahead(self) -> bool:
        """Whether more blocks are being read already: the tip is not near."""
        return bool(self._ahead)

    def stop(self) -> None:
        """End the threads, once they have finished what they are at."""
        for _ in range(self._workers):
            self._wanted.put(None)

    def _ask_ahead(self, height: int) -> None:
        allowed = max(1, min(self._depth, MAX_AHEAD_BYTES // max(1, self._last_size)))
        while len(self._ahead) < allowed:
            slot: _Slot[B] = _Slot(height + len(self._ahead))
            self._ahead.append(slot)
            self._wanted.put(slot)

    def _work(self) -> None:
        while (slot := self._wanted.get()) is not None:
            try:
                slot.block = self._read(slot.height)
            except Exception as error:  # noqa: BLE001  raised in the thread that waits, which decides what it means
                slot.error = error
            slot.is_done.set()
