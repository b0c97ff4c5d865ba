"""Tells how the ways of forwarding compare end to end, and what each loses, in Markdown. Pure."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.end_to_end import FORWARDER, NODE, CaughtUp, Replayed
from benchmarks.figures import Figure
from benchmarks.peers.counting import Losses
from benchmarks.peers.ways import RELAY, WAYS
from benchmarks.record_parts import AZURITE, FUNCTION
from benchmarks.sections import around, table

NAMES = tuple(way.name for way in WAYS)
OTHERS = tuple(name for name in NAMES if name != RELAY.name)
PROCESSES = (FORWARDER, FUNCTION, AZURITE, NODE)
PARTS = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Replays = Mapping[str, Mapping[str, Sequence[Replayed]]]
"""What was measured of each way in its repetitions, by rate and way."""
LossesByAccident = Mapping[str, Mapping[str, Sequence[Losses]]]

FASTER = """\
The same history, the same Function app and tables, one way after the other in changing order. Latency is from the
commit of a transaction's block to the row in Table Storage, in ms; a block comes every second. CPU time is in ms for an
event, memory in MiB. Median (least to most) of the repetitions.
"""
LOST = """\
{cars} cars are registered, then leases, hand-overs and returns are committed, {rate} a second. In the middle exactly
one accident happens. Counted at the end, against the ledger: least and most of so many histories: {seeds}.
"""
CASCADE = """\
A missing transaction costs more than itself: the Function applies a transfer only if the car's last one is in the
record, and answers `deferred` for what follows. Leasehook then sends the car's chain from the ledger; the others
cannot, and the car stays as it was until somebody repairs it by hand.
"""


def ratios_of(replays: Replays, at_once: str) -> list[Figure]:
    """Leasehook beside each of the others, in each repetition: above 1 it takes more, or is faster all at once."""
    measures: dict[str, Callable[[Replayed], float]] = {
        "latency p50": lambda one: one.late(0.5),
        "latency p99": lambda one: one.late(0.99),
        "CPU time of all processes for an event": lambda one: sum(one.cpu.values()),
    }
    found = []
    for rate, ways in replays.items():
        for name in OTHERS:
            pairs = list(zip(ways[RELAY.name], ways[name], strict=True))
            if rate == at_once:
                ratios = tuple(ours.per_s / theirs.per_s for ours, theirs in pairs)
                found.append(Figure(f"Events a second, all at once: Leasehook / {name}", "x", ratios))
                continue
            for told, measure in measures.items():
                ratios = tuple(measure(ours) / measure(theirs) for ours, theirs in pairs)
                found.append(Figure(f"{rate} events/s, {told}: Leasehook / {name}", "x", ratios))
    return found


def end_to_end_section(caught_up: Sequence[CaughtUp], replays: Replays) -> Iterator[str]:
    """The lines of the section on the whole path."""
    yield "## From commit to row"
    yield ""
    yield "### Catching up with a ledger, from its first block to the last row"
    yield ""
    yield "Only Leasehook does: the other ways have no checkpoint, and never see what they did not hear."
    yield ""
    columns = ("events/s", *(f"CPU ms an event: {name}" for name in PROCESSES), "largest memory of the relay, MiB")
    largest = [max(mib for _, mib in one.memory[FORWARDER]) for one in caught_up]
    cpu = [around([one.cpu[name] for one in caught_up], 2) for name in PROCESSES]
    yield from table(columns, [[around([one.per_s for one in caught_up], 0), *cpu, around(largest, 0)]])
    yield "### Beside the usual ways"
    yield ""
    yield FASTER
    latency = [f"latency {name}" for name in PARTS]
    used = [f"CPU: {name}" for name in PROCESSES]
    yield from table(
        ("events/s", "way", "lost", "reached, events/s", *latency, *used, "memory"),
        (_way(rate, name, runs) for rate, ways in replays.items() for name, runs in ways.items()),
    )


def losses_section(losses: LossesByAccident, cars: int, rate: int) -> Iterator[str]:
    """The lines of the section on what is lost when a plug is pulled."""
    seeds = max(len(runs) for ways in losses.values() for runs in ways.values())
    yield "## What is lost when a plug is pulled"
    yield ""
    yield LOST.format(cars=cars, rate=rate, seeds=seeds)
    yield from _lost(losses, "transactions missing", lambda one: one.missing, lambda one: one.transactions)
    yield from _lost(losses, "cars with the wrong driver", lambda one: one.cars_wrong, lambda one: one.cars)
    yield from _lost(losses, "leases missing or wrongly open", lambda one: one.leases_wrong, lambda one: one.leases)
    yield from table(
        ("seconds from the last commit to the last row", *NAMES),
        ([accident, *(lateness(ways[name]) for name in NAMES)] for accident, ways in losses.items()),
    )
    yield CASCADE
    yield (
        "Lines of code, without empty ones and comments: "
        + ", ".join(f"{way.name} {way.lines:,}" for way in WAYS)
        + "."
    )
    yield ""


def span(values: Sequence[int]) -> str:
    """Least and most: `3-7`, or one number where they are the same."""
    least, most = min(values), max(values)
    return f"{least}" if least == most else f"{least}-{most}"


def lateness(runs: Sequence[Losses]) -> str:
    """Least and most seconds until the record was complete; a dash where it never was in one of the runs."""
    if not all(one.is_complete for one in runs):
        return "-"
    return f"{min(one.late_s for one in runs):.1f}-{max(one.late_s for one in runs):.1f}"


def _way(rate: str, name: str, runs: Sequence[Replayed]) -> list[str]:
    return [
        rate,
        name,
        span([one.lost for one in runs]),
        around([one.per_s for one in runs], 0),
        *(around([one.late(part) for one in runs], 0) for part in PARTS.values()),
        *(f"{statistics.median(one.cpu[process] for one in runs):.2f}" for process in PROCESSES),
        f"{statistics.median(one.memory for one in runs):.0f}",
    ]


def _lost(
    losses: LossesByAccident, what: str, wrong: Callable[[Losses], int], of: Callable[[Losses], int]
) -> Iterator[str]:
    total = span([of(one) for ways in losses.values() for runs in ways.values() for one in runs])
    yield from table(
        (f"{what}, of {total}", *NAMES),
        (
            [accident, *(span([wrong(one) for one in ways[name]]) for name in NAMES)]
            for accident, ways in losses.items()
        ),
    )
