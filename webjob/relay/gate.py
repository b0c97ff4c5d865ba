"""Holds every lane back while the Function asks for a pause, or while a setting is wrong for all of them alike."""

import threading
import time

from relay.bell import Bell


class Gate:
    """Open, or closed for a while. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed_until = 0.0

    def close(self, seconds: float) -> bool:
        """Close it for at least so long from now; whether it was open."""
        with self._lock:
            now = time.monotonic()
            was_open = self._closed_until <= now
            self._closed_until = max(self._closed_until, now + seconds)
            return was_open

    def wait(self, bell: Bell) -> None:
        """Return once it is open. Raises StopRequestedError when it is time to stop."""
        while (left := self._closed_until - time.monotonic()) > 0:
            bell.wait_out(left)
