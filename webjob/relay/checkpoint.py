"""The relay's state in table Relay: the checkpoint of one ledger, and the cars that are parked.

One row holds height, owner and generation, and changes only under its ETag. A relay that finds a later generation has
been superseded. A checkpoint older than this relay wrote means that the account was restored, record and checkpoint
together: it is obeyed, and delivery starts again from there.
"""

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableServiceClient, UpdateMode
from azure.identity import DefaultAzureCredential

from relay.errors import SupersededError, TablesError
from relay.settings import TablesSettings

TABLE = "Relay"
CHECKPOINT = "checkpoint-"
PARKED = "parked-"
MAX_TEXT = 1_000


class Checkpoint(msgspec.Struct, frozen=True):
    """Blocks 1 to `height` are done: every event in them was acknowledged, or its car is parked."""

    height: int
    owner: str
    generation: int
    heartbeat: dt.datetime | None = None
    stream: str = ""


class ParkedCar(msgspec.Struct, frozen=True):
    """A car that is left out, from which of its transactions on, and why.

    `last_transaction` is the last one that the checkpoint has passed, empty if that is this one; `redrive`: somebody
    asked to try the car again.
    """

    asset_id: str
    transaction_id: str
    sequence: str
    reason: str
    last_transaction: str = ""
    redrive: bool = False


