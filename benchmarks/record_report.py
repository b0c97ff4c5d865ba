"""Tells what was measured of the Function app and its record, in Markdown: a table a history, and how."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

from benchmarks.codec import GET, SIZES
from benchmarks.figures import Figure, Goal, told_ratio
from benchmarks.leases import HOT_CARS, HOT_DRIVERS
from benchmarks.record_measurements import COLD, CONCURRENCIES, FIRST, HOT, LANES, LARGE, Scale
from benchmarks.sections import around, table

NAMES = {COLD: "All different", HOT: "Hot keys", FIRST: "First leases"}
GOAL_SIZE = 100
PER_NAIVE = {COLD: Goal(6.0), HOT: Goal(15.0)}
PER_BARE = Goal(0.80)
CODEC_GOAL = Goal(2.0)

Values = Mapping[str, Sequence[float]]
"""The values of each key in their repetitions."""


METHOD = """\
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
- **Bare calls by azure-data-tables** (`sdk_tables.py`): the same calls of the first {sdk} events by the SDK as it is
  (asyncio), a half each with 8 and with 16 under way, the better half counts.
- **Codec**: the CPU time of the client's process for one call, through `functions/records/wire.py` and through
  azure-data-tables (asyncio, with a transport that does not read the environment at every request), by turns. The
  transactions insert a driver's record and leases.
- Before each measurement the tables are made anew with the same rows. After each, all rows are read and compared with
  those that the fold gives: they were equal every time, or there would be no report.
- Each repetition has an Azurite and a Function app of its own, both warmed up, and measures everything once, in
  changing order; batches of {large} in {large_times} of {repetitions} repetitions. Ratios are taken within the
  repetition.
- CPU times are those of all threads of the process, in user mode and in the kernel, in milliseconds for one event.
"""


def record_section(values: Values, scale: Scale) -> Iterator[str]:
    """The lines of the section on the Function app and its record."""
    yield "## The Function app, by size of batch and lanes"
    yield ""
    yield "Events applied in a second, and CPU milliseconds for one event; median (least to most)."
    yield ""
    for history in scale.histories:
        yield from _history(values, scale, history)
    yield from _codec(values)


def record_method(scale: Scale, repetitions: int) -> str:
    """How the Function app was measured."""
    return METHOD.format(
        hot_cars=HOT_CARS,
        hot_drivers=HOT_DRIVERS,
        naive=scale.naive_events,
        sdk=scale.sdk_events,
        concurrencies=f"{', '.join(map(str, CONCURRENCIES[:-1]))} and {CONCURRENCIES[-1]}",
        large=LARGE,
        large_times=scale.large_repetitions,
        repetitions=repetitions,
    )


def goals_of(values: Values) -> list[Figure]:
    """The figures that have a goal."""
    found = []
    for history, per_naive in PER_NAIVE.items():
        for lanes in LANES:
            key, name = f"{history}_{GOAL_SIZE}_{lanes}", f"{NAMES[history]}, batches of {GOAL_SIZE}, {_lanes(lanes)}"
            found.append(Figure(f"{name}: Function app / naive way", "x", tuple(values[f"{key}_per_naive"]), per_naive))
            found.append(Figure(f"{name}: Function app / bare calls", "x", tuple(values[f"{key}_per_bare"]), PER_BARE))
            if f"{key}_per_sdk" in values:
                by_sdk = tuple(values[f"{key}_per_sdk"])
                found.append(Figure(f"{name}: Function app / bare calls by azure-data-tables", "x", by_sdk, Goal(1.0)))
    for kind, name in _calls():
        found.append(Figure(f"CPU, {name}: SDK / own codec", "x", tuple(values[f"codec_{kind}_ratio"]), CODEC_GOAL))
    return found


def _history(values: Values, scale: Scale, history: str) -> Iterator[str]:
    yield f"### {NAMES[history]}"
    yield ""
    key, cells = f"{history}_naive", sorted(scale.cells(history, 0), key=lambda cell: (cell.size, -cell.lanes))
    rows = [("the naive way", key)]
    for cell in cells if history == HOT else cells[:1]:
        batches = f", batches of {cell.size}, {_lanes(cell.lanes)}" if history == HOT else ""
        best = f" (best with {statistics.median(values[f'{cell.key}_bare_best']):.0f} under way)"
        rows.append((f"bare calls by signed HTTP{batches}{best}", f"{cell.key}_bare"))
    compared = f"{history}_{GOAL_SIZE}_{LANES[0]}_sdk"
    rows.append((f"bare calls by azure-data-tables, batches of {GOAL_SIZE}, {_lanes(LANES[0])}", compared))
    yield from table(
        ("", "events/s", "CPU of the client", "CPU of Azurite"),
        (
            [
                name,
                around(values[f"{key}_rate"], 0),
                _median(values[f"{key}_cpu"]),
                _median(values[f"{key}_azurite_cpu"]) if f"{key}_azurite_cpu" in values else "",
            ]
            for name, key in rows
        ),
    )
    columns = ("events/s", "/ naive way", "/ bare calls", "CPU of the Function app", "CPU of Azurite", "sent again")
    yield from table(
        ("batch", "lanes", *columns),
        (
            [
                str(cell.size),
                str(cell.lanes),
                around(values[f"{cell.key}_rate"], 0),
                told_ratio(values[f"{cell.key}_per_naive"]),
                told_ratio(values[f"{cell.key}_per_bare"]),
                _median(values[f"{cell.key}_function_cpu"]),
                _median(values[f"{cell.key}_azurite_cpu"]),
                f"{statistics.median(values[f'{cell.key}_again']):.0%}",
            ]
            for cell in cells
        ),
    )


def _codec(values: Values) -> Iterator[str]:
    yield "### The codec"
    yield ""
    yield "CPU milliseconds of the client for one call."
    yield ""
    yield from table(
        ("call", "own codec", "azure-data-tables", "SDK / own codec"),
        (
            [
                name,
                *(around(values[f"codec_{kind}{end}"], 2) for end in ("", "_sdk")),
                told_ratio(values[f"codec_{kind}_ratio"]),
            ]
            for kind, name in _calls()
        ),
    )


def _calls() -> Iterator[tuple[str, str]]:
    """The calls that both codecs make, and how they are told."""
    yield GET, "read of one row"
    for size in SIZES:
        yield str(size), f"transaction of {size} rows"


def _lanes(lanes: int) -> str:
    return f"{lanes} lane{'s' if lanes > 1 else ''}"


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"
