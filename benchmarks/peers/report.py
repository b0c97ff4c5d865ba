"""Tells what was measured, in Markdown. Pure, but for the section on the machine."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.figures import Figure
from benchmarks.peers.counting import Losses
from benchmarks.peers.losses import BEGINS_S, STILL_S, WITHIN_S
from benchmarks.peers.measurements import CARS, MOVES, RATE, SIDE_BY_SIDE, Found
from benchmarks.peers.quiet import OBSERVED_S, Quiet
from benchmarks.peers.ways import RELAY, WAYS
from benchmarks.sections import machine, row

PACKAGES = ("aiohttp", "requests", "websocket-client", "azure-functions-runtime")
NAMES = tuple(way.name for way in WAYS)
OTHERS = tuple(name for name in NAMES if name != RELAY.name)
NEVER, TOO_NOISY = "never", "too noisy"

HEAD = """\
# What the usual ways lose, and how fast they are

Written by `python -m benchmarks.peers{options}`; {minutes:.0f} minutes.{remark}

Four forwarders, each on its own ledger, Azurite and Functions host with the same Function app. *article*: an event's
transaction is fetched and posted in `on_message`, a failure logged. *straightforward*: asyncio, a bounded queue, eight
workers, five attempts. *Node-RED* {node_red}: its own websocket, HTTP and catch nodes. *Leasehook*: this repository's
relay, with its default settings. None of the first three has a checkpoint.
"""
LOSSES = """\
## What is lost when a plug is pulled

{cars} cars are registered, then {moves} leases, hand-overs and returns are committed at {rate} a second; {begins:.0f} s
after the first of them, exactly one accident happens. Counted at the end, against the ledger: least and most of so many
seeds: {seeds}.
"""
CASCADE = """\
A missing transaction costs more than itself: the Function applies a transfer only if the car's last one is in the
record, and answers `deferred` for what follows. Leasehook then sends the car's chain from the ledger; the others
cannot. So a car that missed one transaction stays as it was, until somebody repairs it by hand. After an outage the
relay waits up to 30 s between two attempts: where the record becomes complete, it may do so late.
"""
QUIET = """\
## How late, and at what cost, while nothing happens

Medians, with least and most; interleaved repetitions: {repetitions}. From the event on the ledger's stream to the row
in Table Storage. CPU time and memory are the forwarder's alone.

| | transactions/s | p50, ms | p99, ms | longest, ms | CPU, ms an event | memory, MiB |
|---|---|---|---|---|---|---|"""
RATIOS = """\
Leasehook beside each of the others: the median of the ratios of all repetitions; above 1, the other does
better. Where some repetitions lie on one side of 1 and some on the other, the noise hides the answer: too noisy.

| Leasehook / | transactions/s | p50 | p99 | CPU | memory |
|---|---|---|---|---|---|"""
CAUGHT_UP = """\
## Started when {backlog:,} transactions are on the ledger already

Seconds from the start of the process to the last row. Never: watched for {observed:.0f} s, and no row came.

| | seconds until level | least | most | lines of code |
|---|---|---|---|---|"""
METHOD = """\
## How it was measured

Counts were taken with {side_by_side} histories at a time, at a load average of {counting_load:.1f}: on a slow machine a
way takes longer to come back, and loses more. Times were taken with one way at a time, in changing order, and without a
proxy. An accident of a connection is put on it by the proxy of `local/faults`, which is
in no other connection. A record is counted once it is complete, or nothing has changed for {still:.0f} s, or after
{within:.0f} s. Leases are wrong when they are missing, or open though they have ended on the ledger. A run fails when a
way does not deliver a quiet history completely. Lines are those that are neither empty nor comments; for Node-RED
those of its flow and its settings. Where the row's time is taken: `quiet.py`.

