"""How often, and how soon, what met another writer is read and decided again."""

import asyncio
import random

ATTEMPTS = 8
FIRST_PAUSE_S = 0.005


async def let_others_finish(attempt: int) -> None:
    """Wait a little before the next attempt, longer after each: at random, so that two writers do not keep step."""
    await asyncio.sleep(random.uniform(0, FIRST_PAUSE_S * 2**attempt))  # noqa: S311  no secret depends on it
