"""How long to wait before trying again: exponential backoff with full jitter, and what Retry-After says. Pure but for
the dice and the clock.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; Retry-After: RFC 9110, 10.2.3.
"""

import email.utils
import math
import random
import time

BASE_S = 0.2
CAP_S = 30.0
MAX_RETRY_AFTER_S = 300.0


def delay(attempt: int, cap: float = CAP_S) -> float:
    """Seconds before attempt number `attempt` + 1, `attempt` counting those that failed, from 1."""
    ceiling = min(cap, BASE_S * 2.0 ** min(attempt, 32))
    return random.uniform(0.0, ceiling)  # noqa: S311  # spreads load; guards no secret


def retry_after(text: str) -> float:
    """Seconds in a Retry-After header, which holds a number or an HTTP date; 0 where it holds neither."""
    try:
        return _bounded(float(text))
    except ValueError:
        pass
    try:
        return _bounded(email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else MAX_RETRY_AFTER_S
