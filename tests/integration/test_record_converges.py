"""The tables equal the fold over the ledger: under duplication, reordering, two writers at once, and crashes.

Histories are signed transactions, as the lessors and the drivers would write them; the tables are Azurite's. What they
must hold is what local/audit, which shares no code with the Function app, makes of the same history; and every row must
be, to the last property, what one undisturbed writer leaves.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from azure.core.exceptions import ServiceResponseError
from azure.data.tables import TableServiceClient, UpdateMode
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from functions.leasing.car import Decision, LedgerEvent
from functions.leasing.outcomes import Outcome
from functions.rating.tariff import read_tariff
from functions.recording import Recording
from functions.records.changeset import Operation
from functions.records.errors import UnavailableError
from functions.records.record import CARS, DRIVERS, Record, open_record
from functions.records.wire import Wire
from functions.settings import read_settings
from local import audit
from local.azurite import azurite
from local.chaos import calm
from local.scenario import JsonObject, lease
from tests.unit.ledger_writing import ANN, BOB, CAT, LESSOR, OTHER_LESSOR, create, events, share, transfer

LESSORS = {LESSOR.public_key, OTHER_LESSOR.public_key}
PEOPLE = (LESSOR, OTHER_LESSOR, ANN, BOB, CAT)
TARIFF = read_tariff()
DONE = {Outcome.APPLIED, Outcome.DUPLICATE}
ROUNDS = 60
"""After so many deliveries everything must be settled: crashes end after the first few."""


class CrashError(Exception):
    """Stands for the process's end at a call to Table Storage."""


