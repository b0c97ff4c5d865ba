"""Reads and writes the record of cars and drivers in Azure Table Storage.

Each partition is written in one entity group transaction whose first operation is the partition's record: inserted if
it was absent, else replaced under the ETag it was read with. So a partition changes as a whole or not at all, and
nobody overwrites what they have not seen. It does not know why a row is written.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import TableErrorCode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.identity.aio import DefaultAzureCredential

from functions.leasing.car import Car, Mark
from functions.leasing.driver import Change, Claim, Driver, Lease
from functions.records import guard, rows
from functions.records.changeset import Delete, Insert, Merge, Operation, Replace
from functions.records.errors import ConflictError, DamagedError, RecordError, RefusedError, UnavailableError
from functions.records.wire import BACKOFF_S, CONNECT_TIMEOUT_S, READ_TIMEOUT_S, RETRIES, Wire
from functions.settings import Settings, SettingsError

DRIVERS = "Drivers"
CARS = "Cars"
RELAY = "Relay"
CONCURRENT_CALLS = 16
MAX_EMPTY_PAGES = 20
"""Table Storage may answer pages without rows where a filter meets none: so many are read before that is passed on."""

Token = dict[str, str]
"""Where the next page begins, as Table Storage says it."""


class StoredCar(msgspec.Struct, frozen=True):
    """A car as it was read or written; both are None when it is not in the record."""

    car: Car | None
    etag: str | None


class StoredDriver(msgspec.Struct, frozen=True):
    """A driver as they were read or written; `etag` is None when there is no record yet."""

    driver: Driver
    etag: str | None


class CarFile(msgspec.Struct, frozen=True):
    """All that the record holds of a car: its transactions are in ledger order."""

    stored: StoredCar
    transactions: list[Mark]


class DriverFile(msgspec.Struct, frozen=True):
    """All that the record holds of a driver: leases in ledger order, claims by date, withdrawn ones among them."""

    stored: StoredDriver
    leases: list[Lease]
    claims: list[Claim]


class Record:
    """The tables Drivers and Cars of one storage account, and what others leave in its table Relay.

    Make it once and keep it: its connections stay warm.
    """

    def __init__(self, service: TableServiceClient, wire: Wire) -> None:
        self._service = service
        self._wire = wire
        self._drivers = service.get_table_client(DRIVERS)
        self._cars = service.get_table_client(CARS)
        self._relay = service.get_table_client(RELAY)
        self._calls = asyncio.Semaphore(CONCURRENT_CALLS)
        self._tables_exist = False

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()
        await self._service.close()

    async def check(self) -> None:
        """Read from both tables. Raises UnavailableError when they do not answer."""
        await asyncio.gather(*(self._get(table, rows.RECORD, rows.RECORD) for table in (CARS, DRIVERS)))

    async def load_car(self, asset_id: str) -> StoredCar:
        """The car's record."""
        row, etag = await self._get(CARS, asset_id, rows.record_key(asset_id))
        return StoredCar(rows.car_from(row) if row else None, etag)

    async def load_marks(self, asset_id: str, transaction_ids: Iterable[str]) -> dict[str, Mark]:
        """The marks of those of the transactions that were applied to the car, by id. Raises DamagedError."""
        ids = list(transaction_ids)
        found = await asyncio.gather(*(self._get(CARS, asset_id, rows.TRANSACTION + one) for one in ids))
        return {one: rows.transaction_from(row) for one, (row, _) in zip(ids, found, strict=True) if row}

    async def save_car(self, etag: str | None, car: Car, applied: Iterable[Mark]) -> StoredCar:
        """Write the car and the marks of the transactions that made it so, all or nothing.

        Raises ConflictError when the car is no longer as it was read, or a transaction was applied already.
        """
        marks = [Insert(rows.transaction_row(car.asset_id, one)) for one in applied]
        return StoredCar(car, await self._submit(CARS, [_put(rows.car_row(car), etag), *marks]))

    @staticmethod
    def check_car(car: Car, applied: Mark) -> None:
        """Raise RowTooLargeError when a car, or the mark of its last transaction, does not fit its row.

        To be asked before the car's drivers are written: they would know of what the car can never show.
        """
        guard.check_entity(rows.car_row(car))
        guard.check_entity(rows.transaction_row(car.asset_id, applied))

    async def load_driver(self, key: str) -> StoredDriver:
        """The driver's record."""
        row, etag = await self._get(DRIVERS, key, rows.record_key(key))
        return StoredDriver(rows.driver_from(row) if row else Driver(key), etag)

    async def load_leases(self, key: str, lease_ids: Iterable[str]) -> dict[str, Lease]:
        """Those of a driver's leases that exist, by id."""
        ids = list(lease_ids)
        found = await asyncio.gather(*(self._get(DRIVERS, key, rows.LEASE + one) for one in ids))
        return {one: rows.lease_from(row) for one, (row, _) in zip(ids, found, strict=True) if row}

    async def load_open_leases(self, driver: Driver) -> dict[str, Lease]:
        """The rows of a driver's open leases, by id. Raises DamagedError when one is missing."""
        leases = await self.load_leases(driver.key, driver.open_leases)
        for missing in driver.open_leases.keys() - leases.keys():
            raise DamagedError(f"driver {driver.key} has the open lease {missing}, which has no row")
        return leases

    async def load_claim(self, key: str, claim_id: str) -> Claim | None:
        """One claim of a driver."""
        row, _ = await self._get(DRIVERS, key, rows.CLAIM + claim_id)
        return rows.claim_from(row) if row else None

    async def save_driver(self, etag: str | None, change: Change) -> StoredDriver:
        """Write a driver's record and the rows that change with it, all or nothing.

        Raises ConflictError when the driver is no longer as they were read, or a new lease or claim exists already.
        """
        key = change.driver.key
        operations: list[Operation] = [_put(rows.driver_row(change.driver), etag)]
        operations += [Insert(rows.lease_row(lease)) for lease in change.started]
        operations += [Merge(rows.ended_lease_row(ended)) for ended in change.ended]
        operations += [Merge(rows.repriced_lease_row(key, *one)) for one in change.repriced.items()]
        if change.new_claim:
            operations.append(Insert(rows.claim_row(key, change.new_claim)))
        if change.withdrawn_claim:
            operations.append(Merge(rows.withdrawn_claim_row(key, change.withdrawn_claim)))
        operations += [Delete(key, rows.CLAIM + claim) for claim in change.erased_claims]
        return StoredDriver(change.driver, await self._submit(DRIVERS, operations))

    async def remove_driver(self, stored: StoredDriver) -> None:
        """Delete the record of a driver. Raises ConflictError when it is no longer as it was read."""
        key = stored.driver.key
        if stored.etag is not None:
            await self._submit(DRIVERS, [Delete(key, rows.record_key(key), stored.etag)])

    async def car_file(self, asset_id: str) -> CarFile:
        """Everything on a car, from one query."""
        stored, marks = StoredCar(None, None), []
        async for row in self._partition(self._cars, asset_id):
            if row["RowKey"].startswith(rows.TRANSACTION):
                marks.append(rows.transaction_from(row))
            else:
                stored = StoredCar(rows.car_from(row), row.metadata["etag"])
        return CarFile(stored, sorted(marks, key=lambda one: (one.sequence, one.id)))

    async def driver_file(self, key: str) -> DriverFile:
        """Everything on a driver, from one query."""
        stored, leases, claims = StoredDriver(Driver(key), None), [], []
        async for row in self._partition(self._drivers, key):
            if row["RowKey"].startswith(rows.LEASE):
                leases.append(rows.lease_from(row))
            elif row["RowKey"].startswith(rows.CLAIM):
                claims.append(rows.claim_from(row))
            else:
                stored = StoredDriver(rows.driver_from(row), row.metadata["etag"])
        leases.sort(key=lambda lease: (lease.sequence, lease.transaction))
        return DriverFile(stored, leases, sorted(claims, key=lambda claim: (claim.date, claim.id)))

    async def drivers(
        self, wanted: Mapping[str, str | int | bool], limit: int, after: Token | None = None
    ) -> tuple[list[StoredDriver], Token | None]:
        """At most `limit` drivers whose records have the `wanted` properties, and where the next page begins.

        A page may hold fewer, even none, while another follows it.
        """
        found, following = await self._page(self._drivers, wanted, limit, after)
        return [StoredDriver(rows.driver_from(row), row.metadata["etag"]) for row in found], following

    async def cars(
        self, wanted: Mapping[str, str | int | bool], limit: int, after: Token | None = None
    ) -> tuple[list[Car], Token | None]:
        """At most `limit` cars whose records have the `wanted` properties, and where the next page begins.

        A page may hold fewer, even none, while another follows it.
        """
        found, following = await self._page(self._cars, wanted, limit, after)
        return [rows.car_from(row) for row in found], following

    async def relay_rows(self, ledger: str, properties: Sequence[str]) -> list[dict[str, Any]]:
        """These properties of what relay and audit of a ledger have left in table Relay; none before a relay made it.

        Each has its Timestamp, too: when the row was last written, by Table Storage's clock.
        """
        async with self._calling():
            query = self._relay.query_entities(
                "PartitionKey eq @ledger", parameters={"ledger": ledger}, select=[*properties, "Timestamp"]
            )
            try:
                return [{**row, "Timestamp": row.metadata["timestamp"]} async for row in query]
            except ResourceNotFoundError:
                return []

    async def _get(self, table: str, partition: str, row: str) -> tuple[Mapping[str, Any] | None, str | None]:
        async with self._calling():
            return await self._wire.get(table, partition, row) or (None, None)

    async def _submit(self, table: str, operations: list[Operation]) -> str:
        """Do the operations, and return the ETag that the first one's row has now."""
        async with self._calling():
            with _answer_may_be_lost():
                return (await self._wire.submit(table, operations))[0]

    async def _partition(self, table: TableClient, partition: str) -> AsyncIterator[Any]:
        async with self._calling():
            query = table.query_entities("PartitionKey eq @partition", parameters={"partition": partition})
            async for row in query:
                yield row

    async def _page(
        self, table: TableClient, wanted: Mapping[str, str | int | bool], limit: int, after: Token | None
    ) -> tuple[list[Any], Token | None]:
        # "." is the character after "-", with which the keys of records begin.
        conditions = ["RowKey ge @first", "RowKey lt @beyond", *(f"{name} eq @{name}" for name in wanted)]
        parameters = {"first": rows.RECORD, "beyond": rows.RECORD[:-1] + ".", **wanted}
        async with self._calling():
            pages: Any = table.query_entities(
                " and ".join(conditions), parameters=parameters, results_per_page=limit
            ).by_page(after)  # type: ignore[arg-type]  # the SDK's own tokens are dictionaries
            found: list[Any] = []
            for _ in range(MAX_EMPTY_PAGES):
                found = [row async for row in await anext(pages)]
                if found or not pages.continuation_token:
                    break
            return found, pages.continuation_token

    async def _make_tables(self) -> None:
        if not self._tables_exist:
            await self._service.create_table_if_not_exists(CARS)
            await self._service.create_table_if_not_exists(DRIVERS)
            self._tables_exist = True

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[None]:
        """Bound how many calls are under way, make the tables before the first, and turn the SDK's errors into ours."""
        async with self._calls:
            try:
                await self._make_tables()
                yield
            except AzureError as error:
                if _code(error) == TableErrorCode.TABLE_NOT_FOUND:
                    # The account was emptied under us: the next call makes the tables again.
                    self._tables_exist = False
                raise _ours(error) from error


