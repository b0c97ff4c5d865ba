"""Which cars are parked, in table Relay: one row each, with the reason. Written by lanes, commands and the relay."""

import threading
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from relay.settings import TablesSettings
from relay.tables import TABLE, open_service, tables_errors

PARKED = "parked-"
MAX_TEXT = 1_000


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


class Parking(Protocol):
    """Where lanes note which cars are left out."""

    def park(self, car: ParkedCar) -> None:
        """Note that a car is parked, and why."""

    def pass_over(self, asset_id: str, transaction_id: str) -> bool:
        """Note the last transaction of a parked car that the checkpoint is to pass; False when it is not parked."""

    def unpark(self, asset_id: str) -> None:
        """Note that a car is parked no longer."""

    def find(self, asset_id: str) -> ParkedCar | None:
        """The parked car, or None when it is not parked."""


class ParkedTable:
    """The parked cars of one ledger, for several threads.

    Every call raises TablesError when Table Storage does not answer or refuses; it may then be made again.
    """

    def __init__(self, settings: TablesSettings) -> None:
        self._ledger = settings.ledger_name
        self._service = open_service(settings)
        self._table = self._service.get_table_client(TABLE)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

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
        with self._lock, tables_errors():
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

    def unpark(self, asset_id: str) -> None:
        """Note that a car is parked no longer."""
        with self._lock, tables_errors():
            self._table.delete_entity(self._ledger, PARKED + asset_id)

    def all(self) -> list[ParkedCar]:
        """The parked cars."""
        query = "PartitionKey eq @ledger and RowKey ge @first and RowKey lt @beyond"
        parameters = {"ledger": self._ledger, "first": PARKED, "beyond": PARKED[:-1] + "."}
        with self._lock, tables_errors():
            try:
                rows = list(self._table.query_entities(query, parameters=parameters))
            except ResourceNotFoundError:
                rows = []
        return [_parked_car(row) for row in rows]

    def find(self, asset_id: str) -> ParkedCar | None:
        """The parked car, or None when it is not parked."""
        with self._lock, tables_errors():
            try:
                return _parked_car(self._table.get_entity(self._ledger, PARKED + asset_id))
            except ResourceNotFoundError:
                return None

    def _note(self, asset_id: str, **properties: Any) -> bool:
        """Change some properties of a parked car's row; False when there is no such row."""
        row = {"PartitionKey": self._ledger, "RowKey": PARKED + asset_id, **properties}
        with self._lock, tables_errors():
            try:
                self._table.update_entity(row, mode=UpdateMode.MERGE)
            except ResourceNotFoundError:
                return False
        return True


def _parked_car(row: Mapping[str, Any]) -> ParkedCar:
    return ParkedCar(
        asset_id=row["RowKey"].removeprefix(PARKED),
        transaction_id=row["TransactionId"],
        sequence=row["Sequence"],
        reason=row["Reason"],
        last_transaction=row.get("LastTransaction", ""),
        redrive=row.get("Redrive", False),
    )