class FatefulWire(Wire):
    """A wire whose calls meet the fates in turn, and go well after the last: a crash, or an answer that is lost."""

    def __init__(self, url: str, credential: Any, fates: Sequence[str]) -> None:
        super().__init__(url, credential)
        self._fates = iter(fates)

    async def get(self, table: str, partition: str, row: str) -> tuple[dict[str, Any], str] | None:
        """Read, unless the process ends."""
        fate = next(self._fates, "")
        if fate == "crash before":
            raise CrashError
        found = await super().get(table, partition, row)
        if fate == "crash after":
            raise CrashError
        return found

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Write, unless the process ends."""
        fate = next(self._fates, "")
        if fate == "crash before":
            raise CrashError
        etags = await super().submit(table, operations)
        if fate == "crash after":
            raise CrashError
        if fate == "answer lost":
            raise ServiceResponseError("the answer was lost")
        return etags


SEEDS = st.integers(0, 2**32)
"""Of what a relay does by chance. What two writers do at the same time no seed could settle."""
FATES = st.lists(st.sampled_from(["", "", "", "crash before", "crash after", "answer lost"]), max_size=60)


@st.composite
def histories(draw: st.DrawFn) -> list[JsonObject]:
    """Up to 4 cars, divided or not, and 24 transfers to one or several people, in ledger order."""
    people = st.sampled_from(PEOPLE)
    bodies: list[JsonObject] = []
    unspent: dict[str, list[tuple[JsonObject, int]]] = {}
    for number in range(draw(st.integers(1, 4))):
        given_to = share(draw(people), amount=draw(st.sampled_from([1, 1, 2, 4])))
        made = create(given_to, by=draw(st.sampled_from([LESSOR, OTHER_LESSOR])), metadata={"number": number})
        bodies.append(made)
        unspent[made["id"]] = [(made, 0)]
    for number in range(draw(st.integers(0, 24))):
        car = draw(st.sampled_from(sorted(unspent)))
        spent = draw(st.lists(st.sampled_from(range(len(unspent[car]))), min_size=1, max_size=2, unique=True))
        outputs = [unspent[car][index] for index in spent]
        amount = sum(int(body["outputs"][index]["amount"]) for body, index in outputs)
        parts = [1, amount - 1] if amount > 1 and draw(st.booleans()) else [amount]
        given = [share(*draw(st.lists(people, min_size=1, max_size=2, unique=True)), amount=one) for one in parts]
        terms = lease("2026-01-01", "2027-01-01", 10_000 + number) if draw(st.booleans()) else {"number": number}
        made = transfer(outputs, *given, metadata=terms)
        bodies.append(made)
        left = [one for index, one in enumerate(unspent[car]) if index not in spent]
        unspent[car] = left + [(made, index) for index in range(len(made["outputs"]))]
    return bodies


def open_tables(connection_string: str, fates: Sequence[str] = ()) -> Record:
    """A record of its own on the tables, whose calls meet these fates."""
    service = open_record(
        read_settings(
            {
                "LEDGER_NAME": "local",
                "LESSOR_PUBLIC_KEYS": ",".join(LESSORS),
                "TABLES_CONNECTION_STRING": connection_string,
            }
        )
    )._service
    return Record(service, FatefulWire(service.url, service.credential, fates))


async def deliver_until_settled(record: Record, every: list[LedgerEvent], dice: random.Random) -> int:
    """Deliver as an unlucky relay would, in batches of any size, and again after a crash; how often it crashed."""
    recording = Recording(record, LESSORS, TARIFF)
    undecided, crashes = {one.transaction.id for one in every}, 0
    for _ in range(ROUNDS):
        if not undecided:
            return crashes
        sent = in_any_order([one for one in every if one.transaction.id in undecided], every, dice)
        size = dice.randint(1, 12)
        for start in range(0, len(sent), size):
            batch = sent[start : start + size]
            try:
                undecided -= settled(batch, await recording.apply(batch))
            except (CrashError, UnavailableError):
                crashes += 1
    raise AssertionError(f"{len(undecided)} events were never settled")


def in_any_order(due: list[LedgerEvent], every: list[LedgerEvent], dice: random.Random) -> list[LedgerEvent]:
    """What is due and some that were sent before, mixed."""
    sent = due + dice.choices(every, k=dice.randrange(6))
    if dice.random() < 0.7:
        dice.shuffle(sent)
    return sent


def settled(batch: Sequence[LedgerEvent], decisions: Sequence[Decision]) -> set[str]:
    """Ids of the transactions that need not be sent again. Nothing in a valid history may be rejected or ignored."""
    assert {decision.outcome for decision in decisions} <= DONE | {Outcome.DEFERRED, Outcome.FAILED}, decisions
    return {one.transaction.id for one, decision in zip(batch, decisions, strict=True) if decision.outcome in DONE}


def facts_of(bodies: Sequence[JsonObject]) -> audit.Facts:
    """What the history says."""
    return audit.fold(iter([[body] for body in bodies]), LESSORS)


def empty(connection_string: str) -> None:
    """Delete the tables."""
    with TableServiceClient.from_connection_string(connection_string) as service:
        for table in (CARS, DRIVERS):
            service.delete_table(table)


async def undisturbed(connection_string: str, bodies: Sequence[JsonObject]) -> None:
    """Apply a history one event after the other."""
    record = open_tables(connection_string)
    recording = Recording(record, LESSORS, TARIFF)
    for one in events(bodies):
        decisions = await recording.apply([one])
        assert [decision.outcome for decision in decisions] == [Outcome.APPLIED]
    await record.close()


@pytest.fixture(scope="module")
def own_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite that nobody else writes to: its tables are compared as a whole."""
    with azurite(tmp_path_factory.mktemp("own") / "azurite.log") as connection_string:
        yield connection_string


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(bodies=histories(), fates=st.tuples(FATES, FATES), seed=SEEDS)
def test_two_writers_that_crash_at_any_call_give_the_fold_whatever_the_order(
    own_tables: str, bodies: list[JsonObject], fates: tuple[list[str], list[str]], seed: int
) -> None:
    """The tables that two writers leave, each with its fates, are the fold, and what one calm writer leaves."""

    async def play() -> int:
        records = [open_tables(own_tables, one) for one in fates]
        each = (
            deliver_until_settled(record, events(bodies), random.Random(seed + number))
            for number, record in enumerate(records)
        )
        crashes = sum(await asyncio.gather(*each))
        for record in records:
            await record.close()
        return crashes

    empty(own_tables)
    asyncio.run(undisturbed(own_tables, bodies))
    expected = calm.rows(own_tables)
    empty(own_tables)
    event(f"crashes: {min(asyncio.run(play()), 10)}")

    assert audit.differences(facts_of(bodies), own_tables) == []
    assert calm.rows(own_tables) == expected


def test_the_audit_finds_what_is_wrong_in_the_tables(own_tables: str) -> None:
    registered = [create(metadata={"number": number}) for number in range(2)]
    bodies = [*registered, *(transfer(one, ANN) for one in registered)]
    empty(own_tables)
    asyncio.run(undisturbed(own_tables, bodies))
    facts = facts_of(bodies)
    assert audit.differences(facts, own_tables) == []

    with TableServiceClient.from_connection_string(own_tables) as service:
        drivers, cars = service.get_table_client("Drivers"), service.get_table_client("Cars")
        lost = next(row for row in drivers.list_entities() if row["RowKey"].startswith("lease-"))
        drivers.delete_entity(lost)
        wrong = next(row for row in cars.list_entities() if row["RowKey"].startswith("record-"))
        cars.update_entity({**wrong, "Holders": "[]", "UnspentOutputs": "[]"}, mode=UpdateMode.REPLACE)
        cars.create_entity({"PartitionKey": wrong["PartitionKey"], "RowKey": "transaction-" + "0" * 64})
    found = "\n".join(audit.differences(facts, own_tables))

    assert f"lease {lost['RowKey'].removeprefix('lease-')}" in found
    assert f"car {wrong['PartitionKey']}:" in found
    assert "transaction " + "0" * 64 in found
