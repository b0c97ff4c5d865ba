"""What the Function app writes when a car, or a request to Table Storage, is not as it should be."""

import asyncio
import functools
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from functions.leasing.outcomes import Outcome
from functions.rating.premium import rate
from functions.rating.tariff import read_tariff
from functions.recording import Recording
from functions.records.errors import RefusedError
from functions.records.record import open_record
from functions.settings import read_settings
from local.azurite import azurite
from local.scenario import key_pair
from tests.unit.ledger_writing import ANN, LESSOR, LESSORS, create, event, output, threshold, transfer, with_outputs

RATE = functools.partial(rate, read_tariff())


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
        decisions = await Recording(record, LESSORS, RATE).apply(events)
        await record.close()
        return [decision.outcome for decision in decisions]

    with azurite(tmp_path / "azurite.log") as tables:
        outcomes = asyncio.run(play(tables))
        with TableServiceClient.from_connection_string(tables) as service:
            drivers = {row["PartitionKey"] for row in service.get_table_client("Drivers").list_entities()}

    assert outcomes == [Outcome.APPLIED, Outcome.FAILED, Outcome.APPLIED, Outcome.APPLIED]
    assert drivers == {ANN.public_key}


def test_a_request_that_table_storage_refuses_is_not_taken_for_an_outage(tables: str) -> None:
    async def write() -> None:
        record = open_record(read_settings(settings(tables)))
        try:
            stored = await record.load_driver("a key\nwith a line break")
            await record.save_driver(stored, stored.driver, {})
        finally:
            await record.close()

    with pytest.raises(RefusedError):
        asyncio.run(write())
