"""How long to wait before trying again: exponential backoff with full jitter. Pure but for the dice.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import random

BASE_S = 0.2
CAP_S = 30.0


def delay(attempt: int, cap: float = CAP_S) -> float:
    """Seconds before attempt number `attempt` + 1, `attempt` counting those that failed, from 1."""
    ceiling = min(cap, BASE_S * 2.0 ** min(attempt, 32))
    return random.uniform(0.0, ceiling)  # noqa: S311  # spreads load; guards no secret
