"""Feeds the lanes: reads blocks from a height on, keeps what moves cars, and hands each car's events to its lane.

At the tip it waits for a hint from the stream, or for the poll interval: long while the stream is trusted, short while
it is not. What the stream says changes when a block is looked for, never what is read.
"""

import threading
import time
import zlib
from collections.abc import Sequence

import msgspec

from relay import backoff
from relay.bell import Bell
from relay.blocks import sequence
from relay.cars import Cars
from relay.errors import LedgerError, StopRequestedError
from relay.events import CarEvent, make_event
from relay.lane import Lane
from relay.ledger import AT_ONCE_BYTES, Ledger
from relay.logs import fields, log, short
from relay.predecessors import Predecessors
from relay.progress import Progress
from relay.reader import Reader
from relay.silence import Silence, StreamState
from relay.stream import Stream

STALL_S = 10.0
"""A node that has shown no new block for so long may stand still: the next one is asked."""
ATTEMPTS_A_NODE = 3
"""After so many faults in a row the next node is asked, whatever they were: one may lack what others have."""
LOOK_AHEAD = 64
"""How far above what was read a node is made to show a block, while catching up."""
FALSE_HINTS = 5
"""After so many hints in a row of blocks that are not there, they are obeyed only every FALSE_HINTS_S."""
FALSE_HINTS_S = 0.5
LOOK_FOR_TIP_S = 30.0
"""How often the tip is looked for while the relay is behind it."""
FIRST_LOOK_S = 3.0
"""How long after the start it is looked for first: mostly the relay has reached it by then."""


class CarBlock(msgspec.Struct, frozen=True):
    """What concerns cars in one block; `is_left`: it is large, was read before its turn, and is to be read again."""

    height: int
    fingerprint: str
    events: tuple[CarEvent, ...]
    size: int
    is_left: bool = False


