"""What a batch makes of faults that come late: past the first write of a car, or between a read and its write."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceModifiedError
from azure.data.tables import TableServiceClient, UpdateMode

from functions.conflicts import ATTEMPTS
from functions.leasing.outcomes import Outcome
from functions.recording import EVENTS_PER_WRITE, Recording
from functions.records.changeset import Operation, keys
from functions.records.errors import UnavailableError
from functions.records.record import Record, open_record
from functions.records.rows import TRANSACTION, record_key
from functions.records.wire import Wire
from functions.settings import read_settings
from local.azurite import azurite
from local.chaos import calm
from local.scenario import JsonObject
from tests.integration.test_recording import TARIFF, divided, outage, rounds, settings
from tests.unit.ledger_writing import ANN, BOB, CAT, LESSOR, LESSORS, create, event, events, share, transfer

READ, WRITE = "read", "write"
Meddle = Callable[[str, str], None]
"""Is told of each read or write, and of its partition, before it is sent; what it raises comes instead."""


class MeddledWire(Wire):
    """A wire that somebody meddles with."""

    def __init__(self, url: str, credential: Any, meddle: Meddle) -> None:
        super().__init__(url, credential)
        self._meddle = meddle

    async def get(self, table: str, partition: str, row: str) -> tuple[dict[str, Any], str] | None:
        """Read, unless the meddler raises."""
        self._meddle(READ, partition)
        return await super().get(table, partition, row)

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Write, unless the meddler raises."""
        self._meddle(WRITE, keys(operations[0])[0])
        return await super().submit(table, operations)


class At:
    """Does something at some of the reads or writes of one partition, the first being number 1."""

    def __init__(self, what: str, partition: str, numbers: Sequence[int], deed: Callable[[], None]) -> None:
        self._place = what, partition
        self._numbers = numbers
        self._deed = deed
        self.count = 0

    def __call__(self, what: str, partition: str) -> None:
        """Count, and do it when its time has come."""
        if (what, partition) == self._place:
            self.count += 1
            if self.count in self._numbers:
                self._deed()


def raising(error: Exception) -> Callable[[], None]:
    """A deed that is nothing but this error."""

    def deed() -> None:
        raise error

    return deed


def nothing(what: str, partition: str) -> None:
    """Do not meddle."""


def applied(
    tables: str, *batches: Sequence[JsonObject], meddle: Meddle = nothing, after: Sequence[JsonObject] = ()
) -> list[Outcome]:
    """The outcomes of the last of some batches, all applied by one Function app, following what was applied before."""

    async def play() -> list[Outcome]:
        service = open_record(read_settings(settings(tables)))._service
        record = Record(service, MeddledWire(service.url, service.credential, meddle))
        recording = Recording(record, LESSORS, TARIFF)
        try:
            made = islice(events(chain(after, *batches)), len(after), None)
            for batch in batches:
                decisions = await recording.apply(list(islice(made, len(batch))))
            return [decision.outcome for decision in decisions]
        finally:
            await record.close()

    return asyncio.run(play())


@contextmanager
def rows_of(tables: str, table: str) -> Iterator[Any]:
    """The SDK's client for one table."""
    with TableServiceClient.from_connection_string(tables) as service:
        yield service.get_table_client(table)


def marks(tables: str) -> list[str]:
    """The ids of all transactions that a car's partition shows as applied."""
    with rows_of(tables, "Cars") as cars:
        found = [row["RowKey"] for row in cars.list_entities()]
    return [key.removeprefix(TRANSACTION) for key in found if key.startswith(TRANSACTION)]


def touch(tables: str, table: str, partition: str) -> None:
    """Write a partition's record as it is: whoever read it before has read an older one."""
    with rows_of(tables, table) as rows:
        rows.update_entity(rows.get_entity(partition, record_key(partition)), mode=UpdateMode.REPLACE)


@pytest.mark.parametrize("partition", ["the car", "the driver"])
def test_an_outage_while_reading_is_raised_and_blames_no_car(tmp_path: Path, partition: str) -> None:
    registered, other = create(metadata={"car": 1}), create(metadata={"car": 2})
    leased = transfer(registered, ANN)
    key = {"the car": registered["id"], "the driver": ANN.public_key}[partition]
    with azurite(tmp_path / "azurite.log") as tables:
        with pytest.raises(UnavailableError):
            applied(tables, [registered, other, leased], meddle=At(READ, key, [1], raising(outage())))
        outcomes = applied(tables, [registered, other, leased])

    assert set(outcomes) <= {Outcome.APPLIED, Outcome.DUPLICATE}


