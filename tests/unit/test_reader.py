"""The reader that runs ahead of delivery: what it gives out, in which order, and how far ahead it asks."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from relay import reader
from relay.bell import Bell
from relay.errors import LedgerError, StopRequestedError
from relay.reader import Reader
from tests.integration.conftest import eventually

WORKERS = 8
ENDLESS = 10**9


@dataclass(frozen=True)
class Read:
    """What is read at a height."""

    height: int
    size: int = 1


class Ledger:
    """Blocks up to a tip, which are read as a test wants it."""

    def __init__(self, tip: int = ENDLESS) -> None:
        self.tip = tip
        self.size = 1
        self.asked: list[int] = []
        self.at_once = 0
        self.most_at_once = 0
        self.faults: dict[int, Exception] = {}
        self.missing: set[int] = set()
        self.pause: Callable[[int], float] = lambda _height: 0.0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._lock = threading.Lock()

    def read(self, height: int) -> Read | None:
        with self._lock:
            self.asked.append(height)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.may_answer.wait(10)
            time.sleep(self.pause(height))
            if height in self.faults:
                raise self.faults[height]
            return Read(height, self.size) if height <= self.tip and height not in self.missing else None
        finally:
            with self._lock:
                self.at_once -= 1


@pytest.fixture
def bell() -> Bell:
    return Bell()


Start = Callable[[Ledger], Reader[Read]]


@pytest.fixture
def start(bell: Bell) -> Iterator[Start]:
    """Starts readers, whose threads must end after the test."""
    before = set(threading.enumerate())
    ledgers: list[Ledger] = []
    readers: list[Reader[Read]] = []

    def start(ledger: Ledger) -> Reader[Read]:
        ledgers.append(ledger)
        readers.append(Reader(ledger.read, WORKERS, bell))
        return readers[-1]

    yield start
    for ledger in ledgers:
        ledger.may_answer.set()
    for one in readers:
        one.stop()
    eventually(lambda: set(threading.enumerate()) <= before, within=5)


def read_all(blocks: Reader[Read], heights: Iterable[int]) -> list[Read | None]:
    return [blocks.next(height) for height in heights]


def has_read_up_to(ledger: Ledger, height: int) -> Callable[[], bool]:
    """Whether every block up to this one was read, and nothing is being read."""
    return lambda: sorted(ledger.asked) == list(range(1, height + 1)) and ledger.at_once == 0


def test_blocks_come_in_order_however_long_each_takes_to_read(start: Start) -> None:
    ledger = Ledger()
    dice = random.Random(1)
    ledger.pause = lambda _height: dice.uniform(0.0, 0.005)
    blocks = start(ledger)
    assert read_all(blocks, range(1, 101)) == [Read(height) for height in range(1, 101)]
    assert sorted(ledger.asked) == list(range(1, len(ledger.asked) + 1))


def test_the_first_question_is_for_one_block_and_then_for_more_and_more_up_to_a_bound(start: Start) -> None:
    ledger = Ledger()
    blocks = start(ledger)
    for height, ahead in enumerate([0, 0, 0, 1, 3, 7, 7, 7, 7, 7], 1):
        blocks.next(height)
        eventually(has_read_up_to(ledger, height + ahead), within=5)


def test_at_the_tip_one_block_is_asked_for_although_an_empty_one_follows_each(start: Start) -> None:
    ledger = Ledger(tip=0)
    blocks = start(ledger)
    for tip in range(2, 20, 2):
        ledger.tip = tip
        read_all(blocks, range(tip - 1, tip + 2))
        assert max(ledger.asked) == tip + 1


def test_several_blocks_are_read_at_once_and_never_more_than_there_are_workers(start: Start) -> None:
    ledger = Ledger()
    ledger.pause = lambda _height: 0.002
    blocks = start(ledger)
    read_all(blocks, range(1, 101))
    assert ledger.most_at_once == WORKERS


def test_large_blocks_are_not_read_ahead_beyond_what_memory_allows(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAX_AHEAD_BYTES", 3_000)
    ledger = Ledger()
    ledger.size = 1_000
    blocks = start(ledger)
    for height in range(1, 20):
        blocks.next(height)
        assert max(ledger.asked) - height < 3
    ledger.size = 100_000
    read_all(blocks, range(20, 30))
    assert max(ledger.asked) == 29


def test_above_the_tip_there_is_none_until_the_block_is_there(start: Start) -> None:
    ledger = Ledger(tip=1)
    blocks = start(ledger)
    assert [blocks.next(1), blocks.next(2), blocks.next(2)] == [Read(1), None, None]
    ledger.tip = 2
    assert blocks.next(2) == Read(2)


def test_at_the_tip_one_block_is_asked_for_and_nothing_is_ahead(start: Start) -> None:
    ledger = Ledger(tip=20)
    blocks = start(ledger)
    read_all(blocks, range(1, 21))
    assert blocks.is_ahead
    assert blocks.next(21) is None
    assert not blocks.is_ahead
    eventually(has_read_up_to(ledger, 28), within=5)
    ledger.asked.clear()
    assert read_all(blocks, [21, 21]) == [None, None]
    assert ledger.asked == [21, 21]


def test_what_was_read_beyond_a_height_that_is_not_there_is_read_again(start: Start) -> None:
    ledger = Ledger()
    blocks = start(ledger)
    # This one is asked of a node that is behind, those beyond of another.
    ledger.missing.add(5)
    assert read_all(blocks, range(1, 6)) == [*(Read(height) for height in range(1, 5)), None]
    eventually(has_read_up_to(ledger, 8), within=5)
    ledger.missing.clear()
    ledger.size = 2
    assert read_all(blocks, range(5, 13)) == [Read(height, 2) for height in range(5, 13)]


@pytest.mark.parametrize("error", [LedgerError("no answer", 3.0), ValueError("a fault of our own")], ids=repr)
def test_what_reading_raises_is_raised_to_the_one_who_asked_for_that_block(start: Start, error: Exception) -> None:
    ledger = Ledger()
    ledger.faults[6] = error
    blocks = start(ledger)
    assert read_all(blocks, range(1, 6)) == [Read(height) for height in range(1, 6)]
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            blocks.next(6)
        assert caught.value is error
    assert not blocks.is_ahead
    ledger.faults.clear()
    assert read_all(blocks, range(6, 9)) == [Read(height) for height in range(6, 9)]


def test_after_an_error_one_block_is_asked_for(start: Start) -> None:
    ledger = Ledger()
    ledger.faults[6] = LedgerError("no answer")
    blocks = start(ledger)
    with pytest.raises(LedgerError):
        read_all(blocks, range(1, 7))
    eventually(has_read_up_to(ledger, 13), within=5)
    ledger.asked.clear()
    with pytest.raises(LedgerError):
        blocks.next(6)
    assert ledger.asked == [6]


def test_delivery_may_begin_again_from_another_height(start: Start) -> None:
    ledger = Ledger()
    blocks = start(ledger)
    read_all(blocks, range(1, 11))
    assert read_all(blocks, [3, 4, 100, 101]) == [Read(height) for height in (3, 4, 100, 101)]


def test_a_stop_ends_the_wait_for_a_block_that_does_not_come(start: Start, bell: Bell) -> None:
    ledger = Ledger()
    ledger.may_answer.clear()
    blocks = start(ledger)
    threading.Timer(0.05, bell.stop).start()
    began = time.monotonic()
    with pytest.raises(StopRequestedError):
        blocks.next(1)
    assert time.monotonic() - began < 1.0


def test_a_hint_that_comes_while_a_block_is_being_read_is_still_there_afterwards(start: Start, bell: Bell) -> None:
    ledger = Ledger(tip=0)
    ledger.pause = lambda _height: 0.3
    blocks = start(ledger)
    threading.Timer(0.05, bell.ring).start()
    assert blocks.next(1) is None
    began = time.monotonic()
    bell.wait(5)
    assert time.monotonic() - began < 1.0


def test_its_threads_end_when_it_is_stopped_though_nobody_takes_what_they_read(start: Start) -> None:
    before = set(threading.enumerate())
    blocks = start(Ledger())
    read_all(blocks, range(1, 5))
    blocks.stop()
    eventually(lambda: set(threading.enumerate()) <= before, within=5)
