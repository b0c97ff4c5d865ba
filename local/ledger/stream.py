"""The server's own event stream, hardened by default so that one subscriber cannot harm the others.

BigchainDB's publisher writes to one subscriber after the other and waits for each: one that stops reading holds up all,
and one that is reset meanwhile, or joins, ends the publisher for good while every socket stays open. `Dispatcher`, the
server's class, has these bugs; `HardenedDispatcher` has not. Frames and pongs are the server's in both cases. How
events come about is not known here.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

from aiohttp import web
from bigchaindb.web.websocket_server import EVENTS_ENDPOINT, Dispatcher, websocket_handler

__all__ = ["EVENTS_ENDPOINT", "Dispatcher", "EventFeed", "EventStream", "HardenedDispatcher"]

# Events, of about 200 bytes, that a subscriber of the hardened stream may be behind by, beyond what its socket holds.
MAX_BEHIND = 50_000
# Seconds that connections get to end by themselves; a stuck one never would. (aiohttp takes zero for "wait for ever".)
STOP_GRACE = 0.1

logger = logging.getLogger(__name__)


class EventFeed:
    """Carries events from the node's thread to the publisher in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.events: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, event: Any) -> None:
        """Hand over one event of the server, from any thread."""
        self._loop.call_soon_threadsafe(self.events.put_nowait, event)


class Outbox:
    """What one subscriber has yet to be sent."""

    def __init__(self, websocket: web.WebSocketResponse, on_end: Callable[[], None]) -> None:
        self._websocket = websocket
        self._waiting: asyncio.Queue[str] = asyncio.Queue(MAX_BEHIND)
        self._sending = asyncio.create_task(self._send())
        self._sending.add_done_callback(lambda _: on_end())

    async def send_str(self, text: str) -> None:
        """Take one frame; drop the subscriber when it is too far behind.

        It never gives up control, which makes the publisher's walk over its subscribers safe from those who join or
        leave during it.
        """
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self._drop()

    def close(self) -> None:
        """Send nothing more."""
        self._sending.cancel()

    def _drop(self) -> None:
        if self._sending.cancelling() or self._sending.done():
            return
        logger.warning("A subscriber is %d events behind: dropped", MAX_BEHIND)
        self._sending.cancel()
        # A closing handshake would wait for a peer that does not read. This ends the connection at once, which the
        # server's handler then notices; that the peer has gone already is as good.
        connection = self._websocket.get_extra_info("socket")
        with contextlib.suppress(OSError):
            if connection is not None:
                connection.shutdown(socket.SHUT_RDWR)

    async def _send(self) -> None:
        try:
            while True:
                await self._websocket.send_str(await self._waiting.get())
        except ConnectionError:
            logger.debug("A subscriber has gone")


class HardenedDispatcher(Dispatcher):  # type: ignore[misc]  # the server has no types
    """The server's dispatcher with an outbox for each subscriber."""

    subscribers: dict[UUID, Outbox]

    def subscribe(self, uuid: UUID, websocket: web.WebSocketResponse) -> None:
        """Send every event from now on to `websocket`."""
        self.subscribers[uuid] = Outbox(websocket, on_end=lambda: self.unsubscribe(uuid))

    def unsubscribe(self, uuid: UUID) -> None:
        """Send nothing more to it. The server's code forgets this call when a pong fails, the outbox does not."""
        if outbox := self.subscribers.pop(uuid, None):
            outbox.close()


class EventStream:
    """The event stream on a socket that listens already; it belongs to the running event loop."""

    def __init__(self, feed: EventFeed, dispatcher: type[Dispatcher], listener: socket.socket) -> None:
        self._dispatcher = dispatcher(feed.events)
        app = web.Application()
        app["dispatcher"] = self._dispatcher  # the server's handler looks it up by this name
        app.router.add_get(EVENTS_ENDPOINT, websocket_handler)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_GRACE)
        self._listener = listener

    async def start(self) -> None:
        """Accept subscribers and publish to them."""
        self._publishing = asyncio.create_task(self._dispatcher.publish())
        self._publishing.add_done_callback(_log_end_of_publisher)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listener).start()

    async def stop(self) -> None:
        """Stop publishing and close every connection, those of stuck clients too."""
        self._publishing.cancel()
        await self._runner.cleanup()


def _log_end_of_publisher(publishing: asyncio.Task[None]) -> None:
    if not publishing.cancelled():
        logger.error(
            "The event publisher has ended: no subscriber will ever get an event again", exc_info=publishing.exception()
        )