@pytest.mark.parametrize("partition", ["the car", "the driver"])
def test_an_outage_at_a_later_write_is_raised_and_the_batch_can_be_sent_again(tmp_path: Path, partition: str) -> None:
    bodies = rounds(cars=1, transfers=EVENTS_PER_WRITE + 5)
    key = {"the car": bodies[0]["id"], "the driver": BOB.public_key}[partition]
    with azurite(tmp_path / "azurite.log") as tables:
        with pytest.raises(UnavailableError):
            applied(tables, bodies, meddle=At(WRITE, key, [2], raising(outage())))
        shown = marks(tables)
        outcomes = applied(tables, bodies)

    assert len(shown) == EVENTS_PER_WRITE
    assert outcomes == [Outcome.DUPLICATE] * EVENTS_PER_WRITE + [Outcome.APPLIED] * 6


def test_what_failed_in_a_later_write_stops_the_car_but_takes_back_nothing(tmp_path: Path) -> None:
    registered, *bodies = divided(2 * EVENTS_PER_WRITE + 1)
    always = range(2, 100)
    with azurite(tmp_path / "azurite.log") as tables:
        busy = At(WRITE, ANN.public_key, always, raising(ResourceModifiedError("changed")))
        outcomes = applied(tables, [registered], bodies, meddle=busy)
        shown = marks(tables)

    left = len(bodies) - EVENTS_PER_WRITE
    assert outcomes == [Outcome.APPLIED] * EVENTS_PER_WRITE + [Outcome.FAILED] * left
    assert sorted(shown) == sorted(body["id"] for body in (registered, *bodies[:EVENTS_PER_WRITE]))


def test_what_stands_twice_in_a_batch_is_a_duplicate_in_a_later_write_too(tmp_path: Path) -> None:
    bodies = rounds(cars=1, transfers=EVENTS_PER_WRITE + 1)
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes = applied(tables, [*bodies, bodies[1], bodies[-2], bodies[0]])

    assert outcomes == [Outcome.APPLIED] * len(bodies) + [Outcome.DUPLICATE] * 3


def test_a_transfer_before_its_car_fails_with_it_when_the_driver_cannot_be_written(tmp_path: Path) -> None:
    registered, other = create(metadata={"car": 1}), create(metadata={"car": 2})
    leased = transfer(registered, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        busy = At(WRITE, ANN.public_key, range(100), raising(ResourceModifiedError("changed")))
        outcomes = applied(tables, [leased, registered, other, leased], meddle=busy)
        shown = marks(tables)

    assert outcomes == [Outcome.FAILED, Outcome.FAILED, Outcome.APPLIED, Outcome.FAILED]
    assert shown == [other["id"]]


def test_what_was_not_applicable_behind_what_failed_has_failed_with_it(tmp_path: Path) -> None:
    registered = create()
    with azurite(tmp_path / "azurite.log") as tables:
        busy = At(WRITE, ANN.public_key, range(100), raising(ResourceModifiedError("changed")))
        outcomes = applied(tables, [registered], [transfer(registered, ANN), transfer(registered, BOB)], meddle=busy)

    # That Bob's is not to be applied is known only if Ann's was.
    assert outcomes == [Outcome.FAILED] * 2


def test_a_car_that_another_writes_between_two_writes_is_read_again(tmp_path: Path) -> None:
    bodies = rounds(cars=1, transfers=EVENTS_PER_WRITE + 5)
    car = bodies[0]["id"]
    with azurite(tmp_path / "azurite.log") as tables:
        other = At(WRITE, car, [2], lambda: touch(tables, "Cars", car))
        outcomes = applied(tables, bodies, meddle=other)
        shown = marks(tables)

    assert outcomes == [Outcome.APPLIED] * len(bodies)
    assert sorted(shown) == sorted(body["id"] for body in bodies)
    # Two writes, and the one that met the other writer.
    assert other.count == 3


def test_a_car_that_was_busy_too_often_is_not_gone_on_with_when_it_is_free(tmp_path: Path) -> None:
    registered, *bodies = divided(EVENTS_PER_WRITE + 1)
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, [registered])
        busy = At(WRITE, registered["id"], range(ATTEMPTS + 1), raising(ResourceModifiedError("changed")))
        outcomes = applied(tables, bodies, meddle=busy, after=[registered])
        shown = marks(tables)

    # The last of them spends another output, which waits for nobody.
    assert outcomes == [Outcome.FAILED] * len(bodies)
    assert shown == [registered["id"]]
    assert busy.count == ATTEMPTS


@pytest.mark.parametrize("table", ["Cars", "Drivers"])
def test_a_table_that_is_deleted_before_a_write_is_an_outage_and_made_again(tmp_path: Path, table: str) -> None:
    registered = create()
    leased = transfer(registered, ANN)
    key = {"Cars": registered["id"], "Drivers": ANN.public_key}[table]
    with azurite(tmp_path / "azurite.log") as tables:

        def delete() -> None:
            with TableServiceClient.from_connection_string(tables) as service:
                service.delete_table(table)

        async def play() -> list[Outcome]:
            service = open_record(read_settings(settings(tables)))._service
            wire = MeddledWire(service.url, service.credential, At(WRITE, key, [1], delete))
            record = Record(service, wire)
            recording = Recording(record, LESSORS, TARIFF)
            try:
                with pytest.raises(UnavailableError):
                    await recording.apply([event(registered), event(leased)])
                return [one.outcome for one in await recording.apply([event(registered), event(leased)])]
            finally:
                await record.close()

        outcomes = asyncio.run(play())

    assert outcomes == [Outcome.APPLIED] * 2


