"""Does what may fail for a while until it succeeds. It knows only which errors pass, and that a stop ends waiting."""

from collections.abc import Callable

from relay import backoff
from relay.bell import Bell
from relay.errors import PassingError
from relay.logs import fields, log, short


def until_done[T](bell: Bell, what: str, action: Callable[[], T]) -> T:
    """The result of `action`, which is called again, with backoff, as long as it raises PassingError.

    Raises StopRequestedError when it is time to stop, and whatever else `action` raises.
    """
    attempt = 0
    while True:
        bell.check()
        try:
            return action()
        except PassingError as error:
            attempt += 1
            delay = max(backoff.delay(attempt), error.retry_after)
            log.warning("waiting", extra=fields(what=what, reason=short(str(error)), attempt=attempt, retry_in_s=delay))
            bell.wait_out(delay)
