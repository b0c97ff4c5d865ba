"""When a car is parked for failing, and when not: the fault may be the Function's, and then no car is to blame. Pure.

A car that fails alone gets a strike only when another event was applied since its last failure. A Function that fails
everything parks nothing: its events are tried again, with backoff, until it is mended. A Function that rejects one car
after the other, and applies nothing in between, is not believed for long either.
"""

import threading
from collections.abc import Collection, Iterable

from relay.verdict import Outcome, Result

STRIKES = 5
"""How often a car must fail alone, while others get through, before it is parked."""
UNSUPPORTED_REJECTIONS = 5
"""How many cars may be parked on the Function's word with nothing applied in between."""


class Evidence:
    """What speaks for the Function: events that got through. Shared by all lanes.

    `proofs` are the outcomes that count: `applied` alone shows that it can write.
    """

    def __init__(self, proofs: Collection[Outcome] = frozenset({Outcome.APPLIED})) -> None:
        self._proofs = proofs
        self._lock = threading.Lock()
        self._rejections = 0
        self.count = 0
        """How many events got through."""

    def note(self, results: Iterable[Result]) -> None:
        """These results came back."""
        got_through = sum(result.outcome in self._proofs for result in results)
        if got_through:
            with self._lock:
                self.count += got_through
                self._rejections = 0

    def believes_rejection(self) -> bool:
        """Whether a car that the Function rejects is to be parked on its word alone. Asking counts."""
        with self._lock:
            self._rejections += 1
            return self._rejections <= UNSUPPORTED_REJECTIONS


class Strikes:
    """The strikes of one car that fails alone."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._seen = evidence.count
        self.failures = 0
        """How often it failed alone, whatever else happened."""
        self.strikes = 0
        """How often it failed alone while others got through."""

    def fail(self) -> bool:
        """The car failed alone once more; whether it is to be parked now."""
        self.failures += 1
        if self._evidence.count > self._seen:
            self._seen = self._evidence.count
            self.strikes += 1
        return self.strikes >= STRIKES

    def stumble(self) -> None:
        """Several of its events failed together: that says nothing against it yet."""
        self.failures += 1

    def clear(self) -> None:
        """The car got something through: it begins anew."""
        self.failures = self.strikes = 0
        self._seen = self._evidence.count
