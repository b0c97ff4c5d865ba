"""The one report: every figure in it, its tables whole, no ratio that its spread hides, and the plots of a run."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from benchmarks import __main__ as command
from benchmarks.codec import GET, SIZES
from benchmarks.drawing import STAGES, draw_plots
from benchmarks.end_to_end import FORWARDER, NODE, CaughtUp, Replayed
from benchmarks.figures import HIDDEN, Verdict
from benchmarks.found import Run, read_steps
from benchmarks.noise import Noise
from benchmarks.peers.accidents import FEW
from benchmarks.peers.counting import Losses
from benchmarks.peers.ways import RELAY, WAYS
from benchmarks.record_measurements import COLD, FIRST, HOT
from benchmarks.record_parts import AZURITE, FUNCTION
from benchmarks.record_report import goals_of
from benchmarks.relay_report import TOLD
from benchmarks.report import PLOTS, write_report
from benchmarks.run import AT_ONCE, QUICK, Found
from benchmarks.ways_report import lateness, ratios_of, span

REACHED = {"ledger_ratio": 0.9, "ledger_raw_ratio": 0.9, "memory_ratio": 1.05, "hint_p50": 3.0, "live_lag": 0.0}


def values(**changed: list[float]) -> dict[str, list[float]]:
    """The values of a run in which every goal is reached, but for those that are changed."""
    found = {told.key: REACHED.get(told.key, 10.0) for told in TOLD}
    for history in (COLD, HOT, FIRST):
        found |= {f"{history}_naive_{figure}": 20.0 for figure in ("rate", "cpu", "azurite_cpu")}
        for cell in QUICK.record.cells(history, 0):
            figures = {"rate": 300.0, "function_cpu": 1.5, "azurite_cpu": 1.5, "again": 0.0, "per_naive": 15.0}
            bare = {"per_bare": 0.9, "bare_rate": 333.0, "bare_cpu": 0.5, "bare_azurite_cpu": 1.5, "bare_best": 16.0}
            sdk = {"per_sdk": 3.0, "sdk_rate": 100.0, "sdk_cpu": 7.0} if (cell.size, cell.lanes) == (100, 8) else {}
            found |= {f"{cell.key}_{figure}": value for figure, value in (figures | bare | sdk).items()}
    for kind in (GET, *SIZES):
        found |= {f"codec_{kind}": 0.3, f"codec_{kind}_sdk": 0.9, f"codec_{kind}_ratio": 3.0}
    found |= {"caught_up": 500.0, "caught_up_bare": 600.0, "caught_up_ratio": 0.83}
    for grows, sizes in QUICK.growth.all_sizes():
        found |= {f"growth_{grows}_{size}_{process}": 2.5 for size in sizes for process in ("function", "azurite")}
    assert changed.keys() <= found.keys()
    return {key: [value] * QUICK.repetitions for key, value in found.items()} | changed


def replayed(ms: float, lost: int = 0) -> Replayed:
    """What a way did in a replay, some milliseconds late."""
    cpu = {NODE: 0.1, FORWARDER: 1.0, FUNCTION: 1.5, AZURITE: 1.2}
    return Replayed([ms, 2 * ms, 3 * ms], lost, 1000 / ms, cpu, 50.0)


def losses(missing: int, late_s: float = 1.5) -> Losses:
    """Losses of a way."""
    return Losses(450, missing, 300, missing, 0, 100, min(missing, 100), late_s)


def run(**changed: list[float]) -> Run:
    """A quick run, Leasehook twice as quick as all others, which lose something."""
    usual = {way.name: [replayed(10.0 if way is RELAY else 20.0)] * QUICK.repetitions for way in WAYS}
    memory = {name: [(0.0, 50.0), (1.0, 60.0)] for name in (FORWARDER, NODE, FUNCTION, AZURITE)}
    caught_up = CaughtUp(500.0, dict.fromkeys(memory, 0.5), memory)
    return Run(
        is_quick=True,
        commit="abc1234",
        minutes=2.4,
        day="2026-11-24",
        found=Found(
            values=values(**changed),
            replays={"100": usual, AT_ONCE: usual},
            caught_up=[caught_up] * QUICK.repetitions,
            losses={one.name: {way.name: [losses(0 if way is RELAY else 277)] for way in WAYS} for one in FEW},
            profiles={"relay, catching up": {"lanes and their queue": 0.75, "the stream": 0.25}, "nothing": {}},
            noise=Noise(0.5, [0.005, 0.006], 0.01),
        ),
    )


def goal_lines(text: str) -> list[str]:
    """The lines of the report that tell of goals."""
    return [line for line in text.splitlines() if "| at least " in line or "| at most " in line]


def tables(text: str) -> Iterator[list[str]]:
    """The tables of a report, as lines."""
    for part in text.split("\n\n"):
        if part.startswith("|"):
            yield part.splitlines()


def test_the_report_says_of_every_goal_that_it_was_reached() -> None:
    lines = goal_lines(write_report(run()))
    assert len(lines) > len(goals_of(values())) > 0
    assert all("**reached**" in line for line in lines)


@pytest.mark.parametrize(
    ("key", "told", "missed"),
    [
        ("caught_up_ratio", "From ledger to row, catching up", 0.7),
        ("stream_ratio", "Listening to the stream: the relay's listener / websocket-client alone", 0.7),
        ("ledger_ratio", "Catching up with the local ledger: relay / bare loop", 0.79),
        ("memory_ratio", "Memory: after many events / after few", 1.2),
        ("cold_100_8_per_naive", "All different, batches of 100, 8 lanes: Function app / naive way", 5.9),
        ("hot_100_1_per_bare", "Hot keys, batches of 100, 1 lane: Function app / bare calls", 0.1),
        ("cold_100_8_per_sdk", "All different, batches of 100, 8 lanes: Function app / bare calls by azure", 0.9),
        ("codec_get_ratio", "CPU, read of one row: SDK / own codec", 1.9),
    ],
)
def test_the_report_says_of_a_missed_goal_that_it_was_missed(key: str, told: str, missed: float) -> None:
    lines = goal_lines(write_report(run(**{key: [missed, missed]})))
    (line,) = (line for line in lines if told in line)
    assert "**missed**" in line
    assert sum("**reached**" in one for one in lines) == len(lines) - 1


def test_a_goal_that_some_repetitions_reached_is_too_noisy() -> None:
    verdicts = [figure.verdict for figure in goals_of(values(cold_100_8_per_bare=[0.9, 0.7, 0.9]))]
    assert verdicts.count(Verdict.TOO_NOISY) == 1


def test_no_ratio_is_told_that_its_spread_hides() -> None:
    report = write_report(run(ledger_ratio=[0.5, 1.5]))
    (line,) = (one for one in goal_lines(report) if "local ledger: relay / bare loop" in one)
    assert line.split("|")[2].strip() == HIDDEN
    assert "1.00" not in line


def test_no_figure_is_told_twice() -> None:
    names = [line.split("|")[1] for line in goal_lines(write_report(run()))]
    assert len(set(names)) == len(names)


def test_every_row_of_a_table_in_the_report_has_as_many_cells_as_its_head() -> None:
    found = list(tables(write_report(run())))
    assert len(found) == 17
    for table in found:
        assert len({line.count("|") for line in table}) == 1


def test_the_report_names_machine_commit_and_how_quiet_it_was() -> None:
    report = write_report(run())
    assert "commit abc1234, 2026-11-24" in report
    assert "The machine was quiet" in report
    noisy = msgspec.structs.replace(run().found, noise=Noise(0.5, [0.005, 0.008], 0.01))
    assert "**noisy**" in write_report(msgspec.structs.replace(run(), found=noisy))


def test_leasehook_is_set_beside_each_other_way() -> None:
    found = {figure.name: figure.values for figure in ratios_of(run().found.replays, AT_ONCE)}
    assert len(found) == 3 * (3 + 1)
    assert found["100 events/s, latency p50: Leasehook / article"] == (0.5, 0.5)
    assert found["Events a second, all at once: Leasehook / Node-RED"] == (2.0, 2.0)


def test_late_is_only_what_became_complete() -> None:
    assert lateness([losses(0, 1.0), losses(0, 2.5)]) == "1.0-2.5"
    assert lateness([losses(0), losses(1)]) == "-"
    assert (span([3, 7, 5]), span([4, 4])) == ("3-7", "4")


def test_every_plot_that_the_report_shows_is_drawn(tmp_path: Path) -> None:
    draw_plots(run(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.svg" for name in PLOTS}
    throughput = (tmp_path / "throughput.svg").read_text(encoding="utf-8")
    # Names are broken into lines: their first word stands in one.
    assert all(name.partition(" ")[0] in throughput for name, *_ in STAGES)


def test_the_steps_are_told_with_what_they_changed() -> None:
    report = write_report(run())
    assert read_steps()
    for step in read_steps():
        assert step.name in report
        assert min(*step.before, *step.after) > 0


def test_a_run_is_kept_and_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "FOLDER", tmp_path)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept.json")
    assert command.main(["--again"]) == 1
    (tmp_path / "kept.json").write_bytes(msgspec.json.encode(run()))
    assert command.main(["--again"]) == 0
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == write_report(run())
