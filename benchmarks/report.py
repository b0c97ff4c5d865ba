"""The one report on a run, in Markdown: plots and ratios first, then each part, then how and on what it was made."""

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks import record_report, relay_report, ways_report
from benchmarks.figures import Figure, Goal, told_ratio
from benchmarks.found import Run, read_steps
from benchmarks.measurements import LIVE_EVENTS_PER_S
from benchmarks.noise import Noise
from benchmarks.peers.stand import RATE
from benchmarks.peers.ways import NODE_RED
from benchmarks.run import AT_ONCE, Found, Scale
from benchmarks.sections import processor, table, versions

PACKAGES = (
    "aiohttp",
    "azure-data-tables",
    "azure-functions-runtime",
    "bigchaindb",
    "bigchaindb-driver",
    "msgspec",
    "requests",
    "uvicorn",
    "websocket-client",
)
CAUGHT_UP_GOAL = Goal(0.80)
NOISY = 0.25
"""A machine on which the same work takes so much longer at one time than at another is called noisy."""
PLOTS = {
    "throughput": "What each stage reaches, beside its limit",
    "latency": "From commit to row, by percentile",
    "losses": "What is lost when a plug is pulled",
    "growth": "What an event costs as the record grows",
    "memory": "Memory",
    "steps": "Before and after each step of optimisation",
}


def write_report(run: Run) -> str:
    """The report on a run."""
    return "\n".join(_lines(run)).rstrip() + "\n"


def _lines(run: Run) -> Iterator[str]:
    found, values, scale = run.found, run.found.values, run.scale
    kind = "A quick run, which is no basis for claims" if run.is_quick else "A full run"
    yield "# What Leasehook reaches, beside the usual ways and beside its limits"
    yield ""
    yield f"{kind}, written by `make bench{' ARGS=--quick' if run.is_quick else ''}`: {scale.repetitions} repetitions,"
    yield f"interleaved, in {run.minutes:.0f} minutes."
    yield ""
    yield _noise(found.noise)
    yield ""
    for name, title in PLOTS.items():
        yield f"![{title}](svg/{name}.svg)"
        yield ""
    yield from _ratios(values, found)
    yield from ways_report.end_to_end_section(found.caught_up, found.replays)
    yield from ways_report.losses_section(found.losses, scale.losses.shape.cars, RATE)
    yield from relay_report.relay_section(values)
    yield from _million(found)
    yield from record_report.record_section(values, scale.record)
    yield from _growth(scale, values)
    yield from _profiles(found.profiles)
    yield from _read_steps()
    yield from _method(run)


def _noise(noise: Noise | None) -> str:
    """How quiet the machine was, in words."""
    if noise is None or not noise.seconds:
        return "How noisy the machine was is not known."
    is_noisy = noise.spread > NOISY
    return (
        f"The machine was {'**noisy**' if is_noisy else 'quiet'}: the same piece of work, timed "
        f"{len(noise.seconds)} times in between, took {noise.spread:.0%} of its median longer at the worst time than "
        f"at the best; the load was {noise.load:.2f} before the run, and {noise.stolen:.1%} of the CPU time was taken "
        "away by the machine's host."
    )


def _ratios(values: Mapping[str, Sequence[float]], found: Found) -> Iterator[str]:
    yield "## Ratios"
    yield ""
    yield "Each is taken within a repetition: the median (least to most). A goal is reached when every repetition"
    yield "reached it, and missed when every one missed it. Where the spread hides which of the two is more, or where"
    yield "one repetition is twice another, there is no ratio: too noisy."
    yield ""
    path = Figure(
        "From ledger to row, catching up: Leasehook / bare table calls of the same events",
        "x",
        tuple(values["caught_up_ratio"]),
        CAUGHT_UP_GOAL,
    )
    beside_limits = [path, *relay_report.ratios_of(values), *record_report.goals_of(values)]
    yield from table(("beside its limit", "ratio", "goal", ""), map(_goal_row, beside_limits))
    yield "Why a goal is missed, with the profile: [what keeps each stage from its"
    yield "limit](steps.md#what-keeps-each-stage-from-its-limit)."
    yield ""
    yield "Latency and CPU time: below 1, Leasehook takes less. Events a second: above 1, it does more."
    yield ""
    beside_others = ways_report.ratios_of(found.replays, AT_ONCE)
    yield from table(("beside the usual ways", "ratio"), ([one.name, told_ratio(one.values)] for one in beside_others))


def _goal_row(figure: Figure) -> list[str]:
    goal = figure.goal
    bound = f"{'at most' if goal.is_ceiling else 'at least'} {goal.bound:.2f}" if goal else ""
    return [figure.name, told_ratio(figure.values), bound, f"**{figure.verdict}**" if figure.verdict else ""]