class Feeder:
    """Reads from the block after `progress.read` on, up to the block `last` (for ever, without one), in a thread."""

    def __init__(
        self,
        ledger: Ledger,
        cars: Cars,
        predecessors: Predecessors,
        source: str,
        lanes: Sequence[Lane],
        progress: Progress,
        bell: Bell,
        *,
        workers: int,
        polls: tuple[float, float],
        stream: Stream | None = None,
        last: int | None = None,
    ) -> None:
        self.error: Exception | None = None
        """What ended the thread, if it was not a stop."""
        self.tip = progress.read
        """The highest block that is known."""
        self.is_at_tip = False
        """Whether the last look found no further block."""
        self.stream_state = StreamState.UNPROVEN
        self._ledger = ledger
        self._cars = cars
        self._predecessors = predecessors
        self._source = source
        self._lanes = lanes
        self._progress = progress
        self._bell = bell
        self._poll, self._poll_trusted = polls
        self._stream = stream
        self._last = last
        self._silence = Silence()
        self._judged_connection = 0
        self._new_block_at = time.monotonic()
        self._false_hints = 0
        self._looked_to = 0
        self._tip_sought_at = time.monotonic() - LOOK_FOR_TIP_S + FIRST_LOOK_S
        self._reader: Reader[CarBlock] = Reader(self._read, workers, bell)
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what it reads just now is dropped."""
        self._bell.stop()
        self._reader.stop()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            attempt = 0
            while self._last is None or self._progress.read < self._last:
                try:
                    self._feed_next()
                    attempt = 0
                except LedgerError as error:
                    attempt += 1
                    self._wait_for_node(error, attempt)
            self._flush()
        except StopRequestedError:
            pass
        except Exception as error:  # noqa: BLE001  a fault of our own: the relay's main thread raises it
            self.error = error

    def _feed_next(self) -> None:
        """Hand out the next block, or wait at the tip."""
        block = self._reader.next(self._progress.read + 1)
        if block is not None and block.is_left:
            block = self._read(block.height)
        if block is None:
            self._rest_at_tip()
            return
        self.is_at_tip = False
        self._false_hints = 0
        self._new_block_at = time.monotonic()
        self._progress.wait_for_room()
        events = [self._predecessors.told(event) for event in block.events]
        self._progress.open(block.height, block.fingerprint, events)
        self._hand_out(events)
        self.tip = max(self.tip, block.height)
        if block.fingerprint:
            self._silence.found(block.height, time.monotonic())
        if not self._reader.is_ahead:
            self._flush()
        else:
            self._look_ahead()
            self._seek_tip()

    def _look_ahead(self) -> None:
        """Far behind the tip, have the node show a block well above: what is empty below is then believed at once."""
        if self._progress.read + LOOK_AHEAD // 4 > self._looked_to:
            self._looked_to = self._progress.read + LOOK_AHEAD
            self._ledger.has_block(self._looked_to)

    def _read(self, height: int) -> CarBlock | None:
        """Read one block, in one of the reader's threads. Raises LedgerError."""
        block = self._ledger.block(height)
        if block is None:
            return None
        size = sum(len(one.raw) for one in block.transactions)
        if size > AT_ONCE_BYTES and height > self._progress.read + 1:
            # Of what is ahead of its turn nothing large is kept: there may be as many as there are readers.
            return CarBlock(height, "", (), size, is_left=True)
        events = tuple(
            make_event(one, height, sequence(height, position), self._source)
            for position, one in enumerate(block.transactions)
            if self._cars.moves_car(one)
        )
        return CarBlock(height, block.fingerprint, events, size)

    def _hand_out(self, events: Sequence[CarEvent]) -> None:
        by_lane: dict[int, list[CarEvent]] = {}
        for event in events:
            by_lane.setdefault(lane_of(event.asset_id, len(self._lanes)), []).append(event)
        for number, own in by_lane.items():
            self._lanes[number].put(own)

    def _flush(self) -> None:
        for lane in self._lanes:
            lane.flush()

    def _rest_at_tip(self) -> None:
        """There is no further block just now: judge the stream, and wait for a hint or for the poll interval."""
        self.tip, self.is_at_tip = self._progress.read, True
        self._tip_sought_at = time.monotonic()
        self._flush()
        wait = self._poll
        if self._stream is not None:
            self._judge(self._stream)
            self._silence.at_tip(self.tip)
            if self.stream_state is StreamState.ANNOUNCING:
                wait = min(self._poll_trusted, self._silence.seconds_to_verdict(time.monotonic()) or self._poll_trusted)
        if self._ledger.has_several_nodes and time.monotonic() - self._new_block_at > STALL_S:
            self._ledger.turn_to_next()
        if self._false_hints > FALSE_HINTS:
            self._bell.wait_out(FALSE_HINTS_S)
        began = time.monotonic()
        self._bell.wait(wait)
        is_hinted = time.monotonic() - began < wait
        self._false_hints = self._false_hints + 1 if is_hinted else 0

    def _judge(self, stream: Stream) -> None:
        """Say so when the stream falls silent or announces again, and reconnect a silent one."""
        before = self._silence.state
        if stream.connections != self._judged_connection:
            self._judged_connection = stream.connections
            self._silence.connected()
        self._silence.announced(stream.heard())
        if self._silence.is_overdue(time.monotonic()):
            log.warning("stream is silent, reconnecting", extra=fields(tip=self.tip))
            stream.reconnect()
        elif self._silence.state is StreamState.ANNOUNCING and before is not StreamState.ANNOUNCING:
            log.info("stream announces blocks", extra=fields(tip=self.tip))
        self.stream_state = self._silence.state if stream.is_connected else StreamState.DISCONNECTED

    def _seek_tip(self) -> None:
        """Look for the tip, now and then while the relay is behind it; a node that fails at it is no matter."""
        if self._last is None and time.monotonic() - self._tip_sought_at > LOOK_FOR_TIP_S:
            self._tip_sought_at = time.monotonic()
            try:
                self.tip = self._ledger.tip(self.tip)
            except LedgerError:
                return
            log.info("catching up", extra=fields(read=self._progress.read, tip=self.tip))

    def _wait_for_node(self, error: LedgerError, attempt: int) -> None:
        delay = max(backoff.delay(attempt), error.retry_after)
        facts = fields(what="reading a block", reason=short(str(error)), attempt=attempt, retry_in_s=delay)
        log.warning("waiting", extra=facts)
        if attempt % ATTEMPTS_A_NODE == 0:
            self._ledger.turn_to_next()
        self._flush()
        self._bell.wait_out(delay)


def lane_of(asset_id: str, lanes: int) -> int:
    """The lane of a car: always the same one for the same number of lanes."""
    return zlib.crc32(asset_id.encode(errors="surrogatepass")) % lanes
