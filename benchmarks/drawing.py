"""Makes the plots of a run: which figures stand in which of them."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import plots
from benchmarks.end_to_end import FORWARDER, NODE
from benchmarks.figures import told_ratio
from benchmarks.found import Run, Step, read_steps
from benchmarks.growth import BATCHES, BY_CARS, BY_TRANSFERS
from benchmarks.peers.ways import RELAY
from benchmarks.plots import Span
from benchmarks.run import AT_ONCE, Found, Scale

Values = Mapping[str, Sequence[float]]
LABELS = {FORWARDER: "relay", NODE: "ledger"}
"""What processes are when a relay catches up with a ledger."""
STAGES = (
    ("Listening to the stream", "stream_relay", "stream_bare", "websocket-client alone", "stream_ratio"),
    ("Relay, catching up", "ledger_relay", "ledger_bare", "GET of the same blocks", "ledger_ratio"),
    (
        "Relay, node as slow as BigchainDB",
        "slow_node_relay",
        "slow_node_bare",
        "GET of the same blocks",
        "slow_node_ratio",
    ),
    (
        "Function app, hot keys, batches of 100",
        "hot_100_8_rate",
        "hot_100_8_bare_rate",
        "bare signed table calls",
        "hot_100_8_per_bare",
    ),
    (
        "Function app, all different, batches of 100",
        "cold_100_8_rate",
        "cold_100_8_bare_rate",
        "bare signed table calls",
        "cold_100_8_per_bare",
    ),
    (
        "Function app, all different, one by one",
        "cold_1_8_rate",
        "cold_1_8_bare_rate",
        "bare signed table calls",
        "cold_1_8_per_bare",
    ),
    ("Whole path, catching up", "caught_up", "caught_up_bare", "bare signed table calls", "caught_up_ratio"),
)


def draw_plots(run: Run, folder: Path) -> None:
    """Draw the plots of the report into a folder, one file each."""
    folder.mkdir(exist_ok=True)
    found, values = run.found, run.found.values
    plots.draw_throughput(_stages(values), folder / "throughput.svg")
    plots.draw_latency(_latencies(found), folder / "latency.svg")
    plots.draw_losses(_accidents(found), folder / "losses.svg")
    plots.draw_growth(_growths(run.scale, values), folder / "growth.svg")
    plots.draw_memory(_memories(found), folder / "memory.svg")
    plots.draw_steps([_drawn(step) for step in read_steps()], folder / "steps.svg")


def _stages(values: Values) -> list[plots.Stage]:
    """Events a second of each stage, and of the limit before which it stands."""
    stages = []
    for name, ours, limit, limit_name, ratio in STAGES:
        stages.append(
            plots.Stage(name, _span(values[ours]), _span(values[limit]), limit_name, told_ratio(values[ratio]))
        )
    return stages


def _span(values: Sequence[float]) -> Span:
    return Span(statistics.median(values), min(values), max(values))


def _latencies(found: Found) -> list[plots.Latency]:
    panels = []
    for rate, ways in found.replays.items():
        if rate == AT_ONCE:
            continue
        took = {name: sorted(ms for run in runs for ms in run.took) for name, runs in ways.items()}
        lost = {name: sum(run.lost for run in runs) for name, runs in ways.items()}
        notes = {name: f"lost {count:,}" for name, count in lost.items() if count}
        panels.append(plots.Latency(int(rate), {name: took[name] for name in (RELAY.name, *took)}, notes))
    return panels


def _accidents(found: Found) -> list[plots.Accident]:
    return [
        plots.Accident(
            accident,
            {
                name: plots.Loss(
                    min(one.missing for one in runs), max(one.missing for one in runs), runs[0].transactions
                )
                for name, runs in ways.items()
            },
        )
        for accident, ways in found.losses.items()
    ]


def _growths(scale: Scale, values: Values) -> list[plots.Growth]:
    lines = {
        grows: {
            name: [(size, _span(values[f"growth_{grows}_{size}_{process}"])) for size in sizes]
            for name, process in (("Function app", "function"), ("Azurite", "azurite"))
        }
        for grows, sizes in scale.growth.all_sizes()
    }
    by_leases = {
        f"Function app, {grows}": lines[grows]["Function app"]
        for grows in lines
        if grows not in {BY_CARS, BY_TRANSFERS}
    }
    return [
        plots.Growth(f"By cars, in batches of {BATCHES[BY_CARS]}", "cars", lines[BY_CARS]),
        plots.Growth("By the car's transfers, one by one", "transfers of the car", lines[BY_TRANSFERS]),
        plots.Growth("By the driver's leases, one by one", "leases of the driver", by_leases),
    ]


def _memories(found: Found) -> list[plots.Memory]:
    last = {LABELS.get(name, name): seen for name, seen in found.caught_up[-1].memory.items()}
    panels = [plots.Memory("Catching up with a ledger, whole path", "seconds", last)]
    if found.million:
        panels.append(plots.Memory("The relay alone, to a million events", "events", {"relay": found.million}))
    return panels


def _drawn(step: Step) -> plots.Step:
    return plots.Step(step.name, step.unit, _span(step.before), _span(step.after))
