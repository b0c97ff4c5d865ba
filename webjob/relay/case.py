"""A car that is set aside: delivered alone, in its own time, while the other cars of its lane go on. It does no I/O.

A car is set aside when it fails alone, when the record lacks what its events build on (its whole chain is then sent
from the ledger), or when a parked car is to be tried again.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from relay.events import CarEvent, how_many_fit
from relay.outage import Retry
from relay.parking import Strikes
from relay.repair import Fetch

MOST = 500
"""The most events that go together, whatever the setting."""


@dataclass
class Case:
    """One car that is set aside; `retry` says when it is due.

    `owed` are the events of blocks that wait for it, by transaction id; `to_send` what is to be sent, in order: they
    differ while the car's chain is sent, which holds more. `needed` are the transactions that the chain must hold, and
    `last` is the last one that the checkpoint has passed already. `stuck_at` is the transaction for whose sake the
    chain was asked for.
    """

    car: str
    strikes: Strikes
    retry: Retry
    owed: dict[str, CarEvent] = field(default_factory=dict)
    to_send: deque[CarEvent] = field(default_factory=deque)
    needed: set[str] = field(default_factory=set)
    last: str = ""
    needs_chain: bool = False
    fetch: Fetch | None = None
    is_chain: bool = False
    stuck_at: str = ""
    is_redrive: bool = False
    is_ignored: bool = False
    size: int = 1

    def add(self, events: Iterable[CarEvent]) -> None:
        """More events of the car, which come after all that it has."""
        for event in events:
            self.owed[event.transaction_id] = event
            self.to_send.append(event)

    def put_before(self, events: Sequence[CarEvent]) -> None:
        """Events of the car that come before all that it has."""
        self.owed = {event.transaction_id: event for event in events} | self.owed
        self.to_send.extendleft(reversed(events))

    def batch(self, most: int, most_bytes: int) -> list[CarEvent]:
        """What to send next: one event at first, more as they get through; nothing that cannot be sent."""
        first = list(takewhile(lambda event: not event.unsendable, islice(self.to_send, min(self.size, most))))
        return first[: how_many_fit(first, most, most_bytes)]

    @property
    def first(self) -> CarEvent | None:
        """The event that is to get through next."""
        return self.to_send[0] if self.to_send else None

    @property
    def is_fetching(self) -> bool:
        """Whether its chain is being fetched just now."""
        return self.fetch is not None and not self.fetch.is_done

    def take_chain(self, chain: Sequence[CarEvent]) -> None:
        """Send the car's whole chain, and after it what came while it was fetched."""
        known = {event.transaction_id for event in chain}
        self.to_send = deque(chain)
        self.to_send.extend(event for event in self.owed.values() if event.transaction_id not in known)
        self.needs_chain, self.is_chain, self.size = False, True, MOST

    def got_through(self, events: Sequence[CarEvent]) -> list[CarEvent]:
        """These first events of `to_send` were acknowledged; those among them that are owed to blocks."""
        for _ in events:
            self.to_send.popleft()
        self.size = min(self.size * 2, MOST)
        self.strikes.clear()
        return [self.owed.pop(event.transaction_id) for event in events if event.transaction_id in self.owed]
