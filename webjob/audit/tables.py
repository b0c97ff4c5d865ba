"""Reads tables Cars and Drivers: all partitions, one after the other, or one. It does not know what rows mean."""

import itertools
from collections.abc import Iterator

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableServiceClient

from audit.patience import Patience
from audit.rows import Row
from relay.tables import tables_errors

PAGE_ROWS = 1_000


class RecordTables:
    """The record's rows. Every call may raise TablesError, after it has been tried for as long as patience lasts."""

    def __init__(self, service: TableServiceClient, patience: Patience) -> None:
        self._service = service
        self._patience = patience

    def partitions(self, table: str, columns: list[str]) -> Iterator[tuple[str, list[Row]]]:
        """PartitionKey and rows of every partition, in order; of a table that is not there, none."""
        rows = itertools.chain.from_iterable(self._pages(table, columns))
        for partition, found in itertools.groupby(rows, key=lambda row: str(row["PartitionKey"])):
            yield partition, list(found)

    def partition(self, table: str, columns: list[str], partition: str) -> list[Row]:
        """The rows of one partition."""
        client = self._service.get_table_client(table)

        def read() -> list[Row]:
            with tables_errors():
                try:
                    query = "PartitionKey eq @partition"
                    return list(client.query_entities(query, select=columns, parameters={"partition": partition}))
                except ResourceNotFoundError:
                    return []

        return self._patience.until_done(f"rows of table {table}", read)

    def _pages(self, table: str, columns: list[str]) -> Iterator[list[Row]]:
        client = self._service.get_table_client(table)
        following: str | None = None

        def read() -> list[Row] | None:
            nonlocal following
            pages = client.list_entities(select=columns, results_per_page=PAGE_ROWS).by_page(following)
            with tables_errors():
                try:
                    found: list[Row] = list(next(pages))
                except (StopIteration, ResourceNotFoundError):
                    return None
            following = pages.continuation_token  # type: ignore[attr-defined]  # the SDK's own type for it is an iterator
            return found

        while (page := self._patience.until_done(f"rows of table {table}", read)) is not None:
            yield page
            if not following:
                return
