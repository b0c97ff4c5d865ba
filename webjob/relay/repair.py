"""Fetches a car's whole chain from the ledger, for a lane that must send it; in a thread of its own, so that a long
chain keeps no other car waiting."""

import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.blocks import sequence
from relay.errors import LedgerError
from relay.events import CarEvent, following, make_event
from relay.ledger import Ledger


@dataclass
class Fetch:
    """One chain that is being fetched, and what came of it."""

    car: str
    needed: frozenset[str]
    on_done: Callable[[], None]
    is_done: bool = False
    chain: list[CarEvent] = field(default_factory=list)
    error: LedgerError | None = None


class Repairs:
    """Fetches chains one after the other. `source` is the CloudEvents source."""

    def __init__(self, ledger: Ledger, source: str) -> None:
        self._ledger = ledger
        self._source = source
        self._asked: queue.SimpleQueue[Fetch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="repairs", daemon=True)
        self._thread.start()

    def fetch(self, car: str, needed: set[str], on_done: Callable[[], None]) -> Fetch:
        """Begin to fetch a car's chain, which must hold the transactions `needed`; `on_done` is called at the end."""
        asked = Fetch(car, frozenset(needed), on_done)
        self._asked.put(asked)
        return asked

    def stop(self) -> None:
        """End the thread, once it has finished what it is at."""
        self._asked.put(None)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                asked.chain = chain_of(self._ledger, self._source, asked.car, asked.needed)
            except LedgerError as error:
                asked.error = error
            except Exception as error:  # noqa: BLE001  a fault of our own in one car's chain stops that car alone
                asked.error = LedgerError(f"its chain could not be read: {type(error).__name__}: {error}")
            asked.is_done = True
            asked.on_done()


def chain_of(ledger: Ledger, source: str, car: str, needed: frozenset[str]) -> list[CarEvent]:
    """The events of all of a car's transactions, in the order of the ledger.

    Raises LedgerError when the node does not know all of those that are needed, being behind another.
    """
    chain = ledger.chain(car)
    if missing := needed - {one.id for one in chain}:
        raise LedgerError(f"the node knows asset {car} without transaction {min(missing)}")
    places: dict[str, tuple[int, int]] = {}
    for one in chain:
        if one.id not in places:
            block = ledger.block(ledger.height_of(one.id))
            for position, beside in enumerate(block.transactions if block else ()):
                places[beside.id] = (block.height if block else 0, position)
        if one.id not in places:
            raise LedgerError(f"the node does not show transaction {one.id} in its block")
    ordered = sorted(chain, key=lambda one: places[one.id])
    events = [make_event(one, places[one.id][0], sequence(*places[one.id]), source) for one in ordered]
    return events[:1] + [following(event, before.transaction_id) for before, event in itertools.pairwise(events)]
