"""Tells what was measured of the relay alone, in Markdown: every figure with its spread, and how it was measured."""

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from benchmarks.figures import Figure, Goal
from benchmarks.measurements import (
    BLOCK_EVENTS,
    BLOCKS_PER_S,
    LEASE_BLOCK_TIME_S,
    LEASE_EVERY_S,
    LISTENED_BLOCKS,
    LIVE_EVENTS_PER_S,
    READ_TIME_S,
    SLOW_BATCH_S,
    Scale,
)
from benchmarks.sections import table

DECIMALS = {"x": 2, "ms": 1, "MiB": 1, "CPU s/s": 2}


class Told(msgspec.Struct, frozen=True):
    """How the figure with a key is told."""

    key: str
    name: str
    unit: str
    goal: Goal | None = None


TOLD = (
    Told("stream_ratio", "Listening to the stream: the relay's listener / websocket-client alone", "x", Goal(0.80)),
    Told("ledger_ratio", "Catching up with the local ledger: relay / bare loop", "x", Goal(0.80)),
    Told("ledger_raw_ratio", "Catching up with the local ledger: relay / raw GETs that parse nothing", "x", Goal(0.80)),
    Told("slow_node_ratio", "Catching up with a node of BigchainDB's own speed: relay / bare loop", "x", Goal(0.80)),
    Told("lanes_ratio", "A Function that takes 200 ms a batch: 8 lanes / 1 lane", "x", Goal(6.0)),
    Told("memory_ratio", "Memory: after many events / after few", "x", Goal(1.10, is_ceiling=True)),
    Told("hint_p50", "From hint to POST, median", "ms", Goal(20.0, is_ceiling=True)),
    Told("live_lag", "Live: events not arrived at the end", "events", Goal(LIVE_EVENTS_PER_S, is_ceiling=True)),
    Told("stream_relay", "Listening to the stream: the relay's listener", "events/s"),
    Told("stream_bare", "Listening to the stream: websocket-client alone", "events/s"),
    Told("stream_cpu", "Listening to the stream: CPU time of the relay's listener for an event", "µs"),
    Told("ledger_relay", "Catching up with the local ledger: relay", "events/s"),
    Told("ledger_bare", "Catching up with the local ledger: bare loop", "events/s"),
    Told("ledger_raw", "Catching up with the local ledger: raw GETs that parse nothing", "events/s"),
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
The relay runs as a process, as the WebJob does, with its default settings where nothing else is said, from the first
block on, with a checkpoint of its own in Azurite. A stub takes the Function's place and acknowledges each batch at
once. Only events that come for the first time count. What is compared in a ratio is measured one after the other, in
changing order, and the ratio is taken within the repetition. Everything shares the machine's cores.

- **Listening to the stream**: {listened:,} messages at once from a recorded node; the relay's own listener and a bare
  `recv` loop each in a process of its own, from the first message to the last.
- **Catching up with the local ledger**: {history:,} transactions; medians of {pairs}. The relay's
  time is that from its log line `delivering`, which comes a millisecond before it asks for the first block, to the
  arrival of the last event; the loop's, from before its first GET to the 404 above the tip. Both leave out what an
  interpreter takes to start and import, and the relay's also the claim of its checkpoint, which is made once. The bare
  loop (`bare_loop.py`) asks by requests, parses the blocks and does nothing with them; raw GETs are http.client's, and
  parse nothing. The local ledger keeps the texts of its blocks, so that both are about as fast as a client in Python
  can be. Neither posts anything: the relay does, for each batch.
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


def figures_of(values: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The figures as they are told, in their order."""
    return [Figure(told.name, told.unit, tuple(values[told.key]), told.goal) for told in TOLD]


def ratios_of(values: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The ratios, which have goals."""
    return [figure for figure in figures_of(values) if figure.unit == "x"]


def relay_section(values: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """The lines of the section on the relay alone."""
    yield "## The relay alone"
    yield ""
    yield "Spread: how far the repetitions lie apart, as a part of the median."
    yield ""
    figures = [figure for figure in figures_of(values) if figure.unit != "x"]
    yield from table(("what", "unit", "median", "least", "most", "spread"), map(_cells, figures))


def relay_method(scale: Scale, history: int) -> str:
    """How the relay alone was measured; `history` in transactions."""
    few, many = scale.memory_events
    return METHOD.format(
        history=history,
        pairs=scale.pairs,
        listened=LISTENED_BLOCKS * BLOCK_EVENTS,
        read_us=READ_TIME_S * 1e6,
        read_rate=1 / READ_TIME_S,
        slow_ms=SLOW_BATCH_S * 1000,
        window=scale.window_s,
        warm_up=scale.warm_up_s,
        few=few,
        many=many,
        leases=scale.leases,
        lease_every=LEASE_EVERY_S,
        block_time=LEASE_BLOCK_TIME_S,
        live_rate=LIVE_EVENTS_PER_S,
        blocks=BLOCKS_PER_S,
        block_events=BLOCK_EVENTS,
        live=scale.live_s,
    )


def _cells(figure: Figure) -> list[str]:
    decimals = DECIMALS.get(figure.unit, 0)
    numbers = [f"{one:,.{decimals}f}" for one in (figure.median, min(figure.values), max(figure.values))]
    return [figure.name, figure.unit, *numbers, "" if math.isnan(figure.spread) else f"{figure.spread:.0%}"]
