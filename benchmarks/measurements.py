"""The measurements of the relay alone. Each starts its own parts, and returns its figures of one repetition, by key.

What a figure's goal is, and how it is told, stands in relay_report.
"""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.figures import percentile
from benchmarks.history import LESSOR, Json, sign_create, sign_transfer
from benchmarks.listening import listening
from benchmarks.parts import Bench, Ledger, Relay, Stub
from benchmarks.profiling import THREADED, profiling
from benchmarks.watching import cpu_seconds, resident_mib
from local.scenario import car, key_pair, lease
from local.writer import Writer

BLOCK_EVENTS = 220
BLOCKS_PER_S = 5
LIVE_EVENTS_PER_S = BLOCK_EVENTS * BLOCKS_PER_S
READ_TIME_S = 0.000_25
"""What the slow node takes to read one transaction: it serves 4,000 a second. That is twice what BigchainDB's own code
was measured to serve on two cores once its memo of 16,384 transactions had forgotten them; the local ledger keeps the
texts of its blocks, and serves far more."""
SLOW_BATCH_S = 0.2
LANES = (1, 8)
ENDLESS = 1_000_000
"""Blocks that a recorded node has from the start where it is to have more than anybody reads."""
LEASE_CARS = 10
LEASE_EVERY_S = 0.3
LEASE_BLOCK_TIME_S = 0.05
SETTLE_S = 2.0
"""How long the relay gets to come to rest before something is measured on it."""
CONNECT_TIMEOUT_S = 20.0
MEMORY_LOOKS = 5
MEMORY_LOOK_S = 0.01
TO_A_MILLION = (1_000, 10_000, *range(100_000, 1_000_001, 100_000))

Values = dict[str, float]


class Scale(msgspec.Struct, frozen=True):
    """How much is measured of the relay alone. Memory is read after each number of `memory_events`."""

    pairs: int
    live_s: int
    leases: int
    warm_up_s: float
    window_s: float
    memory_events: tuple[int, int]


QUICK = Scale(pairs=1, live_s=2, leases=5, warm_up_s=1.0, window_s=2.0, memory_events=(5_000, 20_000))
FULL = Scale(pairs=3, live_s=15, leases=40, warm_up_s=3.0, window_s=8.0, memory_events=(10_000, 100_000))
LISTENED_BLOCKS = 200
"""Blocks whose transactions a listener receives."""


class CaughtUp(msgspec.Struct, frozen=True):
    """One catching up: events a second of the relay and of both bare loops, and how many events came a second time.

    The loop `bare` parses what it reads, and `raw` does not.
    """

    relay: float
    bare: float
    raw: float
    repeated: int


class Look(msgspec.Struct, frozen=True):
    """A look at a relay: when, how many events had come, its memory in MiB, and the CPU seconds it had used."""

    time: float
    events: int
    mib: float
    cpu: float


def listening_alone(bench: Bench, recording: Path, turn: int) -> Values:
    """Messages a second that the relay's listener receives, and that websocket-client does on its own."""
    messages = LISTENED_BLOCKS * BLOCK_EVENTS
    order = (("--relay",), ()) if turn % 2 else ((), ("--relay",))
    with bench.node(recording) as node:
        found = {bool(options): bench.flood(node, LISTENED_BLOCKS, messages, *options) for options in order}
    return {
        "stream_relay": found[True].per_s,
        "stream_bare": found[False].per_s,
        "stream_ratio": found[True].per_s / found[False].per_s,
        "stream_cpu": found[True].cpu * 1e6 / found[True].events,
    }


def catching_up(bench: Bench, ledger: Ledger, events: int, scale: Scale, turn: int) -> Values:
    """Events a second of relay and bare loops over the history on the local ledger; medians of a few pairs."""
    pairs = [_beside_bare_loop(bench, ledger.url, events, turn + one) for one in range(scale.pairs)]
    return {
        "ledger_relay": statistics.median(one.relay for one in pairs),
        "ledger_bare": statistics.median(one.bare for one in pairs),
        "ledger_raw": statistics.median(one.raw for one in pairs),
        "ledger_ratio": statistics.median(one.relay / one.bare for one in pairs),
        "ledger_raw_ratio": statistics.median(one.relay / one.raw for one in pairs),
        "ledger_repeated": statistics.median(one.repeated for one in pairs),
    }


