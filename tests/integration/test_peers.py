"""The usual ways that Leasehook is measured beside are no straw men, and what they lose is seen."""

import sys
from pathlib import Path

import pytest

from benchmarks.history import Shape
from benchmarks.parts import Bench
from benchmarks.peers import losses
from benchmarks.peers.accidents import NONE, Accident, Place
from benchmarks.peers.counting import Losses
from benchmarks.peers.losses import Timing, lose
from benchmarks.peers.measurements import Counted, Scale, count_losses
from benchmarks.peers.ways import ARTICLE, STRAIGHTFORWARD, Route, Way
from local.processes import Child, ProcessError, start

KILLED = Accident("killed, and started again after a second", Place.FORWARDER, 1.0)
SHAPE = Shape(cars=75, transfers=100, drivers=20, apart=50)
"""Three blocks of cars, and four seconds of moves."""
SOON = Timing(begins_s=1.2, still_s=2.5, within_s=12.0)
WAYS = (ARTICLE, STRAIGHTFORWARD)
EACH = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
LISTENING = "import sys, websocket; websocket.create_connection(sys.argv[1]).recv(); input()"


def start_deaf(route: Route, folder: Path) -> Child:
    """Follow the stream, and forward nothing."""
    return start("deaf", [sys.executable, "-c", LISTENING, route.stream_url], log=folder / "forwarder.log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything is."""
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="module")
def counted(folder: Path) -> Counted:
    """What is lost of one history, counted side by side."""
    scale = Scale(1, (NONE, KILLED), SHAPE, SOON, WAYS, side_by_side=4, apart_s=0.5)
    return count_losses(Bench(folder, tables=""), folder, scale, lambda _: None)


@pytest.fixture(scope="module")
def recording(counted: Counted, folder: Path) -> Path:
    """The history, as it was recorded."""
    (found,) = folder.glob("history-1/*.jsonl")
    return found


def only(runs: list[Losses]) -> Losses:
    """Those of the one history."""
    (found,) = runs
    return found


@EACH
def test_a_quiet_history_arrives_completely(way: Way, counted: Counted) -> None:
    found = only(counted[NONE.name, way.name])
    assert (found.transactions, found.cars) == (175, 75)
    assert (found.missing, found.leases_wrong, found.cars_wrong) == (0, 0, 0)
    assert found.late_s < SOON.within_s


@EACH
def test_what_is_committed_while_a_way_is_dead_is_lost_and_counted(way: Way, counted: Counted) -> None:
    found = only(counted[KILLED.name, way.name])
    assert found.transactions == 175
    assert 0 < found.missing < SHAPE.transfers
    assert found.leases_missing > 0
    assert found.cars_wrong > 0


def test_a_run_fails_when_a_way_does_not_forward_the_cars(recording: Path, folder: Path) -> None:
    deaf = Way("deaf", start_deaf, ())
    with pytest.raises(ProcessError, match="deaf does not deliver a quiet history completely: 75 of 75"):
        lose(folder / "deaf", Bench(folder, tables=""), recording, SHAPE, deaf, KILLED, Timing(still_s=0.5))


def test_a_run_fails_when_something_is_lost_though_nothing_happened(
    recording: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(losses, "play", lambda _, __, forwarder: forwarder.kill())
    with pytest.raises(ProcessError, match=r"article does not deliver a quiet history completely: [0-9]+ of 175"):
        lose(folder / "died", Bench(folder, tables=""), recording, SHAPE, ARTICLE, NONE, Timing(0.2, 0.5))
