"""A short chaos run: the real parts under random accidents, and the proof that its comparison would notice a loss."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.data.tables import TableServiceClient

from local import audit
from local.chaos import calm
from local.chaos.history import LESSORS
from local.chaos.parts import Parts, running_parts
from local.chaos.play import Player
from local.chaos.report import Result, report, what_is_wrong
from local.chaos.schedule import What, plan

SEED = 1
SECONDS = 40.0
RATE = 30.0

type Run = tuple[Player, Parts, Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run that is over, everything mended and level, its parts still there."""
    folder = tmp_path_factory.mktemp("chaos")
    with running_parts(folder, SEED) as parts:
        player = Player(parts, print)
        player.play(SEED, SECONDS, RATE, plan(SEED, SECONDS))
        player.settle()
        yield player, parts, folder


def facts_of(parts: Parts) -> audit.Facts:
    return audit.fold(audit.read_blocks(parts.ledger_url), [lessor.public_key for lessor in LESSORS])


def test_after_chaos_the_record_equals_the_ledger_and_an_undisturbed_record(run: Run) -> None:
    player, parts, folder = run
    compared = audit.compare(facts_of(parts), parts.tables)
    undisturbed = calm.record_calmly(parts, folder / "calm", player.height)
    differing = calm.differences(calm.rows(parts.tables), undisturbed)
    result = Result(compared.rows, compared.differences, differing, what_is_wrong(player, parts))
    text = report("short", player, parts, plan(SEED, SECONDS), result, SECONDS)
    assert result.is_good, text
    assert compared.rows > len(player.commits.sent_at)
    assert f"| rows held against the ledger | {compared.rows:,} |" in text


def test_chaos_was_no_calm(run: Run) -> None:
    player, parts, _ = run
    kinds = {str(one.accident.what) for one in plan(SEED, SECONDS)}
    assert {What.FAULT, What.KILL, What.STOP} <= kinds
    assert player.episodes.total() == len(plan(SEED, SECONDS))
    assert sum(link.hits.total() for link in parts.links.values()) > 20
    assert player.deliveries.outcomes["duplicate"] > 0


def test_a_lease_that_is_lost_is_noticed(run: Run) -> None:
    _, parts, _ = run
    driver, lease = max(facts_of(parts).leases)
    before = calm.rows(parts.tables)
    with TableServiceClient.from_connection_string(parts.tables) as service:
        drivers = service.get_table_client("Drivers")
        drivers.delete_entity(driver, f"lease-{lease}")
        found = audit.compare(facts_of(parts), parts.tables).differences
        lost = calm.differences(calm.rows(parts.tables), before)
        drivers.create_entity(before["Drivers", driver, f"lease-{lease}"])
    assert [line for line in found if lease in line]
    assert [line for line in lost if lease in line]
    assert audit.compare(facts_of(parts), parts.tables).differences == []
