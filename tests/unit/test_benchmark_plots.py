"""The plots of the benchmark's report: what is written on them, that it can be read, and that they are reproducible."""

import io
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import msgspec
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from benchmarks import plots
from benchmarks.plots import (
    Accident,
    Growth,
    Latency,
    Loss,
    Memory,
    Span,
    Stage,
    Step,
    draw_growth,
    draw_latency,
    draw_losses,
    draw_memory,
    draw_steps,
    draw_throughput,
)

type Draw = Callable[[Any, Path], None]

LOST = "lost 1,200 of 60,000 events"


def around(median: float, spread: float = 0.1) -> Span:
    """A span this much to both sides of a median."""
    return Span(median, median * (1 - spread), median * (1 + spread))


def latencies(median: float, tail: float = 2.0) -> list[float]:
    """1,000 values that rise slowly, but for the last 2 in 100."""
    return [median * (0.5 + index / 1000) * (tail if index >= 980 else 1) for index in range(1000)]


def level(value: float) -> list[tuple[int, Span]]:
    """A line of growth that does not grow."""
    return [(x, around(value)) for x in (100, 1000, 10_000, 100_000)]


STAGES = [
    Stage("the record, cold cars", around(290), around(345), "bare table calls", "0.84 of bare table calls"),
    Stage("one hot car", around(50), around(50), "bare table calls, one after the other", "too noisy to tell"),
    Stage("posts, signed and checked by the Function", around(640, 0.5), around(700), "a stub", "0.91 of the stub's"),
    Stage("events read", around(99_000), around(100_000), "frames of a bare websocket", "0.99 of bare frames"),
]
SAME = latencies(12)
LATENCIES = [
    Latency(20, dict.fromkeys(("Leasehook", "article", "straightforward", "Node-RED"), SAME), {"article": LOST}),
    Latency(60, {"Leasehook": latencies(16), "straightforward": latencies(15, 10)}, {"straightforward": LOST}),
    Latency(
        250, {"Leasehook": latencies(30), "Node-RED": latencies(4000)}, {"Node-RED": LOST, "article": "lost all events"}
    ),
]
GROWTHS = [
    Growth("cars in the record", "cars", {"Leasehook": level(1.2), "straightforward": level(1.2)}),
    Growth("a car's history", "transactions of the car", {"Leasehook": [(x, around(x / 50)) for x in (1, 10, 200)]}),
    Growth("batches", "events in a batch", {"Leasehook": [(150, around(0.625))]}),
]
MEMORIES = [
    Memory("an hour", "seconds", {"relay": [(x * 60, 52 + x) for x in range(61)], "Functions host": [(0, 180.0)]}),
    Memory("catching up", "events", {"relay": [(0, 52.25), (1_000_000, 1234.5)], "worker": [(0, 52.0), (9000, 52.0)]}),
]
ACCIDENTS = [
    Accident("nothing happens", dict.fromkeys(("article", "straightforward", "Leasehook"), Loss(0, 0, 600))),
    Accident(
        "the connection to the ledger's stream is cut without a word for twenty seconds, then again",
        {
            "article": Loss(12, 30, 600),
            "straightforward": Loss(600, 600, 600),
            "Node-RED": Loss(30_000, 59_000, 60_000),
        },
    ),
]
STEPS = [
    Step("one session for all posts, which is kept alive from post to post", "ms", around(48), around(47)),
    Step("batches of up to 100", "events a second", around(320), around(2400)),
    Step("no change", "ms of CPU an event", around(1.84, 0), around(1.84, 0)),
]
ALL: dict[str, tuple[Draw, list[Any]]] = {
    "throughput": (draw_throughput, STAGES),
    "latency": (draw_latency, LATENCIES),
    "growth": (draw_growth, GROWTHS),
    "memory": (draw_memory, MEMORIES),
    "losses": (draw_losses, ACCIDENTS),
    "losses, with short names": (draw_losses, [Accident(name, ACCIDENTS[1].ways) for name in ("one", "another")]),
    "steps": (draw_steps, STEPS),
}
EVERY = pytest.mark.parametrize(("draw", "data"), ALL.values(), ids=ALL)


@pytest.fixture
def svg(tmp_path: Path) -> Path:
    """Where a plot is written."""
    return tmp_path / "plot.svg"


def texts(path: Path) -> list[str]:
    """The lines of text on a plot: each is drawn as paths below a comment that says what they read."""
    return re.findall(r"<!-- (.*?) -->", path.read_text(encoding="utf-8"))


# ---- every plot


@EVERY
def test_the_same_data_gives_the_same_bytes_whatever_the_users_style_is(draw: Draw, data: list[Any], svg: Path) -> None:
    draw(data, svg)
    first = svg.read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "another", "text.color": "red"}):
        draw(data, svg)
    assert svg.read_bytes() == first


@EVERY
def test_other_data_gives_another_plot(draw: Draw, data: list[Any], svg: Path) -> None:
    draw(data, svg)
    first = svg.read_bytes()
    draw(data[:-1], svg)
    assert svg.read_bytes() != first


