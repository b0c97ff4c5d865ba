"""Everything that is measured, in which order: repetition after repetition, each with a little of everything."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from benchmarks import end_to_end, growth, measurements, profiling, record_measurements
from benchmarks.command import Say
from benchmarks.end_to_end import CaughtUp, Replayed, catch_up, replay
from benchmarks.growth import Point, grown
from benchmarks.history import Shape
from benchmarks.noise import Noise, Watch
from benchmarks.parts import Bench, bench
from benchmarks.peers import measurements as losses
from benchmarks.peers.counting import Losses
from benchmarks.peers.ways import WAYS, install_node_red
from benchmarks.record_measurements import COLD, Histories
from benchmarks.record_parts import Stack, stack
from benchmarks.workload import Workload, committed

Values = dict[str, float]


class Replays(msgspec.Struct, frozen=True):
    """What each way is measured on: events a second for so many seconds, and blocks of `flood` events all at once."""

    rates: Sequence[tuple[int, int]]
    flood: int
    flood_blocks: int


class Scale(msgspec.Struct, frozen=True):
    """How much is measured."""

    repetitions: int
    shape: Shape
    replays: Replays
    relay: measurements.Scale
    record: record_measurements.Scale
    growth: growth.Sizes
    losses: losses.Scale
    to_a_million: bool


QUICK = Scale(
    repetitions=2,
    shape=Shape(cars=500, transfers=500, apart=200),
    replays=Replays(rates=((100, 2),), flood=100, flood_blocks=0),
    relay=measurements.QUICK,
    record=record_measurements.QUICK,
    growth=growth.QUICK,
    losses=losses.QUICK,
    to_a_million=False,
)
FULL = Scale(
    repetitions=3,
    shape=Shape(cars=3_000, transfers=9_000, apart=1_000),
    replays=Replays(rates=((10, 10), (100, 8), (300, 8)), flood=300, flood_blocks=10),
    relay=measurements.FULL,
    record=record_measurements.FULL,
    growth=growth.FULL,
    losses=losses.FULL,
    to_a_million=True,
)


class Found(msgspec.Struct):
    """What was found.

    `values` are by key, `replays` by rate (AT_ONCE for all at once) and way, `losses` by accident and way, in their
    repetitions. `profiles` has the shares of CPU time by what was profiled, `million` MiB by events.
    """

    values: dict[str, list[float]] = {}
    replays: dict[str, dict[str, list[Replayed]]] = {}
    caught_up: list[CaughtUp] = []
    losses: dict[str, dict[str, list[Losses]]] = {}
    profiles: dict[str, dict[str, float]] = {}
    million: list[tuple[int, float]] = []
    noise: Noise | None = None

    def add(self, found: Values) -> None:
        """Add the values of a repetition."""
        for key, value in found.items():
            self.values.setdefault(key, []).append(value)


AT_ONCE = "at once"
PROFILED = 3
"""So many times the events of the memory's measurement are needed for enough samples."""


def measure(folder: Path, scale: Scale, say: Say) -> Found:
    """Measure everything. Raises what its parts raise."""
    install_node_red(say)
    found, watch = Found(), Watch()
    with ExitStack() as parts:
        shared = parts.enter_context(bench(folder))
        workload = parts.enter_context(committed(shared, scale.shape, 1, say))
        say("signing what the record is measured with")
        histories = Histories(scale.record)
        points = parts.enter_context(grown(folder / "growth", scale.growth, scale.repetitions, say))
        for turn in range(scale.repetitions):
            with stack(folder / f"record-{turn}") as running:
                for name, step in _steps(shared, running, workload, histories, points, scale, turn, found, say):
                    say(f"repetition {turn + 1} of {scale.repetitions}: {name}")
                    watch.look()
                    step()
        say("where the CPU time goes")
        found.profiles = _profiles(shared, workload, histories, folder, scale)
        if scale.to_a_million:
            say("the relay's memory to a million events")
            found.million = measurements.memory_to_a_million(shared, workload.recording)
        say("what is lost when a plug is pulled")
        watch.look()
        for (accident, way), counted in losses.count_losses(shared, folder / "losses", scale.losses, say).items():
            found.losses.setdefault(accident, {})[way] = counted
    found.noise = watch.noise()
    return found


