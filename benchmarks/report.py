"""Tells what was measured, in Markdown: ratios and goals first, then every figure with its spread, then the machine."""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from benchmarks.figures import Figure, Goal
from benchmarks.measurements import (
    BLOCK_EVENTS,
    BLOCKS_PER_S,
    LEASE_BLOCK_TIME_S,
    LEASE_EVERY_S,
    LIVE_EVENTS_PER_S,
    PAIRS,
    READ_TIME_S,
    SLOW_BATCH_S,
    WARM_UP_S,
    Scale,
)
from benchmarks.sections import goals, head, machine, row

PACKAGES = (
    "aiohttp",
    "azure-data-tables",
    "bigchaindb",
    "bigchaindb-driver",
    "msgspec",
    "requests",
    "websocket-client",
)
DECIMALS = {"x": 2, "ms": 1, "MiB": 1, "CPU s/s": 2}


class Told(msgspec.Struct, frozen=True):
    """How the figure with a key is told."""

    key: str
    name: str
    unit: str
    goal: Goal | None = None


TOLD = (
    Told("ledger_ratio", "Catching up with the local ledger: relay / bare loop", "x", Goal(0.80)),
    Told("slow_node_ratio", "Catching up with a node of BigchainDB's own speed: relay / bare loop", "x", Goal(0.80)),
    Told("lanes_ratio", "A Function that takes 200 ms a batch: 8 lanes / 1 lane", "x", Goal(6.0)),
    Told("memory_ratio", "Memory: after many events / after few", "x", Goal(1.10, is_ceiling=True)),
    Told("hint_p50", "From hint to POST, median", "ms", Goal(20.0, is_ceiling=True)),
    Told("live_lag", "Live: events not arrived at the end", "events", Goal(LIVE_EVENTS_PER_S, is_ceiling=True)),
    Told("ledger_relay", "Catching up with the local ledger: relay", "events/s"),
    Told("ledger_bare", "Catching up with the local ledger: bare loop", "events/s"),
    Told("slow_node_relay", "Catching up with a node of BigchainDB's own speed: relay", "events/s"),
    Told("slow_node_bare", "Catching up with a node of BigchainDB's own speed: bare loop", "events/s"),
    Told("ledger_repeated", "Catching up with the local ledger: sent a second time", "events"),
    Told("slow_node_repeated", "Catching up with a node of BigchainDB's own speed: sent a second time", "events"),
    Told("flat_out", "As fast as the relay goes (recorded node)", "events/s"),
    Told("flat_out_cpu", "As fast as the relay goes: CPU time for an event", "µs"),
    Told("lanes_1", "A Function that takes 200 ms a batch: 1 lane", "events/s"),
    Told("lanes_8", "A Function that takes 200 ms a batch: 8 lanes", "events/s"),
    Told("memory_few", "Resident memory after few events", "MiB"),
    Told("memory_many", "Resident memory after many events", "MiB"),
    Told("hint_p90", "From hint to POST, 90th percentile", "ms"),
    Told("hint_max", "From hint to POST, longest", "ms"),
    Told("live_cpu", "Live: CPU time of the relay", "CPU s/s"),
    Told("live_p50", "Live: from commit to arrival, median", "ms"),
    Told("live_p90", "Live: from commit to arrival, 90th percentile", "ms"),
    Told("live_p99", "Live: from commit to arrival, 99th percentile", "ms"),
    Told("live_repeated", "Live: sent a second time", "events"),
)


