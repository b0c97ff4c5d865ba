"""Does what may fail for a while until it succeeds, but not for ever: an audit that cannot go on gives up."""

import time
from collections.abc import Callable

from relay import backoff
from relay.bell import Bell
from relay.errors import PassingError
from relay.logs import fields, log, short

WAIT_CAP_S = 10.0
"""The longest wait between two attempts."""


class Patience:
    """How long anything may fail in a row before it is given up."""

    def __init__(self, bell: Bell, seconds: float) -> None:
        self.bell = bell
        self._seconds = seconds

    def until_done[T](self, what: str, action: Callable[[], T]) -> T:
        """The result of `action`, which is called again, with backoff, while it raises PassingError.

        Raises the last PassingError when it has failed for too long, and StopRequestedError when it is time to stop.
        """
        attempt, began = 0, time.monotonic()
        while True:
            self.bell.check()
            try:
                return action()
            except PassingError as error:
                attempt += 1
                delay = max(backoff.delay(attempt, WAIT_CAP_S), error.retry_after)
                if time.monotonic() + delay > began + self._seconds:
                    raise
                facts = fields(what=what, reason=short(str(error)), attempt=attempt, retry_in_s=delay)
                log.warning("waiting", extra=facts)
                self.bell.wait_out(delay)
