"""What the Function app writes when a car, or a request to Table Storage, is not as it should be."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceModifiedError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import TableServiceClient, UpdateMode

from functions.conflicts import ATTEMPTS
from functions.leasing.driver import Change, Driver
from functions.leasing.outcomes import Outcome
from functions.rating.tariff import read_tariff
from functions.recording import Recording
from functions.records.changeset import Operation, keys
from functions.records.errors import RefusedError, UnavailableError
from functions.records.record import Record, open_record
from functions.records.wire import Wire
from functions.settings import read_settings
from local.azurite import azurite
from local.scenario import JsonObject, key_pair
from tests.unit.ledger_writing import (
    ANN,
    BOB,
    CAT,
    LESSOR,
    LESSORS,
    create,
    event,
    events,
    output,
    share,
    threshold,
    transfer,
    with_outputs,
)

TARIFF = read_tariff()


def settings(tables: str) -> dict[str, str]:
    """The settings of a Function app on these tables."""
    return {"LEDGER_NAME": "local", "LESSOR_PUBLIC_KEYS": LESSOR.public_key, "TABLES_CONNECTION_STRING": tables}


def test_a_car_that_does_not_fit_its_row_fails_before_its_drivers_hear_of_it(tmp_path: Path) -> None:
    crowd = [key_pair(f"one of many {number}") for number in range(250)]
    groups = [threshold(50, *crowd[start : start + 50]) for start in range(0, 250, 50)]
    registered = create()
    crowded = with_outputs(registered, output(threshold(5, *groups), *crowd))
    other = create(by=LESSOR, metadata={"another": True})
    leased = transfer(other, ANN)

    async def play(tables: str) -> list[Outcome]:
        record = open_record(read_settings(settings(tables)))
        events = [event(body) for body in (registered, crowded, other, leased)]
        decisions = await Recording(record, LESSORS, TARIFF).apply(events)
        await record.close()
        return [decision.outcome for decision in decisions]

    with azurite(tmp_path / "azurite.log") as tables:
        outcomes = asyncio.run(play(tables))
        with TableServiceClient.from_connection_string(tables) as service:
            drivers = {row["PartitionKey"] for row in service.get_table_client("Drivers").list_entities()}

    assert outcomes == [Outcome.APPLIED, Outcome.FAILED, Outcome.APPLIED, Outcome.APPLIED]
    assert drivers == {ANN.public_key}


class CountingWire(Wire):
    """A wire that keeps what was asked of it, and may refuse or lose the answers of writes."""

    def __init__(self, url: str, credential: Any, faults: Iterator[Exception | None]) -> None:
        super().__init__(url, credential)
        self.read: list[tuple[str, str, str]] = []
        self.written: list[tuple[str, int]] = []
        self._faults = faults
        self.busy = ""

    async def get(self, table: str, partition: str, row: str) -> tuple[dict[str, Any], str] | None:
        """Read, and remember it."""
        self.read.append((table, partition, row))
        return await super().get(table, partition, row)

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Write, remember it, and then raise the next fault."""
        self.written.append((table, len(operations)))
        fault = next(self._faults)
        if keys(operations[0])[0] == self.busy:
            raise ResourceModifiedError("changed")
        if isinstance(fault, ResourceModifiedError):
            raise fault
        etags = await super().submit(table, operations)
        if fault:
            raise fault
        return etags


def watched(
    tables: str,
    bodies: Sequence[JsonObject],
    faults: Iterable[Exception | None] = (),
    busy: str = "",
    after: Sequence[JsonObject] = (),
) -> tuple[list[Outcome], CountingWire]:
    """The outcomes of one batch, and what was asked of the tables; another writer is always at the partition `busy`.

    The batch follows what was applied before, `after`.
    """

    async def play() -> tuple[list[Outcome], CountingWire]:
        service = open_record(read_settings(settings(tables)))._service
        wire = CountingWire(service.url, service.credential, chain(faults, repeat(None)))
        wire.busy = busy
        record = Record(service, wire)
        try:
            decisions = await Recording(record, LESSORS, TARIFF).apply(events([*after, *bodies])[len(after) :])
        finally:
            await record.close()
        return [decision.outcome for decision in decisions], wire

    return asyncio.run(play())


def rounds(cars: int, transfers: int) -> list[JsonObject]:
    """Cars that are registered and then handed round between two drivers, one after the other."""
    bodies = []
    for number in range(cars):
        last = create(metadata={"car": number})
        bodies.append(last)
        for step in range(transfers):
            last = transfer(last, (ANN, BOB)[step % 2])
            bodies.append(last)
    return bodies


