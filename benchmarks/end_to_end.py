"""The whole path: from a transaction's commit to the row in Table Storage, through each way of forwarding it.

Node and ledger, forwarder, Function app and Azurite each are a process of their own. When a row came is its Timestamp,
which Azurite gives as it writes it; when a transaction was committed is the moment from which the node has its block.
All of them are of one machine's clock.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.bare_tables import Part
from benchmarks.figures import percentile
from benchmarks.history import LESSOR
from benchmarks.leases import LEDGER, Event, dealt, in_turn
from benchmarks.parts import Bench, Node
from benchmarks.peers.ways import RELAY, Route, Way, forwarding
from benchmarks.record_parts import KEY, Stack
from benchmarks.table_calls import InMemoryRecord
from benchmarks.watching import all_cpu_seconds, resident_mib, used_since, watching_memory
from benchmarks.workload import Workload
from functions.rating.tariff import read_tariff
from local.processes import ProcessError

NODE, FORWARDER = "node", "forwarder"
BLOCK_S = 1.0
"""Seconds between blocks in a replay: Tendermint's default, and BigchainDB's."""
LOOK_S, STILL_S = 0.25, 8.0
"""How often it is looked whether all is recorded; after so long without anything new the rest is lost."""
LAST, LOOK_AT_ALL_S = 5, 5.0
"""So many of the last events are looked for; the whole table, which takes Azurite's time, is read more seldom."""

LESSORS = {LESSOR.public_key}
LANES, BATCH = 4, 100
"""The relay's lanes, and the events that it sends at once, as it is set by default."""
BARE_CALLS_AT_ONCE = 16


class Replayed(msgspec.Struct, frozen=True):
    """One way over one replay: milliseconds from commit to row of all that was recorded, and how many never were.

    `per_s` is the rate from the first commit to the last row; CPU time is in ms for an event, by process; memory is
    the forwarder's, in MiB, at the end.
    """

    took: list[float]
    lost: int
    per_s: float
    cpu: dict[str, float]
    memory: float

    def late(self, part: float) -> float:
        """Milliseconds from commit to row that this part of what was recorded does not exceed."""
        return percentile(self.took, part)


class CaughtUp(msgspec.Struct, frozen=True):
    """What a relay did with a ledger's history: events a second, and by process CPU ms for an event and MiB over s."""

    per_s: float
    cpu: dict[str, float]
    memory: dict[str, list[tuple[float, float]]]


def replay(
    bench: Bench, stack: Stack, workload: Workload, way: Way, rate: int, events: int, *, at_once: bool = False
) -> Replayed:
    """Replay the first transfers of the history, in blocks of `rate` every BLOCK_S, or all blocks at once.

    The cars are in the record already. Raises ProcessError when the relay does not deliver all.
    """
    stack.reset(workload.registered)
    blocks, moved = events // rate, workload.history.events[: events // rate * rate]
    options = ("--block-events", str(rate), "--blocks", str(len(workload.story.registered) // rate))
    with bench.node(workload.recording, *options) as node:
        route = Route(node.url, node.stream_url, stack.url, KEY, stack.tables)
        with forwarding(way, route, bench.folder / f"forwarder-{way.name}") as forwarder:
            forwarder.await_stream(lambda: node.figures().subscribers > 0)
            pids = {NODE: node.pid, FORWARDER: forwarder.child.pid, **stack.pids}
            before = all_cpu_seconds(pids)
            node.grow(blocks, 0.0 if at_once else BLOCK_S)
            recorded = _await(stack, node, moved)
            used = used_since(before, pids)
            memory = resident_mib(forwarder.child.pid)
            committed = _commits(node)
        if way is RELAY and len(recorded) < len(moved):
            raise ProcessError(f"the relay recorded {len(recorded)} of {len(moved)}:\n{forwarder.child.log_tail()}")
    first = len(workload.story.registered)
    heights = {event.body["id"]: 2 * ((first + place) // rate) + 1 for place, event in enumerate(moved)}
    took = sorted((when - committed[heights[one]]) * 1000 for one, when in recorded.items())
    seconds = max(recorded.values()) - min(committed.values())
    cpu = {name: spent * 1000 / len(moved) for name, spent in used.items()}
    return Replayed(took, len(moved) - len(recorded), len(recorded) / seconds, cpu, memory)


def catch_up(bench: Bench, stack: Stack, workload: Workload) -> CaughtUp:
    """Have the relay deliver a whole ledger, from its first block on, to an empty record.

    Time is taken from the relay's word that it begins to the last row. Raises ProcessError when not all arrives.
    """
    stack.reset({})
    events, ledger = (*workload.history.before, *workload.history.events), workload.ledger
    own = {"LEDGER_NAME": LEDGER, "FUNCTION_KEY": KEY, "TABLES_CONNECTION_STRING": stack.tables}
    with bench.relay(ledger.url, stack, own) as relay:
        pids = {NODE: ledger.pid, FORWARDER: relay.pid, **stack.pids}
        before = all_cpu_seconds(pids)
        with watching_memory(pids) as watch:
            _await(stack, None, events)
            used = used_since(before, pids)
        recorded = stack.recorded()
        if len(recorded) < len(events):
            raise ProcessError(f"the relay recorded {len(recorded)} of {len(events)}")
        seconds = max(recorded.values()) - (relay.started + time.time() - time.monotonic())
    cpu = {name: spent * 1000 / len(events) for name, spent in used.items()}
    return CaughtUp(len(events) / seconds, cpu, watch.seen)


def bare_calls(stack: Stack, workload: Workload) -> float:
    """Events a second of the bare calls to Table Storage that the whole history needs, in batches as the relay's."""
    events, record = (*workload.history.before, *workload.history.events), InMemoryRecord(LESSORS, read_tariff())
    batches = in_turn(dealt(events, LANES, BATCH))
    calls = [record.apply([event.parsed() for event in batch]) for batch in batches]
    stack.reset({})
    (reached,) = stack.barely([Part(BARE_CALLS_AT_ONCE, calls)])
    return len(events) / reached.seconds


def _await(stack: Stack, node: Node | None, events: Sequence[Event]) -> Mapping[str, float]:
    """Wait until these events are recorded, or nothing has come for STILL_S; when each was recorded, as Unix time."""
    while node is not None and node.figures().is_growing:
        time.sleep(LOOK_S)
    wanted = {event.body["id"] for event in events}
    recorded: dict[str, float] = {}
    changed = time.monotonic()
    while len(recorded) < len(wanted) and time.monotonic() - changed < STILL_S:
        _await_last(stack, events[-LAST:])
        found = {one: when for one, when in stack.recorded().items() if one in wanted}
        if len(found) != len(recorded):
            recorded, changed = found, time.monotonic()
    return recorded


def _await_last(stack: Stack, last: Sequence[Event]) -> None:
    """Wait until the last events are recorded, or it is time to look at all of them."""
    deadline = time.monotonic() + LOOK_AT_ALL_S
    time.sleep(LOOK_S)
    while time.monotonic() < deadline and not stack.has_recorded(last):
        time.sleep(LOOK_S)


def _commits(node: Node) -> dict[int, float]:
    """When each block was committed, as Unix time, by its height."""
    offset = time.time() - time.monotonic()
    return {height: when + offset for height, when in node.figures().committed.items()}
