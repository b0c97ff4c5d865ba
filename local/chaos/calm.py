"""The same ledger, recorded once more where nothing goes wrong: by another relay and Function app, into other tables.

What chaos left must be the same to the last property, premiums and remarks and explanations included.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from azure.data.tables import TableServiceClient

from local.azurite import running_azurite
from local.chaos.parts import Parts, RelayJob, relay_status
from local.host import FunctionsHost
from local.processes import ProcessError

TABLES = ("Cars", "Drivers")
TIMEOUT_S = 300.0

Rows = dict[tuple[str, str, str], dict[str, Any]]


def record_calmly(parts: Parts, folder: Path, height: int) -> Rows:
    """The rows that an undisturbed relay leaves, once its checkpoint has passed `height`. Raises ProcessError."""
    with running_azurite(folder / "azurite.log") as storage:
        settings = {**parts.settings, "TABLES_CONNECTION_STRING": storage.connection_string}
        function = FunctionsHost(
            folder / "functions.log", {**settings, "LOCAL_FUNCTIONS_KEY": parts.settings["FUNCTION_KEY"]}
        )
        relay = RelayJob(folder, settings | {"FUNCTION_URL": f"{function.url}/api/ledger-events"})
        try:
            relay.start_again()
            _await_checkpoint(settings, height)
            return rows(storage.connection_string)
        finally:
            relay.stop()
            function.stop()


def rows(connection_string: str) -> Rows:
    """Every row of the record, by table and keys."""
    with TableServiceClient.from_connection_string(connection_string) as service:
        return {
            (table, row["PartitionKey"], row["RowKey"]): dict(row)
            for table in TABLES
            for row in service.get_table_client(table).list_entities()
        }


def differences(found: Rows, calm: Rows) -> list[str]:
    """Where two records differ, a line each property."""
    lines = []
    for key in sorted(found.keys() | calm.keys()):
        row, other = found.get(key, {}), calm.get(key, {})
        lines += [
            f"{' '.join(key)}, {name}: {row.get(name)!r}, undisturbed {other.get(name)!r}"
            for name in sorted(row.keys() | other.keys())
            if row.get(name) != other.get(name)
        ]
    return lines


def _await_checkpoint(settings: Mapping[str, str], height: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while relay_status(settings).get("checkpoint", 0) < height:
        if time.monotonic() > deadline:
            raise ProcessError(f"the undisturbed relay has not come to block {height} after {TIMEOUT_S:.0f} s")
        time.sleep(0.5)
