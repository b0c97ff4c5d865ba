"""Up to which block everything is settled, whatever the order in which lanes finish, and when reading has to wait."""

import itertools
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import progress
from relay.bell import Bell
from relay.errors import StopRequestedError
from relay.events import CarEvent
from relay.progress import Mark, Progress

START = Mark(100, 98, "of block 98")


def event(height: int, place: int = 0, size: int = 10) -> CarEvent:
    return CarEvent(f"{height}-{place}", "car", f"{height:012d}-{place:06d}", height, b"x" * (size - 1))


def events_of(height: int, count: int, size: int = 10) -> list[CarEvent]:
    return [event(height, place, size) for place in range(count)]


def begun(start: Mark = START) -> Progress:
    return Progress(start, Bell())


def test_it_begins_where_the_checkpoint_is() -> None:
    fresh = begun()
    assert (fresh.mark, fresh.read, fresh.is_settled) == (START, 100, True)


def test_a_block_without_cars_is_settled_as_soon_as_it_is_read() -> None:
    moved = begun()
    moved.open(101, "of block 101", [])
    assert moved.mark == Mark(101, 101, "of block 101")
    assert moved.is_settled


def test_a_block_is_settled_when_its_last_event_is() -> None:
    moved = begun()
    events = events_of(101, 3)
    moved.open(101, "of block 101", events)
    for one in events[:2]:
        moved.settle([one])
        assert (moved.mark, moved.is_settled) == (START, False)
    moved.settle(events[2:])
    assert (moved.mark.height, moved.is_settled) == (101, True)


def test_the_mark_waits_for_the_first_block_that_is_open_and_then_passes_all_that_are_done() -> None:
    moved = begun()
    for height in (101, 102, 103, 104):
        moved.open(height, "", events_of(height, 1))
    moved.settle(events_of(103, 1))
    moved.settle(events_of(102, 1))
    assert (moved.mark.height, moved.read) == (100, 104)
    moved.settle(events_of(101, 1))
    assert moved.mark.height == 103


def test_the_anchor_is_the_last_settled_block_with_transactions() -> None:
    moved = begun()
    moved.open(101, "", [])
    assert moved.mark == Mark(101, 98, "of block 98")
    moved.open(102, "of block 102", events_of(102, 1))
    moved.open(103, "of block 103", [])
    moved.open(104, "", [])
    assert moved.mark == Mark(101, 98, "of block 98")
    moved.settle(events_of(102, 1))
    assert moved.mark == Mark(104, 103, "of block 103")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, int]], list[bool]]:
    """Events per block, their order of settling, and whether the next step reads a block if it may also settle one."""
    counts = draw(st.lists(st.integers(0, 3), max_size=8))
    events = [(place, number) for place, count in enumerate(counts) for number in range(count)]
    return counts, draw(st.permutations(events)), draw(st.lists(st.booleans(), min_size=40, max_size=40))


@given(histories())
def test_the_mark_is_always_just_below_the_first_block_that_is_not_settled(
    history: tuple[list[int], list[tuple[int, int]], list[bool]],
) -> None:
    counts, order, choices = history
    moved = begun()
    unread = list(enumerate(counts))
    left: dict[int, int] = {}
    waiting = list(order)
    for reads_first in choices:
        may_settle = next((one for one in waiting if 101 + one[0] in left), None)
        if unread and (reads_first or may_settle is None):
            place, count = unread.pop(0)
            height = 101 + place
            # Every other block has transactions.
            moved.open(height, f"of block {height}" if height % 2 else "", events_of(height, count))
            left[height] = count
        elif may_settle is not None:
            waiting.remove(may_settle)
            height = 101 + may_settle[0]
            moved.settle([event(height, may_settle[1])])
            left[height] -= 1
        settled = list(itertools.takewhile(lambda height: left[height] == 0, sorted(left)))
        anchors = [height for height in settled if height % 2]
        assert moved.mark.height == (settled[-1] if settled else 100)
        assert (moved.mark.anchor_height, moved.mark.anchor) == (
            (anchors[-1], f"of block {anchors[-1]}") if anchors else (98, "of block 98")
        )
        assert moved.read == max(left, default=100)
        assert moved.is_settled == (not any(left.values()))


# ---- room


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MAX_EVENTS", 5)
    monkeypatch.setattr(progress, "MAX_BYTES", 1_000)


def waiting_for_room(moved: Progress) -> threading.Thread:
    """A thread that waits for room, which it has not yet found."""
    thread = threading.Thread(target=moved.wait_for_room)
    thread.start()
    thread.join(0.1)
    return thread


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(("count", "size"), [(5, 10), (1, 1_000), (1, 100_000)], ids=["events", "bytes", "one block"])
def test_reading_waits_while_too_much_is_under_way_and_goes_on_at_once_when_there_is_room(
    count: int, size: int
) -> None:
    moved = begun()
    moved.wait_for_room()
    events = events_of(101, count, size)
    moved.open(101, "", events)
    thread = waiting_for_room(moved)
    assert thread.is_alive()
    began = time.monotonic()
    moved.settle(events[:1])
    thread.join(5)
    assert not thread.is_alive()
    assert time.monotonic() - began < progress.LOOK_AGAIN_S / 2


@pytest.mark.usefixtures("little_room")
@given(st.lists(st.integers(0, 7), min_size=1, max_size=20))
def test_no_more_than_allowed_and_one_block_is_ever_under_way(counts: list[int]) -> None:
    moved = begun()
    under_way: list[list[CarEvent]] = []
    for height, count in enumerate(counts, 101):
        while not moved._has_room():
            moved.settle(under_way.pop())
        moved.wait_for_room()
        assert sum(map(len, under_way)) < 5
        under_way.append(events_of(height, count))
        moved.open(height, "", under_way[-1])
    for events in under_way:
        moved.settle(events)
    assert moved.mark.height == 100 + len(counts)


@pytest.mark.usefixtures("little_room")
def test_a_stop_ends_the_wait_for_room() -> None:
    bell = Bell()
    moved = Progress(START, bell)
    moved.open(101, "", events_of(101, 5))
    threading.Timer(0.05, bell.stop).start()
    began = time.monotonic()
    with pytest.raises(StopRequestedError):
        moved.wait_for_room()
    assert time.monotonic() - began < progress.LOOK_AGAIN_S / 2


def settling(moved: Progress, events: list[CarEvent]) -> Callable[[], None]:
    def settle() -> None:
        for one in events:
            moved.settle([one])

    return settle


def test_several_lanes_may_settle_while_more_is_read() -> None:
    moved = begun()
    blocks = [events_of(height, 8) for height in range(101, 301)]
    for events in blocks:
        moved.open(events[0].height, "", events)
    by_lane = [[event for events in blocks for event in events[lane::4]] for lane in range(4)]
    threads = [threading.Thread(target=settling(moved, events)) for events in by_lane]
    for thread in threads:
        thread.start()
    marks = []
    for height in range(301, 401):
        moved.open(height, "", [])
        marks.append(moved.mark.height)
    for thread in threads:
        thread.join()
    assert (moved.mark.height, moved.is_settled) == (400, True)
    assert marks == sorted(marks)
