"""Who waits for the Function to come back, who tries whether it has, and how soon all go on once it has."""

import random

import pytest

from relay import outage
from relay.bell import Bell
from relay.outage import LEAST_PROBE_S, MOST_PROBE_S, SPREAD_S, Outage, Retry

LONG_S = 30.0


class Clock:
    """Time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Waiting:
    """A lane whose attempts fail, each time with the longest backoff."""

    def __init__(self, clock: Clock, away: Outage) -> None:
        self._clock = clock
        self._away = away
        self.bell = Bell()
        self.retry = Retry()

    def fail(self) -> None:
        self.backoff_until = self.retry.due = self._clock.now + LONG_S
        self._away.failed(self.bell, self.retry)

    @property
    def waits(self) -> float:
        return self.retry.due - self._clock.now

    @property
    def is_called(self) -> bool:
        return self.retry.due < self.backoff_until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock of its own for the outage, and dice without chance."""
    fake = Clock()
    monkeypatch.setattr(outage, "time", fake)
    monkeypatch.setattr(random, "uniform", lambda least, most: (least + most) / 2)
    return fake


def failing(clock: Clock, away: Outage, lanes: int) -> list[Waiting]:
    """So many lanes, of which each has failed twice with nothing in between."""
    waiting = [Waiting(clock, away) for _ in range(lanes)]
    for _ in range(2):
        for one in waiting:
            one.fail()
    return waiting


def test_the_first_success_sends_all_on_whatever_their_backoff(clock: Clock) -> None:
    away = Outage()
    lanes = failing(clock, away, 4)
    away.got_through()
    assert all(0.0 <= lane.waits <= SPREAD_S for lane in lanes)


def test_all_that_a_lane_waits_for_goes_on(clock: Clock) -> None:
    away = Outage()
    [lane] = failing(clock, away, 1)
    batch, lane.retry = lane.retry, Retry()
    lane.fail()
    lane.fail()
    away.got_through()
    assert batch.due <= clock.now + SPREAD_S
    assert lane.waits <= SPREAD_S


def test_while_nothing_gets_through_one_lane_alone_tries_again_soon(clock: Clock) -> None:
    lanes = failing(clock, Outage(), 8)
    assert [lane.is_called for lane in lanes] == [True] + [False] * 7
    assert lanes[0].waits == LEAST_PROBE_S


def test_lanes_try_in_turn_so_that_what_fails_for_ever_is_not_what_finds_out(clock: Clock) -> None:
    lanes, tried = failing(clock, Outage(), 3), []
    for _ in range(6):
        [called] = [lane for lane in lanes if lane.is_called]
        tried.append(lanes.index(called))
        clock.now = called.retry.due
        called.fail()
    assert tried == [0, 1, 2, 0, 1, 2]


def test_a_lane_whose_attempt_hangs_keeps_no_other_from_trying(clock: Clock) -> None:
    lanes = failing(clock, Outage(), 3)
    clock.now = lanes[0].retry.due + LONG_S / 2
    lanes[2].fail()
    assert lanes[1].is_called


def test_a_lane_whose_own_backoff_ends_before_it_is_called_hands_its_turn_on(clock: Clock) -> None:
    lanes = failing(clock, Outage(), 3)
    clock.now += LEAST_PROBE_S / 2
    lanes[0].fail()
    assert [lane.is_called for lane in lanes] == [False, True, False]


def test_the_longer_it_takes_the_rarer_are_the_attempts_up_to_a_bound(clock: Clock) -> None:
    lanes, waits = failing(clock, Outage(), 4), []
    for _ in range(100):
        [called] = [lane for lane in lanes if lane.is_called]
        waits.append(called.waits)
        clock.now = called.retry.due
        called.fail()
    assert waits == sorted(waits)
    assert waits[-1] == MOST_PROBE_S


def test_what_fails_while_others_get_through_waits_out_its_backoff(clock: Clock) -> None:
    away = Outage()
    lane = Waiting(clock, away)
    for _ in range(5):
        lane.fail()
        away.got_through()
        assert lane.waits == LONG_S


def test_after_the_first_success_nobody_is_sent_on_a_second_time(clock: Clock) -> None:
    away = Outage()
    lanes = failing(clock, away, 4)
    away.got_through()
    for lane in lanes:
        lane.fail()
    away.got_through()
    assert not any(lane.is_called for lane in lanes)


def test_another_outage_is_another(clock: Clock) -> None:
    away = Outage()
    lanes = failing(clock, away, 2)
    clock.now += 1_000
    away.got_through()
    for _ in range(2):
        for lane in lanes:
            lane.fail()
    assert [lane.waits for lane in lanes] == [LEAST_PROBE_S, LONG_S]


def test_a_backoff_that_is_shorter_stays(clock: Clock) -> None:
    away = Outage()
    [lane] = failing(clock, away, 1)
    lane.retry.due = clock.now + 0.01
    away.got_through()
    assert lane.waits == pytest.approx(0.01)


def test_a_lane_that_is_called_or_sent_on_is_woken(clock: Clock) -> None:
    away = Outage()
    [lane] = failing(clock, away, 1)
    lane.bell.wait(LONG_S)
    away.got_through()
    lane.bell.wait(LONG_S)
