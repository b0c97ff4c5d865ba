"""Draws the plots of a benchmark's report as SVG: each is read without any text beside it.

Pure, but for the file written: it does not measure. The same data give the same bytes on every machine: nothing is
taken from the user's configuration of matplotlib, and text is drawn as paths of the font that comes with matplotlib:
what does not overlap here overlaps nowhere. The background is drawn, and white: a dark page does not shine through.
"""

import itertools
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator, StrMethodFormatter

from benchmarks.figures import percentile

LEASEHOOK = "Leasehook"
ONE_MACHINE = "Measured on one machine, which also ran the ledger, the Functions host and Azurite."
INK, PALE, OURS, WALL, NOTHING = "#222222", "#d8d8d8", "#0065a8", "#b84a00", "#e3f0fa"
# Colour, dashes and marker of the first line, the second one, ...: each alone tells them apart.
LOOKS = (
    (OURS, "-", "o"),
    (WALL, "--", "s"),
    ("#14805f", "-.", "^"),
    ("#333333", ":", "D"),
    ("#7a3b78", (0, (6, 1, 1, 1, 1, 1)), "v"),
    ("#8a6d00", (0, (2, 1)), "P"),
)
WIDTH, BOTTOM = 9.9, 0.7  # of a plot, and of its lower margin, inches
TOP, TOP_OF_TABLE = 1.25, 0.95  # of the margin with titles of panels below the head, and without, inches
LEFT, BESIDE, GAP, PANEL_HEIGHT = 0.9, 1.5, 0.15, 3.5  # of panels: left margin, labels, before these, inches
LINE_HEIGHT, NAME_WIDTH = 0.155, 2.15  # of a line of text, and of the names of rows, inches
PANELS, WRAP = 3, 16  # at most, side by side; characters of a label beside a line
DECADE = 20  # points of a line of percentiles between 0 and 90 %, 90 and 99 %, ...
PERCENTILES = (0.0, 0.5, 0.9, 0.99, 0.999)
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "leasehook",
    "svg.fonttype": "path",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelsize": 9.5,
    "axes.titlesize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


class Span(msgspec.Struct, frozen=True):
    """The repetitions of one figure, in the figure's unit. Raises ValueError when they are not in order."""

    median: float
    least: float
    most: float

    def __post_init__(self) -> None:
        if not self.least <= self.median <= self.most:
            raise ValueError(f"not in order: least {self.least}, median {self.median}, most {self.most}")


class Stage(msgspec.Struct, frozen=True):
    """Events a second that a stage reaches, and those of the wall it stands before. `told` is their ratio, in words."""

    name: str
    ours: Span
    limit: Span
    limit_name: str
    told: str


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from commit to row at a rate (events a second), sorted, by way. A note is added to its way's label.

    A way without values has no line, but its note is written.
    """

    rate: int
    ways: Mapping[str, Sequence[float]]
    notes: Mapping[str, str] = {}


class Growth(msgspec.Struct, frozen=True):
    """CPU milliseconds an event, by line: at each x, which is above 0 and rises."""

    title: str
    x_name: str
    lines: Mapping[str, Sequence[tuple[int, Span]]]


class Memory(msgspec.Struct, frozen=True):
    """Resident memory in MiB, by process: at each x (seconds or events, as `x_name` says), which rises."""

    title: str
    x_name: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


class Loss(msgspec.Struct, frozen=True):
    """Transactions missing from the record, least and most of some runs, of so many each."""

    least: int
    most: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.least <= self.most <= self.of or not self.of:
            raise ValueError(f"not in order: least {self.least}, most {self.most}, of {self.of}")


class Accident(msgspec.Struct, frozen=True):
    """What each way lost by an accident. A way that was not run is left out."""

    name: str
    ways: Mapping[str, Loss]


class Step(msgspec.Struct, frozen=True):
    """A figure before and after one step of optimisation, both in `unit`."""

    name: str
    unit: str
    before: Span
    after: Span


class _Line(msgspec.Struct, frozen=True):
    """A line of a panel: its points (x, y), and what is written at its end, below its name."""

    points: Sequence[tuple[float, float]]
    told: str
    spans: Sequence[tuple[float, Span]] = ()
    marked: tuple[int, int] = (0, 1)


# ---- the plots


def draw_throughput(stages: Sequence[Stage], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws what each stage reaches beside its limit. `on` is a sentence on where it was measured."""
    ends = [end for one in stages for span in (one.ours, one.limit) for end in (span.least, span.most)]
    _check_positive(ends, "stages")
    title = "How many events a second each stage reaches, beside its limit"
    reading = "Dot: reached by the stage. Diamond: its limit. Median of the repetitions, with least to most as a line."
    with _drawn(path, title, f"{reading}\n{on}") as figure:
        axes = _rows(figure, [one.name for one in stages], beside=1.9)
        _set_log(axes, "x", min(ends) / 1.3, max(ends) * 1.3)
        axes.set_xlabel("events a second")
        for place, stage in enumerate(stages):
            told = f"{stage.limit_name} {_told(stage.limit)}"
            _spread(axes, place - 0.2, stage.ours, OURS, "o", f"reached {_told(stage.ours)}")
            _spread(axes, place + 0.2, stage.limit, WALL, "D", told)
            _beside(axes, place, textwrap.fill(stage.told, 23), weight="bold")


