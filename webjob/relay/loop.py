"""The relay's life: startup, main loop, shutdown.

The pipeline delivers, in threads of its own. The main loop keeps the checkpoint behind it: never past an event that is
not settled, and never before it is certain that storage holds what was acknowledged. It also obeys what people ask
for, and begins again from the checkpoint when storage may have gone back.
"""

import datetime as dt
import functools
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from relay.bell import Bell
from relay.cars import Cars
from relay.checkpoint import CheckpointTable, Report
from relay.control import ControlTable
from relay.errors import LedgerError, PassingError, SettingsError, StopRequestedError
from relay.identity import is_of_this_ledger, mismatch
from relay.ledger import Ledger
from relay.logs import LastTrouble, fields, log
from relay.parked import ParkedTable
from relay.parking import Evidence
from relay.patience import until_done
from relay.pipeline import Delivery, Pipeline
from relay.post import Post
from relay.progress import Mark
from relay.settings import Settings
from relay.silence import StreamState
from relay.stream import Stream
from relay.tally import Tally

TICK_S = 0.2
CHECKPOINT_EVERY_S = 1.0
"""The checkpoint moves at most so often."""
HEARTBEAT_S = 2.0
"""How often the checkpoint's row is written although it stands still. Azurite closes a connection idle for 5 s."""
BREAKS_IN_A_ROW = 3
"""So often in a row a connection that was not kept makes delivery begin again; then something keeps closing it."""
CONTROL_EVERY_S = 2.0
"""How often it is looked whether people ask for something: pause, resume, redrive."""
LEDGER_CHECK_S = 60.0
"""How often it is looked whether the ledger is still the same."""
LEDGER_CHECKS = 3
"""How often in a row no node may reach the checkpoint before it is another ledger."""
MISMATCH_PATIENCE_S = 30.0
"""How long a node may lack the checkpoint's block, being behind, before it is another ledger."""
STOP_GRACE_S = 4.0
"""After so long a stop ends the process wherever it hangs."""
DRAIN_S = 2.5
"""How long requests that are under way are waited for, before a stop, a pause, or a new beginning."""
SHUTDOWN_FILE_CHECK_S = 0.2


def run(settings: Settings) -> None:
    """Relay until asked to stop.

    Raises SupersededError, LedgerMismatchError or SettingsError when it must not go on.
    """
    relay = Relay(settings)
    try:
        relay.startup()
        relay.main_loop()
    except StopRequestedError:
        log.info("stopping")
        relay.finish()
    finally:
        relay.shutdown()


