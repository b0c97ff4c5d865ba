"""What the whole path is measured on is real: a replayed history arrives completely, and leaves the ledger's record."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from benchmarks.end_to_end import FORWARDER, NODE, bare_calls, catch_up, replay
from benchmarks.history import LESSOR, Shape
from benchmarks.parts import Bench, bench
from benchmarks.peers.ways import ARTICLE, RELAY, Way
from benchmarks.record_parts import AZURITE, FUNCTION, Stack, stack
from benchmarks.workload import Workload, committed
from local.audit import compare, fold, read_blocks

SHAPE = Shape(cars=60, transfers=60, drivers=10, apart=20)
PROCESSES = {NODE, FORWARDER, FUNCTION, AZURITE}


@dataclass
class Measured:
    """What is measured on."""

    bench: Bench
    stack: Stack
    workload: Workload


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Measured]:
    """A history on a ledger, and an Azurite with a Function app."""
    folder = tmp_path_factory.mktemp("measured")
    with (
        bench(folder) as shared,
        committed(shared, SHAPE, 1, lambda _: None) as workload,
        stack(folder / "stack") as running,
    ):
        yield Measured(shared, running, workload)


def test_the_history_is_on_the_ledger_and_in_the_recording(measured: Measured) -> None:
    story = measured.workload.story
    on_ledger = {one["id"] for block in read_blocks(measured.workload.ledger.url) for one in block}
    assert on_ledger == {one["id"] for one in story.transactions}
    assert len(measured.workload.recording.read_text().splitlines()) == SHAPE.transactions


def test_catching_up_leaves_the_record_of_the_ledger(measured: Measured) -> None:
    found = catch_up(measured.bench, measured.stack, measured.workload)
    facts = fold(read_blocks(measured.workload.ledger.url), {LESSOR.public_key})
    assert compare(facts, measured.stack.tables).differences == []
    assert found.per_s > 0
    assert found.cpu.keys() == found.memory.keys() == PROCESSES
    assert all(mib > 10 for seen in found.memory.values() for _, mib in seen)


@pytest.mark.parametrize("way", [RELAY, ARTICLE], ids=lambda way: way.name)
def test_a_replay_in_blocks_by_the_clock_arrives_after_its_commits(measured: Measured, way: Way) -> None:
    found = replay(measured.bench, measured.stack, measured.workload, way, rate=10, events=20)
    assert (len(found.took), found.lost) == (20, 0)
    assert found.took == sorted(found.took)
    assert 0 < found.took[0] <= found.late(0.5) <= found.took[-1]
    assert 0 < found.per_s < 20
    assert found.cpu.keys() == PROCESSES
    recorded = measured.stack.recorded()
    story = measured.workload.story
    assert recorded.keys() == {one["id"] for one in (*story.registered, *story.moved[:20])}


def test_a_replay_of_all_blocks_at_once_is_over_sooner(measured: Measured) -> None:
    found = replay(measured.bench, measured.stack, measured.workload, RELAY, rate=20, events=60, at_once=True)
    assert (len(found.took), found.lost) == (60, 0)
    assert found.per_s > 20


def test_the_bare_calls_leave_the_same_record(measured: Measured) -> None:
    assert bare_calls(measured.stack, measured.workload) > 0
    facts = fold(read_blocks(measured.workload.ledger.url), {LESSOR.public_key})
    assert compare(facts, measured.stack.tables).differences == []


@pytest.mark.parametrize("options", [(), ("--relay",)], ids=["bare", "the relay's listener"])
def test_every_message_of_a_flood_is_received(measured: Measured, options: tuple[str, ...]) -> None:
    with measured.bench.node(measured.workload.recording, "--block-events", "60") as node:
        found = measured.bench.flood(node, 10, 600, *options)
    assert found.events == 599
    assert found.per_s > 0
    assert found.cpu > 0


@pytest.mark.parametrize("options", [(), ("--raw",)], ids=["parsed", "raw"])
def test_the_bare_loops_read_the_whole_ledger(measured: Measured, options: tuple[str, ...]) -> None:
    assert measured.bench.bare_loop(measured.workload.ledger.url, SHAPE.transactions, *options) > 0
