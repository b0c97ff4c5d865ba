"""The checkpoint of one ledger, in table Relay: one row with height, owner, generation and heartbeat.

It changes only under its ETag. A relay that finds a later generation has been superseded. A checkpoint older than this
relay wrote means that the account went back, record and checkpoint together: it is obeyed, and delivery starts again
from there.
"""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import EdmType, EntityProperty, UpdateMode

from relay.errors import SupersededError, TablesError
from relay.progress import Mark
from relay.settings import TablesSettings
from relay.tables import TABLE, Line, open_service, tables_errors

CHECKPOINT = "checkpoint-"
MAX_TEXT = 1_000
MAX_UNANSWERED = 1_000


class Report(msgspec.Struct, frozen=True):
    """How the relay is, as it says with each heartbeat.

    `settled` is the height that the checkpoint is about to move to, `level_at` when everything on the ledger was last
    settled.
    """

    stream: str = ""
    state: str = ""
    tip: int = 0
    settled: int = 0
    level_at: dt.datetime | None = None
    parked: int = 0
    last_error: str = ""
    last_error_at: dt.datetime | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """Blocks up to `mark` are done: every event in them was acknowledged, or its car is parked.

    `start` is the height after which the first relay of this ledger began; `write` names the write that made the row.
    """

    mark: Mark
    owner: str
    generation: int
    start: int = 0
    write: str = ""
    heartbeat: dt.datetime | None = None
    report: Report = Report()


class InForce(msgspec.Struct, frozen=True):
    """The checkpoint after a write.

    `went_back`: it is not what was written, storage is back at an earlier moment. `same_line`: the connection that
    carried the write before has carried this one, so that storage did not start again in between.
    """

    mark: Mark
    went_back: bool
    same_line: bool