class Relay:
    """One relay between one ledger and one Function."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bell = Bell()
        self._hint = Bell()
        self._ledger = Ledger(settings.ledger_urls)
        self._checkpoint = CheckpointTable(settings.tables)
        self._parked = ParkedTable(settings.tables)
        self._control = ControlTable(settings.tables)
        self._trouble = LastTrouble()
        log.addHandler(self._trouble)
        self._stream = Stream(lambda: settings.stream_url or self._ledger.stream_url(), self._ring_hint)
        self._delivery = Delivery(
            settings=settings,
            ledger=self._ledger,
            cars=Cars(settings.lessors, self._ledger.transaction),
            parking=self._parked,
            evidence=Evidence(),
            tally=Tally(),
            new_post=self._new_post,
        )
        self._pipeline: Pipeline | None = None
        self._mark = Mark(0)
        self._parked_count = 0
        self._level_at: dt.datetime | None = None
        self._written_at = self._controlled_at = self._ledger_checked_at = 0.0
        self._breaks = self._missed = 0

    # ---- startup

    def startup(self) -> None:
        """Listen for a stop, claim the checkpoint, hold it against the ledger, and begin to deliver."""
        stop_on_signals(self._bell)
        stop_on_file(self._bell, self._settings.shutdown_file)
        self._mark = until_done(self._bell, "claiming the checkpoint", self._claim)
        self._await_ledger()
        self._stream.start()
        self._obey()
        log.info("relay started", extra=fields(ledger=self._settings.tables.ledger_name, checkpoint=self._mark.height))

    def _claim(self) -> Mark:
        found = self._checkpoint.read()
        if found is not None:
            self._level_at = found.report.level_at
        return self._checkpoint.claim(self._first_height)

    def _first_height(self) -> int:
        """The height after which the first relay of a ledger begins."""
        wanted = self._settings.start_from
        if wanted == "beginning":
            return 0
        tip = until_done(self._bell, "the ledger's tip", self._ledger.tip)
        if wanted == "tip":
            return tip
        if int(wanted) > tip + 1:
            raise SettingsError(
                f"RELAY_START_FROM: found {wanted}; the ledger's tip is {tip}: allowed are 1 to {tip + 1}"
            )
        return int(wanted) - 1

    def _await_ledger(self) -> None:
        """Raise LedgerMismatchError unless the checkpoint was made on this ledger; wait for a node that is behind."""
        deadline = time.monotonic() + MISMATCH_PATIENCE_S
        look = functools.partial(is_of_this_ledger, self._ledger, self._mark)
        while not until_done(self._bell, "the ledger", look):
            if time.monotonic() > deadline:
                raise mismatch(self._not_reached())
            log.warning(
                "waiting", extra=fields(what="a ledger that reaches the checkpoint", reason=self._not_reached())
            )
            self._bell.wait_out(2.0)

    def _not_reached(self) -> str:
        return f"the checkpoint stands at block {self._mark.height}, and the ledger does not reach it"

    # ---- main loop

    def main_loop(self) -> None:
        """Keep the checkpoint behind the pipeline, and obey; for ever, but for StopRequestedError."""
        while True:
            self._bell.wait(TICK_S)
            now = time.monotonic()
            if self._pipeline is not None:
                self._pipeline.check()
                if self._pipeline.is_level:
                    self._level_at = dt.datetime.now(dt.UTC)
            if now - self._written_at > CHECKPOINT_EVERY_S and self._has_moved():
                self._keep_checkpoint()
            elif now - self._written_at > HEARTBEAT_S:
                self._write(self._mark)
            if now - self._controlled_at > CONTROL_EVERY_S:
                self._obey()
            if now - self._ledger_checked_at > LEDGER_CHECK_S:
                self._check_ledger()

    def _has_moved(self) -> bool:
        return self._pipeline is not None and self._pipeline.progress.mark.height > self._mark.height

    def _keep_checkpoint(self) -> None:
        """Move the checkpoint to what is settled, once it is proven that storage holds it.

        The row is written twice. The first write shows, by coming over the same connection as the one before, that
        storage did not start again since, and so holds all that was acknowledged until now. The second write, under the
        ETag of the first, moves the checkpoint; it fails where storage went back after all.
        """
        if self._pipeline is not None:
            mark = self._pipeline.progress.mark
            if self._write(self._mark):
                self._write(mark)

    def _write(self, mark: Mark) -> bool:
        """Write the checkpoint; False when delivery has begun again from it, since storage may have gone back."""
        in_force = until_done(
            self._bell, "writing the checkpoint", lambda: self._checkpoint.advance(mark, self._report())
        )
        self._written_at = time.monotonic()
        self._mark = in_force.mark
        self._breaks = 0 if in_force.same_line else self._breaks + 1
        if in_force.went_back:
            log.warning("checkpoint went back", extra=fields(wanted=mark.height, found=in_force.mark.height))
            self._begin_again()
            return False
        if in_force.same_line or self._is_nothing_at_stake():
            return True
        if self._breaks > BREAKS_IN_A_ROW:
            if self._breaks == BREAKS_IN_A_ROW + 1:
                log.warning("storage keeps no connection", extra=fields(checkpoint=in_force.mark.height))
            return True
        log.warning("storage may have gone back", extra=fields(checkpoint=in_force.mark.height))
        self._begin_again()
        return False

    def _is_nothing_at_stake(self) -> bool:
        """Whether nothing was delivered that the checkpoint has not passed."""
        progress = self._pipeline.progress if self._pipeline is not None else None
        return progress is None or (progress.is_settled and progress.mark.height == self._mark.height)

    def _begin_again(self) -> None:
        """Deliver again from the checkpoint on."""
        if self._pipeline is not None:
            # What is under way ends first, so that no car has two batches under way.
            self._pipeline.stop(DRAIN_S)
            self._pipeline = None
            self._start_pipeline(self._mark)

    def _start_pipeline(self, mark: Mark) -> None:
        parked = until_done(self._bell, "parked cars", self._parked.all)
        self._parked_count = len(parked)
        self._hint = Bell()
        names = [car.asset_id for car in parked]
        self._pipeline = Pipeline(self._delivery, mark, names, self._stream, self._hint)

    def _obey(self) -> None:
        """Do what people ask for: pause, resume, redrive."""
        self._controlled_at = time.monotonic()
        paused_since = until_done(self._bell, "what is asked of the relay", self._control.paused_since)
        if paused_since and self._pipeline is not None:
            self._drain()
            log.warning("paused", extra=fields(since=paused_since.isoformat(), checkpoint=self._mark.height))
            self._write(self._mark)
        elif not paused_since and self._pipeline is None:
            self._start_pipeline(self._mark)
            log.info("delivering", extra=fields(checkpoint=self._mark.height))
        if self._pipeline is not None:
            parked = until_done(self._bell, "parked cars", self._parked.all)
            self._parked_count = len(parked)
            for car in parked:
                if car.redrive:
                    self._pipeline.redrive(car)

    def _drain(self) -> None:
        """Stop delivering, and move the checkpoint to what was settled by then."""
        if self._pipeline is not None:
            self._pipeline.stop(DRAIN_S)
            if self._has_moved():
                self._keep_checkpoint()
            self._pipeline = None

    def _check_ledger(self) -> None:
        """Stop when the ledger is no longer the one that the checkpoint was made on: it was reset, say."""
        self._ledger_checked_at = time.monotonic()
        try:
            self._missed = 0 if is_of_this_ledger(self._ledger, self._mark) else self._missed + 1
        except LedgerError:
            return
        if self._missed >= LEDGER_CHECKS:
            raise mismatch(self._not_reached())

    def _report(self) -> Report:
        pipeline = self._pipeline
        return Report(
            stream=str(pipeline.stream_state if pipeline else StreamState.DISCONNECTED),
            state="paused" if pipeline is None else "level" if pipeline.is_level else "delivering",
            tip=max(pipeline.tip if pipeline else 0, self._mark.height),
            settled=pipeline.progress.mark.height if pipeline else self._mark.height,
            level_at=self._level_at,
            parked=self._parked_count,
            last_error=self._trouble.text,
            last_error_at=self._trouble.at,
        )

    def _ring_hint(self) -> None:
        self._hint.ring()

    def _new_post(self) -> Post:
        settings = self._settings
        return Post(settings.function_url, settings.function_key, settings.webhook_secrets)

    # ---- shutdown

    def finish(self) -> None:
        """Let the requests that are under way end, and move the checkpoint to what was settled, if that is quick."""
        self._bell = Bell()
        try:
            self._drain()
        except (PassingError, StopRequestedError):
            log.warning("the checkpoint could not be moved any more; some events will be delivered again")

    def shutdown(self) -> None:
        """Let go of every connection. What was in flight will be delivered again."""
        if self._pipeline is not None:
            self._pipeline.stop(0.0)
        self._stream.close()
        self._checkpoint.close()
        self._parked.close()
        self._control.close()
        log.removeHandler(self._trouble)
        log.info("relay stopped", extra=fields(checkpoint=self._mark.height))


def stop_on_signals(bell: Bell, exit_code: int = 0) -> None:
    """Stop on SIGTERM and SIGINT; with `exit_code`, where the process hangs."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        _stop(bell, exit_code)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def stop_on_file(bell: Bell, path: str, exit_code: int = 0) -> None:
    """Stop when the file `path` appears, as Kudu makes it; never, where the path is empty."""

    file = Path(path)

    def watch() -> None:
        while not file.exists():
            time.sleep(SHUTDOWN_FILE_CHECK_S)
        _stop(bell, exit_code)

    if path:
        threading.Thread(target=watch, name="shutdown-file", daemon=True).start()


def _stop(bell: Bell, exit_code: int) -> None:
    """Ask the loop to stop, and end the process where it hangs in a call: a crash loses nothing."""
    bell.stop()
    timer = threading.Timer(STOP_GRACE_S, os._exit, (exit_code,))
    timer.daemon = True
    timer.start()
