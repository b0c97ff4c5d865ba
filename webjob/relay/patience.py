"""Does what may fail for a while until it succeeds. It knows only which errors pass, and that a stop ends waiting."""

import math
import time
from collections.abc import Callable

from relay import backoff
from relay.bell import Bell
from relay.errors import PassingError
from relay.logs import fields, log, short


def until_done[T](
    bell: Bell,
    what: str,
    action: Callable[[], T],
    longest_wait_s: float = backoff.CAP_S,
    give_up_after_s: float = math.inf,
) -> T:
    """The result of `action`, which is called again, with backoff, as long as it raises PassingError.

    Raises the last PassingError when it could not be tried again within `give_up_after_s` of the first call,
    StopRequestedError when it is time to stop, and whatever else `action` raises.
    """
    attempt, began = 0, time.monotonic()
    while True:
        bell.check()
        try:
            return action()
        except PassingError as error:
            attempt += 1
            delay = max(backoff.delay(attempt, longest_wait_s), error.retry_after)
            if time.monotonic() + delay > began + give_up_after_s:
                raise
            log.warning("waiting", extra=fields(what=what, reason=short(str(error)), attempt=attempt, retry_in_s=delay))
            bell.wait_out(delay)
