"""The tables equal the fold over the ledger: under duplication, reordering, two writers at once, and crashes.

Histories are signed transactions, as the lessor and the drivers would write them; the tables are Azurite's; what they
must hold is what local/audit, which shares no code with the Function app, makes of the same history.
"""

import asyncio
import functools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from functions.leasing.car import Decision, LedgerEvent
from functions.leasing.outcomes import Outcome
from functions.leasing.transactions import parse
from functions.rating.premium import rate
from functions.rating.tariff import read_tariff
from functions.recording import Recording
from functions.records.errors import UnavailableError
from functions.records.record import Record, open_record
from functions.settings import read_settings
from local import audit
from local.azurite import azurite
from local.scenario import lease
from tests.writing import Json, create, new_keys, transfer

LESSOR = new_keys()
RATE = functools.partial(rate, read_tariff())
DONE = {Outcome.APPLIED, Outcome.DUPLICATE}


class CrashError(Exception):
    """Stands for the process's end between two calls to Table Storage."""


class CrashingRecord(Record):
    """A record whose process ends at some calls: before the call, or after it was done and before the answer came."""

    dice = random.Random(0)
    share = 0.0

    async def save_car(self, *arguments: Any) -> None:
        """Save, unless the process ends."""
        await self._around(super().save_car(*arguments))

    async def save_driver(self, *arguments: Any, **named: Any) -> None:
        """Save, unless the process ends."""
        await self._around(super().save_driver(*arguments, **named))

    async def _around(self, save: Any) -> None:
        fate = self.dice.random()
        if fate < self.share / 2:
            save.close()
            raise CrashError
        await save
        if fate < self.share:
            raise CrashError


def history(dice: random.Random, cars: int, transfers: int) -> list[Json]:
    """A valid leasing history, in ledger order: leases, drivers' hand-overs, renewals and returns."""
    people = [LESSOR, *(new_keys() for _ in range(4))]
    owners = {person.public_key: person for person in people}
    blocks = [create(LESSOR, to=dice.choice(people).public_key if dice.random() < 0.2 else None) for _ in range(cars)]
    last = {body["id"]: body for body in blocks}
    for _ in range(transfers):
        asset = dice.choice(sorted(last))
        spent = last[asset]
        signer = owners[spent["outputs"][0]["public_keys"][0]]
        terms = lease("2026-01-01", "2027-01-01", 10_000) if dice.random() < 0.8 else None
        last[asset] = transfer(spent, signer, dice.choice(people).public_key, terms)
        blocks.append(last[asset])
    return blocks


def events_of(bodies: Sequence[Json]) -> list[LedgerEvent]:
    """The events of a history, one block each."""
    return [LedgerEvent(parse(body), body, f"{height:012d}-000000") for height, body in enumerate(bodies, 1)]


def open_tables(connection_string: str, kind: type[Record] = Record) -> Record:
    """A record of its own on the tables."""
    settings = {
        "LEDGER_NAME": "local",
        "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
        "TABLES_CONNECTION_STRING": connection_string,
    }
    record = open_record(read_settings(settings))
    record.__class__ = kind
    return record


async def deliver_until_settled(record: Record, events: list[LedgerEvent], dice: random.Random) -> int:
    """Deliver as an unlucky relay would: shuffled runs, twice over, again after every crash; how often it crashed."""
    recording = Recording(record, {LESSOR.public_key}, RATE)
    open_events = events
    crashes = 0
    while open_events:
        sent = open_events + dice.sample(events, k=len(events) // 4)
        if dice.random() < 0.7:
            dice.shuffle(sent)
        undecided = {event.transaction.id for event in open_events}
        for start in range(0, len(sent), 7):
            batch = sent[start : start + 7]
            try:
                decisions = await recording.apply(batch)
            except (CrashError, UnavailableError):
                crashes += 1
                continue
            undecided -= settled(batch, decisions)
        open_events = [event for event in events if event.transaction.id in undecided]
    return crashes


def settled(batch: Sequence[LedgerEvent], decisions: Sequence[Decision]) -> set[str]:
    """Ids of the transactions that need not be sent again. Nothing in a valid history may be rejected or ignored."""
    assert {decision.outcome for decision in decisions} <= DONE | {Outcome.DEFERRED, Outcome.FAILED}
    return {event.transaction.id for event, decision in zip(batch, decisions, strict=True) if decision.outcome in DONE}


def facts_of(bodies: Sequence[Json]) -> audit.Facts:
    """What the history says."""
    return audit.fold(iter([[body] for body in bodies]), {LESSOR.public_key})


@pytest.mark.parametrize("seed", range(6))
def test_duplicated_and_shuffled_batches_give_the_fold(seed: int, tmp_path: Any) -> None:
    dice = random.Random(seed)
    bodies = history(dice, cars=5, transfers=40)

    async def play(connection_string: str) -> None:
        record = open_tables(connection_string)
        await deliver_until_settled(record, events_of(bodies), dice)
        await record.close()

    with azurite(tmp_path / "azurite.log") as tables:
        asyncio.run(play(tables))
        assert audit.differences(facts_of(bodies), tables) == []


@pytest.mark.parametrize("seed", range(3))
def test_two_writers_that_crash_at_any_call_give_the_fold(seed: int, tmp_path: Any) -> None:
    dice = random.Random(seed)
    bodies = history(dice, cars=3, transfers=40)

    async def play(connection_string: str) -> int:
        records = [open_tables(connection_string, CrashingRecord) for _ in range(2)]
        CrashingRecord.share, CrashingRecord.dice = 0.2, dice
        each = (deliver_until_settled(record, events_of(bodies), random.Random(n)) for n, record in enumerate(records))
        crashes = sum(await asyncio.gather(*each))
        for record in records:
            await record.close()
        return crashes

    with azurite(tmp_path / "azurite.log") as tables:
        crashes = asyncio.run(play(tables))
        assert crashes > 5
        assert audit.differences(facts_of(bodies), tables) == []


def test_the_audit_finds_what_is_wrong_in_the_tables(tmp_path: Any) -> None:
    from azure.data.tables import TableServiceClient, UpdateMode

    bodies = history(random.Random(1), cars=2, transfers=10)

    async def play(connection_string: str) -> None:
        record = open_tables(connection_string)
        await deliver_until_settled(record, events_of(bodies), random.Random(1))
        await record.close()

    with azurite(tmp_path / "azurite.log") as tables:
        asyncio.run(play(tables))
        facts = facts_of(bodies)
        assert audit.differences(facts, tables) == []
        with TableServiceClient.from_connection_string(tables) as service:
            drivers, cars = service.get_table_client("Drivers"), service.get_table_client("Cars")
            lost = next(row for row in drivers.list_entities() if row["RowKey"].startswith("lease-"))
            drivers.delete_entity(lost)
            wrong = next(row for row in cars.list_entities() if row["RowKey"].startswith("record-"))
            cars.update_entity({**wrong, "Holders": "[]", "UnspentOutputs": "[]"}, mode=UpdateMode.REPLACE)
            cars.create_entity({"PartitionKey": wrong["PartitionKey"], "RowKey": "transaction-" + "0" * 64})
        found = "\n".join(audit.differences(facts, tables))
    assert f"lease {lost['RowKey'].removeprefix('lease-')}" in found
    assert f"car {wrong['PartitionKey']}:" in found
    assert "transaction " + "0" * 64 in found
