"""The usual ways that Leasehook is measured beside are no straw men, and what they lose is seen."""

from pathlib import Path

import pytest

from benchmarks.peers.accidents import NONE, Accident, Place
from benchmarks.peers.losses import Timing, lose
from benchmarks.peers.story import Story, signed_story
from benchmarks.peers.ways import ARTICLE, STRAIGHTFORWARD, Way

KILLED = Accident("killed, and started again after a second", Place.FORWARDER, 1.0)
SOON = Timing(begins_s=1.0, still_s=2.0, within_s=8.0)
WAYS = pytest.mark.parametrize("way", [ARTICLE, STRAIGHTFORWARD], ids=lambda way: way.name)


@pytest.fixture(scope="module")
def story() -> Story:
    """A history of four seconds."""
    return signed_story(cars=25, moves=40, rate=10, seed=1)


@WAYS
def test_a_quiet_history_arrives_completely(way: Way, story: Story, tmp_path: Path) -> None:
    losses = lose(tmp_path / "stand", way, NONE, story, SOON)
    assert (losses.transactions, losses.cars) == (65, 25)
    assert (losses.missing, losses.leases_wrong, losses.cars_wrong) == (0, 0, 0)


@WAYS
def test_what_is_committed_while_a_way_is_dead_is_lost_and_counted(way: Way, story: Story, tmp_path: Path) -> None:
    losses = lose(tmp_path / "stand", way, KILLED, story, SOON)
    assert 0 < losses.missing < len(story.moved)
    assert losses.leases_missing > 0
    assert losses.cars_wrong > 0