def catching_up_with_slow_node(bench: Bench, recording: Path, events: int, turn: int) -> Values:
    """The same over a node that is as slow as BigchainDB's own code."""
    blocks = events // BLOCK_EVENTS
    with bench.node(recording, "--blocks", str(blocks), "--read-time", str(READ_TIME_S)) as node:
        found = _beside_bare_loop(bench, node.url, blocks * BLOCK_EVENTS, turn)
    return {
        "slow_node_relay": found.relay,
        "slow_node_bare": found.bare,
        "slow_node_ratio": found.relay / found.bare,
        "slow_node_repeated": found.repeated,
    }


def live(bench: Bench, recording: Path, scale: Scale) -> Values:
    """Lag, latency and CPU of the relay while blocks come at LIVE_EVENTS_PER_S and are announced."""
    blocks = scale.live_s * BLOCKS_PER_S
    with bench.node(recording) as node, bench.stub("--keep-arrivals") as stub, bench.relay(node.url, stub) as relay:
        relay.wait_until(lambda: node.figures().subscribers > 0, CONNECT_TIMEOUT_S)
        time.sleep(SETTLE_S)
        cpu, began = cpu_seconds(relay.pid), time.monotonic()
        node.grow(blocks, 1 / BLOCKS_PER_S)
        relay.wait_until(lambda: not node.figures().is_growing)
        used = (cpu_seconds(relay.pid) - cpu) / (time.monotonic() - began)
        lag = blocks * BLOCK_EVENTS - stub.figures().distinct
        _wait_for(relay, stub, blocks * BLOCK_EVENTS)
        committed, seen = node.figures().committed, stub.figures_with_arrivals()
    took = [(one.time - committed[one.height]) * 1000 for one in seen.arrivals.values()]
    return {
        "live_lag": lag,
        "live_cpu": used,
        "live_p50": percentile(took, 0.5),
        "live_p90": percentile(took, 0.9),
        "live_p99": percentile(took, 0.99),
        "live_repeated": seen.repeated,
    }


def hint_to_post(bench: Bench, scale: Scale) -> Values:
    """Milliseconds from a lease's event on the ledger's stream to the arrival of the POST that holds the lease."""
    with (
        bench.ledger("--block-time", str(LEASE_BLOCK_TIME_S)) as ledger,
        bench.stub("--keep-arrivals") as stub,
        listening(ledger.stream_url, time.monotonic) as heard,
        bench.relay(ledger.url, stub) as relay,
    ):
        writer = Writer(ledger.url)
        cars = writer.commit(sign_create(car(f"VIN{one:014d}", "Renault", "Zoe", 2024)) for one in range(LEASE_CARS))
        _wait_for(relay, stub, len(cars))
        time.sleep(SETTLE_S)
        leases = _commit_leases(writer, cars, scale.leases)
        _wait_for(relay, stub, len(cars) + len(leases))
        arrivals = stub.figures_with_arrivals().arrivals
    took = [(arrivals[one].time - heard[one]) * 1000 for one in leases]
    return {"hint_p50": percentile(took, 0.5), "hint_p90": percentile(took, 0.9), "hint_max": max(took)}


def slow_function(bench: Bench, recording: Path, scale: Scale, turn: int) -> Values:
    """Events a second with one lane and with eight, where the Function takes SLOW_BATCH_S for a batch."""
    one, many = LANES
    order = (many, one) if turn % 2 else (one, many)
    rates = {lanes: _rate(bench, recording, scale, lanes) for lanes in order}
    return {"lanes_1": rates[one], "lanes_8": rates[many], "lanes_ratio": rates[many] / rates[one]}


def memory(bench: Bench, recording: Path, scale: Scale) -> Values:
    """Resident memory after few events and after many, and what the relay does and needs in between."""
    few, many = _looks(bench, recording, scale.memory_events)
    events = many.events - few.events
    return {
        "memory_few": few.mib,
        "memory_many": many.mib,
        "memory_ratio": many.mib / few.mib,
        "flat_out": events / (many.time - few.time),
        "flat_out_cpu": (many.cpu - few.cpu) * 1e6 / events,
    }