class CheckpointTable:
    """The checkpoint of one ledger, for one thread. `claim` makes this process its owner.

    Every call raises TablesError when Table Storage does not answer or refuses; it may then be made again.
    """

    def __init__(self, settings: TablesSettings) -> None:
        self._ledger = settings.ledger_name
        self._line = Line()
        self._service = open_service(settings, self._line)
        self._table = self._service.get_table_client(TABLE)
        self._etag: str | None = None
        self._mine = Checkpoint(Mark(0), uuid.uuid4().hex, 0)
        self._connects = 0
        """How often the line had been made when the row was last written."""
        self._writes: dict[str, int] = {}
        """The height in the row after each write that may stand: the last known one, and those without an answer."""

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def read(self) -> Checkpoint | None:
        """The checkpoint as it stands, whoever owns it; None before the first relay has claimed it."""
        row = self._row()
        return _checkpoint(row) if row else None

    def claim(self, start: Callable[[], int] = lambda: 0) -> Mark:
        """Become the owner, and return where to go on.

        Where there is no checkpoint, that is after the height that `start` returns.
        """
        return self._take_over(self._row(), start)

    def advance(self, mark: Mark, report: Report) -> InForce:
        """Move the checkpoint to `mark` (or keep it there: a heartbeat), and return the checkpoint now in force.

        Raises SupersededError when another relay has taken over.
        """
        wanted = msgspec.structs.replace(self._mine, mark=mark, heartbeat=_now(), report=report)
        connects = self._connects
        in_force, went_back = (mark, False) if self._write(wanted) else self._reconcile(wanted)
        return InForce(in_force, went_back, same_line=self._connects == connects)

    def _reconcile(self, wanted: Checkpoint) -> tuple[Mark, bool]:
        """Read again after a conflict, and decide what it means: what is in force, and whether storage went back."""
        row = self._row()
        if row is None:
            return self._take_over(None, lambda: self._mine.start), True
        found = _checkpoint(row)
        if found.owner == wanted.owner:
            # Either an own write landed and its answer was lost, or the account went back to an earlier moment.
            is_known = self._writes.get(found.write) == found.mark.height
            self._etag, self._mine = row.metadata["etag"], found
            if not is_known:
                return found.mark, True
            if found.mark.height != wanted.mark.height and not self._write(wanted):
                raise TablesError("the checkpoint was written by another relay in the same moment")
            return wanted.mark, False
        if found.generation >= wanted.generation:
            raise SupersededError(f"relay {found.owner} took over with generation {found.generation}")
        return self._take_over(row, lambda: 0), True

    def _take_over(self, row: Any, start: Callable[[], int]) -> Mark:
        """Write the next generation over `row`, or the first where there is none."""
        if row is not None:
            found = _checkpoint(row)
        else:
            height = start()
            found = Checkpoint(Mark(height), "", 0, start=height)
            with tables_errors():
                self._service.create_table_if_not_exists(TABLE)
        generation = max(found.generation, self._mine.generation) + 1
        self._etag = row.metadata["etag"] if row else None
        wanted = msgspec.structs.replace(found, owner=self._mine.owner, generation=generation, heartbeat=_now())
        if not self._write(wanted):
            raise TablesError("the checkpoint was written by another relay in the same moment")
        return wanted.mark

    def _write(self, wanted: Checkpoint) -> bool:
        """Write the checkpoint under the ETag last seen; False when the row is not as it was then."""
        named = msgspec.structs.replace(wanted, write=uuid.uuid4().hex)
        self._writes[named.write] = named.mark.height
        if len(self._writes) > MAX_UNANSWERED:
            # One that is forgotten and stands after all is taken for an account that went back, which is safe.
            del self._writes[next(iter(self._writes))]
        row = _row_of(self._ledger, named)
        with tables_errors():
            try:
                if self._etag is None:
                    written = self._table.create_entity(row)
                else:
                    written = self._table.update_entity(
                        row, mode=UpdateMode.REPLACE, etag=self._etag, match_condition=MatchConditions.IfNotModified
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return False
        self._etag, self._mine, self._writes = written["etag"], named, {named.write: named.mark.height}
        self._connects = self._line.connects
        return True

    def _row(self) -> Any:
        with tables_errors():
            try:
                return self._table.get_entity(self._ledger, CHECKPOINT + self._ledger)
            except ResourceNotFoundError:
                return None


def _row_of(ledger: str, checkpoint: Checkpoint) -> dict[str, Any]:
    report = checkpoint.report
    row = {
        "PartitionKey": ledger,
        "RowKey": CHECKPOINT + ledger,
        "Height": checkpoint.mark.height,
        "AnchorHeight": checkpoint.mark.anchor_height,
        "Anchor": checkpoint.mark.anchor,
        "Owner": checkpoint.owner,
        "Generation": checkpoint.generation,
        "StartHeight": checkpoint.start,
        "Write": checkpoint.write,
        "Heartbeat": checkpoint.heartbeat,
        "Stream": report.stream,
        "State": report.state,
        "Tip": report.tip,
        "Settled": report.settled,
        "LevelAt": report.level_at,
        "Parked": report.parked,
        "LastError": report.last_error[:MAX_TEXT],
        "LastErrorAt": report.last_error_at,
    }
    return {name: sized(value) for name, value in row.items() if value is not None}


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(
        mark=Mark(_whole_number(row["Height"]), _whole_number(row.get("AnchorHeight", 0)), row.get("Anchor", "")),
        owner=row["Owner"],
        generation=_whole_number(row["Generation"]),
        start=_whole_number(row.get("StartHeight", 0)),
        write=row.get("Write", ""),
        heartbeat=row.get("Heartbeat"),
        report=Report(
            stream=row.get("Stream", ""),
            state=row.get("State", ""),
            tip=_whole_number(row.get("Tip", 0)),
            settled=_whole_number(row.get("Settled", 0)),
            level_at=row.get("LevelAt"),
            parked=_whole_number(row.get("Parked", 0)),
            last_error=row.get("LastError", ""),
            last_error_at=row.get("LastErrorAt"),
        ),
    )


def sized(value: Any) -> Any:
    """A value as the tables SDK writes it: a whole number that does not fit an Int32 as an Int64."""
    is_large = isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**31
    return EntityProperty(value, EdmType.INT64) if is_large else value


def _whole_number(value: Any) -> int:
    """An Int32, or an Int64, which the SDK wraps."""
    return int(getattr(value, "value", value))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
