"""The measurements of the record: each is one repetition, and gives its values by key.

Every way of writing is measured on tables that were made anew with the same rows, and must leave the rows that the
fold gives. What a value's goal is, and how it is told, stands in record_report.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import msgspec

from benchmarks.bare_tables import Part
from benchmarks.command import Say
from benchmarks.history import LESSOR
from benchmarks.leases import History, all_different, dealt, first_leases, hot_keys, in_turn
from benchmarks.profiling import profiling
from benchmarks.record_parts import AZURITE, FUNCTION, Stack
from benchmarks.table_calls import Call, InMemoryRecord, Rows
from benchmarks.watching import cpu_seconds
from functions.rating.tariff import read_tariff
from functions.records.record import CARS

LANES = (8, 1)
CONCURRENCIES = (4, 8, 16, 32)
SDK_CONCURRENCIES = (8, 16)
SEEDING_BATCH = 500
COLD, HOT, FIRST = "cold", "hot", "first"
FIRST_SIZE = 100
"""The only size of batch for first leases."""
WARM_UP_EVENTS = 400
WARM_UP_SIZE = 10

Values = dict[str, float]


class WrongRowsError(RuntimeError):
    """What was measured did not leave the rows that it should have left."""


class Cell(msgspec.Struct, frozen=True):
    """One way of delivering a history: so many events, in batches of `size`, so many lanes side by side."""

    history: str
    size: int
    lanes: int
    events: int

    @property
    def key(self) -> str:
        """What its values' keys begin with."""
        return f"{self.history}_{self.size}_{self.lanes}"


class Scale(msgspec.Struct, frozen=True):
    """How much is measured. `events` are by size of batch and number of lanes; batches of LARGE are not always.

    `hot_events` are those of hot keys where more are affordable, and so needed: they take less time.
    """

    large_repetitions: int
    histories: Sequence[str]
    events: dict[tuple[int, int], int]
    hot_events: dict[tuple[int, int], int]
    naive_events: int
    sdk_events: int
    codec_calls: int

    def cells(self, history: str, turn: int) -> list[Cell]:
        """What is measured of a history in one repetition."""
        numbers = self.events | self.hot_events if history == HOT else self.events
        return [
            Cell(history, size, lanes, events)
            for (size, lanes), events in numbers.items()
            if (size == FIRST_SIZE or history != FIRST) and (size < LARGE or turn < self.large_repetitions)
        ]


LARGE = 500
QUICK = Scale(
    large_repetitions=0,
    histories=(COLD, HOT),
    events={(1, 8): 60, (100, 8): 800, (100, 1): 400},
    hot_events={(100, 8): 1600, (100, 1): 800},
    naive_events=30,
    sdk_events=100,
    codec_calls=5,
)
FULL = Scale(
    large_repetitions=2,
    histories=(COLD, HOT, FIRST),
    events={
        (1, 8): 400,
        (1, 1): 200,
        (10, 8): 800,
        (10, 1): 400,
        (100, 8): 1600,
        (100, 1): 800,
        (500, 8): 4000,
        (500, 1): 2000,
    },
    hot_events={(10, 8): 1600, (10, 1): 800, (100, 8): 4000, (100, 1): 4000, (500, 8): 4000, (500, 1): 4000},
    naive_events=200,
    sdk_events=400,
    codec_calls=50,
)


class Planned(msgspec.Struct, frozen=True):
    """The rows before and after some events, and the calls of each batch in between."""

    before: Rows
    after: Rows
    calls: list[list[Call]]


class Histories:
    """The histories, signed once, and what is worked out from them, once as well."""

    def __init__(self, scale: Scale) -> None:
        first = first_leases(max(scale.events.values()))
        hot = hot_keys(max(scale.hot_events.values()))
        self._all = {FIRST: first, COLD: all_different(first), HOT: hot}
        self._planned: dict[Cell, Planned] = {}

    def of(self, cell: Cell) -> History:
        """The history that a cell delivers."""
        return self._all[cell.history].first(cell.events)

    def planned(self, cell: Cell) -> Planned:
        """What the events of a cell do to the tables."""
        if cell not in self._planned:
            history, record = self.of(cell), InMemoryRecord({LESSOR.public_key}, read_tariff())
            for start in range(0, len(history.before), SEEDING_BATCH):
                record.apply([event.parsed() for event in history.before[start : start + SEEDING_BATCH]])
            before = dict(record.rows)
            batches = in_turn(dealt(history.events, cell.lanes, cell.size))
            calls = [record.apply([event.parsed() for event in batch]) for batch in batches]
            self._planned[cell] = Planned(before, dict(record.rows), calls)
        return self._planned[cell]


