"""The frames of one WebSocket, carried between its two ends through the link's faults.

Pings and pongs pass, so that a stream that is silenced still looks alive.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection as Protocol
from wsproto.events import BytesMessage, CloseConnection, Event, Message, TextMessage

from local.faults.fault import Kind, Level
from local.faults.link import Link

FLOOD_S = 0.05
"""How often a flood sends."""

Receive = Callable[[], Awaitable[bytes]]


class Stream:
    """A WebSocket that both ends have opened.

    `from_client` and `from_server` give what comes, and nothing at the end; `sent_already` is what came of each with
    the opening.
    """

    def __init__(
        self,
        link: Link,
        *,
        from_client: Receive,
        from_server: Receive,
        to_client: Callable[[bytes], Awaitable[None]],
        to_server: Callable[[bytes], None],
        sent_already: tuple[bytes, bytes],
    ) -> None:
        self._link = link
        self._from_client, self._from_server = from_client, from_server
        self._to_client, self._to_server = to_client, to_server
        self._client = Protocol(ConnectionType.SERVER, trailing_data=sent_already[0])
        self._server = Protocol(ConnectionType.CLIENT, trailing_data=sent_already[1])
        self._held: list[Event] = []

    async def carry(self) -> None:
        """Carry frames until one end closes. Raises what a lost connection raises."""
        carrying = [asyncio.create_task(one) for one in (self._upwards(), self._downwards(), self._flood())]
        try:
            done, _ = await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in carrying:
                task.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)

    async def _upwards(self) -> None:
        while True:
            for event in self._client.events():
                self._to_server(self._server.send(event))
                if isinstance(event, CloseConnection):
                    return
            self._client.receive_data(_still_open(await self._from_client()))

    async def _downwards(self) -> None:
        while True:
            for event in self._server.events():
                for passing in self._in_place_of(event):
                    await self._to_client(self._client.send(passing))
                if isinstance(event, CloseConnection):
                    return
            self._server.receive_data(_still_open(await self._from_server()))

    def _in_place_of(self, event: Event) -> list[Event]:
        """What the client gets when the server has sent this."""
        if not isinstance(event, Message):
            return [event]
        fault = self._link.hit(Level.FRAMES, Kind.FLOOD)
        late, self._held = self._held, []
        match fault.kind if fault else None:
            case Kind.DROP | Kind.SILENCE:
                return late
            case Kind.REPEAT:
                return [event, event, *late]
            case Kind.REORDER:
                self._held = [event]
                return late
            case Kind.GARBLE:
                return [*_garbled(event), *late]
        return [event, *late]

    async def _flood(self) -> None:
        """While a flood is on, send events that nobody committed; for ever."""
        height = 0
        while True:
            await asyncio.sleep(FLOOD_S)
            fault = self._link.fault
            if fault is None or fault.kind is not Kind.FLOOD:
                continue
            for _ in range(max(1, int(fault.amount * FLOOD_S))):
                self._link.hit(Level.FRAMES)
                height += 1
                invented = f'{{"height": {height}, "asset_id": "{0:064d}", "transaction_id": "{height:064d}"}}'
                await self._to_client(self._client.send(TextMessage(data=invented)))


def _still_open(piece: bytes) -> bytes:
    """What came. Raises ConnectionResetError at the end: a WebSocket ends with a frame that says so."""
    if not piece:
        raise ConnectionResetError
    return piece


def _garbled(event: Message[Any]) -> Iterator[Event]:
    """An event's first half, one bit of it turned, as text where it still is one."""
    text = event.data if isinstance(event, TextMessage) else ""
    half = bytearray(text[: max(1, len(text) // 2)].encode() or b"\0")
    half[-1] ^= 1
    try:
        yield TextMessage(data=half.decode())
    except UnicodeDecodeError:
        yield BytesMessage(data=bytes(half))
