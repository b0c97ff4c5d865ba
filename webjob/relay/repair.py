"""Fetches a car's whole chain from the ledger, for a lane that must send it; in a thread of its own, so that a long
chain keeps no other car waiting."""

import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from relay.blocks import sequence
from relay.cars import Recent
from relay.errors import LedgerError
from relay.events import CarEvent, following, make_event
from relay.ledger import Ledger

Places = Recent[tuple[int, int]]
"""Height and position of transactions, by id. They never change: what was asked once is not asked again."""
REMEMBERED_PLACES = 50_000
"""Some 15 MB."""


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
    """Fetches chains one after the other. `source` is the CloudEvents source; what is learned is put into `places`."""

    def __init__(self, ledger: Ledger, source: str, places: Places) -> None:
        self._ledger = ledger
        self._source = source
        self._places = places
        self._is_stopped = threading.Event()
        self._asked: queue.SimpleQueue[Fetch | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="repairs", daemon=True)
        self._thread.start()

    def fetch(self, car: str, needed: set[str], on_done: Callable[[], None]) -> Fetch:
        """Begin to fetch a car's chain, which must hold the transactions `needed`; `on_done` is called at the end."""
        asked = Fetch(car, frozenset(needed), on_done)
        self._asked.put(asked)
        return asked

    def stop(self) -> None:
        """End the thread, once it has the answer that it waits for; no other chain is fetched."""
        self._is_stopped.set()
        self._asked.put(None)

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None and not self._is_stopped.is_set():
            try:
                asked.chain = chain_of(
                    self._ledger, self._source, asked.car, asked.needed, self._places, self._is_stopped
                )
            except LedgerError as error:
                asked.error = error
            except Exception as error:  # noqa: BLE001  a fault of our own in one car's chain stops that car alone
                asked.error = LedgerError(f"its chain could not be read: {type(error).__name__}: {error}")
            asked.is_done = True
            asked.on_done()


def new_places() -> Places:
    """An empty memory of places."""
    return Recent(REMEMBERED_PLACES)


def chain_of(
    ledger: Ledger, source: str, car: str, needed: frozenset[str], places: Places, is_stopped: threading.Event
) -> list[CarEvent]:
    """The events of all of a car's transactions, in the order of the ledger.

    Raises LedgerError when the node does not know all of those that are needed, being behind another, or when it is
    stopped. What it has learned by then is in `places`.
    """
    chain = {one.id: one for one in ledger.chain(car)}
    if missing := needed - chain.keys():
        raise LedgerError(f"the node knows asset {car} without transaction {min(missing)}")
    placed: dict[str, tuple[int, int]] = {}
    for one in chain:
        place = placed.get(one) or places.get(one)
        if place is None:
            if is_stopped.is_set():
                raise LedgerError("it was stopped")
            block = ledger.block(ledger.height_of(one))
            for position, beside in enumerate(block.transactions if block else ()):
                if beside.id in chain and block is not None:
                    placed[beside.id] = places.put(beside.id, (block.height, position))
            place = placed.get(one)
        if place is None:
            raise LedgerError(f"the node does not show transaction {one} in its block")
        placed[one] = place
    ordered = sorted(chain, key=placed.__getitem__)
    events = [make_event(chain[one], placed[one][0], sequence(*placed[one]), source) for one in ordered]
    return events[:1] + [following(event, before.transaction_id) for before, event in itertools.pairwise(events)]