def _steps(
    shared: Bench,
    running: Stack,
    workload: Workload,
    histories: Histories,
    points: Sequence[Point],
    scale: Scale,
    turn: int,
    found: Found,
    say: Say,
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is measured in one repetition: its name, and what measures it and adds what it finds."""

    def adding(measurement: Callable[[], Values]) -> Callable[[], None]:
        return lambda: found.add(measurement())

    relay, recording, events = scale.relay, workload.recording, scale.shape.transactions
    yield "the stream", adding(partial(measurements.listening_alone, shared, recording, turn))
    yield (
        "the relay catching up",
        adding(partial(measurements.catching_up, shared, workload.ledger, events, relay, turn)),
    )
    yield (
        "the relay catching up with a slow node",
        adding(partial(measurements.catching_up_with_slow_node, shared, recording, events, turn)),
    )
    yield "the relay live", adding(partial(measurements.live, shared, recording, relay))
    yield "from hint to POST", adding(partial(measurements.hint_to_post, shared, relay))
    yield "a slow Function", adding(partial(measurements.slow_function, shared, recording, relay, turn))
    yield "the relay's memory", adding(partial(measurements.memory, shared, recording, relay))
    yield "the record", lambda: _record(running, histories, scale, turn, found, say)
    yield "end to end, catching up", lambda: _catch_up(shared, running, workload, found)
    # Each way comes first in its turn: what the machine does meanwhile does not always hit the same one.
    ways = WAYS[turn % len(WAYS) :] + WAYS[: turn % len(WAYS)]
    for rate, seconds in scale.replays.rates:
        for way in ways:
            replaying = partial(replay, shared, running, workload, way, rate, rate * seconds)
            yield f"end to end, {rate} events/s, {way.name}", partial(_replay, found, str(rate), way.name, replaying)
    flood = scale.replays.flood
    for way in ways if scale.replays.flood_blocks else ():
        replaying = partial(
            replay, shared, running, workload, way, flood, flood * scale.replays.flood_blocks, at_once=True
        )
        yield f"end to end, all at once, {way.name}", partial(_replay, found, AT_ONCE, way.name, replaying)
    for point in points[:: -1 if turn % 2 else 1]:
        yield f"growth, {point.size:,} {point.grows}", adding(partial(point.measure, turn))


def _record(running: Stack, histories: Histories, scale: Scale, turn: int, found: Found, say: Say) -> None:
    for values in record_measurements.steps(running, histories, scale.record, turn, say):
        found.add(values)


def _catch_up(shared: Bench, running: Stack, workload: Workload, found: Found) -> None:
    """A relay over the whole path, and beside it the bare calls to Table Storage for the same events."""
    caught_up = catch_up(shared, running, workload)
    bare = end_to_end.bare_calls(running, workload)
    found.caught_up.append(caught_up)
    found.add({"caught_up": caught_up.per_s, "caught_up_bare": bare, "caught_up_ratio": caught_up.per_s / bare})


def _replay(found: Found, rate: str, way: str, replaying: Callable[[], Replayed]) -> None:
    found.replays.setdefault(rate, {}).setdefault(way, []).append(replaying())


def _profiles(
    shared: Bench, workload: Workload, histories: Histories, folder: Path, scale: Scale
) -> dict[str, dict[str, float]]:
    """Where the CPU time of relay and Function app goes; empty where py-spy may not look at other processes."""
    samples = folder / "samples"
    samples.mkdir()
    path = samples / "relay.txt"
    measurements.catch_up_profiled(shared, workload.recording, PROFILED * scale.relay.memory_events[1], path)
    found = {"relay, catching up": profiling.shares_of(path, profiling.RELAY_PARTS)}
    with stack(samples / "stack") as running:
        record_measurements.warm_up(running, histories)
        for cell in record_measurements.profiled(scale.record):
            path = samples / f"{cell.key}.txt"
            record_measurements.post_profiled(running, histories, cell, path)
            told = "no car or driver twice" if cell.history == COLD else "hot keys"
            found[f"Function app, {told}, batches of {cell.size}"] = profiling.shares_of(path, profiling.FUNCTION_PARTS)
    return found
