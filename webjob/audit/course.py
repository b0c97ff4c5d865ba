"""The course of one audit: fold the ledger up to the checkpoint, read the record, and look again at what differs.

The ledger and the relay move on meanwhile. The checkpoint is read before the rows, so that they are never behind it.
What is ahead of it the ledger explains: it is folded on, up to its tip after the rows were read, and each row that
differed is held against every state on the way. What differs even so is read again, a few times, before it is called a
difference.
"""

import time
from collections import defaultdict

from audit.blocks import Blocks
from audit.comparison import CARS, DRIVERS, Comparison, Place
from audit.errors import NothingToAuditError
from audit.facts import Facts
from audit.patience import Patience
from audit.progress import Stage
from audit.result import Result, write
from audit.rows import CAR_COLUMNS, DRIVER_COLUMNS
from audit.tables import RecordTables
from relay.bell import Bell
from relay.checkpoint import Checkpoint, CheckpointTable
from relay.errors import LedgerError
from relay.identity import is_of_this_ledger
from relay.ledger import Ledger
from relay.parked import ParkedTable
from relay.settings import ReadingSettings
from relay.tables import open_service

APPROACHES = 3
"""How often the fold follows the checkpoint before the rows are read: so little lies between them then."""
PAUSES_S = (1.0, 2.0, 4.0)
"""Before each further look at what differs."""
SETTLE_S = 30.0
"""How long the relay may take to move its checkpoint to what was folded; then what was found stands."""
LOOK_S = 0.5
MOST_LOOKED_AT_AGAIN = 2_000
"""Rows. Where more differ, they are not rows that were being written while they were read."""
COLUMNS = {CARS: CAR_COLUMNS, DRIVERS: DRIVER_COLUMNS}


class Audit:
    """One audit of the record of one ledger, for one thread, until `bell` says stop."""

    def __init__(self, settings: ReadingSettings, bell: Bell, patience_s: float, stage: Stage) -> None:
        self._settings = settings
        self._bell = bell
        self._stage = stage
        self._patience = Patience(bell, patience_s)
        self._ledger = Ledger(settings.ledger_urls)
        self._blocks = Blocks(self._ledger, settings.prefetch_blocks, self._patience)
        self._checkpoint = CheckpointTable(settings.tables)
        self._parked_table = ParkedTable(settings.tables)
        self._service = open_service(settings.tables)
        self._tables = RecordTables(self._service, self._patience)
        self._facts = Facts(settings.lessors)
        self._parked: set[str] = set()

    def close(self) -> None:
        """Close the connections."""
        self._checkpoint.close()
        self._parked_table.close()
        self._service.close()

    def run(self) -> Result:
        """Hold the record against the ledger, and write the row that tells what was found.

        Raises NothingToAuditError, UnfoldableError, LedgerMismatchError, LedgerError, TablesError or StopRequestedError
        when it does not come to its end; then nothing is written.
        """
        began = time.monotonic()
        checkpoint = self._read_checkpoint()
        self._patience.until_done("the ledger", lambda: self._check_ledger(checkpoint))
        for _ in range(APPROACHES):
            self._fold_to(checkpoint.mark.height)
            checkpoint = self._read_checkpoint()
        self._fold_to(checkpoint.mark.height)
        height = self._facts.height

        comparison = Comparison(self._facts, self._read_parked())
        self._show_rows(comparison)
        not_judged = comparison.miss(checkpoint.start)
        self._follow(comparison)
        self._look_again(comparison)

        result = Result(
            height=height,
            cars=comparison.cars,
            drivers=comparison.drivers,
            rows=comparison.rows,
            differences=comparison.differences,
            beyond=comparison.beyond,
            parked=sorted(self._parked),
            start=checkpoint.start,
            not_judged=not_judged,
            seconds=time.monotonic() - began,
        )
        ledger = self._settings.tables.ledger_name
        self._patience.until_done("writing the result", lambda: write(self._service, ledger, result))
        return result

    # ---- the ledger

    def _read_checkpoint(self) -> Checkpoint:
        found = self._patience.until_done("the relay's checkpoint", self._checkpoint.read)
        if found is None:
            raise NothingToAuditError("no relay has run on this ledger yet: there is no checkpoint")
        return found

    def _check_ledger(self, checkpoint: Checkpoint) -> None:
        """Raise LedgerMismatchError if the checkpoint was made on another ledger, LedgerError if no node reaches it."""
        if not is_of_this_ledger(self._ledger, checkpoint.mark):
            raise LedgerError(f"no node shows block {checkpoint.mark.height} yet, where the checkpoint stands")

    def _fold_to(self, last: int, comparison: Comparison | None = None) -> None:
        """Fold on to the block `last`, and tell `comparison` which cars move."""
        for block in self._blocks.between(self._facts.height + 1, last):
            self._bell.check()
            self._stage.tell("reading blocks", block.height, last)
            for transaction in block.transactions:
                car = self._facts.apply(transaction, block.height)
                if car and comparison is not None:
                    comparison.moved(car)
            self._facts.height = block.height

    # ---- the record

    def _read_parked(self) -> set[str]:
        """The cars that are parked, and those that were when it was asked before."""
        found = self._patience.until_done("parked cars", self._parked_table.all)
        self._parked.update(car.asset_id for car in found)
        return self._parked

    def _show_rows(self, comparison: Comparison) -> None:
        for asset_id, rows in self._tables.partitions(CARS, CAR_COLUMNS):
            self._bell.check()
            comparison.show_car(asset_id, rows)
            self._stage.tell("reading cars", comparison.cars)
        for driver, rows in self._tables.partitions(DRIVERS, DRIVER_COLUMNS):
            self._bell.check()
            comparison.show_driver(driver, rows)
            self._stage.tell("reading drivers", comparison.drivers)
        comparison.leave_out(self._read_parked())

    def _follow(self, comparison: Comparison) -> None:
        """Fold on to the ledger's tip: all that was applied when the rows were read is below that."""
        if comparison.differences:
            height = self._facts.height
            tip = self._patience.until_done("the ledger's tip", lambda: self._ledger.tip(height))
            self._fold_to(tip, comparison)

    # ---- what differs

    def _look_again(self, comparison: Comparison) -> None:
        """Read what differs again, a few times, each time from a checkpoint that has reached what was folded."""
        for pause in PAUSES_S:
            if not 0 < len(comparison.differences) <= MOST_LOOKED_AT_AGAIN:
                return
            self._bell.wait_out(pause)
            if not self._has_settled():
                return
            again: dict[tuple[str, str], list[tuple[Place, str]]] = defaultdict(list)
            for one in comparison.differences:
                again[one.place.table, one.place.partition].append((one.place, one.car))
            for done, ((table, partition), places) in enumerate(again.items()):
                self._bell.check()
                self._stage.tell("looking again at what differs", done, len(again))
                rows = self._tables.partition(table, COLUMNS[table], partition)
                for place, car in places:
                    comparison.look_again(place, car, rows)
            comparison.leave_out(self._read_parked())
            self._follow(comparison)

    def _has_settled(self) -> bool:
        """Wait until the checkpoint has reached what was folded; whether it has."""
        deadline = time.monotonic() + SETTLE_S
        while self._read_checkpoint().mark.height < self._facts.height:
            if time.monotonic() > deadline:
                return False
            self._bell.wait_out(LOOK_S)
        return True