def catch_up_profiled(bench: Bench, recording: Path, events: int, samples: Path) -> None:
    """Let the relay go through so many events of an endless backlog, while py-spy looks at it."""
    with (
        bench.node(recording, "--blocks", str(ENDLESS)) as node,
        bench.stub() as stub,
        bench.relay(node.url, stub) as relay,
        profiling(relay.pid, samples, THREADED),
    ):
        _wait_for(relay, stub, events)


def memory_to_a_million(bench: Bench, recording: Path) -> list[tuple[int, float]]:
    """Events, and MiB of resident memory after them, up to a million events."""
    return [(look.events, look.mib) for look in _looks(bench, recording, TO_A_MILLION)]


def _beside_bare_loop(bench: Bench, url: str, events: int, turn: int) -> CaughtUp:
    """The relay and the bare loops over a ledger of so many events, one after the other."""
    if turn % 2:
        raw, bare = bench.bare_loop(url, events, "--raw"), bench.bare_loop(url, events)
        relay, repeated = _catch_up(bench, url, events)
    else:
        relay, repeated = _catch_up(bench, url, events)
        bare, raw = bench.bare_loop(url, events), bench.bare_loop(url, events, "--raw")
    return CaughtUp(relay, bare, raw, repeated)


def _catch_up(bench: Bench, url: str, events: int) -> tuple[float, int]:
    """Events a second, from the relay's word that it begins to the last event's arrival, and those that came again."""
    with bench.stub() as stub, bench.relay(url, stub) as relay:
        _wait_for(relay, stub, events)
        seen = stub.figures()
        return events / (seen.last - relay.started), seen.repeated


def _rate(bench: Bench, recording: Path, scale: Scale, lanes: int) -> float:
    """Events a second in a window of time after the warm-up, with so many lanes and a Function that is slow."""
    with (
        bench.node(recording, "--blocks", str(ENDLESS)) as node,
        bench.stub("--delay", str(SLOW_BATCH_S)) as stub,
        bench.relay(node.url, stub, {"RELAY_LANES": str(lanes)}) as relay,
    ):
        _wait_for(relay, stub, 1)
        time.sleep(scale.warm_up_s)
        before = stub.figures()
        time.sleep(scale.window_s)
        after = stub.figures()
    return (after.distinct - before.distinct) / (after.now - before.now)


def _looks(bench: Bench, recording: Path, marks: Sequence[int]) -> list[Look]:
    """A look at the relay soon after each number of events, on its way through an endless backlog."""
    looks = []
    with (
        bench.node(recording, "--blocks", str(ENDLESS)) as node,
        bench.stub() as stub,
        bench.relay(node.url, stub) as relay,
    ):
        for mark in marks:
            _wait_for(relay, stub, mark)
            cpu, seen = cpu_seconds(relay.pid), stub.figures()
            looks.append(Look(seen.now, seen.distinct, _resident(relay), cpu))
    return looks


def _resident(relay: Relay) -> float:
    """The median of a few looks: memory goes up and down with what is under way."""
    looks = []
    for _ in range(MEMORY_LOOKS):
        looks.append(resident_mib(relay.pid))
        time.sleep(MEMORY_LOOK_S)
    return statistics.median(looks)


def _commit_leases(writer: Writer, cars: Sequence[Json], count: int) -> list[str]:
    """Commit leases at an even pace, from one driver of a car to the next; their transaction ids."""
    last, owners, ids = list(cars), [LESSOR] * len(cars), []
    began = time.monotonic()
    for number in range(count):
        place, driver = number % len(cars), key_pair(f"driver {number}")
        signed = sign_transfer(last[place], owners[place], driver, lease("2026-04-01", "2029-03-31", 15_000))
        time.sleep(max(0.0, began + number * LEASE_EVERY_S - time.monotonic()))
        writer.send(signed)
        last[place], owners[place] = signed, driver
        ids.append(signed["id"])
    return ids


def _wait_for(relay: Relay, stub: Stub, events: int) -> None:
    """Wait until so many distinct events have come."""
    relay.wait_until(lambda: stub.figures().distinct >= events)
