"""One writer at a time for each thing, who writes for all that wait."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from functions.turns import Turns

AT_ONCE = 4


class OutageError(Exception):
    """The store is down."""


class Store:
    """What was written, turn by turn; each write takes one pass of the loop, or more."""

    def __init__(self, fault: Callable[[Sequence[int]], Exception | None] = lambda _: None) -> None:
        self.turns: list[tuple[str, list[int]]] = []
        self._fault = fault
        self._busy: set[str] = set()

    async def write(self, key: str, parts: Sequence[int]) -> None:
        """Keep the parts, or raise what the fault says of them."""
        assert key not in self._busy, "two writers at once"
        self._busy.add(key)
        await asyncio.sleep(0.001)
        self._busy.discard(key)
        self.turns.append((key, list(parts)))
        if error := self._fault(parts):
            raise error


def written(store: Store, *requests: tuple[str, list[int]]) -> list[BaseException | None]:
    """What became of requests that come at the same time."""

    async def play() -> list[BaseException | None]:
        turns: Turns[int] = Turns(store.write, AT_ONCE, outage=OutageError)
        return await asyncio.gather(*(turns.write(*one) for one in requests), return_exceptions=True)

    return asyncio.run(play())


def test_who_comes_while_another_writes_is_written_for_together() -> None:
    store = Store()

    assert written(store, ("a", [1]), ("a", [2]), ("a", [3])) == [None] * 3
    assert store.turns == [("a", [1, 2, 3])]


def test_a_turn_takes_no_more_parts_than_fit_and_splits_nobodys() -> None:
    store = Store()

    written(store, ("a", [1, 2, 3]), ("a", [4, 5]), ("a", [6]), ("a", [7, 8]))

    assert store.turns == [("a", [1, 2, 3]), ("a", [4, 5, 6]), ("a", [7, 8])]


def test_different_things_are_written_side_by_side() -> None:
    store = Store()

    written(store, ("a", [1]), ("b", [2]))

    assert store.turns == [("a", [1]), ("b", [2])]


def test_nobody_fails_for_what_another_brought() -> None:
    store = Store(lambda parts: ValueError("2 is odd") if 2 in parts else None)

    outcomes = written(store, ("a", [1]), ("a", [2]), ("a", [3]))

    assert [str(one) if one else None for one in outcomes] == [None, "2 is odd", None]
    assert store.turns == [("a", [1, 2, 3]), ("a", [1]), ("a", [2]), ("a", [3])]


def test_an_outage_is_everybodys_and_is_not_tried_for_each() -> None:
    store = Store(lambda _: OutageError("down"))

    outcomes = written(store, ("a", [1]), ("a", [2]))

    assert [str(one) for one in outcomes] == ["down", "down"]
    assert len(store.turns) == 1


def test_who_gives_up_does_not_keep_the_others_from_being_written() -> None:
    store = Store()

    async def play() -> None:
        turns: Turns[int] = Turns(store.write, AT_ONCE, outage=OutageError)
        first, second = (asyncio.create_task(turns.write("a", [number])) for number in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        # And whoever comes later has a turn again.
        await turns.write("a", [3])

    asyncio.run(play())
    assert store.turns == [("a", [1, 2]), ("a", [3])]


def test_a_write_that_is_cancelled_leaves_nobody_waiting_and_the_thing_free() -> None:
    cancelled: list[Exception | None] = [None]

    async def write(key: str, parts: Sequence[int]) -> None:
        await asyncio.sleep(0)
        if cancelled:
            cancelled.pop()
            raise asyncio.CancelledError

    async def play() -> list[BaseException | None]:
        turns: Turns[int] = Turns(write, 1, outage=OutageError)
        first = await asyncio.wait_for(
            asyncio.gather(*(turns.write("a", [one]) for one in (1, 2)), return_exceptions=True), timeout=5
        )
        await asyncio.wait_for(turns.write("a", [3]), timeout=5)
        return first

    assert [type(one) for one in asyncio.run(play())] == [asyncio.CancelledError] * 2


@pytest.mark.parametrize("at_once", [1, 2, 3], ids=["in turns", "the first two together", "all together"])
def test_whoever_waits_for_a_write_that_is_cancelled_gets_an_error(at_once: int) -> None:
    async def write(key: str, parts: Sequence[int]) -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    async def play() -> list[BaseException | None]:
        turns: Turns[int] = Turns(write, at_once, outage=OutageError)
        waiting = asyncio.gather(*(turns.write("a", [one]) for one in (1, 2, 3)), return_exceptions=True)
        return await asyncio.wait_for(waiting, timeout=5)

    assert [type(one) for one in asyncio.run(play())] == [asyncio.CancelledError] * 3


def test_a_cancelled_write_of_one_leaves_none_of_those_waiting_who_failed_together() -> None:
    async def write(key: str, parts: Sequence[int]) -> None:
        await asyncio.sleep(0)
        if len(parts) > 1:
            raise ValueError("one of them is odd")
        raise asyncio.CancelledError

    async def play() -> list[BaseException | None]:
        turns: Turns[int] = Turns(write, AT_ONCE, outage=OutageError)
        waiting = asyncio.gather(*(turns.write("a", [one]) for one in (1, 2, 3)), return_exceptions=True)
        return await asyncio.wait_for(waiting, timeout=2)

    assert [type(one) for one in asyncio.run(play())] == [asyncio.CancelledError] * 3
