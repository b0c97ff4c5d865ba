"""What people ask of a running relay, in table Relay: to pause, or to go on. One row, which outlives the relay."""

import datetime as dt

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import UpdateMode

from relay.settings import TablesSettings
from relay.tables import TABLE, open_service, tables_errors

CONTROL = "control-"


class ControlTable:
    """Whether one ledger's relay is to pause. Every call may raise TablesError."""

    def __init__(self, settings: TablesSettings) -> None:
        self._ledger = settings.ledger_name
        self._service = open_service(settings)
        self._table = self._service.get_table_client(TABLE)

    def close(self) -> None:
        """Close the connections."""
        self._service.close()

    def paused_since(self) -> dt.datetime | None:
        """Since when the relay is to pause; None when it is not."""
        with tables_errors():
            try:
                row = self._table.get_entity(self._ledger, CONTROL + self._ledger)
            except ResourceNotFoundError:
                return None
        since: dt.datetime | None = row.get("PausedSince")
        return since

    def pause(self) -> None:
        """Ask the relay to deliver nothing until `resume`, now and after a restart."""
        row = {
            "PartitionKey": self._ledger,
            "RowKey": CONTROL + self._ledger,
            "PausedSince": dt.datetime.now(dt.UTC),
        }
        with tables_errors():
            try:
                self._table.upsert_entity(row, mode=UpdateMode.REPLACE)
            except ResourceNotFoundError:
                self._service.create_table_if_not_exists(TABLE)
                self._table.upsert_entity(row, mode=UpdateMode.REPLACE)

    def resume(self) -> None:
        """Ask the relay to go on."""
        with tables_errors():
            self._table.delete_entity(self._ledger, CONTROL + self._ledger)
