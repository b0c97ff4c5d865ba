"""Says every half minute how far the audit has come. Kudu ends a triggered WebJob that is silent for too long."""

import threading

from relay.logs import fields, log

EVERY_S = 30.0
"""Kudu's WEBJOBS_IDLE_TIMEOUT is 121 seconds where it is not set."""


class Stage:
    """What the audit is at, and how far; said in a thread of its own, since a single call may take long."""

    def __init__(self) -> None:
        self._what, self._done, self._of = "beginning", 0, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._say, name="progress", daemon=True)

    def start(self) -> None:
        """Begin to say it."""
        self._thread.start()

    def stop(self) -> None:
        """Say it no more."""
        self._is_over.set()

    def tell(self, what: str, done: int, of: int = 0) -> None:
        """The audit is at `what`, has done so much of it, of so much where that is known."""
        self._what, self._done, self._of = what, done, of

    def _say(self) -> None:
        while not self._is_over.wait(EVERY_S):
            total = {"of": self._of} if self._of else {}
            log.info("auditing", extra=fields(what=self._what, done=self._done, **total))