def warm_up(stack: Stack, histories: Histories) -> None:
    """Let everything run once, so that what is compiled and connected at first use is."""
    cell = Cell(HOT, WARM_UP_SIZE, LANES[0], WARM_UP_EVENTS)
    stack.reset(histories.planned(cell).before)
    stack.post(dealt(histories.of(cell).events, cell.lanes, cell.size))


def history(stack: Stack, histories: Histories, name: str, scale: Scale, turn: int, say: Say) -> Values:
    """All ways of writing one history, in changing order, and their ratios."""
    cells = scale.cells(name, turn)
    compared = [cell for cell in cells if (cell.size, cell.lanes) == (FIRST_SIZE, LANES[0])]
    steps: list[tuple[str, Callable[[], Values]]] = [("naively", partial(naively, stack, histories, name, scale))]
    steps += [
        (f"batches of {cell.size}, {cell.lanes} at a time", partial(through_function, stack, histories, cell))
        for cell in cells
    ]
    steps += [
        (f"bare calls of batches of {cell.size}, {cell.lanes} at a time", partial(barely, stack, histories, cell, turn))
        for cell in cells
        if name == HOT or cell.key == _bare_key(cell)
    ]
    steps += [("bare calls by the SDK", partial(by_sdk, stack, histories, cell, scale)) for cell in compared]
    values: Values = {}
    for told, step in reversed(steps) if turn % 2 else steps:
        say(f"{name}: {told}")
        values |= step()
    for cell in cells:
        bare = _bare_key(cell)
        for figure in ("bare_rate", "bare_cpu", "bare_azurite_cpu", "bare_best"):
            values[f"{cell.key}_{figure}"] = values[f"{bare}_{figure}"]
        values[f"{cell.key}_per_naive"] = values[f"{cell.key}_rate"] / values[f"{name}_naive_rate"]
        values[f"{cell.key}_per_bare"] = values[f"{cell.key}_rate"] / values[f"{cell.key}_bare_rate"]
    for cell in compared:
        values[f"{cell.key}_per_sdk"] = values[f"{cell.key}_rate"] / values[f"{cell.key}_sdk_rate"]
    return values


def _bare_key(cell: Cell) -> str:
    """The key of the cell whose bare calls this one is compared with."""
    # With all keys different, the calls are the same however the events are dealt.
    return cell.key if cell.history == HOT else f"{cell.history}_{FIRST_SIZE}_{LANES[0]}"


def through_function(stack: Stack, histories: Histories, cell: Cell) -> Values:
    """Events a second through the Function app, and CPU milliseconds for one."""
    planned, key = histories.planned(cell), cell.key
    stack.reset(planned.before)
    posted = stack.post(dealt(histories.of(cell).events, cell.lanes, cell.size))
    _compare(stack, planned.after, key)
    return {
        f"{key}_rate": cell.events / posted.seconds,
        f"{key}_function_cpu": posted.function_cpu * 1000 / cell.events,
        f"{key}_azurite_cpu": posted.azurite_cpu * 1000 / cell.events,
        f"{key}_again": posted.again / cell.events,
    }


def profiled(scale: Scale) -> list[Cell]:
    """What is profiled: batches of FIRST_SIZE, all different and hot, and batches of one."""
    sizes = {(FIRST_SIZE, LANES[0]): (COLD, HOT), (1, LANES[0]): (COLD,)}
    return [
        cell
        for (size, lanes), names in sizes.items()
        for name in names
        for cell in scale.cells(name, 0)
        if (cell.size, cell.lanes) == (size, lanes)
    ]


def post_profiled(stack: Stack, histories: Histories, cell: Cell, samples: Path) -> None:
    """Deliver the events of a cell while py-spy looks at the Function app."""
    planned, lanes = histories.planned(cell), dealt(histories.of(cell).events, cell.lanes, cell.size)
    stack.reset(planned.before)
    with profiling(stack.pids[FUNCTION], samples):
        stack.post(lanes)