def test_a_batch_reads_each_partition_once_and_writes_it_once(tmp_path: Path) -> None:
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, wire = watched(tables, rounds(cars=5, transfers=4))

    assert set(outcomes) == {Outcome.APPLIED}
    assert Counter(table for table, _, _ in wire.read) == {"Cars": 5, "Drivers": 2}
    assert Counter(table for table, _ in wire.written) == {"Cars": 5, "Drivers": 2}
    # The drivers' records are written before any car's.
    assert [table for table, _ in wire.written[:2]] == ["Drivers", "Drivers"]


def test_a_car_with_more_events_than_fit_one_write_is_read_once(tmp_path: Path) -> None:
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, wire = watched(tables, rounds(cars=1, transfers=120))

    assert outcomes == [Outcome.APPLIED] * 121
    # Its drivers are read before each of the two writes: others may have written them in between.
    assert Counter(table for table, _, _ in wire.read) == {"Cars": 1, "Drivers": 4}
    assert [size for table, size in wire.written if table == "Cars"] == [100, 23]


def test_a_batch_that_was_applied_is_told_by_its_marks(tmp_path: Path) -> None:
    bodies = rounds(cars=1, transfers=3)
    with azurite(tmp_path / "azurite.log") as tables:
        watched(tables, bodies)
        outcomes, wire = watched(tables, bodies)

    assert outcomes == [Outcome.DUPLICATE] * 4
    assert wire.written == []
    # The car, its marks, two drivers, and the leases of theirs that have ended.
    assert len(wire.read) == 1 + 4 + 2 + 2


def test_a_write_whose_answer_is_lost_is_found_to_be_done(tmp_path: Path) -> None:
    lost = [ServiceResponseError("the answer was lost"), ServiceRequestError("the connection broke")] * 2
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, _ = watched(tables, rounds(cars=2, transfers=3), lost)
        again, wire = watched(tables, rounds(cars=2, transfers=3))

    assert set(outcomes) <= {Outcome.APPLIED, Outcome.DUPLICATE}
    assert set(again) == {Outcome.DUPLICATE}
    assert wire.written == []


def test_a_car_that_meets_another_writer_every_time_fails_after_some_attempts(tmp_path: Path) -> None:
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, wire = watched(tables, rounds(cars=1, transfers=0), [ResourceModifiedError("changed")] * 100)

    assert outcomes == [Outcome.FAILED]
    assert len(wire.written) == ATTEMPTS


def test_a_driver_who_is_written_by_others_every_time_fails_the_car_alone(tmp_path: Path) -> None:
    bodies = [create(metadata={"car": "other"}), *rounds(cars=1, transfers=1)]
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, wire = watched(tables, bodies, [ResourceModifiedError("changed")] * ATTEMPTS)

    assert outcomes == [Outcome.APPLIED, Outcome.FAILED, Outcome.FAILED]
    assert Counter(table for table, _ in wire.written) == {"Drivers": ATTEMPTS, "Cars": 1}


def outage() -> HttpResponseError:
    """What the SDK raises when Table Storage has no time for us."""
    error = HttpResponseError("busy")
    error.status_code = 503
    return error


@pytest.mark.parametrize("good_writes", [0, 1], ids=["at the driver", "at the car"])
def test_an_outage_is_raised_and_blames_no_car(tmp_path: Path, good_writes: int) -> None:
    registered = create()
    with azurite(tmp_path / "azurite.log") as tables:
        watched(tables, [registered])
        with pytest.raises(UnavailableError):
            watched(tables, [transfer(registered, ANN)], [*repeat(None, good_writes), outage()])
        outcomes, _ = watched(tables, [registered, transfer(registered, ANN)])

    # At the car the write was done, and its answer lost.
    assert outcomes == [Outcome.DUPLICATE, (Outcome.APPLIED, Outcome.DUPLICATE)[good_writes]]


def divided(rounds_of_ann: int) -> list[JsonObject]:
    """A car in two shares: one goes to and fro between Ann and the lessor, and then the other goes to Bob."""
    registered = create(share(LESSOR), share(LESSOR))
    bodies, last = [registered], registered
    for number in range(rounds_of_ann):
        last = transfer([(last, 0)], ANN if number % 2 == 0 else LESSOR, metadata={"number": number})
        bodies.append(last)
    return [*bodies, transfer([(registered, 1)], BOB)]


@pytest.mark.parametrize("number", [1, 120], ids=["in one write", "in a later write"])
def test_nothing_of_a_car_is_applied_past_what_failed_not_even_on_another_branch(tmp_path: Path, number: int) -> None:
    bodies = divided(number)
    with azurite(tmp_path / "azurite.log") as tables:
        watched(tables, bodies[:1])
        outcomes, _ = watched(tables, bodies[1:], busy=ANN.public_key, after=bodies[:1])
        with TableServiceClient.from_connection_string(tables) as service:
            marks = [row for row in service.get_table_client("Cars").list_entities() if row["RowKey"][0] == "t"]

    assert set(outcomes) == {Outcome.FAILED}
    assert len(marks) == 1