How noisy it was: of the figures of the quiet runs, the repetitions lay {middle} of the median apart in the middle, and
{spread} at most. Other programs ran on the same machine.
"""


def write_report(found: Found, options: str, node_red: str, load: float, minutes: float) -> str:
    """The report. `options` are the command's, `node_red` is Node-RED's version, `load` that before the run."""
    return "\n".join(_lines(found, options, node_red, load, minutes)) + "\n"


def span(values: Sequence[int]) -> str:
    """Least and most: `3-7`, or one number where they are the same."""
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least}-{most}"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """The median of the ratios of the repetitions; `too noisy` where they do not agree which is the smaller one."""
    ratios = [one / other if other else float("inf") for one, other in zip(ours, theirs, strict=True)]
    if min(ratios) < 1 < max(ratios):
        return TOO_NOISY
    return f"{statistics.median(ratios):.2f}"


def with_span(values: Sequence[float]) -> str:
    """The median, with least and most."""
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def spreads(quiet: Mapping[tuple[int, str], Sequence[Quiet]]) -> list[float]:
    """How far the repetitions of each figure lie apart, as a part of the median, in order."""
    figures = (
        Figure(name, "", tuple(getattr(one, name) for one in runs))
        for runs in quiet.values()
        for name in ("p50", "p99", "longest", "cpu", "memory")
    )
    return sorted(figure.spread for figure in figures if figure.median)


def _lines(found: Found, options: str, node_red: str, load: float, minutes: float) -> Iterator[str]:
    remark = " A quick run, which is no basis for claims." if options else ""
    yield HEAD.format(options=options, minutes=minutes, remark=remark, node_red=node_red)
    yield LOSSES.format(cars=CARS, moves=MOVES, rate=RATE, begins=BEGINS_S, seeds=found.scale.seeds)
    yield from _table(found, "transactions missing", lambda one: one.missing, lambda one: one.transactions)
    yield from _table(found, "cars with the wrong driver", lambda one: one.cars_wrong, lambda one: one.cars)
    yield from _table(found, "leases missing or wrongly open", lambda one: one.leases_wrong, lambda one: one.leases)
    yield CASCADE
    yield from _late(found)
    yield from _quiet(found)
    yield from _caught_up(found)
    spread = spreads(found.quiet)
    yield METHOD.format(
        side_by_side=SIDE_BY_SIDE,
        counting_load=found.counting_load,
        still=STILL_S,
        within=WITHIN_S,
        spread=f"{spread[-1]:.0%}",
        middle=f"{statistics.median(spread):.0%}",
    )
    yield from machine(load, PACKAGES, "webjob")


def _table(found: Found, what: str, wrong: Callable[[Losses], int], of: Callable[[Losses], int]) -> Iterator[str]:
    total = span([of(one) for runs in found.losses.values() for one in runs])
    yield row([f"{what}, of {total}", *NAMES])
    yield "|---" * (len(NAMES) + 1) + "|"
    for accident in found.scale.accidents:
        yield row([accident.name, *(span([wrong(one) for one in found.losses[accident.name, name]]) for name in NAMES)])
    yield ""


def _late(found: Found) -> Iterator[str]:
    yield row(["seconds from the last commit to the last row", *NAMES])
    yield "|---" * (len(NAMES) + 1) + "|"
    for accident in found.scale.accidents:
        yield row([accident.name, *(lateness(found.losses[accident.name, name]) for name in NAMES)])
    yield ""


def lateness(runs: Sequence[Losses]) -> str:
    """Least and most seconds until the record was complete; a dash where it never was in one of the runs."""
    if not all(one.is_complete for one in runs):
        return "-"
    least, most = min(one.late_s for one in runs), max(one.late_s for one in runs)
    return f"{least:.1f}-{most:.1f}"


def _quiet(found: Found) -> Iterator[str]:
    yield QUIET.format(repetitions=found.scale.repetitions)
    for rate, _ in found.scale.quiet:
        for name in NAMES:
            runs = found.quiet[rate, name]
            measured = ("p50", "p99", "longest", "cpu", "memory")
            yield row([name, str(rate), *(with_span([getattr(one, key) for one in runs]) for key in measured)])
    yield ""
    yield RATIOS
    for rate, _ in found.scale.quiet:
        ours = found.quiet[rate, RELAY.name]
        for name in OTHERS:
            theirs = found.quiet[rate, name]
            pairs = (
                ratio([getattr(one, key) for one in ours], [getattr(one, key) for one in theirs])
                for key in ("p50", "p99", "cpu", "memory")
            )
            yield row([name, str(rate), *pairs])
    yield ""


def _caught_up(found: Found) -> Iterator[str]:
    yield CAUGHT_UP.format(backlog=found.scale.backlog, observed=OBSERVED_S)
    for way in WAYS:
        seconds = [one for one in found.caught_up[way.name] if one is not None]
        told = [statistics.median(seconds), min(seconds), max(seconds)] if seconds else []
        yield row([way.name, *([f"{one:.1f}" for one in told] or [NEVER, NEVER, NEVER]), f"{way.lines:,}"])
    yield ""