def naively(stack: Stack, histories: Histories, name: str, scale: Scale) -> Values:
    """The same for the naive way."""
    cell = Cell(name, 1, 1, scale.naive_events)
    planned = histories.planned(cell)
    stack.reset(planned.before)
    store = cpu_seconds(stack.pids[AZURITE])
    took = stack.naively(histories.of(cell).events)
    store_after = cpu_seconds(stack.pids[AZURITE])
    _compare(stack, planned.after, "the naive way")
    return {
        f"{name}_naive_rate": cell.events / took.seconds,
        f"{name}_naive_cpu": took.cpu * 1000 / cell.events,
        f"{name}_naive_azurite_cpu": (store_after - store) * 1000 / cell.events,
    }


def barely(stack: Stack, histories: Histories, cell: Cell, turn: int) -> Values:
    """The same for the bare calls: a quarter of the batches with each number of calls under way; the best counts."""
    planned = histories.planned(cell)
    stack.reset(planned.before)
    quarters = _quarters(planned.calls)
    order = [CONCURRENCIES[(place + turn) % len(CONCURRENCIES)] for place in range(len(quarters))]
    store = cpu_seconds(stack.pids[AZURITE])
    reached = stack.barely([Part(most, quarter) for most, quarter in zip(order, quarters, strict=True)])
    store_after = cpu_seconds(stack.pids[AZURITE])
    _compare(stack, planned.after, "the bare calls")
    events = [_events(quarter) for quarter in quarters]
    rates = [count / one.seconds for count, one in zip(events, reached, strict=True)]
    best = rates.index(max(rates))
    return {
        f"{cell.key}_bare_rate": rates[best],
        f"{cell.key}_bare_cpu": reached[best].cpu * 1000 / events[best],
        f"{cell.key}_bare_azurite_cpu": (store_after - store) * 1000 / cell.events,
        f"{cell.key}_bare_best": order[best],
    }


def by_sdk(stack: Stack, histories: Histories, cell: Cell, scale: Scale) -> Values:
    """The same for the bare calls made with azure-data-tables, on the first events of a cell."""
    few = msgspec.structs.replace(cell, events=min(cell.events, scale.sdk_events))
    planned = histories.planned(few)
    stack.reset(planned.before)
    halves = [planned.calls[: len(planned.calls) // 2], planned.calls[len(planned.calls) // 2 :]]
    reached = stack.by_sdk([Part(most, half) for most, half in zip(SDK_CONCURRENCIES, halves, strict=True)])
    _compare(stack, planned.after, "the bare calls by the SDK")
    rates = [_events(half) / one.seconds for half, one in zip(halves, reached, strict=True)]
    best = rates.index(max(rates))
    return {
        f"{cell.key}_sdk_rate": rates[best],
        f"{cell.key}_sdk_cpu": reached[best].cpu * 1000 / _events(halves[best]),
    }


def codec(stack: Stack, scale: Scale) -> Values:
    """CPU milliseconds of a call by the Function app's own codec and by the SDK, and how many times as many that is."""
    values: Values = {}
    for kind, (ours, theirs) in stack.codec(scale.codec_calls).items():
        values |= {f"codec_{kind}": ours, f"codec_{kind}_sdk": theirs, f"codec_{kind}_ratio": theirs / ours}
    return values


def _quarters(calls: Sequence[list[Call]]) -> list[list[list[Call]]]:
    """The batches in as many runs of about equal length as there are numbers of calls to try."""
    bounds = [len(calls) * part // len(CONCURRENCIES) for part in range(len(CONCURRENCIES) + 1)]
    return [list(calls[start:end]) for start, end in pairwise(bounds)]


def _events(batches: Sequence[Sequence[Call]]) -> int:
    """How many events some batches of calls are of: a car's record is written with a mark for each."""
    return sum(len(call.writes) - 1 for batch in batches for call in batch if call.table == CARS)


def _compare(stack: Stack, expected: Rows, way: str) -> None:
    """Raise WrongRowsError unless the tables hold the expected rows, to the last property."""
    found = stack.rows()
    if found != expected:
        wrong = sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))
        raise WrongRowsError(f"{way}: {len(wrong)} rows are not as they should be, among them {wrong[0]}")


def steps(stack: Stack, histories: Histories, scale: Scale, turn: int, say: Say) -> Iterator[Values]:
    """All that is measured in one repetition."""
    warm_up(stack, histories)
    for name in scale.histories:
        yield history(stack, histories, name, scale, turn, say)
    stack.reset({})
    say("codecs")
    yield codec(stack, scale)
