"""Wakes the relay's loop: for a hint from the stream, or to stop. It knows neither."""

import queue
import time

from relay.errors import StopRequestedError


class Bell:
    """One sleeper, many ringers, signal handlers among them (a SimpleQueue may be put to while it is being read)."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_rung = False
        self.stopping = False

    def ring(self) -> None:
        """Wake the sleeper, once however often it is rung. A ring may go unheard while one is being answered."""
        if not self._is_rung:
            self._is_rung = True
            self._rings.put(None)

    def stop(self) -> None:
        """Wake the sleeper for good: every wait from now on raises StopRequestedError."""
        self.stopping = True
        self._rings.put(None)

    def wait(self, seconds: float) -> None:
        """Sleep until rung, at most `seconds`. Raises StopRequestedError when it is time to stop."""
        self.check()
        try:
            self._rings.get(timeout=seconds)
        except queue.Empty:
            pass
        finally:
            self._is_rung = False
        self.check()

    def wait_out(self, seconds: float) -> None:
        """Sleep for `seconds` whatever rings. Raises StopRequestedError when it is time to stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.wait(left)
        self.check()

    def check(self) -> None:
        """Raise StopRequestedError when it is time to stop."""
        if self.stopping:
            raise StopRequestedError