def _million(found: Found) -> Iterator[str]:
    if found.million:
        yield "Memory of the relay on its way to a million events:"
        yield ""
        yield from table(("events", "MiB"), ([f"{events:,}", f"{mib:.1f}"] for events, mib in found.million))


def _growth(scale: Scale, values: Mapping[str, Sequence[float]]) -> Iterator[str]:
    yield "## What an event costs as the record grows"
    yield ""
    yield "CPU time in ms for an event: median (least to most). Cars: hand-overs, in batches of 10. Transfers of one"
    yield "car and leases of one driver: leases and returns, one by one."
    yield ""
    rows = []
    for grows, sizes in scale.growth.all_sizes():
        for size in sizes:
            key = f"growth_{grows}_{size}"
            figures = (Figure("", "ms", tuple(values[f"{key}_{process}"])) for process in ("function", "azurite"))
            told = [f"{one.median:.2f} ({min(one.values):.2f} to {max(one.values):.2f})" for one in figures]
            rows.append([f"{size:,} {grows}", *told])
    yield from table(("with", "Function app", "Azurite"), rows)


def _profiles(profiles: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield "## Where the CPU time goes"
    yield ""
    yield "Of the samples that py-spy took while a process worked; what C code does counts for the Python that called"
    yield "it. Threads that wait are left out."
    yield ""
    for name, shares in profiles.items():
        if shares:
            yield from table((name, "share"), ([part, f"{share:.0%}"] for part, share in shares.items()))
        else:
            yield f"{name}: py-spy may not look at other processes on this machine."
            yield ""


def _read_steps() -> Iterator[str]:
    yield "## Before and after"
    yield ""
    yield "Each step as it was measured when it was made, old and new code in alternation; with what was tried and did"
    yield "not help in [steps.md](steps.md)."
    yield ""
    yield from table(
        ("step", "commit", "before", "after", "after / before", "what the profile showed"),
        (
            [
                step.name,
                step.commit,
                f"{statistics.median(step.before):,.3g} {step.unit}",
                f"{statistics.median(step.after):,.3g} {step.unit}",
                f"{statistics.median(step.after) / statistics.median(step.before):.2f}",
                step.why,
            ]
            for step in read_steps()
        ),
    )


def _method(run: Run) -> Iterator[str]:
    scale = run.scale
    pinned = json.loads((NODE_RED / "package.json").read_text(encoding="utf-8"))["dependencies"]["node-red"]
    shape = scale.shape
    yield METHOD.format(
        transactions=shape.transactions,
        cars=shape.cars,
        drivers=shape.drivers,
        node_red=pinned,
        live=LIVE_EVENTS_PER_S,
    )
    yield "### The relay alone"
    yield ""
    yield relay_report.relay_method(scale.relay, shape.transactions)
    yield "### The Function app"
    yield ""
    yield record_report.record_method(scale.record, scale.repetitions)
    yield LIMITS
    yield "## The machine"
    yield ""
    yield f"- {processor()}"
    yield f"- {versions(PACKAGES)}; Node-RED {pinned}"
    yield f"- commit {run.commit}, {run.day}"


METHOD = """\
## How it was measured

One run on one machine; every part is a process of its own, on 127.0.0.1. A repetition has a little of everything, each
on an Azurite and a Function app of its own, and the next one takes what it compares in another order.

- **The history**: {transactions:,} signed transactions of {cars:,} cars and {drivers:,} drivers, from a seed: leases,
  one in ten to two drivers together, hand-overs and returns, some cars and one driver far more often than others. It is
  committed to the local ledger, BigchainDB's own server code, beforehand, and read back.
- **Catching up**: the relay reads that ledger from its first block, with its default settings, into an empty record;
  from its word that it begins to the last row's Timestamp. Beside it the bare calls to Table Storage of the same events
  in batches of 100, with 16 under way.
- **Beside the usual ways**: a node replays the recorded blocks, one a second, or all at once; the cars are in the
  record already. *article*: `on_message` fetches the transaction and posts it, a failure is logged.
  *straightforward*: asyncio, a bounded queue, eight workers, five attempts. *Node-RED* {node_red}: its own websocket,
  HTTP and catch nodes.
- **Losses**: each run on a node, an Azurite and a Function app of its own; an accident of a connection is put on it by
  the proxy of `local/faults`. Counted when nothing has changed for longer than the longest wait between two attempts.
- **Growth**: records filled beforehand (`growth.py`).
- CPU times are those of all threads of a process, in user mode and in the kernel.
"""
LIMITS = """\
## What it does not show

- Azurite is not Azure. It serves all requests from one core of the same machine; Azure Table Storage has some
  milliseconds of latency for each call and far more throughput. Here the store's own CPU time bounds what can be
  reached, and there the number of calls under way would.
- All processes compete for the machine's cores: what one of them uses is missing elsewhere.
- Loopback has no latency, and the local host is not the host of Azure Functions, which adds a process and gRPC.
"""
