"""All that an account holds, for tests in which nothing may change."""

from typing import Any

from azure.data.tables import TableServiceClient

Rows = dict[tuple[str, str, str], tuple[Any, dict[str, Any]]]


def stored(connection_string: str) -> Rows:
    """Every row of every table by table, PartitionKey and RowKey: its ETag, and its properties."""
    with TableServiceClient.from_connection_string(connection_string) as service:
        return {
            (table.name, row["PartitionKey"], row["RowKey"]): (row.metadata["etag"], dict(row))
            for table in service.list_tables()
            for row in service.get_table_client(table.name).list_entities()
        }
