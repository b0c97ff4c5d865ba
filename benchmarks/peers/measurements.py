"""Counts the losses of all ways in all accidents: each on a stand of its own, several of them side by side."""

from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock

import msgspec

from benchmarks.command import Say
from benchmarks.history import Shape
from benchmarks.parts import Bench
from benchmarks.peers import accidents
from benchmarks.peers.accidents import Accident
from benchmarks.peers.counting import Losses
from benchmarks.peers.losses import USUAL, Timing, lose
from benchmarks.peers.ways import FLOW, WAYS, Way, install_node_red
from benchmarks.workload import committed

STANDS = 16
"""So many stands are there at the same time: those whose history is over wait for the end, at next to no CPU time."""

Counted = dict[tuple[str, str], list[Losses]]
"""The losses in the history of each seed, by the names of accident and way."""


class Scale(msgspec.Struct, frozen=True):
    """How much is counted: how many histories of which shape, which accidents happen in each, and to which ways.

    `side_by_side` histories run at the same time. They start `apart_s` seconds apart: starting takes more CPU time than
    anything that follows.
    """

    seeds: int
    accidents: Sequence[Accident]
    shape: Shape = Shape(cars=200, transfers=400, drivers=100, apart=50)
    timing: Timing = USUAL
    ways: Sequence[Way] = WAYS
    side_by_side: int = 6
    apart_s: float = 4.5


FULL = Scale(seeds=2, accidents=accidents.ALL)
QUICK = Scale(
    seeds=1,
    accidents=accidents.FEW,
    shape=Shape(cars=100, transfers=250, drivers=100, apart=50),
    timing=Timing(begins_s=2.2, still_s=8.0),
    side_by_side=8,
    apart_s=1.0,
)
"""Its accidents leave the relay nothing to wait for, and no other way waits so long between two attempts."""


def count_losses(bench: Bench, folder: Path, scale: Scale, say: Say) -> Counted:
    """What each way loses in each accident.

    Raises ProcessError, also when a way does not deliver a quiet history completely, and LedgerRefusedError.
    """
    if FLOW in scale.ways:
        install_node_red(say)
    recordings = [recorded(folder / f"history-{seed}", scale.shape, seed, say) for seed in range(1, scale.seeds + 1)]
    turns, starting, is_over = BoundedSemaphore(scale.side_by_side), Lock(), Event()

    def lose_in_turn(seed: int, number: int, way: Way) -> Losses:
        own, recording = folder / f"{seed}-{number}-{way.name}", recordings[seed - 1]
        with ExitStack() as turn:
            turn.enter_context(turns)
            with starting:
                if is_over.wait(scale.apart_s):
                    raise CancelledError
            return lose(own, bench, recording, scale.shape, way, scale.accidents[number], scale.timing, turn.close)

    with ThreadPoolExecutor(STANDS) as running:
        under_way = {
            running.submit(lose_in_turn, seed, number, way): (seed, scale.accidents[number].name, way.name)
            for seed in range(1, scale.seeds + 1)
            for number in range(len(scale.accidents))
            for way in scale.ways
        }
        try:
            for one in as_completed(under_way):
                seed, accident, name = under_way[one]
                say(f"{accident}, history {seed} of {scale.seeds}: {name} has lost {one.result().missing}")
        except BaseException:
            is_over.set()
            raise
    counted: Counted = {}
    for one, (_, accident, name) in under_way.items():
        counted.setdefault((accident, name), []).append(one.result())
    return counted


def recorded(folder: Path, shape: Shape, seed: int, say: Say) -> Path:
    """A history that is committed to a ledger of its own, once; the file that recorded nodes serve it from.

    Raises ProcessError and LedgerRefusedError.
    """
    folder.mkdir(parents=True)
    # Not the bench that is shared: a recording has one name in its folder. Nothing here needs table storage.
    with committed(Bench(folder, tables=""), shape, seed, say) as workload:
        return workload.recording