@pytest.mark.parametrize("garbage", ["", '{"a": [1]}'])
@pytest.mark.parametrize(("table", "column"), [("Cars", "Holders"), ("Drivers", "OpenLeases")])
def test_a_row_of_another_shape_fails_the_cars_that_need_it_alone(
    tmp_path: Path, table: str, column: str, garbage: str
) -> None:
    first, second, third = (create(metadata={"car": number}) for number in range(3))
    leased = [transfer(first, ANN), transfer(second, ANN), transfer(third, BOB)]
    returned = [transfer(one, CAT) for one in leased]
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, [first, second, third, *leased])
        with rows_of(tables, table) as rows:
            key = {"Cars": first["id"], "Drivers": ANN.public_key}[table]
            row = rows.get_entity(key, record_key(key))
            rows.update_entity({**row, column: garbage}, mode=UpdateMode.REPLACE)
        outcomes = applied(tables, returned)

    both = Outcome.FAILED if table == "Drivers" else Outcome.APPLIED
    assert outcomes == [Outcome.FAILED, both, Outcome.APPLIED]


def test_a_lease_without_any_row_cannot_end_and_other_cars_are_applied(tmp_path: Path) -> None:
    registered, other = create(metadata={"car": 1}), create(metadata={"car": 2})
    leased = transfer(registered, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, [registered, other, leased])
        with rows_of(tables, "Drivers") as rows:
            for row in list(rows.list_entities()):
                rows.delete_entity(row)
        outcomes = applied(tables, [transfer(leased, BOB), transfer(other, CAT)])

    assert outcomes == [Outcome.DEFERRED, Outcome.APPLIED]


def forget(tables: str, *drivers: str) -> None:
    """Delete all rows of these drivers, as storage does that went back after they were written."""
    with rows_of(tables, "Drivers") as client:
        for row in [one for one in client.list_entities() if one["PartitionKey"] in drivers]:
            client.delete_entity(row)


RENEWED = [registered := create(), leased := transfer(registered, ANN), transfer(leased, ANN, metadata={"number": 1})]
JOINTLY = [registered := create(share(ANN, BOB)), handed_on := transfer(registered, CAT), transfer(handed_on, LESSOR)]


@pytest.mark.parametrize("bodies", [RENEWED, JOINTLY, divided(4)], ids=["renewed", "jointly", "divided"])
def test_what_storage_lost_of_drivers_while_it_kept_the_car_is_restored_by_delivering_again(
    tmp_path: Path, bodies: list[JsonObject]
) -> None:
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, bodies)
        before = calm.rows(tables)
        for lost in ([ANN], [BOB, CAT], [ANN, BOB, CAT]):
            forget(tables, *(one.public_key for one in lost))
            assert applied(tables, bodies) == [Outcome.DUPLICATE] * len(bodies)
            assert calm.rows(tables) == before


def test_a_lease_that_was_lost_is_restored_before_what_ends_it_is_applied(tmp_path: Path) -> None:
    registered, leased, returned = rounds(cars=1, transfers=2)
    holder = leased["outputs"][0]["public_keys"][0]
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, [registered, leased])
        forget(tables, holder)
        assert applied(tables, [returned], after=[registered, leased]) == [Outcome.DEFERRED]
        outcomes = applied(tables, [registered, leased, returned])
        with rows_of(tables, "Drivers") as client:
            lease = client.get_entity(holder, f"lease-{leased['id']}")

    assert outcomes == [Outcome.DUPLICATE, Outcome.DUPLICATE, Outcome.APPLIED]
    assert lease["EndTransaction"] == returned["id"]


def test_another_body_under_the_id_of_what_was_applied_restores_nothing(tmp_path: Path) -> None:
    given = create(share(ANN), metadata={"lease": {"annualMileage": 1}})
    forged = given | {"metadata": {"lease": {"annualMileage": 99_999}}}
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, [given])
        forget(tables, ANN.public_key)
        assert applied(tables, [forged]) == [Outcome.DUPLICATE]
        assert not [key for key in calm.rows(tables) if key[0] == "Drivers"]


def test_a_duplicate_whose_driver_cannot_be_written_has_failed(tmp_path: Path) -> None:
    bodies = rounds(cars=1, transfers=1)
    holder = bodies[1]["outputs"][0]["public_keys"][0]
    with azurite(tmp_path / "azurite.log") as tables:
        applied(tables, bodies)
        forget(tables, holder)
        busy = At(WRITE, holder, range(ATTEMPTS + 1), raising(ResourceModifiedError("changed")))
        assert applied(tables, bodies, meddle=busy) == [Outcome.DUPLICATE, Outcome.FAILED]
