"""Reads and writes the record of cars and drivers in Azure Table Storage.

Each partition is written in one entity group transaction whose first operation is the partition's record: inserted if
it was absent, else replaced under the ETag it was read with. So a partition changes as a whole or not at all, and
nobody overwrites what they have not seen. It does not know why a row is written.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import TableErrorCode, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.identity.aio import DefaultAzureCredential

from functions.leasing.car import Car
from functions.leasing.driver import Claim, Driver, Lease
from functions.records import rows
from functions.records.errors import ConflictError, RefusedError, RowTooLargeError, UnavailableError
from functions.records.rows import AppliedTransaction, Entity
from functions.settings import Settings

DRIVERS = "Drivers"
CARS = "Cars"
MAX_OPERATIONS = 100
"""Operations in one entity group transaction, by Azure's rule."""
MAX_TEXT_BYTES = 64_000
"""Bytes of one text property in UTF-16: Azure takes 64 KiB."""
CONCURRENT_CALLS = 16


class StoredCar(msgspec.Struct, frozen=True):
    """A car as it was read; both are None when it is not in the record."""

    car: Car | None
    etag: str | None


class StoredDriver(msgspec.Struct, frozen=True):
    """A driver as they were read, with the leases that were asked for; `etag` is None when there is no record yet."""

    driver: Driver
    etag: str | None
    leases: dict[str, Lease]


class Record:
    """The tables Drivers and Cars of one storage account. Make it once and keep it: its connections stay warm."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._drivers = service.get_table_client(DRIVERS)
        self._cars = service.get_table_client(CARS)
        self._calls = asyncio.Semaphore(CONCURRENT_CALLS)
        self._tables_exist = False

    async def close(self) -> None:
        """Close the connections."""
        await self._service.close()

    async def load_car(self, asset_id: str) -> StoredCar:
        """The car's record."""
        row = await self._get(self._cars, asset_id, rows.record_key(asset_id))
        return StoredCar(rows.car_from(row), row.metadata["etag"]) if row else StoredCar(None, None)

    async def is_applied(self, asset_id: str, transaction_id: str) -> bool:
        """Whether the car's partition holds the mark of this transaction."""
        return await self._get(self._cars, asset_id, rows.TRANSACTION + transaction_id) is not None

    async def save_car(self, stored: StoredCar, car: Car, applied: Iterable[AppliedTransaction]) -> None:
        """Write the car and the marks of the transactions that made it so, all or nothing.

        Raises ConflictError when the car is no longer as it was read, or a transaction was applied already.
        """
        marks = [("create", rows.transaction_row(car.asset_id, one)) for one in applied]
        await self._submit(self._cars, rows.car_row(car), stored.etag, marks)

    @staticmethod
    def check_car(car: Car, applied: AppliedTransaction) -> None:
        """Raise RowTooLargeError when a car, or the mark of its last transaction, does not fit its row.

        To be asked before the car's drivers are written: they would know of what the car can never show.
        """
        _check_size(rows.car_row(car))
        _check_size(rows.transaction_row(car.asset_id, applied))

    async def load_driver(self, key: str, lease_ids: Iterable[str] | None = None) -> StoredDriver:
        """The driver's record with those of `lease_ids` that exist; with the open leases where that is None."""
        row = await self._get(self._drivers, key, rows.record_key(key))
        driver = rows.driver_from(row) if row else Driver(key)
        wanted = list(driver.open_leases if lease_ids is None else lease_ids)
        found = await asyncio.gather(*(self._get(self._drivers, key, rows.LEASE + one) for one in wanted))
        leases = {one: rows.lease_from(lease) for one, lease in zip(wanted, found, strict=True) if lease}
        return StoredDriver(driver, row.metadata["etag"] if row else None, leases)

    async def save_driver(
        self, stored: StoredDriver, driver: Driver, leases: Mapping[str, Lease], claim: Claim | None = None
    ) -> None:
        """Write the driver, the leases that changed, and a new claim, all or nothing.

        Raises ConflictError when the driver is no longer as they were read, or the claim exists.
        """
        changes: list[tuple[str, Entity]] = [
            ("update" if lease_id in stored.leases else "create", rows.lease_row(lease))
            for lease_id, lease in leases.items()
        ]
        if claim is not None:
            changes.append(("create", rows.claim_row(driver.key, claim)))
        await self._submit(self._drivers, rows.driver_row(driver), stored.etag, changes)

    async def car_history(self, asset_id: str) -> list[AppliedTransaction]:
        """The transactions applied to a car, in ledger order."""
        found = [rows.transaction_from(row) async for row in self._range(self._cars, asset_id, rows.TRANSACTION)]
        return sorted(found, key=lambda one: one.sequence)

    async def driver_leases(self, key: str) -> list[Lease]:
        """All leases of a driver, in ledger order."""
        found = [rows.lease_from(row) async for row in self._range(self._drivers, key, rows.LEASE)]
        return sorted(found, key=lambda one: one.sequence)

    async def driver_claims(self, key: str) -> list[Claim]:
        """All claims of a driver, by date."""
        return [rows.claim_from(row) async for row in self._range(self._drivers, key, rows.CLAIM)]

    async def drivers(
        self, limit: int, continuation: dict[str, str] | None = None
    ) -> tuple[list[Driver], dict[str, str] | None]:
        """One page of at most `limit` drivers, and where the next page begins (None: there is none)."""
        async with self._call():
            pages = self._drivers.query_entities(
                "RowKey ge @first and RowKey lt @beyond",
                parameters={"first": rows.RECORD, "beyond": rows.RECORD[:-1] + "."},
                results_per_page=limit,
            ).by_page(continuation)  # type: ignore[arg-type]  # the SDK's own tokens are dictionaries
            async for page in pages:
                found = [rows.driver_from(row) async for row in page]
                return found, pages.continuation_token  # type: ignore[attr-defined]
        return [], None

    async def _get(self, table: TableClient, partition: str, row: str) -> Any:
        async with self._call():
            try:
                return await table.get_entity(partition, row)
            except ResourceNotFoundError as error:
                if _code(error) == TableErrorCode.TABLE_NOT_FOUND:
                    raise
        return None

    async def _range(self, table: TableClient, partition: str, prefix: str) -> AsyncIterator[Mapping[str, Any]]:
        # "." is the character after "-", with which every prefix ends.
        query = "PartitionKey eq @partition and RowKey ge @first and RowKey lt @beyond"
        parameters = {"partition": partition, "first": prefix, "beyond": prefix[:-1] + "."}
        async with self._call():
            async for row in table.query_entities(query, parameters=parameters):
                yield row

    async def _submit(
        self, table: TableClient, record: Entity, etag: str | None, others: list[tuple[str, Entity]]
    ) -> None:
        if len(others) >= MAX_OPERATIONS:
            raise RowTooLargeError(
                f"{table.table_name}, partition {record['PartitionKey']}: {len(others) + 1} rows change together, "
                f"and an entity group transaction takes {MAX_OPERATIONS}"
            )
        for entity in (record, *(row for _, row in others)):
            _check_size(entity)
        async with self._call():
            if not others:
                await self._write_alone(table, record, etag)
                return
            changes: list[Any] = [
                (kind, row, {"mode": UpdateMode.REPLACE}) if kind == "update" else (kind, row) for kind, row in others
            ]
            await table.submit_transaction([_record_operation(record, etag), *changes])

    async def _write_alone(self, table: TableClient, record: Entity, etag: str | None) -> None:
        if etag is None:
            await table.create_entity(record)
        else:
            await table.update_entity(
                record, mode=UpdateMode.REPLACE, etag=etag, match_condition=MatchConditions.IfNotModified
            )

    async def _make_tables(self) -> None:
        if not self._tables_exist:
            await self._service.create_table_if_not_exists(CARS)
            await self._service.create_table_if_not_exists(DRIVERS)
            self._tables_exist = True

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[None]:
        """Bound how many calls are under way, make the tables before the first, and turn the SDK's errors into ours."""
        async with self._calls:
            try:
                await self._make_tables()
                yield
            except (ResourceExistsError, ResourceModifiedError) as error:
                raise ConflictError("the row was written by somebody else") from error
            except (ServiceRequestError, ServiceResponseError) as error:
                raise UnavailableError("Table Storage gave no answer") from error
            except HttpResponseError as error:
                if _code(error) == TableErrorCode.TABLE_NOT_FOUND:
                    # The account was emptied under us: the next call makes the tables again.
                    self._tables_exist = False
                    raise UnavailableError("the tables are gone") from error
                if error.status_code in {409, 412}:
                    raise ConflictError("the rows were written by somebody else") from error
                if error.status_code in {400, 413}:
                    raise RefusedError(f"Table Storage refuses the request ({_code(error)})") from error
                raise UnavailableError(f"Table Storage answered {error.status_code}") from error


