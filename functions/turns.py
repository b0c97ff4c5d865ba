"""Writers of one thing take turns, and one turn writes for all who wait.

Batches that run side by side in one process touch the same drivers. Each alone would read, decide, and lose to the
quickest; together they need one read and one write. It does not know what is written.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec


class _Waiting[Part](msgspec.Struct):
    """Parts that are to be written, and a future that is done when they are."""

    parts: Sequence[Part]
    written: asyncio.Future[None]


class Turns[Part]:
    """Turns at things that are told apart by a key. `write` writes parts of one thing, all or none.

    Parts that are handed in together stay together and in their order. A turn takes as many of those who wait as make
    `at_once` parts. What is refused together is written again, each one's parts alone, so that nobody fails for
    another; but for errors of the kind `outage`, which all of them get.
    """

    def __init__(
        self, write: Callable[[str, Sequence[Part]], Awaitable[None]], at_once: int, outage: type[Exception]
    ) -> None:
        self._write = write
        self._at_once = at_once
        self._outage = outage
        self._queues: dict[str, list[_Waiting[Part]]] = {}
        self._writers: set[asyncio.Task[None]] = set()

    async def write(self, key: str, parts: Sequence[Part]) -> None:
        """Have the parts written. Raises what writing them raises."""
        mine = _Waiting(parts, asyncio.get_running_loop().create_future())
        if key in self._queues:
            self._queues[key].append(mine)
        else:
            self._queues[key] = [mine]
            writer = asyncio.create_task(self._work_off(key))
            # The loop itself keeps no task alive.
            self._writers.add(writer)
            writer.add_done_callback(self._writers.discard)
        await mine.written

    async def _work_off(self, key: str) -> None:
        """Write until nobody waits."""
        queue = self._queues[key]
        turn: list[_Waiting[Part]] = []
        try:
            while queue:
                turn = self._next_turn(queue)
                await self._write_for(key, turn)
        finally:
            # Whatever ends this, as a cancellation or the end of the process does, nobody waits for ever.
            del self._queues[key]
            for left in (*turn, *queue):
                left.written.cancel()

    def _next_turn(self, queue: list[_Waiting[Part]]) -> list[_Waiting[Part]]:
        """Take the first of the queue out of it, and those behind them for whom there is room."""
        turn = [queue.pop(0)]
        number = len(turn[0].parts)
        while queue and number + len(queue[0].parts) <= self._at_once:
            number += len(queue[0].parts)
            turn.append(queue.pop(0))
        return turn

    async def _write_for(self, key: str, turn: Sequence[_Waiting[Part]]) -> None:
        try:
            await self._write(key, [part for one in turn for part in one.parts])
        except Exception as error:  # noqa: BLE001  whoever waits for it gets it
            if len(turn) > 1 and not isinstance(error, self._outage):
                for one in turn:
                    await self._write_for(key, [one])
                return
            outcome: Exception | None = error
        else:
            outcome = None
        for one in turn:
            _settle(one.written, outcome)


def _settle(written: asyncio.Future[None], error: Exception | None) -> None:
    """Let whoever waits go on, unless they have given up."""
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
