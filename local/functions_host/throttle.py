"""How many requests run and wait at once, as `maxConcurrentRequests` and `maxOutstandingRequests` say.

It knows nothing about what a request is. Source: HttpThrottleMiddleware and HttpRequestQueue of the host.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from local.functions_host.errors import QueueFullError


class Throttle:
    """Counts the requests held, running or waiting, and lets only so many run."""

    def __init__(self, max_concurrent: int | None, max_outstanding: int | None) -> None:
        """`max_concurrent` requests run at once, `max_outstanding` are held including those; None is no limit."""
        self._max_outstanding = max_outstanding
        self._held = 0
        self._running = asyncio.Semaphore(max_concurrent) if max_concurrent else contextlib.nullcontext()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, in order of arrival, and keep it for the length of the block.

        Raises QueueFullError at once when as many requests as allowed are already held.
        """
        if self._max_outstanding is not None and self._held >= self._max_outstanding:
            raise QueueFullError(f"{self._held} requests are held, as many as maxOutstandingRequests allows")
        self._held += 1
        try:
            async with self._running:
                yield
        finally:
            self._held -= 1