def _code(error: HttpResponseError) -> str | None:
    """The service's own code; the SDK adds it to the errors that it raises."""
    return getattr(error, "error_code", None)


def _check_size(entity: Entity) -> None:
    """Raise RowTooLargeError when a text does not fit its property."""
    for name, value in entity.items():
        if (
            isinstance(value, str)
            and len(value) * 4 > MAX_TEXT_BYTES
            and len(value.encode("utf-16-le")) > MAX_TEXT_BYTES
        ):
            raise RowTooLargeError(
                f"row {entity['RowKey']}: {name}, {len(value)} characters, does not fit its property"
            )


def _record_operation(record: Entity, etag: str | None) -> tuple[Any, ...]:
    if etag is None:
        return ("create", record)
    condition = {"mode": UpdateMode.REPLACE, "etag": etag, "match_condition": MatchConditions.IfNotModified}
    return ("update", record, condition)


def open_record(settings: Settings) -> Record:
    """The record in the storage account of the settings: by connection string, or by managed identity."""
    # The SDK logs every request at the level of ordinary messages, which Application Insights would bill.
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
    options: dict[str, Any] = {
        # Without this, the default transport reads the proxy settings of the environment at every request.
        "transport": AioHttpTransport(use_env_settings=False),
        "retry_total": 2,
        "retry_backoff_factor": 0.2,
        "connection_timeout": 5,
        "read_timeout": 30,
    }
    if settings.tables_connection_string:
        text = settings.tables_connection_string.reveal()
        return Record(TableServiceClient.from_connection_string(text, **options))
    return Record(TableServiceClient(endpoint=settings.tables_endpoint, credential=DefaultAzureCredential(), **options))
