"""Whether the event stream keeps up with the blocks that reading finds at the tip."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.silence import FRESH_BLOCKS, GRACE_S, REMEMBERED, Silence, StreamState

LATER = GRACE_S + 0.1
LYING_HEIGHT = 10**24


def at_tip(height: int) -> Silence:
    """A judge of a new connection, with the ledger's tip at this height."""
    silence = Silence()
    silence.connected()
    silence.at_tip(height)
    return silence


def state_of(silence: Silence) -> StreamState:
    return silence.state


def test_a_stream_that_announces_what_is_found_is_announcing() -> None:
    silence = at_tip(0)
    for height in range(1, 50):
        silence.announced([height])
        silence.found(height, now=height * 100.0)
        silence.at_tip(height)
        assert not silence.is_overdue(now=height * 100.0 + 99.0)
    assert state_of(silence) is StreamState.ANNOUNCING


def test_an_announcement_may_come_after_its_block_was_found() -> None:
    silence = at_tip(1)
    silence.found(2, now=0.0)
    assert state_of(silence) is StreamState.UNPROVEN
    silence.announced([2])
    assert state_of(silence) is StreamState.ANNOUNCING


def test_without_any_block_nothing_is_proven_however_long_it_takes() -> None:
    silence = at_tip(0)
    assert not any(silence.is_overdue(now * GRACE_S) for now in range(100))
    assert state_of(silence) is StreamState.UNPROVEN


@pytest.mark.parametrize("height", [2, 3, LYING_HEIGHT])
def test_an_announcement_alone_is_not_believed(height: int) -> None:
    silence = at_tip(1)
    silence.announced([height])
    assert state_of(silence) is StreamState.UNPROVEN


def test_a_block_not_announced_within_the_grace_makes_the_stream_silent_once_it_has_passed() -> None:
    silence = at_tip(0)
    silence.found(1, now=0.0)
    assert [silence.is_overdue(now) for now in (0.0, GRACE_S, LATER)] == [False, False, True]
    assert state_of(silence) is StreamState.SILENT


def test_an_announcement_of_another_block_does_not_excuse_the_one_that_is_missing() -> None:
    silence = at_tip(1)
    silence.found(2, now=0.0)
    silence.announced([1, 3, LYING_HEIGHT])
    assert silence.is_overdue(LATER)


def test_no_lying_height_switches_the_detection_off() -> None:
    silence = at_tip(1)
    silence.announced([LYING_HEIGHT])
    for height in (2, 3):
        silence.found(height, now=100.0 * height)
        silence.at_tip(height)
        assert silence.is_overdue(100.0 * height + LATER)
    assert state_of(silence) is StreamState.SILENT


def test_an_announcement_that_comes_late_but_within_the_grace_is_no_silence() -> None:
    silence = at_tip(0)
    silence.found(1, now=0.0)
    assert not silence.is_overdue(GRACE_S - 0.1)
    silence.announced([1])
    assert not silence.is_overdue(GRACE_S * 10)
    assert state_of(silence) is StreamState.ANNOUNCING


def test_a_stream_that_runs_behind_but_keeps_announcing_is_not_silent() -> None:
    silence = at_tip(3)
    for height in range(4, 100):
        silence.found(height, now=float(height))
        silence.at_tip(height)
        silence.announced([height - 3])
        assert not silence.is_overdue(float(height))
    assert state_of(silence) is StreamState.ANNOUNCING


@pytest.fixture
def silent() -> Silence:
    """A judge of a stream that announced block 1 and then not block 2."""
    silence = at_tip(0)
    silence.announced([1])
    silence.found(1, now=0.0)
    silence.at_tip(1)
    silence.found(2, now=1.0)
    silence.at_tip(2)
    assert silence.is_overdue(1.0 + LATER)
    return silence


def test_a_silent_stream_is_reconnected_again_after_another_grace_and_not_at_every_look(silent: Silence) -> None:
    silent.found(3, now=10.0)
    looks = [silent.is_overdue(10.0 + now) for now in range(int(GRACE_S) * 3)]
    assert sum(looks) == 1


def test_a_silent_stream_stays_silent_until_it_announces_a_block_that_is_found(silent: Silence) -> None:
    silent.connected()
    silent.at_tip(2)
    assert state_of(silent) is StreamState.SILENT
    silent.announced([LYING_HEIGHT])
    assert state_of(silent) is StreamState.SILENT
    silent.announced([3])
    silent.found(3, now=21.0)
    assert state_of(silent) is StreamState.ANNOUNCING


def test_a_stream_that_is_well_again_may_fall_silent_again(silent: Silence) -> None:
    silent.found(3, now=20.0)
    silent.announced([3])
    assert state_of(silent) is StreamState.ANNOUNCING
    silent.at_tip(3)
    silent.found(4, now=30.0)
    assert silent.is_overdue(30.0 + LATER)
    assert state_of(silent) is StreamState.SILENT