def test_nothing_of_a_car_is_applied_past_what_does_not_fit(tmp_path: Path) -> None:
    crowd = [key_pair(f"one of many {number}") for number in range(250)]
    groups = [threshold(50, *crowd[start : start + 50]) for start in range(0, 250, 50)]
    registered = create(share(LESSOR), share(LESSOR))
    crowded = with_outputs(registered, output(threshold(5, *groups), *crowd))
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, _ = watched(tables, [registered, crowded, transfer([(registered, 1)], BOB)])

    assert outcomes == [Outcome.APPLIED, Outcome.FAILED, Outcome.FAILED]


def test_a_car_that_is_always_busy_fails_with_all_its_events_however_many(tmp_path: Path) -> None:
    bodies = rounds(cars=1, transfers=120)
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, _ = watched(tables, bodies, busy=bodies[0]["id"])

    assert outcomes == [Outcome.FAILED] * 121


def test_what_stands_twice_in_a_batch_is_applied_once(tmp_path: Path) -> None:
    registered = create()
    leased = transfer(registered, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, _ = watched(tables, [registered, registered, leased, transfer(leased, BOB), leased, registered])

    assert outcomes == [
        Outcome.APPLIED,
        Outcome.DUPLICATE,
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.DUPLICATE,
        Outcome.DUPLICATE,
    ]


def test_nothing_is_called_a_duplicate_of_what_could_not_be_written(tmp_path: Path) -> None:
    registered = create()
    leased = transfer(registered, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        outcomes, _ = watched(tables, [leased, registered, leased, leased], repeat(ResourceModifiedError("changed")))

    assert outcomes == [Outcome.FAILED] * 4


def test_tables_that_were_deleted_under_the_app_are_made_again(tmp_path: Path) -> None:
    async def play(tables: str) -> list[Outcome]:
        record = open_record(read_settings(settings(tables)))
        recording = Recording(record, LESSORS, TARIFF)
        try:
            await recording.apply([event(create())])
            with TableServiceClient.from_connection_string(tables) as service:
                service.delete_table("Cars")
            with pytest.raises(UnavailableError):
                await recording.apply([event(create())])
            return [one.outcome for one in await recording.apply([event(create())])]
        finally:
            await record.close()

    with azurite(tmp_path / "azurite.log") as tables:
        assert asyncio.run(play(tables)) == [Outcome.APPLIED]


@pytest.mark.parametrize(("table", "column"), [("Cars", "Holders"), ("Drivers", "OpenLeases")])
def test_a_row_that_cannot_be_read_fails_its_car_alone(tmp_path: Path, table: str, column: str) -> None:
    damaged, healthy = create(metadata={"car": 1}), create(metadata={"car": 2})
    leased = transfer(damaged, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        watched(tables, [damaged, healthy, leased])
        with TableServiceClient.from_connection_string(tables) as service:
            rows = service.get_table_client(table)
            row = next(one for one in rows.list_entities() if column in one and one["PartitionKey"] != healthy["id"])
            rows.update_entity({**row, column: "{"}, mode=UpdateMode.REPLACE)
        outcomes, _ = watched(tables, [transfer(leased, CAT), transfer(healthy, BOB)])

    assert outcomes == [Outcome.FAILED, Outcome.APPLIED]


def test_a_lease_that_the_drivers_record_does_not_show_cannot_end(tmp_path: Path) -> None:
    registered = create()
    leased = transfer(registered, ANN)
    with azurite(tmp_path / "azurite.log") as tables:
        watched(tables, [registered, leased])
        with TableServiceClient.from_connection_string(tables) as service:
            rows = service.get_table_client("Drivers")
            row = next(one for one in rows.list_entities() if "OpenLeases" in one)
            rows.update_entity({**row, "OpenLeases": "{}"}, mode=UpdateMode.REPLACE)
        outcomes, _ = watched(tables, [transfer(leased, BOB)])

    assert outcomes == [Outcome.DEFERRED]


def test_a_request_that_table_storage_refuses_is_not_taken_for_an_outage(tables: str) -> None:
    async def write() -> None:
        record = open_record(read_settings(settings(tables)))
        try:
            await record.save_driver(None, Change(Driver("a key\nwith a line break")))
        finally:
            await record.close()

    with pytest.raises(RefusedError):
        asyncio.run(write())
