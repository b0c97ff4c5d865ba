"""Counts what came of the events that were delivered. For several threads."""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence

from relay.events import CarEvent
from relay.verdict import Outcome, Result

PARKED = "left out, their car is parked"


class Tally:
    """The outcomes of all events so far; and the first `most_named` cars whose record changed."""

    def __init__(self, most_named: int = 0) -> None:
        self._lock = threading.Lock()
        self._most_named = most_named
        self._counts: Counter[str] = Counter()
        self._changed: dict[str, int] = {}

    def note(self, batch: Iterable[CarEvent], results: Sequence[Result]) -> Counter[str]:
        """Count the results of a batch; they alone, by outcome."""
        counts = Counter(str(result.outcome) for result in results)
        with self._lock:
            self._counts.update(counts)
            for event, result in zip(batch, results, strict=True):
                is_named = event.asset_id in self._changed or len(self._changed) < self._most_named
                if result.outcome is Outcome.APPLIED and is_named:
                    self._changed[event.asset_id] = self._changed.get(event.asset_id, 0) + 1
        return counts

    def add(self, what: str, count: int) -> None:
        """Count events that came to an end without a result of their own."""
        with self._lock:
            self._counts[what] += count

    def counts(self) -> dict[str, int]:
        """How many events came to which end."""
        with self._lock:
            return dict(self._counts)

    def changed(self) -> dict[str, int]:
        """How many transactions were applied to each of the cars that are named."""
        with self._lock:
            return dict(self._changed)