@EVERY
def test_matplotlibs_settings_stay_as_they_were(draw: Draw, data: list[Any], svg: Path) -> None:
    with mpl.rc_context({"font.size": 30}):
        before = dict(mpl.rcParams)
        draw(data, svg)
        assert dict(mpl.rcParams) == before


@EVERY
def test_nothing_to_draw_is_an_error(draw: Draw, data: list[Any], svg: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to draw"):
        draw([], svg)
    assert not svg.exists()


@EVERY
def test_a_plot_has_a_white_ground_a_title_and_says_where_it_was_measured(
    draw: Draw, data: list[Any], svg: Path
) -> None:
    draw(data, svg)
    ground = svg.read_text(encoding="utf-8").partition('<g id="patch_1">')[2].partition("</g>")[0]
    assert 'style="fill: #ffffff"' in ground
    assert texts(svg)[-1] == plots.ONE_MACHINE
    assert f"<title>{texts(svg)[-3]}</title>" in svg.read_text(encoding="utf-8")


@EVERY
def test_no_text_is_cut_off_and_none_is_upon_another(
    draw: Draw, data: list[Any], svg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[list[str]] = []
    save = Figure.savefig

    def look(figure: Figure, *_: object, **__: object) -> None:
        save(figure, io.BytesIO(), format="png")
        found = drawn_texts(figure)
        boxes = [(text.get_text(), text.get_window_extent()) for text in found]
        end = figure.bbox
        cut = [told for told, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > end.x1 or box.y1 > end.y1]
        pairs = itertools.combinations(boxes, 2)
        upon = [(one, other) for (one, box), (other, another) in pairs if box.overlaps(another)]
        assert (cut, upon) == ([], [])
        assert min(text.get_fontproperties().get_size_in_points() for text in found) >= 9
        figures.append([told for told, _ in boxes])

    monkeypatch.setattr(Figure, "savefig", look)
    draw(data, svg)
    assert len(figures[0]) > 10


def drawn_texts(figure: Figure) -> list[Text]:
    """The texts that are drawn: neither empty nor hidden, nor a number before or behind the end of its axis."""
    hidden: set[Text] = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        least, most = sorted(axis.get_view_interval())
        hidden.update(tick.label1 for tick in axis.get_major_ticks() if not least <= tick.get_loc() <= most)
    texts = (text for text in figure.findobj(Text) if isinstance(text, Text))
    return [text for text in texts if text.get_text() and text.get_visible() and text not in hidden]


# ---- each plot


def test_a_stage_is_told_beside_its_limit(svg: Path) -> None:
    draw_throughput(STAGES, svg, on="Measured on a large machine.")
    told = texts(svg)
    assert {"reached 290 (261 to 319)", "bare table calls 345 (310 to 380)", "one hot car"} <= set(told)
    assert {"too noisy to tell", "events a second", "100", "100,000", "Measured on a large machine."} <= set(told)
    assert "0.84 of bare table calls" in " ".join(told)


def test_the_ratio_is_what_the_caller_says(svg: Path) -> None:
    draw_throughput([msgspec.structs.replace(STAGES[0], told="as said")], svg)
    assert "as said" in texts(svg)


def test_a_logarithmic_axis_takes_nothing_that_is_not_above_0(svg: Path) -> None:
    with pytest.raises(ValueError, match="stages are drawn on a logarithmic axis"):
        draw_throughput([msgspec.structs.replace(STAGES[0], ours=Span(1, 0, 2))], svg)
    with pytest.raises(ValueError, match="latencies are drawn on a logarithmic axis"):
        draw_latency([Latency(20, {"Leasehook": [-1.0, 2.0]})], svg)
    with pytest.raises(ValueError, match="steps are drawn on a logarithmic axis"):
        draw_steps([Step("a", "ms", Span(0, 0, 1), around(1))], svg)


def test_a_way_is_told_with_its_percentiles_and_what_it_lost(svg: Path) -> None:
    draw_latency(LATENCIES, svg)
    told = texts(svg)
    assert {"20 events a second", "250 events a second", "ms from commit to row", "99.9", "1,000"} <= set(told)
    assert {"Leasehook", "straightforward", "p50 30.0 ms", "p99 89.3 ms", "p50 3,996 ms", "p99 11,912 ms"} <= set(told)
    assert " ".join(told).count("lost 1,200 of 60,000 events") == 3
    assert "article lost all events" in " ".join(told)


def test_a_way_without_events_says_so(svg: Path) -> None:
    draw_latency([Latency(20, {"Leasehook": [1.0, 2.0], "article": []})], svg)
    assert "article no events" in " ".join(texts(svg))


def test_a_line_of_percentiles_ends_where_its_values_do() -> None:
    assert plots._percentiles(latencies(10), "").points[-1][0] == 3
    assert plots._percentiles(latencies(10)[:100], "").points[-1][0] == 2
    assert plots._percentiles([5.0], "").points == [(0, 5.0)]


def test_growth_is_told_from_the_first_to_the_last_point(svg: Path) -> None:
    draw_growth(GROWTHS, svg)
    assert {"cars in the record", "a car's history", "transactions of the car", "CPU ms an event"} <= set(texts(svg))
    assert {"0.0200 → 4.00 ms", "1.20 → 1.20 ms", "10,000", "100", "200"} <= set(texts(svg))


def test_memory_is_told_from_the_first_to_the_last_point(svg: Path) -> None:
    draw_memory(MEMORIES, svg)
    assert {"resident memory, MiB", "seconds", "events", "an hour", "catching up", "Functions host"} <= set(texts(svg))
    assert {"52.0 → 112 MiB", "52.0 → 52.0 MiB"} <= set(texts(svg))


@pytest.mark.parametrize("draw", [draw_growth, draw_memory])
def test_a_panel_without_points_is_an_error(draw: Draw, svg: Path) -> None:
    kind = Growth if draw is draw_growth else Memory
    with pytest.raises(ValueError, match="no points of lines"):
        draw([kind("title", "x", {"Leasehook": ()})], svg)


def test_too_many_panels_or_lines_are_an_error(svg: Path) -> None:
    with pytest.raises(ValueError, match="4 panels"):
        draw_memory([*MEMORIES, *MEMORIES], svg)
    with pytest.raises(ValueError, match="7 lines cannot be told apart"):
        draw_memory([Memory("title", "x", {str(line): [(0, 1.0)] for line in range(7)})], svg)


def test_losses_are_told_in_cells(svg: Path) -> None:
    draw_losses(ACCIDENTS, svg)
    told = texts(svg)
    assert {"12 to 30 of 600", "2.0 to 5.0 %", "600 of 600", "100 %", "30,000 to 59,000 of 60,000"} <= set(told)
    assert (told.count("0"), told.count("not run")) == (3, 2)
    assert "the connection to the ledger's stream is cut" in " ".join(told)


def test_a_cell_without_losses_looks_different_from_the_smallest_loss(svg: Path) -> None:
    draw_losses([Accident("none", {"Leasehook": Loss(0, 0, 10**6)})], svg)
    assert plots.NOTHING in svg.read_text(encoding="utf-8")
    draw_losses([Accident("one", {"Leasehook": Loss(0, 1, 10**6)})], svg)
    assert plots.NOTHING not in svg.read_text(encoding="utf-8")
    assert "0 to 1 of 1,000,000" in texts(svg)


def test_a_step_is_told_as_a_part_and_in_its_unit(svg: Path) -> None:
    draw_steps(STEPS, svg)
    told = texts(svg)
    assert {"97.9 %: 48.0 → 47.0 ms", "750 %: 320 → 2,400 events a second", "200", "500"} <= set(told)
    assert "one session for all posts" in " ".join(told)


# ---- the parts


@pytest.mark.parametrize("figures", [(1, 2, 3), (3, 1, 2), (2, 3, 1), (float("nan"), 1, 2)])
def test_a_span_is_in_order(figures: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="not in order"):
        Span(*figures)


@pytest.mark.parametrize("figures", [(2, 1, 3), (1, 4, 3), (-1, 1, 3), (0, 0, 0)])
def test_a_loss_is_in_order(figures: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="not in order"):
        Loss(*figures)


def test_leasehook_looks_the_same_wherever_it_stands() -> None:
    first, last = plots._looks(["Leasehook", "article"]), plots._looks(["article", "Leasehook"])
    assert first == last
    assert (first["Leasehook"]["color"], first["article"]["color"]) == (plots.OURS, plots.WALL)
    looks = plots._looks([str(line) for line in range(6)]).values()
    assert all(len({str(look[key]) for look in looks}) == 6 for key in ("color", "linestyle", "marker"))


@pytest.mark.parametrize(
    ("least", "most", "room", "ticks"),
    [
        (40, 1000, 0.1, [50, 100, 200, 500, 1000]),
        (80, 120_000, 0.2, [100, 1000, 10_000, 100_000]),
        (80, 120_000, 0.4, [100, 10_000]),
        (0.5, 1.1, 0.1, [0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        (130, 170, 0.2, [130, 140, 150, 160, 170]),
    ],
)
def test_ticks_are_round_and_apart(least: float, most: float, room: float, ticks: list[float]) -> None:
    assert plots._ticks(least, most, room) == pytest.approx(ticks)


def test_labels_are_moved_apart_and_stay_in_the_panel() -> None:
    assert plots._apart([0.2, 0.8], [0.2, 0.2]) == pytest.approx([0.2, 0.8])
    assert plots._apart([0.5, 0.5, 0.5], [0.2, 0.2, 0.2]) == pytest.approx([0.5, 0.7, 0.9])
    assert plots._apart([0.0, 0.9, 1.0], [0.2, 0.4, 0.2]) == pytest.approx([0.1, 0.6, 0.9])


@pytest.mark.parametrize(
    ("value", "told"), [(0, "0"), (1.836, "1.84"), (58.26, "58.3"), (1449.6, "1,450"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits_that_count(value: float, told: str) -> None:
    assert plots._number(value) == told
