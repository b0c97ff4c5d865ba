"""Tells what was measured of the record, in Markdown: goals first, then a table a history, then how it was measured."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from benchmarks.codec import GET, SIZES
from benchmarks.figures import Figure, Goal
from benchmarks.leases import HOT_CARS, HOT_DRIVERS
from benchmarks.record_measurements import COLD, CONCURRENCIES, FIRST, HOT, LANES, LARGE, Cell, Scale
from benchmarks.sections import goals, head, machine, row

PACKAGES = ("aiohttp", "azure-data-tables", "azure-functions-runtime", "msgspec", "PyNaCl", "uvicorn")
NAMES = {COLD: "All different", HOT: "Hot keys", FIRST: "First leases"}
GOAL_SIZE = 100
PER_NAIVE = {COLD: Goal(6.0), HOT: Goal(15.0)}
PER_BARE = Goal(0.80)
CODEC_GOAL = Goal(2.0)


class Run(msgspec.Struct, frozen=True):
    """What a run measured: the values of each key in their repetitions, and the load before it began."""

    scale: Scale
    is_quick: bool
    values: Mapping[str, Sequence[float]]
    load: float
    minutes: float


METHOD = """\
## How it was measured

- **Through the Function app**: the app as it is, on the local host (`local/functions_host`), in a process of its own,
  and Azurite in another, its data in memory. A client posts batches of signed transactions to `/api/ledger-events`, as
  many side by side as there are lanes, and keeps one connection for each lane. A car has one lane for all its events;
  the cars are dealt to the lanes in turn. What is not applied is sent again, at once, until it is; that time counts.
  The transactions are signed and the bodies written beforehand, and that time does not count.
- **All different**: each event is the transfer of another car from one driver to another, no car or driver twice. So it
  touches three partitions: the car's, that of the driver who gives and that of the driver who gets.
- **Hot keys**: {hot_cars} cars, in turn, go round among {hot_drivers} drivers. With several lanes, batches that are
  under way at the same time meet at the same drivers, and the Function app writes together what waits for one driver
  (`functions/turns.py`). The bare calls of a partition come in order, one for each batch, so that none is refused.
- **First leases**: each event is the lessor's transfer of another car to another driver: two partitions.
- **The naive way** (`naive_record.py`): the same record, written one event after the other by azure-data-tables as it
  is (synchronous TableClient, default transport): read the car, decide, read each driver, one `submit_transaction` for
  each partition. It decides with the Function app's own fold, and verifies the evidence. There is no HTTP in between,
  it never reads a lease, and nobody writes beside it: all three favour it. {naive:,} events a repetition.
- **Bare calls** (`bare_tables.py`): what a batch needs at least, for each partition one read of the record and one
  conditional entity group transaction, with the bodies that the fold gives. Plain aiohttp, signatures and bodies made
  beforehand; nothing is decided, verified or read from the answers but the ETag. A quarter of the batches each is made
  with {concurrencies} calls under way, and the best quarter counts. Partitions do not wait for each other, nor for the
  end of a batch. With all keys different the calls are the same for any size of batch: they are measured once.
- **Codec**: the CPU time of the client's process for one call, through `functions/records/wire.py` and through
  azure-data-tables (asyncio, with a transport that does not read the environment at every request), by turns. The
  transactions insert a driver's record and leases.
- Before each measurement the tables are made anew with the same rows. After each, all rows are read and compared with
  those that the fold gives: they were equal every time, or there would be no report.
- Each repetition has an Azurite and a Function app of its own, both warmed up, and measures everything once, in
  changing order; batches of {large} in {large_times} of {repetitions} repetitions. Ratios are taken within the
  repetition.
- CPU times are those of all threads of the process, in user mode and in the kernel, in milliseconds for one event.

## What it does not show

- Azurite is not Azure. It serves all requests from one core of the same machine; Azure Table Storage has some
  milliseconds of latency for each call and far more throughput. Here the store's own CPU time bounds what can be
  reached, and there the number of calls under way would.
- Client, Function app and Azurite compete for {cores} cores: what the Function app uses is missing elsewhere. On Azure
  it would have them to itself.
- Loopback has no latency, and the local host is not the host of Azure Functions, which adds a process and gRPC.
- There is one Function app and no crash, nothing comes twice, and nobody else writes to the tables.
"""


def write_report(run: Run) -> str:
    """The report on a run, in Markdown."""
    tables = [line for history in NAMES for line in _history(run, history)]
    return (
        "\n".join(
            [
                *_head(run),
                *goals(_goals(run)),
                *tables,
                *_codec(run),
                *_method(run),
                *machine(run.load, PACKAGES, "functions"),
            ]
        )
        + "\n"
    )


def goals_of(values: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The figures that have a goal."""
    found = []
    for history, per_naive in PER_NAIVE.items():
        for lanes in LANES:
            key, name = f"{history}_{GOAL_SIZE}_{lanes}", f"{NAMES[history]}, batches of {GOAL_SIZE}, {_lanes(lanes)}"
            found.append(Figure(f"{name}: Function app / naive way", "x", tuple(values[f"{key}_per_naive"]), per_naive))
            found.append(Figure(f"{name}: Function app / bare calls", "x", tuple(values[f"{key}_per_bare"]), PER_BARE))
    for kind, name in _calls():
        found.append(Figure(f"CPU, {name}: SDK / own codec", "x", tuple(values[f"codec_{kind}_ratio"]), CODEC_GOAL))
    return found