METHOD = """\
## How it was measured

The relay runs as a process, as the WebJob does, with its default settings where nothing else is said, from the first
block on, with a checkpoint of its own in Azurite. A stub takes the Function's place and acknowledges each batch at
once. Only events that come for the first time count. What is compared in a ratio is measured one after the other, in
changing order, and the ratio is taken within the repetition. Everything shares the machine's cores.

- **Catching up with the local ledger**: {history:,} transactions in full blocks; medians of {pairs} pairs. The relay's
  time is that from its log line `delivering`, which comes a millisecond before it asks for the first block, to the
  arrival of the last event; the loop's, from before its first GET to the 404 above the tip. Both leave out what an
  interpreter takes to start and import, and the relay's also the claim of its checkpoint, which is made once. The loop
  (`bare_loop.py`) parses the blocks and does nothing with them; the local ledger keeps the texts of its blocks, so that
  the loop is about as fast as a client in Python can be.
- **Catching up with a node of BigchainDB's own speed**: the same over recorded blocks of {block_events}. Each
  transaction takes the node {read_us:.0f} µs to read, one after the other: {read_rate:,.0f} events/s are its limit.
- **A Function that takes 200 ms**: the stub waits {slow_ms:.0f} ms before it answers, however many batches are under
  way; the backlog has no end; events in {window:.0f} s after {warm_up:.0f} s of warm-up.
- **Memory**: VmRSS soon after {few:,} and after {many:,} events of a backlog without end, as fast as the relay goes.
- **From hint to POST**: {leases} leases on a local ledger, one every {lease_every} s, block time {block_time} s; from
  the moment another subscriber had the lease's event to the moment the stub had the whole POST that holds it.
- **Live**: {live_rate:,} events/s, {blocks} blocks of {block_events} a second for {live} s, announced on the stream.
  The lag is taken one block's time after the last commit, and a second's events are allowed. CPU time is that of all
  threads.
"""


class Run(msgspec.Struct, frozen=True):
    """What a run measured: the values of each key in their repetitions, MiB by events, and the load before it began."""

    scale: Scale
    is_quick: bool
    values: Mapping[str, Sequence[float]]
    million: Sequence[tuple[int, float]]
    load: float
    minutes: float


def write_report(run: Run) -> str:
    """The report on a run, in Markdown."""
    return (
        "\n".join(
            [
                *_head(run),
                *goals(_goals(run)),
                *_figures(run),
                *_million(run),
                *_method(run),
                *machine(run.load, PACKAGES, "webjob"),
            ]
        )
        + "\n"
    )


def figures_of(values: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The figures as they are told, in their order."""
    return [Figure(told.name, told.unit, tuple(values[told.key]), told.goal) for told in TOLD]


def _head(run: Run) -> Iterator[str]:
    options = f"{' --quick' if run.is_quick else ''}{' --million' if run.million else ''}"
    return head("What the relay can do", f"python -m benchmarks.relay{options}", run.scale.repetitions, run.minutes)


def _goals(run: Run) -> Iterator[list[str]]:
    for figure in figures_of(run.values):
        if figure.goal:
            yield [figure.name, _goal(figure.goal, figure.unit), *_numbers(figure), f"**{figure.verdict}**"]


def _figures(run: Run) -> Iterator[str]:
    yield "## All figures"
    yield ""
    yield "Spread: how far the repetitions lie apart, as a part of the median."
    yield ""
    yield "| what | unit | median | least | most | spread |"
    yield "|---|---|---|---|---|---|"
    for figure in figures_of(run.values):
        spread = "" if math.isnan(figure.spread) else f"{figure.spread:.0%}"
        yield row([figure.name, figure.unit, *_numbers(figure), spread])
    yield ""


def _million(run: Run) -> Iterator[str]:
    if not run.million:
        return
    yield "## Memory to a million events"
    yield ""
    yield "| events | MiB |"
    yield "|---|---|"
    for events, mib in run.million:
        yield row([f"{events:,}", f"{mib:.1f}"])
    yield ""


def _method(run: Run) -> Iterator[str]:
    few, many = run.scale.memory_events
    yield METHOD.format(
        history=run.scale.history,
        pairs=PAIRS,
        read_us=READ_TIME_S * 1e6,
        read_rate=1 / READ_TIME_S,
        slow_ms=SLOW_BATCH_S * 1000,
        window=run.scale.window_s,
        warm_up=WARM_UP_S,
        few=few,
        many=many,
        leases=run.scale.leases,
        lease_every=LEASE_EVERY_S,
        block_time=LEASE_BLOCK_TIME_S,
        live_rate=LIVE_EVENTS_PER_S,
        blocks=BLOCKS_PER_S,
        block_events=BLOCK_EVENTS,
        live=run.scale.live_s,
    )


def _numbers(figure: Figure) -> list[str]:
    decimals = DECIMALS.get(figure.unit, 0)
    return [f"{one:,.{decimals}f}" for one in (figure.median, min(figure.values), max(figure.values))]


def _goal(goal: Goal, unit: str) -> str:
    return f"{'at most' if goal.is_ceiling else 'at least'} {goal.bound:,.{DECIMALS.get(unit, 0)}f} {unit}"
