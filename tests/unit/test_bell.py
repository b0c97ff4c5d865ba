"""The bell that wakes the relay's loop, rung from threads and from signal handlers."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from relay.bell import Bell
from relay.errors import StopRequestedError

LONG = 30.0


def seconds_for(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.fixture
def later() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs something in another thread a moment later."""
    timers: list[threading.Timer] = []

    def start(action: Callable[[], None]) -> None:
        timers.append(threading.Timer(0.05, action))
        timers[-1].start()

    yield start
    for timer in timers:
        timer.join()


@pytest.fixture
def bell() -> Bell:
    return Bell()


def test_a_ring_wakes_the_sleeper(bell: Bell, later: Callable[[Callable[[], None]], None]) -> None:
    later(bell.ring)
    assert seconds_for(lambda: bell.wait(LONG)) < 5


def test_a_ring_before_the_wait_is_not_missed(bell: Bell) -> None:
    bell.ring()
    assert seconds_for(lambda: bell.wait(LONG)) < 5


def test_without_a_ring_the_wait_ends_in_time(bell: Bell) -> None:
    assert 0.1 <= seconds_for(lambda: bell.wait(0.1)) < 5


def test_many_rings_wake_once_and_take_no_memory(bell: Bell) -> None:
    bell.ring()
    before = sys.getallocatedblocks()
    for _ in range(100_000):
        bell.ring()
    assert sys.getallocatedblocks() - before < 1_000
    bell.wait(LONG)
    assert seconds_for(lambda: bell.wait(0.1)) >= 0.1


def test_a_ring_after_an_answered_one_wakes_again(bell: Bell) -> None:
    for _ in range(3):
        bell.ring()
        assert seconds_for(lambda: bell.wait(LONG)) < 5


def test_a_wait_that_is_to_be_waited_out_is_not_cut_short_by_rings(
    bell: Bell, later: Callable[[Callable[[], None]], None]
) -> None:
    bell.ring()
    later(bell.ring)
    assert seconds_for(lambda: bell.wait_out(0.2)) >= 0.2


def test_rings_from_many_threads_are_all_answered_or_merged(bell: Bell) -> None:
    def ring() -> None:
        for _ in range(2_000):
            bell.ring()

    ringers = [threading.Thread(target=ring) for _ in range(4)]
    for ringer in ringers:
        ringer.start()
    while any(ringer.is_alive() for ringer in ringers):
        bell.wait(0.01)
    for ringer in ringers:
        ringer.join()
    bell.ring()
    assert seconds_for(lambda: bell.wait(LONG)) < 5


@pytest.mark.parametrize("wait", [Bell.wait, Bell.wait_out], ids=["wait", "wait_out"])
def test_a_stop_from_another_thread_ends_a_wait(
    bell: Bell, later: Callable[[Callable[[], None]], None], wait: Callable[[Bell, float], None]
) -> None:
    later(bell.stop)
    began = time.monotonic()
    with pytest.raises(StopRequestedError):
        wait(bell, LONG)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("wait", [Bell.wait, Bell.wait_out], ids=["wait", "wait_out"])
def test_after_a_stop_every_wait_raises_at_once(bell: Bell, wait: Callable[[Bell, float], None]) -> None:
    bell.stop()
    for _ in range(3):
        with pytest.raises(StopRequestedError):
            wait(bell, LONG)
        with pytest.raises(StopRequestedError):
            wait(bell, 0.0)
        with pytest.raises(StopRequestedError):
            bell.check()


def test_before_a_stop_a_check_passes(bell: Bell) -> None:
    bell.ring()
    bell.check()


@pytest.fixture
def alarm(bell: Bell) -> Iterator[None]:
    """SIGALRM stops the bell, as the relay's handlers of SIGTERM and SIGINT do."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        bell.stop()

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("wait", [Bell.wait, Bell.wait_out], ids=["wait", "wait_out"])
def test_a_stop_within_a_signal_handler_ends_a_wait(bell: Bell, wait: Callable[[Bell, float], None]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    began = time.monotonic()
    with pytest.raises(StopRequestedError):
        wait(bell, LONG)
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("alarm")
def test_a_signal_that_comes_between_two_waits_is_not_missed(bell: Bell) -> None:
    signal.raise_signal(signal.SIGALRM)
    with pytest.raises(StopRequestedError):
        bell.wait(LONG)


@pytest.mark.usefixtures("alarm")
def test_a_signal_at_any_moment_of_ringing_and_waiting_ends_the_loop(bell: Bell) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.1)

    def ring_and_wait() -> None:
        while True:
            bell.ring()
            bell.wait(LONG)

    with pytest.raises(StopRequestedError):
        ring_and_wait()