@contextmanager
def _answer_may_be_lost() -> Iterator[None]:
    """A write without an answer may have been done: that is for its caller to find out, by reading again."""
    try:
        yield
    except (ServiceRequestError, ServiceResponseError) as error:
        raise ConflictError("Table Storage gave no answer to a write") from error


def _ours(error: AzureError) -> RecordError:
    """What an error of the SDK means for the record."""
    if isinstance(error, ResourceExistsError | ResourceModifiedError):
        return ConflictError("the row was written by somebody else")
    if not isinstance(error, HttpResponseError):
        return UnavailableError("Table Storage gave no answer")
    if _code(error) == TableErrorCode.TABLE_NOT_FOUND:
        return UnavailableError("the tables are gone")
    if error.status_code in {404, 409, 412}:
        return ConflictError("the rows were written by somebody else")
    if error.status_code in {400, 413}:
        return RefusedError(f"Table Storage refuses the request ({_code(error)})")
    if error.status_code is None and isinstance(error, ClientAuthenticationError):
        # Before anything was sent.
        return UnavailableError(f"no key or identity to sign requests to Table Storage with ({type(error).__name__})")
    refused = ": it does not accept the account's key, SAS or identity" if error.status_code in {401, 403} else ""
    return UnavailableError(f"Table Storage answered {error.status_code}{refused}")


