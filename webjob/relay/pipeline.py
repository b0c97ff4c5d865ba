"""Everything that delivers, from one height on: the feeder, the lanes, and what they share. It is thrown away, and a
new one made, when delivery must begin again from an earlier height."""

import time
from collections.abc import Callable, Iterable

import msgspec

from relay.bell import Bell
from relay.cars import Cars
from relay.feeder import Feeder, lane_of
from relay.gate import Gate
from relay.lane import Lane, Parts
from relay.ledger import Ledger
from relay.outage import Outage
from relay.parked import ParkedCar, Parking
from relay.parking import Evidence
from relay.post import Post
from relay.predecessors import Predecessors
from relay.progress import Mark, Progress
from relay.repair import Places, Repairs, new_places
from relay.settings import Settings
from relay.silence import StreamState
from relay.stream import Stream
from relay.tally import Tally


class Delivery(msgspec.Struct, frozen=True):
    """What outlives a pipeline: what is delivered, from where, to whom, and where parked cars are noted."""

    settings: Settings
    ledger: Ledger
    cars: Cars
    parking: Parking
    evidence: Evidence
    tally: Tally
    new_post: Callable[[], Post]
    predecessors: Predecessors = msgspec.field(default_factory=Predecessors)
    places: Places = msgspec.field(default_factory=new_places)


class Pipeline:
    """Delivers the blocks after `start`, up to `last` where that is given. `parked` are the cars to leave out."""

    def __init__(
        self,
        delivery: Delivery,
        start: Mark,
        parked: Iterable[str],
        stream: Stream | None = None,
        hint: Bell | None = None,
        last: int | None = None,
    ) -> None:
        settings = delivery.settings
        bell = hint or Bell()
        self.progress = Progress(start, bell)
        self._repairs = Repairs(delivery.ledger, settings.event_source, delivery.places)
        parts = Parts(
            new_post=delivery.new_post,
            repairs=self._repairs,
            parking=delivery.parking,
            progress=self.progress,
            evidence=delivery.evidence,
            gate=Gate(),
            outage=Outage(),
            tally=delivery.tally,
            most=settings.batch_events,
            most_bytes=settings.batch_bytes,
            linger_s=settings.linger_ms / 1000,
        )
        self._lanes = [Lane(number, parts) for number in range(settings.lanes)]
        self._feeder = Feeder(
            delivery.ledger,
            delivery.cars,
            delivery.predecessors,
            settings.event_source,
            self._lanes,
            self.progress,
            bell,
            workers=settings.prefetch_blocks,
            polls=(settings.poll_seconds, settings.poll_trusted_seconds),
            stream=stream,
            last=last,
        )
        for number, lane in enumerate(self._lanes):
            lane.start(car for car in parked if lane_of(car, settings.lanes) == number)
        self._feeder.start()

    @property
    def tip(self) -> int:
        """The highest block of the ledger that is known."""
        return max(self._feeder.tip, self.progress.read)

    @property
    def is_level(self) -> bool:
        """Whether everything on the ledger is settled, as far as the last look went."""
        return self._feeder.is_at_tip and self.progress.is_settled

    @property
    def stream_state(self) -> StreamState:
        """What is known of the event stream."""
        return self._feeder.stream_state

    @property
    def _threads(self) -> list[Feeder | Lane]:
        return [self._feeder, *self._lanes]

    def check(self) -> None:
        """Raise what ended one of the threads, a fault of the relay's own."""
        for part in self._threads:
            if part.error is not None:
                raise part.error

    def redrive(self, car: ParkedCar) -> None:
        """Try a parked car again."""
        self._lanes[lane_of(car.asset_id, len(self._lanes))].redrive(car)

    def stop(self, seconds: float) -> None:
        """End all threads: each finishes the request it is at, which is waited for, `seconds` in all."""
        deadline = time.monotonic() + seconds
        for part in self._threads:
            part.stop()
        self._repairs.stop()
        for part in self._threads:
            part.join(max(0.0, deadline - time.monotonic()))
