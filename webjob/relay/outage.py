"""Ends waiting early once the Function is back: what failed while nothing got through need not wait out its backoff.

While nothing gets through, one lane after the other tries again, a moment apart, whatever their backoff; the first
batch that gets through sends all on. Where others get through, the fault is not an outage, and backoff alone holds.
"""

import random
import threading
import time
from dataclasses import dataclass

from relay.bell import Bell

PROBE_PART = 0.05
"""The next one tries after this part of the time for which nothing has got through, within the two bounds below."""
LEAST_PROBE_S = 0.5
MOST_PROBE_S = 5.0
SPREAD_S = 0.5
"""Within so many seconds of the first success all others go on, not all in the same moment."""


@dataclass(eq=False)
class Retry:
    """When something is to be tried again: `due` in monotonic seconds, which an Outage may bring forward.

    `seen` is how often anything had got through when it was tried last.
    """

    due: float = 0.0
    seen: int = -1


class Outage:
    """Knows who waits because nothing gets through. For several threads; each lane is known by its bell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Bell, list[Retry]] = {}
        """What each lane waits for, the lanes in the order in which they are to try, its latest failure last."""
        self._count = 0
        """How often anything got through."""
        self._since = 0.0
        """When the first of them began to wait."""
        self._called: Bell | None = None
        """The lane that was to try last, and has not failed since."""
        self._probe_at = 0.0

    def failed(self, bell: Bell, retry: Retry) -> None:
        """It failed once more, and is to be tried again at `retry.due`, or earlier: see above.

        Only where nothing got through between its last two attempts: else the fault may be its own, or the Function
        be overloaded.
        """
        with self._lock:
            now = time.monotonic()
            is_outage, retry.seen = retry.seen == self._count, self._count
            if not is_outage:
                return
            if not self._waiting:
                self._since = now
            if bell is self._called:
                self._called = None
            waits = [one for one in self._waiting.pop(bell, []) if one is not retry]
            self._waiting[bell] = [*waits, retry]
            if self._called is None or now >= self._probe_at:
                self._call_next(now)

    def got_through(self) -> None:
        """Something was acknowledged: all that wait go on."""
        with self._lock:
            self._count += 1
            waiting, self._waiting = self._waiting, {}
            self._called, self._probe_at = None, 0.0
        for bell, retries in waiting.items():
            for retry in retries:
                _bring_forward(bell, retry, time.monotonic() + random.uniform(0.0, SPREAD_S))  # noqa: S311  spreads load

    def _call_next(self, now: float) -> None:
        """Have the lane that tried longest ago try again soon."""
        wait = min(max((now - self._since) * PROBE_PART, LEAST_PROBE_S), MOST_PROBE_S)
        self._probe_at = now + wait * random.uniform(0.5, 1.5)  # noqa: S311  spreads load
        # An attempt may hang: the next call goes to another lane.
        self._called = next((bell for bell in self._waiting if bell is not self._called), self._called)
        if self._called is not None:
            _bring_forward(self._called, self._waiting[self._called][-1], self._probe_at)


def _bring_forward(bell: Bell, retry: Retry, due: float) -> None:
    retry.due = min(retry.due, due)
    bell.ring()
