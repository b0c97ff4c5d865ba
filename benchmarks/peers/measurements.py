"""What is measured, in which order: side by side where things are counted, in turn where they are timed."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import BoundedSemaphore

import msgspec

from benchmarks.command import Say
from benchmarks.history import commit_history
from benchmarks.peers import accidents
from benchmarks.peers.accidents import Accident
from benchmarks.peers.counting import Losses
from benchmarks.peers.losses import lose
from benchmarks.peers.quiet import Quiet, be_quiet, catch_up
from benchmarks.peers.stand import running_ledger
from benchmarks.peers.story import Story, signed_story
from benchmarks.peers.ways import WAYS, Way, install_node_red

CARS, MOVES, RATE = 200, 400, 25
"""The history that accidents happen in; `RATE` moves a second."""
SIDE_BY_SIDE, STANDS = 4, 12
"""So many histories are committed at the same time; of so many stands the others only wait for the end."""
CARS_FOR_RATE = 4
"""Cars for each transaction a second of a quiet history."""


class Scale(msgspec.Struct, frozen=True):
    """How much is measured; `quiet` are the rates, in transactions a second, and seconds of the quiet histories."""

    seeds: int
    accidents: Sequence[Accident]
    repetitions: int
    quiet: Sequence[tuple[int, int]]
    backlog: int


FULL = Scale(seeds=3, accidents=accidents.ALL, repetitions=3, quiet=((10, 10), (100, 8)), backlog=2_000)
QUICK = Scale(seeds=1, accidents=accidents.FEW, repetitions=1, quiet=((10, 4),), backlog=200)


class Found(msgspec.Struct):
    """What was found: losses by accident and way, quiet runs by rate and way, seconds of catching up by way.

    `counting_load` is the load average of the last five minutes of the counting.
    """

    scale: Scale
    losses: dict[tuple[str, str], list[Losses]]
    quiet: dict[tuple[int, str], list[Quiet]]
    caught_up: dict[str, list[float | None]]
    counting_load: float = 0.0


def measure(folder: Path, scale: Scale, say: Say) -> Found:
    """Measure everything. Raises ProcessError, also when a way does not deliver a quiet history completely."""
    install_node_red(say)
    found = Found(scale, {}, {}, {})
    for turn in range(scale.repetitions):
        for rate, seconds in scale.quiet:
            _quietly(folder / f"quiet-{turn}-{rate}", rate, seconds, turn, found, say)
    _catching_up(folder / "backlog", found, say)
    _losing(folder / "losses", found, say)
    found.counting_load = os.getloadavg()[1]
    return found


def _quietly(folder: Path, rate: int, seconds: int, turn: int, found: Found, say: Say) -> None:
    story = signed_story(CARS_FOR_RATE * rate, rate * seconds, rate, turn)
    # Each comes first in its turn: what the machine does meanwhile does not always hit the same one.
    for way in WAYS[turn % len(WAYS) :] + WAYS[: turn % len(WAYS)]:
        say(f"repetition {turn + 1} of {found.scale.repetitions}: {rate} transactions/s, {way.name}")
        found.quiet.setdefault((rate, way.name), []).append(be_quiet(folder / way.name, way, story))


def _catching_up(folder: Path, found: Found, say: Say) -> None:
    folder.mkdir()
    with running_ledger(folder) as ledger:
        commit_history(ledger.url, found.scale.backlog, say)
        for turn in range(found.scale.repetitions):
            say(f"repetition {turn + 1} of {found.scale.repetitions}: catching up")
            # Those that only listen are watched together; the relay is alone, since its time is taken.
            for ways in (WAYS[:-1], WAYS[-1:]):
                with ThreadPoolExecutor(len(ways)) as running:
                    under_way = [
                        running.submit(catch_up, folder / f"{way.name}-{turn}", way, ledger, found.scale.backlog)
                        for way in ways
                    ]
                for way, one in zip(ways, under_way, strict=True):
                    found.caught_up.setdefault(way.name, []).append(one.result())


def _losing(folder: Path, found: Found, say: Say) -> None:
    """The losses of all ways in all accidents, each on a stand of its own, a few at the same time."""
    scale = found.scale
    stories = {seed: signed_story(CARS, MOVES, RATE, seed) for seed in range(1, scale.seeds + 1)}
    turns = BoundedSemaphore(SIDE_BY_SIDE)
    with ThreadPoolExecutor(STANDS) as running:
        under_way = {
            (seed, number, way.name): running.submit(
                _lose_in_turn, turns, folder / f"{seed}-{number}-{way.name}", way, accident, story
            )
            for seed, story in stories.items()
            for number, accident in enumerate(scale.accidents)
            for way in WAYS
        }
        try:
            for (seed, number, name), one in under_way.items():
                accident = scale.accidents[number]
                found.losses.setdefault((accident.name, name), []).append(one.result())
                say(f"seed {seed} of {scale.seeds}: {accident.name}, {name}")
        except BaseException:
            running.shutdown(cancel_futures=True)
            raise


def _lose_in_turn(turns: BoundedSemaphore, folder: Path, way: Way, accident: Accident, story: Story) -> Losses:
    """The losses of one way, once it is its turn, which ends with its history."""
    with ExitStack() as turn:
        turn.enter_context(turns)
        return lose(folder, way, accident, story, at_end_of_history=turn.close)
