"""What came before each event of a car on the ledger, as far as this relay has seen it. Pure.

It outlives pipelines: where delivery begins again, or goes on after a pause, nothing is forgotten.
"""

from relay.cars import Recent
from relay.events import CarEvent, following

REMEMBERED = 20_000
"""Of each kind, some 7 MB. What is forgotten costs a divided car a repair."""


class Predecessors:
    """Tells events what they follow. It must be shown all events from some block on, in order, and may be again."""

    def __init__(self) -> None:
        self._before: Recent[str] = Recent(REMEMBERED)
        """By transaction id."""
        self._furthest: Recent[tuple[str, str]] = Recent(REMEMBERED)
        """By asset id, sequence and id of the car's last transaction that was seen."""

    def told(self, event: CarEvent) -> CarEvent:
        """The event, saying what came before it; the first one of its car that is seen cannot say it."""
        sequence, last = self._furthest.get(event.asset_id) or ("", "")
        before = self._before.get(event.transaction_id)
        if event.sequence > sequence:
            self._furthest.put(event.asset_id, (event.sequence, event.transaction_id))
            before = before or last
        if not before:
            return event
        self._before.put(event.transaction_id, before)
        return following(event, before)