def draw_latency(panels: Sequence[Latency], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws the percentiles of each way, a panel for each rate."""
    _check_positive([value for one in panels for values in one.ways.values() for value in values], "latencies")
    lines = [
        {name: _percentiles(one.ways.get(name, ()), one.notes.get(name, "")) for name in _names((one.ways, one.notes))}
        for one in panels
    ]
    ys = [y for panel in lines for line in panel.values() for _, y in line.points]
    title = "How late an event's row is: from commit on the ledger to Table Storage"
    reading = "A line shows how late the fastest 50, 90, 99, ... % of the events are at most; p99: 99 % of them."
    with _drawn(path, title, f"{reading} Lower is better.\n{on}") as figure:
        for axes, panel in zip(_panels(figure, len(panels), "ms from commit to row"), panels, strict=True):
            _name(axes, f"{panel.rate:,} events a second", "% of the events that are at most so late")
            axes.set_xticks([_stretched(one) for one in PERCENTILES], [f"{one * 100:g}" for one in PERCENTILES])
            axes.set_xlim(0, _stretched(PERCENTILES[-1]))
        _set_log(figure.axes[0], "y", min(ys) / 1.3, max(ys) * 1.3)
        _draw_lines(figure, lines)


def draw_growth(panels: Sequence[Growth], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws CPU time an event as something else grows, a panel for each thing that does."""
    title = "What an event costs as the work grows: CPU time"
    reading = "Median of the repetitions, with least to most as a line; written: at the first and the last point."
    with _drawn(path, title, f"{reading} Lower is better.\n{on}") as figure:
        for axes, panel in zip(_panels(figure, len(panels), "CPU ms an event"), panels, strict=True):
            xs = [x for line in panel.lines.values() for x, _ in line]
            _check_positive(xs, "points of lines")
            _name(axes, panel.title, panel.x_name)
            middle = math.sqrt(min(xs) * max(xs))
            _set_log(axes, "x", min(min(xs) / 1.15, middle / 2), max(max(xs) * 1.15, middle * 2))
        lines = [{name: _growing(line) for name, line in one.lines.items() if line} for one in panels]
        _draw_lines(figure, lines, from_zero=True)


def draw_memory(panels: Sequence[Memory], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws the memory of each process over time or work, a panel for each history."""
    title = "How much memory each process holds"
    reading = "Written: at the first and the last point. Lower is better, and level is best."
    with _drawn(path, title, f"{reading}\n{on}") as figure:
        for axes, panel in zip(_panels(figure, len(panels), "resident memory, MiB"), panels, strict=True):
            xs = [x for line in panel.lines.values() for x, _ in line]
            _check(xs, "points of lines")
            _name(axes, panel.title, panel.x_name)
            most_ticks = max(1, int(_wide(axes) / _room(max(xs))))
            axes.xaxis.set_major_locator(MaxNLocator(most_ticks, steps=[1, 2, 5, 10], integer=True))
            axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        figure.axes[0].yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        lines = [{name: _stays(line) for name, line in one.lines.items() if line} for one in panels]
        _draw_lines(figure, lines, from_zero=True)


def draw_losses(accidents: Sequence[Accident], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws how many transactions each way lost by each accident, as a table."""
    ways = _names(one.ways for one in accidents)
    _check(ways, "accidents")
    title = "Transactions missing from the record after an accident"
    reading = (
        "Least to most of the runs, of those committed on the ledger. Blue: none. The darker, the more are missing."
    )
    with _drawn(path, title, f"{reading}\n{on}") as figure:
        axes = _rows(figure, [one.name for one in accidents], beside=0.15, top=TOP, below=0.2)
        axes.set_xlim(0, len(ways))
        axes.xaxis.tick_top()
        axes.set_xticks([place + 0.5 for place in range(len(ways))], ways, fontsize=10)
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        for label in axes.get_xticklabels():
            label.set_fontweight(_weight(label.get_text()))
        for row, accident in enumerate(accidents):
            for column, way in enumerate(ways):
                _cell(axes, column, row, accident.ways.get(way))


def draw_steps(steps: Sequence[Step], path: Path, on: str = ONE_MACHINE) -> None:
    """Draws what each step of optimisation changed, as a part of what was before it."""
    _check_positive([value for one in steps for value in (one.before.least, one.after.least)], "steps")
    parts = [(_part(one.before, one.before), _part(one.after, one.before)) for one in steps]
    ends = [end for pair in parts for part in pair for end in (part.least, part.most)]
    title = "What each step of optimisation changed"
    reading = "Ring: before. Dot: after, as a part of before. Median of the repetitions, with least to most as a line."
    with _drawn(path, title, f"{reading}\n{on}") as figure:
        axes = _rows(figure, [one.name for one in steps], beside=3.1)
        _set_log(axes, "x", min(ends) / 1.1, max(ends) * 1.1)
        axes.set_xlabel("% of the figure before the step")
        for place, (step, (before, after)) in enumerate(zip(steps, parts, strict=True)):
            axes.plot([before.median, after.median], [place - 0.15, place + 0.15], color=OURS, linewidth=1)
            _spread(axes, place - 0.15, before, INK, "o", face="white")
            _spread(axes, place + 0.15, after, OURS, "o")
            told = f"{_number(step.before.median)} → {_number(step.after.median)} {step.unit}"
            _beside(axes, place, textwrap.fill(f"{_number(after.median)} %: {told}", 40))


# ---- the figure and its axes


@contextmanager
def _drawn(path: Path, title: str, reading: str) -> Iterator[Figure]:
    """A figure, to be filled; it is given its head and written to `path` at the end."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        figure = Figure(figsize=(WIDTH, TOP + PANEL_HEIGHT + BOTTOM), facecolor="white")
        yield figure
        height = figure.get_size_inches()[1]
        figure.text(0.15 / WIDTH, 1 - 0.15 / height, title, fontsize=13, weight="bold", va="top")
        figure.text(0.15 / WIDTH, 1 - 0.45 / height, reading, fontsize=9, va="top", linespacing=1.4)
        figure.savefig(path, format="svg", metadata={"Title": title, "Date": None, "Creator": None})


def _rows(
    figure: Figure, names: Sequence[str], beside: float, top: float = TOP_OF_TABLE, below: float = BOTTOM
) -> Axes:
    """Axes with a row for each name, the first one at the top; the figure becomes as tall as they need."""
    told = [textwrap.fill(name, 27) for name in names]
    tall = len(names) * max(0.52, LINE_HEIGHT * (max(name.count("\n") for name in told) + 1.4))
    height = top + tall + below
    figure.set_size_inches(WIDTH, height)
    box = (NAME_WIDTH / WIDTH, below / height, 1 - (NAME_WIDTH + beside) / WIDTH, tall / height)
    axes = figure.add_axes(box)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), told)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    return axes


def _panels(figure: Figure, count: int, y_name: str) -> list[Axes]:
    """Axes side by side with one y, each with room for labels on its right."""
    if not 1 <= count <= PANELS:
        raise ValueError(f"there is nothing to draw, or too much: {count} panels, not 1 to {PANELS}")
    slot, height = (WIDTH - LEFT) / count, figure.get_size_inches()[1]
    panels: list[Axes] = []
    for place in range(count):
        box = ((LEFT + place * slot) / WIDTH, BOTTOM / height, (slot - BESIDE) / WIDTH, PANEL_HEIGHT / height)
        axes = figure.add_axes(box, sharey=panels[0] if panels else None)
        axes.tick_params(labelleft=not panels)
        panels.append(axes)
    panels[0].set_ylabel(y_name)
    return panels


def _wide(axes: Axes) -> float:
    """The width of axes, inches."""
    return axes.get_position().width * WIDTH


def _room(most: float) -> float:
    """The width that a number on an axis needs which ends at `most`, inches."""
    return 0.1 + 0.07 * len(f"{most:,.0f}")


def _name(axes: Axes, title: str, x_name: str) -> None:
    """Writes a panel's title, also above its labels, and what its x is."""
    axes.set_title(textwrap.fill(title, int((_wide(axes) + BESIDE) * 11)), loc="left")
    axes.set_xlabel(textwrap.fill(x_name, int((_wide(axes) + BESIDE / 2) * 12)))


def _set_log(axes: Axes, which: Literal["x", "y"], least: float, most: float) -> None:
    """Makes an axis logarithmic, with as many plain numbers as have room."""
    axes.set(**{f"{which}scale": "log", f"{which}lim": (least, most)})
    room = _room(most) / _wide(axes) if which == "x" else 0.1
    ticks = _ticks(least, most, room)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks(ticks, labels=[f"{one:,.10g}" for one in ticks])
    axis.set_minor_locator(NullLocator())


def _ticks(least: float, most: float, room: float) -> list[float]:
    """Round numbers from least to most, apart by `room`, a part of the axis: the finest that fit, at last tens only."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    apart = room * math.log10(most / least)
    for tenths in (range(10, 100), range(10, 100, 5), range(10, 100, 10), (10, 20, 50)):
        numbers = (tenth * 10.0**power / 10 for power in powers for tenth in tenths)
        ticks = [number for number in numbers if least <= number <= most]
        if all(math.log10(after / before) >= apart for before, after in itertools.pairwise(ticks)):
            return ticks
    return [10.0**power for power in powers if least <= 10.0**power <= most][:: math.ceil(apart)]


# ---- what is drawn on them


def _spread(axes: Axes, y: float, span: Span, colour: str, marker: str, told: str = "", face: str = "") -> None:
    """A marker in a row at the median, least to most as a line, and a text on the side that has more room."""
    axes.hlines(y, span.least, span.most, color=colour, linewidth=2)
    axes.plot(span.median, y, marker=marker, color=colour, markerfacecolor=face or colour, markersize=7)
    is_right = axes.transAxes.inverted().transform(axes.transData.transform((span.median, y)))[0] > 0.5
    at, offset = (span.least, -8) if is_right else (span.most, 8)
    side = "right" if is_right else "left"
    axes.annotate(
        told, (at, y), (offset, 0), textcoords="offset points", va="center", ha=side, color=colour, fontsize=9
    )


def _beside(axes: Axes, y: float, told: str, weight: str = "normal") -> None:
    """A text right of a row."""
    axes.text(1.02, y, told, transform=axes.get_yaxis_transform(), va="center", weight=weight, fontsize=9)


def _cell(axes: Axes, column: int, row: int, loss: Loss | None) -> None:
    """A cell of the table of losses: how many are missing, and which part of all."""
    share = loss.most / loss.of if loss else 0.0
    face = to_hex(mpl.colormaps["YlOrBr"](0.15 + 0.85 * math.sqrt(share))) if share else NOTHING
    axes.add_patch(Rectangle((column + 0.02, row - 0.46), 0.96, 0.92, color=face if loss else "white"))
    if loss is None:
        told = "not run"
    elif loss.most == 0:
        told = "0"
    else:
        parts = _range(_number(100 * loss.least / loss.of, 2), _number(100 * loss.most / loss.of, 2))
        told = f"{_range(f'{loss.least:,}', f'{loss.most:,}')} of {loss.of:,}\n{parts} %"
    colour = OURS if loss and not share else INK if share < 0.45 else "white"
    axes.text(column + 0.5, row, told, ha="center", va="center", color=colour, weight="bold" if loss else "normal")


def _draw_lines(figure: Figure, panels: Sequence[Mapping[str, _Line]], *, from_zero: bool = False) -> None:
    """The lines of each panel, and a label at the end of each; a name looks the same in all panels."""
    looks = _looks(_names(panels))
    if from_zero:
        ys = [y for panel in panels for line in panel.values() for y in _ys(line)]
        figure.axes[0].set_ylim(0, 1.08 * max(ys) or 1)
    for axes, lines in zip(figure.axes, panels, strict=True):
        for name, line in lines.items():
            xs, ys = [x for x, _ in line.points], [y for _, y in line.points]
            width = 3.2 if name == LEASEHOOK else 1.6
            axes.plot(xs, ys, **looks[name], linewidth=width, markersize=5, markevery=line.marked, clip_on=False)
            for x, span in line.spans:
                axes.vlines(x, span.least, span.most, color=looks[name]["color"], linewidth=1)
        _label(axes, lines, looks)


def _label(axes: Axes, lines: Mapping[str, _Line], looks: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes each line's name and figures right of the panel at the height of its end, none upon another."""
    fraction = axes.transData + axes.transAxes.inverted()
    told = {name: f"{textwrap.fill(name, WRAP)}\n{line.told}" for name, line in lines.items()}
    ends = {name: fraction.transform(line.points[-1])[1] if line.points else 0.0 for name, line in lines.items()}
    names = sorted(ends, key=lambda name: ends[name])
    tall = [(told[name].count("\n") + 1.5) * LINE_HEIGHT / PANEL_HEIGHT for name in names]
    for name, y in zip(names, _apart([ends[name] for name in names], tall), strict=True):
        color, at, end = looks[name]["color"], (1 + GAP / _wide(axes), y), lines[name].points[-1:]
        if end:
            line = {"arrowstyle": "-", "color": color, "linewidth": 0.7, "relpos": (0, 0.5), "shrinkA": 3, "shrinkB": 0}
            axes.annotate("", end[0], at, "data", "axes fraction", arrowprops=line)
        axes.text(*at, told[name], transform=axes.transAxes, va="center", color=color, fontsize=9, weight=_weight(name))


def _apart(wanted: Sequence[float], tall: Sequence[float]) -> list[float]:
    """Where labels go that are so tall and wanted at these places (rising): between 0 and 1 where they fit."""
    places: list[float] = []
    free = 0.0
    for want, height in zip(wanted, tall, strict=True):
        places.append(max(want, free + height / 2))
        free = places[-1] + height / 2
    free = 1.0
    for index in reversed(range(len(places))):
        places[index] = min(places[index], free - tall[index] / 2)
        free = places[index] - tall[index] / 2
    return places


# ---- the data


def _percentiles(values: Sequence[float], note: str) -> _Line:
    """The line of a way's percentiles, as far as so many values tell: of 100 values, to the 99th."""
    notes = textwrap.wrap(note, WRAP)
    if not values:
        return _Line((), "\n".join(notes or ["no events"]))
    in_order = sorted(values)
    steps = range(math.floor(DECADE * min(_stretched(PERCENTILES[-1]), math.log10(len(values)))) + 1)
    points = [(step / DECADE, percentile(in_order, 1 - 10 ** (-step / DECADE))) for step in steps]
    told = [f"p{100 * part:.0f} {_number(percentile(in_order, part))} ms" for part in (0.5, 0.99)]
    return _Line(points, "\n".join(told + notes), marked=(DECADE, DECADE))


def _stretched(part: float) -> float:
    """Where a percentile (0 to below 1) is drawn: 0, 90, 99 and 99.9 % are equally far apart."""
    return round(-math.log10(1 - part), 9)


def _growing(line: Sequence[tuple[int, Span]]) -> _Line:
    points = [(x, span.median) for x, span in line]
    return _Line(points, _first_to_last(points, "ms"), spans=line)


def _stays(line: Sequence[tuple[float, float]]) -> _Line:
    return _Line(line, _first_to_last(line, "MiB"), marked=(0, max(1, len(line) // 5)))


def _first_to_last(points: Sequence[tuple[float, float]], unit: str) -> str:
    return textwrap.fill(f"{_number(points[0][1])} → {_number(points[-1][1])} {unit}", WRAP)


def _ys(line: _Line) -> Iterator[float]:
    yield from (y for _, y in line.points)
    yield from (span.most for _, span in line.spans)


def _part(span: Span, before: Span) -> Span:
    """A span in % of the median before."""
    return Span(*(100 * value / before.median for value in (span.median, span.least, span.most)))


def _names(mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """All keys, in the order of their first appearance."""
    return list(dict.fromkeys(name for one in mappings for name in one))


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How each line looks: Leasehook always the same. Raises ValueError when there are too many to tell apart."""
    if len(names) > len(LOOKS):
        raise ValueError(f"{len(names)} lines cannot be told apart, only {len(LOOKS)}")
    in_order = sorted(names, key=lambda name: name != LEASEHOOK)
    looks = zip(in_order, LOOKS, strict=False)
    return {name: {"color": color, "linestyle": dashes, "marker": marker} for name, (color, dashes, marker) in looks}


def _weight(name: str) -> str:
    return "bold" if name == LEASEHOOK else "normal"


def _check(items: Sequence[object], what: str) -> None:
    if not items:
        raise ValueError(f"there is nothing to draw: no {what}")


def _check_positive(values: Sequence[float], what: str) -> None:
    _check(values, what)
    if min(values) <= 0:
        raise ValueError(f"{what} are drawn on a logarithmic axis: {min(values)} is not above 0")


# ---- numbers in words


def _number(value: float, digits: int = 3) -> str:
    """A number with so many digits that count, and all those before the point: 1.84, 58.3, 1,450."""
    power = math.floor(math.log10(abs(value))) if value else digits
    return f"{value:,.{max(0, digits - 1 - power)}f}"


def _range(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _told(span: Span) -> str:
    """A median, with least and most where they differ."""
    least, most = _number(span.least), _number(span.most)
    return _number(span.median) if least == most else f"{_number(span.median)} ({least} to {most})"
