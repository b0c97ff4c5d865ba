"""The relay's life: startup, main loop, shutdown.

The loop reads blocks from the checkpoint to the tip, delivers the events in them, and moves the checkpoint: never
before every event is settled. Then it sleeps until the stream hints at a new block or the poll interval has passed.
"""

import functools
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from relay.bell import Bell
from relay.cars import Cars
from relay.checkpoint import CheckpointTable
from relay.delivery import Delivery, Parts
from relay.errors import LedgerMismatchError, StopRequestedError
from relay.events import CarEvent
from relay.ledger import Ledger
from relay.logs import fields, log
from relay.patience import until_done
from relay.post import Post
from relay.settings import Settings
from relay.silence import Silence, StreamState
from relay.stream import Stream

BLOCKS_PER_CHECKPOINT = 200
"""The most blocks that are read before the checkpoint moves."""
HEARTBEAT_S = 10.0
"""How often the checkpoint is written although it stands still, and parked cars are looked after."""
MISMATCH_PATIENCE_S = 30.0
"""How long a node may lack the checkpoint's block, being behind, before it is another ledger."""
STOP_GRACE_S = 4.0
SHUTDOWN_FILE_CHECK_S = 0.5


def run(settings: Settings) -> None:
    """Relay until asked to stop. Raises SupersededError or LedgerMismatchError when it must not go on."""
    relay = Relay(settings)
    try:
        relay.startup()
        relay.main_loop()
    except StopRequestedError:
        log.info("stopping")
    finally:
        relay.shutdown()


class Relay:
    """One relay between one ledger and one Function."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bell = Bell()
        self._ledger = Ledger(settings.ledger_urls)
        self._table = CheckpointTable(settings.tables)
        self._post = Post(settings.function_url, settings.function_key)
        # The stream's thread has a ledger of its own to ask for the URL.
        advertised = Ledger(settings.ledger_urls).stream_url
        self._stream = Stream(lambda: settings.stream_url or advertised(), self._bell)
        self._silence = Silence()
        self._delivery = Delivery(
            Parts(
                post=self._post,
                ledger=self._ledger,
                table=self._table,
                cars=Cars(settings.lessors, self._ledger.transaction),
                bell=self._bell,
                source=settings.event_source,
                batch_events=settings.batch_events,
            )
        )
        self._height = 0
        self._found = 0
        self._judged_connection = 0
        self._last_round = time.monotonic()

    def startup(self) -> None:
        """Listen for a stop, claim the checkpoint, and hold it against the ledger."""
        stop_on_signals(self._bell)
        stop_on_file(self._bell, self._settings.shutdown_file)
        self._height = until_done(self._bell, "claiming the checkpoint", self._table.claim)
        self._delivery.reload_parked()
        self._check_ledger()
        self._stream.start()
        log.info("relay started", extra=fields(ledger=self._settings.tables.ledger_name, checkpoint=self._height))

    def main_loop(self) -> None:
        """Deliver up to the tip, then wait; for ever, but for StopRequestedError."""
        while True:
            events, through = self._read()
            self._delivery.settle(events)
            has_moved = through > self._height
            if has_moved:
                self._advance(through)
            if time.monotonic() - self._last_round > HEARTBEAT_S:
                self._advance(self._height)
                self._delivery.redrive()
                self._last_round = time.monotonic()
            if not has_moved:
                self._judge_stream()
                self._bell.wait(self._settings.poll_seconds)

    def shutdown(self) -> None:
        """Let go of every connection. What was in flight will be delivered again."""
        self._stream.close()
        self._post.close()
        self._table.close()
        log.info("relay stopped", extra=fields(checkpoint=self._height))

    def _read(self) -> tuple[list[CarEvent], int]:
        """The events of the next blocks, about a batch of them, and the height of the last block read."""
        events: list[CarEvent] = []
        height = self._height
        while len(events) < self._settings.batch_events and height - self._height < BLOCKS_PER_CHECKPOINT:
            block = until_done(self._bell, "reading a block", functools.partial(self._ledger.block, height + 1))
            if block is None:
                break
            height = block.height
            if block.transactions:
                self._found = height
            events += self._delivery.events_of(block)
        return events, height

    def _advance(self, height: int) -> None:
        """Move the checkpoint, or go back to where a restored account has it."""
        in_force = until_done(
            self._bell, "writing the checkpoint", lambda: self._table.advance(height, str(self._stream_state()))
        )
        if in_force != height:
            log.warning("checkpoint went back", extra=fields(wanted=height, found=in_force))
            self._delivery.reload_parked()
            self._found = 0
        self._height = in_force

    def _judge_stream(self) -> None:
        """Say so when the stream falls silent or announces again, and reconnect a silent one."""
        if self._stream.connections != self._judged_connection:
            self._judged_connection = self._stream.connections
            self._silence.excuse(self._height)
        before = self._silence.state
        is_overdue = self._silence.observe(self._found, self._stream.announced, time.monotonic())
        if is_overdue:
            log.warning("stream is silent, reconnecting", extra=fields(found=self._found, heard=self._stream.announced))
            self._stream.reconnect()
        elif self._silence.state is not before:
            log.info("stream announces blocks", extra=fields(announced=self._stream.announced))

    def _stream_state(self) -> StreamState:
        return self._silence.state if self._stream.is_connected else StreamState.DISCONNECTED

    def _check_ledger(self) -> None:
        """Raise LedgerMismatchError when the ledger has no block at the checkpoint."""
        deadline = time.monotonic() + MISMATCH_PATIENCE_S
        while self._height and until_done(self._bell, "the ledger", lambda: self._ledger.block(self._height)) is None:
            if time.monotonic() > deadline:
                raise LedgerMismatchError(
                    f"the checkpoint stands at block {self._height}, and the ledger does not reach it: it is another "
                    "ledger, or it was reset. Set LEDGER_URLS to the right ledger, or LEDGER_NAME to a new name"
                )
            log.warning("waiting", extra=fields(what="a ledger that reaches the checkpoint", checkpoint=self._height))
            self._bell.wait_out(2.0)


def stop_on_signals(bell: Bell) -> None:
    """Stop on SIGTERM and SIGINT."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        _stop(bell)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def stop_on_file(bell: Bell, path: str) -> None:
    """Stop when the file `path` appears, as Kudu makes it; never, where the path is empty."""

    def watch() -> None:
        while not Path(path).exists():
            time.sleep(SHUTDOWN_FILE_CHECK_S)
        _stop(bell)

    if path:
        threading.Thread(target=watch, name="shutdown-file", daemon=True).start()


def _stop(bell: Bell) -> None:
    """Ask the loop to stop, and end the process where it hangs in a call: a crash loses nothing."""
    bell.stop()
    timer = threading.Timer(STOP_GRACE_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
