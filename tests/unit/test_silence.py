"""Whether the event stream keeps up with the blocks that polling finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.silence import GRACE_S, Silence, StreamState


def test_a_stream_that_announces_what_is_found_is_announcing() -> None:
    silence = Silence()
    assert not any(silence.observe(found=height, announced=height, now=height * 100.0) for height in range(1, 50))
    assert silence.state is StreamState.ANNOUNCING


def test_without_any_block_nothing_is_proven_however_long_it_takes() -> None:
    silence = Silence()
    assert not any(silence.observe(found=0, announced=0, now=now * GRACE_S) for now in range(100))
    assert silence.state is StreamState.UNPROVEN


def test_a_block_not_announced_within_the_grace_makes_the_stream_silent_once_it_has_passed() -> None:
    silence = Silence()
    assert [silence.observe(found=1, announced=0, now=now) for now in (0.0, GRACE_S, GRACE_S + 0.1)] == [
        False,
        False,
        True,
    ]
    assert silence.state is StreamState.SILENT


def test_an_announcement_that_comes_late_but_within_the_grace_is_no_silence() -> None:
    silence = Silence()
    silence.observe(found=1, announced=0, now=0.0)
    assert not silence.observe(found=1, announced=1, now=GRACE_S - 0.1)
    assert not silence.observe(found=1, announced=1, now=GRACE_S * 10)
    assert silence.state is StreamState.ANNOUNCING


def test_a_stream_that_runs_behind_but_keeps_announcing_is_not_silent() -> None:
    silence = Silence()
    behind_by_three = ((height, height - 3, float(height)) for height in range(4, 100))
    assert not any(silence.observe(found, announced, now) for found, announced, now in behind_by_three)


@pytest.fixture
def silent() -> Silence:
    """A judge of a stream that announced block 1 and then not block 2."""
    silence = Silence()
    silence.observe(found=1, announced=1, now=0.0)
    silence.observe(found=2, announced=1, now=1.0)
    assert silence.observe(found=2, announced=1, now=2.0 + GRACE_S)
    return silence


def test_a_silent_stream_is_reconnected_again_after_another_grace_and_not_at_every_look(silent: Silence) -> None:
    looks = [silent.observe(found=3, announced=1, now=10.0 + now) for now in range(int(GRACE_S) * 2)]
    assert sum(looks) == 1


def test_a_silent_stream_stays_silent_until_it_announces_again(silent: Silence) -> None:
    silent.excuse(3)
    assert state_after(silent, found=3, announced=1, now=20.0) == "silent"
    assert state_after(silent, found=4, announced=4, now=21.0) == "announcing"


def state_after(silence: Silence, found: int, announced: int, now: float) -> str:
    silence.observe(found, announced, now)
    return str(silence.state)


def test_blocks_from_before_the_connection_are_not_held_against_it() -> None:
    silence = Silence()
    silence.excuse(100)
    assert not any(silence.observe(found=100, announced=0, now=now * GRACE_S) for now in range(10))


def test_a_block_after_the_excused_ones_must_be_announced() -> None:
    silence = Silence()
    silence.excuse(100)
    silence.observe(found=101, announced=0, now=0.0)
    assert silence.observe(found=101, announced=0, now=GRACE_S + 0.1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.floats(0, 4)), max_size=30))
def test_a_stream_is_called_silent_only_when_blocks_are_missing_for_longer_than_the_grace(
    steps: list[tuple[int, int, float]],
) -> None:
    silence, found, announced, now = Silence(), 0, 0, 0.0
    behind_since: float | None = None
    for more_found, more_announced, seconds in steps:
        found, announced, now = found + more_found, announced + more_announced, now + seconds
        behind_since = None if found <= announced else (now if behind_since is None else behind_since)
        if silence.observe(found, announced, now):
            assert behind_since is not None
            assert now - behind_since > GRACE_S