class CheckpointTable:
    """Table Relay for one ledger. `claim` makes this process the owner of the checkpoint.

    Every call raises TablesError when Table Storage does not answer or refuses; it may then be made again.
    """

    def __init__(self, settings: TablesSettings) -> None:
        self._ledger = settings.ledger_name
        self._service = _service(settings)
        self._table = self._service.get_table_client(TABLE)
        self._etag: str | None = None
        self._mine = Checkpoint(0, uuid.uuid4().hex, 0)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def read(self) -> Checkpoint | None:
        """The checkpoint as it stands, whoever owns it; None before the first relay has claimed it."""
        row = self._row()
        return _checkpoint(row) if row else None

    def claim(self) -> int:
        """Become the owner, and return the height to go on from."""
        return self._take_over(self._row())

    def advance(self, height: int, stream: str) -> int:
        """Move the checkpoint to `height` (or keep it there: a heartbeat), and return the height now in force.

        That is another one when the account was restored. Raises SupersededError when another relay has taken over.
        """
        wanted = msgspec.structs.replace(self._mine, height=height, heartbeat=_now(), stream=stream)
        return height if self._write(wanted) else self._reconcile(wanted)

    def park(self, car: ParkedCar) -> None:
        """Note that a car is parked, and why."""
        row = {
            "PartitionKey": self._ledger,
            "RowKey": PARKED + car.asset_id,
            "TransactionId": car.transaction_id,
            "Sequence": car.sequence,
            "Reason": car.reason[:MAX_TEXT],
            "LastTransaction": car.last_transaction,
            "Redrive": car.redrive,
        }
        with _tables_errors():
            try:
                self._table.upsert_entity(row, mode=UpdateMode.REPLACE)
            except ResourceNotFoundError:
                self._service.create_table_if_not_exists(TABLE)
                self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def pass_over(self, asset_id: str, transaction_id: str) -> bool:
        """Note the last transaction of a parked car that the checkpoint is to pass; False when it is not parked."""
        return self._note(asset_id, LastTransaction=transaction_id)

    def ask_redrive(self, asset_id: str) -> bool:
        """Ask the relay to try a parked car again; False when it is not parked."""
        return self._note(asset_id, Redrive=True)

    def _note(self, asset_id: str, **properties: Any) -> bool:
        """Change some properties of a parked car's row; False when there is no such row."""
        row = {"PartitionKey": self._ledger, "RowKey": PARKED + asset_id, **properties}
        with _tables_errors():
            try:
                self._table.update_entity(row, mode=UpdateMode.MERGE)
            except ResourceNotFoundError:
                return False
        return True

    def unpark(self, asset_id: str) -> None:
        """Note that a car is parked no longer."""
        with _tables_errors():
            self._table.delete_entity(self._ledger, PARKED + asset_id)

    def parked(self) -> list[ParkedCar]:
        """The parked cars."""
        query = "PartitionKey eq @ledger and RowKey ge @first and RowKey lt @beyond"
        parameters = {"ledger": self._ledger, "first": PARKED, "beyond": PARKED[:-1] + "."}
        with _tables_errors():
            try:
                rows = list(self._table.query_entities(query, parameters=parameters))
            except ResourceNotFoundError:
                rows = []
        return [
            ParkedCar(
                asset_id=row["RowKey"].removeprefix(PARKED),
                transaction_id=row["TransactionId"],
                sequence=row["Sequence"],
                reason=row["Reason"],
                last_transaction=row.get("LastTransaction", ""),
                redrive=row.get("Redrive", False),
            )
            for row in rows
        ]

    def _reconcile(self, wanted: Checkpoint) -> int:
        """Read again after a conflict, and decide what it means."""
        row = self._row()
        if row is None:
            return self._take_over(None)
        found = _checkpoint(row)
        if found.owner == wanted.owner:
            # Either this very write landed and its answer was lost, or the account went back to an earlier moment.
            self._etag, self._mine = row.metadata["etag"], found
            return found.height
        if found.generation >= wanted.generation:
            raise SupersededError(f"relay {found.owner} took over with generation {found.generation}")
        return self._take_over(row)

    def _take_over(self, row: Any) -> int:
        """Write the next generation over `row`, or the first where there is none."""
        if row is None:
            with _tables_errors():
                self._service.create_table_if_not_exists(TABLE)
        found = _checkpoint(row) if row else None
        generation = max(found.generation if found else 0, self._mine.generation) + 1
        self._etag = row.metadata["etag"] if row else None
        wanted = Checkpoint(found.height if found else 0, self._mine.owner, generation, _now())
        if not self._write(wanted):
            raise TablesError("the checkpoint was written by another relay in the same moment")
        return wanted.height

    def _write(self, wanted: Checkpoint) -> bool:
        """Write the checkpoint under the ETag last seen; False when the row is not as it was then."""
        row = {
            "PartitionKey": self._ledger,
            "RowKey": CHECKPOINT + self._ledger,
            "Height": wanted.height,
            "Owner": wanted.owner,
            "Generation": wanted.generation,
            "Heartbeat": wanted.heartbeat,
            "Stream": wanted.stream,
        }
        with _tables_errors():
            try:
                if self._etag is None:
                    written = self._table.create_entity(row)
                else:
                    written = self._table.update_entity(
                        row, mode=UpdateMode.REPLACE, etag=self._etag, match_condition=MatchConditions.IfNotModified
                    )
            except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
                return False
        self._etag, self._mine = written["etag"], wanted
        return True

    def _row(self) -> Any:
        with _tables_errors():
            try:
                return self._table.get_entity(self._ledger, CHECKPOINT + self._ledger)
            except ResourceNotFoundError:
                return None


@contextmanager
def _tables_errors() -> Iterator[None]:
    """Turn the SDK's errors into TablesError. Their texts are left out: they quote requests."""
    try:
        yield
    except HttpResponseError as error:
        raise TablesError(f"Table Storage answered {error.status_code}") from error
    except AzureError as error:
        raise TablesError(f"Table Storage gave no answer ({type(error).__name__})") from error


def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(
        height=_whole_number(row["Height"]),
        owner=row["Owner"],
        generation=_whole_number(row["Generation"]),
        heartbeat=row.get("Heartbeat"),
        stream=row.get("Stream", ""),
    )


def _whole_number(value: Any) -> int:
    """An Int32, or the Int64 that a person's tool may have written, which the SDK wraps."""
    return int(getattr(value, "value", value))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _service(settings: TablesSettings) -> TableServiceClient:
    options: dict[str, Any] = {
        "retry_total": 1,
        "retry_backoff_factor": 0.2,
        "connection_timeout": 5,
        "read_timeout": 20,
    }
    if settings.connection_string:
        return TableServiceClient.from_connection_string(settings.connection_string.reveal(), **options)
    return TableServiceClient(endpoint=settings.endpoint, credential=DefaultAzureCredential(), **options)
