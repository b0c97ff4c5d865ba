"""What the relay makes of Table Storage's answers when the connection to it ends in the middle of one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from local.azurite import azurite
from local.faults.fault import Fault, Kind
from local.faults.link import Link
from local.faults.proxy import running_proxy
from relay.checkpoint import CheckpointTable, Report
from relay.control import ControlTable
from relay.errors import TablesError
from relay.parked import ParkedCar, ParkedTable
from relay.progress import Mark
from relay.settings import Secret, TablesSettings

LEDGER = "cut-off"
ANSWER_BYTES = 1_500
"""No answer is longer here."""


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Link, TablesSettings]]:
    """An account, a link to it, and the settings that go over the link."""
    log: Path = tmp_path_factory.mktemp("cut-off") / "azurite.log"
    with azurite(log) as connection_string, running_proxy() as proxy:
        port = int(connection_string.rpartition("127.0.0.1:")[2].partition("/")[0])
        link = proxy.open(Link("tables", ("127.0.0.1", port)))
        through = connection_string.replace(f"127.0.0.1:{port}", link.address)
        with TableServiceClient.from_connection_string(connection_string) as service:
            service.create_table("Relay")
        yield link, TablesSettings(LEDGER, Secret(through), "")


def test_an_answer_that_is_cut_off_anywhere_is_no_answer(account: tuple[Link, TablesSettings]) -> None:
    link, settings = account
    checkpoints, parked, control = CheckpointTable(settings), ParkedTable(settings), ControlTable(settings)
    mark = checkpoints.claim(lambda: 0)
    checkpoints.advance(Mark(7), Report())
    control.pause()
    parked.park(ParkedCar("a" * 64, "b" * 64, "000000000007-000000", "a reason"))
    whole = (checkpoints.read(), parked.all(), control.paused_since())
    assert mark.height == 0
    assert whole[0] is not None
    assert whole[1]
    assert whole[2]
    cut_off = 0
    for most in range(0, ANSWER_BYTES, 25):
        for read, expected in zip((checkpoints.read, parked.all, control.paused_since), whole, strict=True):
            link.switch(Fault(Kind.TRUNCATE, most))
            try:
                found = read()
            except TablesError:
                cut_off += 1
            else:
                assert found == expected, f"cut off after {most} bytes"
            link.clear()
    assert cut_off > 3 * 10
    for table in (checkpoints, parked, control):
        table.close()