def test_a_new_connection_has_to_prove_itself() -> None:
    silence = at_tip(1)
    silence.announced([2])
    silence.found(2, now=0.0)
    assert state_of(silence) is StreamState.ANNOUNCING
    silence.connected()
    assert state_of(silence) is StreamState.UNPROVEN


def test_blocks_from_before_the_connection_are_not_owed_by_it() -> None:
    silence = at_tip(99)
    silence.found(100, now=0.0)
    silence.connected()
    silence.at_tip(100)
    assert not any(silence.is_overdue(now * GRACE_S) for now in range(10))
    assert state_of(silence) is StreamState.UNPROVEN


def test_blocks_that_are_found_before_the_tip_is_reached_again_are_not_owed() -> None:
    silence = at_tip(99)
    silence.connected()
    silence.found(100, now=0.0)
    silence.at_tip(100)
    assert not silence.is_overdue(LATER)


def test_a_block_after_the_excused_ones_must_be_announced() -> None:
    silence = at_tip(100)
    silence.found(101, now=0.0)
    assert silence.is_overdue(LATER)


def test_catching_up_owes_nothing() -> None:
    silence = Silence()
    for height in range(1, 3 * REMEMBERED):
        silence.found(height, now=height / 1000)
    assert silence.seconds_to_verdict(10.0) is None
    assert not silence.is_overdue(1_000.0)


def test_a_block_far_above_the_last_known_tip_is_not_owed() -> None:
    silence = at_tip(100)
    silence.found(100 + FRESH_BLOCKS + 1, now=0.0)
    assert not silence.is_overdue(LATER)


def test_a_stream_is_not_called_silent_for_announcements_that_were_forgotten_while_delivery_stood_still() -> None:
    silence = at_tip(100)
    last = 100 + 2 * REMEMBERED
    for height in range(101, last + 1):
        silence.found(height, now=height / 1000)
    silence.at_tip(last)
    silence.announced(range(last - REMEMBERED, last + 1))
    assert not silence.is_overdue(1_000.0)


def test_a_burst_of_blocks_that_were_all_announced_is_no_silence() -> None:
    silence = at_tip(100)
    silence.announced(range(101, 101 + FRESH_BLOCKS))
    for height in range(101, 101 + FRESH_BLOCKS):
        silence.found(height, now=0.0)
    assert not silence.is_overdue(LATER)
    assert state_of(silence) is StreamState.ANNOUNCING


def test_memory_is_bounded_whatever_is_announced_and_found() -> None:
    silence = at_tip(0)
    silence.announced(range(10**6, 10**6 + 20 * REMEMBERED))
    for height in range(1, 20 * REMEMBERED):
        silence.found(height, now=0.0)
        silence.at_tip(height)
    assert len(silence._announced) == len(silence._owed) == REMEMBERED
    assert silence.is_overdue(LATER)


def test_the_time_of_the_next_verdict_is_known() -> None:
    silence = at_tip(0)
    assert silence.seconds_to_verdict(0.0) is None
    silence.found(1, now=10.0)
    silence.found(2, now=12.0)
    seconds = silence.seconds_to_verdict(13.0)
    assert seconds is not None
    assert seconds == pytest.approx(10.0 + GRACE_S - 13.0, abs=0.1)
    assert not silence.is_overdue(13.0 + seconds - 0.1)
    assert silence.is_overdue(13.0 + seconds)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["found", "announced", "at tip", "connected", "nothing"]),
            st.integers(0, 3),
            st.floats(0, 4),
        ),
        max_size=40,
    )
)
def test_a_stream_is_called_silent_when_and_only_when_a_block_is_missing_for_longer_than_the_grace(
    steps: list[tuple[str, int, float]],
) -> None:
    silence, height, now = Silence(), 0, 0.0
    is_at_tip = False
    missing: dict[int, float] = {}
    announced: set[int] = set()
    for step, number, seconds in steps:
        now += seconds
        match step:
            case "found":
                height += 1
                silence.found(height, now)
                if is_at_tip and height not in announced:
                    missing[height] = now
            case "announced":
                silence.announced([height + number - 1])
                announced.add(height + number - 1)
                missing.pop(height + number - 1, None)
            case "at tip":
                silence.at_tip(height)
                is_at_tip = True
            case "connected":
                silence.connected()
                missing, is_at_tip = {}, False
        is_silent = any(now - since > GRACE_S for since in missing.values())
        assert silence.is_overdue(now) == is_silent
        if is_silent:
            missing = {}
            assert state_of(silence) is StreamState.SILENT