def _code(error: AzureError) -> str | None:
    """The service's own code; the SDK adds it to the errors that it raises."""
    return getattr(error, "error_code", None)


def _put(record: rows.Entity, etag: str | None) -> Operation:
    return Insert(record) if etag is None else Replace(record, etag)


def open_record(settings: Settings) -> Record:
    """The record in the storage account of the settings: by connection string, or by managed identity.

    Raises SettingsError when the SDK cannot use the connection string.
    """
    # The SDK logs every request at the level of ordinary messages, which Application Insights would bill.
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
    # Without this, the default transport reads the proxy settings of the environment at every request.
    options: dict[str, Any] = {
        "transport": AioHttpTransport(use_env_settings=False),
        "retry_total": RETRIES,
        "retry_backoff_factor": BACKOFF_S,
        "connection_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": READ_TIMEOUT_S,
        "permit_redirects": False,
    }
    if settings.tables_connection_string:
        try:
            service = TableServiceClient.from_connection_string(settings.tables_connection_string.reveal(), **options)
        except (TypeError, ValueError):
            # TypeError where the endpoint has no host. The SDK's text may quote what it could not read.
            raise SettingsError(
                "TABLES_CONNECTION_STRING: found a text that the tables SDK cannot use (its value is not shown); "
                "allowed is a connection string as it stands at the storage account"
            ) from None
        return Record(service, Wire(service.url, service.credential))
    credential = DefaultAzureCredential()
    service = TableServiceClient(endpoint=settings.tables_endpoint, credential=credential, **options)
    return Record(service, Wire(settings.tables_endpoint, credential))
