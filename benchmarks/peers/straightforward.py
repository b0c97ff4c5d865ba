"""The asyncio way: a socket that fills a bounded queue, workers that fetch and post, and retries with backoff.

It reconnects, pings the node, reads the Function's answer, and tries each event five times, which takes 7.5 s when the
answers come at once. It keeps no checkpoint, and a car's events may overtake each other between its workers.
`python -m benchmarks.peers.straightforward`; settings: event.Settings.
"""

import asyncio
import logging
import sys
from asyncio import TaskGroup

import aiohttp

from benchmarks.peers.event import Json, Settings, batch_of

WORKERS = 8
QUEUED = 1000
ATTEMPTS = 5
FIRST_WAIT_S = 0.5
RECONNECT_S = 1.0
HEARTBEAT_S = 30.0
TIMEOUT = aiohttp.ClientTimeout(total=10)
SETTLED = {"applied", "duplicate", "ignored", "rejected"}

Try = tuple[Json, int]
"""An event, and which attempt at it comes next, from 1."""

log = logging.getLogger("straightforward")


class NotSettledError(RuntimeError):
    """The Function took an event, and did not apply it this time."""


async def listen(settings: Settings, session: aiohttp.ClientSession, events: asyncio.Queue[Try]) -> None:
    """Put the events of the stream into the queue; connect again whenever the connection ends."""
    while True:
        try:
            async with session.ws_connect(settings.stream_url, heartbeat=HEARTBEAT_S) as stream:
                async for message in stream:
                    await events.put((message.json(), 1))
        except (aiohttp.ClientError, OSError) as error:
            log.warning("stream: %s", type(error).__name__)
        await asyncio.sleep(RECONNECT_S)


async def work(
    settings: Settings, session: aiohttp.ClientSession, events: asyncio.Queue[Try], tasks: TaskGroup
) -> None:
    """Forward what is in the queue; what does not get through goes into it again, and at last is given up."""
    while True:
        event, attempt = await events.get()
        try:
            await forward(settings, session, event)
        except (aiohttp.ClientError, OSError, NotSettledError) as error:
            log.warning("transaction %s, attempt %d: %s", event["transaction_id"], attempt, error)
            if attempt < ATTEMPTS:
                tasks.create_task(try_again(events, (event, attempt + 1)))
            else:
                log.error("transaction %s is given up", event["transaction_id"])  # noqa: TRY400  # the cause is logged


async def try_again(events: asyncio.Queue[Try], after: Try) -> None:
    """Put an event into the queue for its next attempt, when it is time."""
    await asyncio.sleep(FIRST_WAIT_S * 2 ** (after[1] - 2))
    await events.put(after)


async def forward(settings: Settings, session: aiohttp.ClientSession, event: Json) -> None:
    """Fetch the transaction that an event names, and post it. Raises NotSettledError and aiohttp.ClientError."""
    async with session.get(settings.transaction_url(event), timeout=TIMEOUT) as found:
        found.raise_for_status()
        batch = batch_of(await found.json(), event["height"], settings.ledger)
    async with session.post(settings.function_url, data=batch, headers=settings.headers, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        outcome = (await answer.json())["results"][0]["outcome"]
    if outcome not in SETTLED:
        raise NotSettledError(outcome)


async def run(settings: Settings) -> None:
    """Run until killed."""
    events: asyncio.Queue[Try] = asyncio.Queue(QUEUED)
    async with aiohttp.ClientSession() as session, TaskGroup() as tasks:
        tasks.create_task(listen(settings, session, events))
        for _ in range(WORKERS):
            tasks.create_task(work(settings, session, events, tasks))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    asyncio.run(run(Settings.from_environment()))