def _head(run: Run) -> Iterator[str]:
    command = f"python -m benchmarks.record{' --quick' if run.is_quick else ''}"
    return head("How fast the record is written", command, run.scale.repetitions, run.minutes)


def _goals(run: Run) -> Iterator[list[str]]:
    for figure in goals_of(run.values):
        if figure.goal:
            numbers = [f"{one:.2f}" for one in (figure.median, min(figure.values), max(figure.values))]
            yield [figure.name, f"at least {figure.goal.bound:.2f} x", *numbers, f"**{figure.verdict}**"]


def _history(run: Run, history: str) -> Iterator[str]:
    values = run.values
    yield f"## {NAMES[history]}"
    yield ""
    yield "Events applied in a second, and CPU milliseconds for one event; median (least to most)."
    yield ""
    yield "| | events/s | CPU of the client | CPU of Azurite |"
    yield "|---|---|---|---|"
    key = f"{history}_naive"
    cells = [_range(values[f"{key}_rate"], 0), _median(values[f"{key}_cpu"]), _median(values[f"{key}_azurite_cpu"])]
    yield row(["the naive way", *cells])
    bare = _cells(run, history) if history == HOT else _cells(run, history)[:1]
    for cell in bare:
        name = f"bare calls, batches of {cell.size}, {_lanes(cell.lanes)}" if history == HOT else "bare calls"
        key = f"{cell.key}_bare"
        cells = [_range(values[f"{key}_rate"], 0), _median(values[f"{key}_cpu"]), _median(values[f"{key}_azurite_cpu"])]
        yield row([f"{name} (best with {statistics.median(values[f'{key}_best']):.0f} under way)", *cells])
    yield ""
    columns = ("events/s", "/ naive way", "/ bare calls", "CPU of the Function app", "CPU of Azurite", "sent again")
    yield row(["batch", "lanes", *columns])
    yield "|---|---|---|---|---|---|---|---|"
    for cell in _cells(run, history):
        yield row(
            [
                str(cell.size),
                str(cell.lanes),
                _range(values[f"{cell.key}_rate"], 0),
                _range(values[f"{cell.key}_per_naive"], 1),
                _range(values[f"{cell.key}_per_bare"], 2),
                _median(values[f"{cell.key}_function_cpu"]),
                _median(values[f"{cell.key}_azurite_cpu"]),
                f"{statistics.median(values[f'{cell.key}_again']):.0%}",
            ]
        )
    yield ""


def _codec(run: Run) -> Iterator[str]:
    yield "## The codec"
    yield ""
    yield "CPU milliseconds of the client for one call; median (least to most)."
    yield ""
    yield "| call | own codec | azure-data-tables | SDK / own codec |"
    yield "|---|---|---|---|"
    for kind, name in _calls():
        key = f"codec_{kind}"
        cells = [_range(run.values[key], 2), _range(run.values[f"{key}_sdk"], 2), _range(run.values[f"{key}_ratio"], 1)]
        yield row([name, *cells])
    yield ""


def _method(run: Run) -> Iterator[str]:
    yield METHOD.format(
        hot_cars=HOT_CARS,
        hot_drivers=HOT_DRIVERS,
        naive=run.scale.naive_events,
        concurrencies=f"{', '.join(map(str, CONCURRENCIES[:-1]))} and {CONCURRENCIES[-1]}",
        large=LARGE,
        large_times=run.scale.large_repetitions,
        repetitions=run.scale.repetitions,
        cores=os.cpu_count(),
    )


def _cells(run: Run, history: str) -> list[Cell]:
    """What was measured of a history, in any repetition: the first one has everything."""
    return sorted(run.scale.cells(history, 0), key=lambda cell: (cell.size, -cell.lanes))


def _calls() -> Iterator[tuple[str, str]]:
    """The calls that both codecs make, and how they are told."""
    yield GET, "read of one row"
    for size in SIZES:
        yield str(size), f"transaction of {size} rows"


def _lanes(lanes: int) -> str:
    return f"{lanes} lane{'s' if lanes > 1 else ''}"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


def _range(values: Sequence[float], decimals: int) -> str:
    median, least, most = (f"{one:,.{decimals}f}" for one in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least} to {most})"
