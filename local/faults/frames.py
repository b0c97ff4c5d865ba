"""The frames of one WebSocket, carried between its two ends through the link's faults.

Pings and pongs pass, so that a stream that is silenced still looks alive.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from wsproto import ConnectionType
from wsproto.connection import Connection as Protocol
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Message, TextMessage

from local.faults.fault import Kind, Level
from local.faults.link import Link
from local.faults.racing import until_one_ends

LOOK_S = 0.05
"""How often a flood sends, and how often it is looked whether what was held back may go on."""

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
        self._begun: list[Any] = []
        """What has come of a message that is still on its way from the server."""
        self._held: list[Event] = []

    async def carry(self) -> None:
        """Carry frames until both ends have closed. Raises what a lost connection raises."""
        await until_one_ends(self._upwards(), self._downwards(), self._beside())

    def _is_over(self) -> bool:
        return self._client.state is self._server.state is ConnectionState.CLOSED

    async def _upwards(self) -> None:
        while True:
            for event in self._client.events():
                self._to_server(_sent(self._server, event))
            if self._is_over():
                return
            piece = await self._from_client()
            if _is_end(self._client, piece):
                return
            self._client.receive_data(piece)

    async def _downwards(self) -> None:
        while True:
            for event in self._server.events():
                for passing in self._in_place_of(event):
                    await self._to_client(_sent(self._client, passing))
            if self._is_over():
                return
            piece = await self._from_server()
            if _is_end(self._server, piece):
                return
            self._server.receive_data(piece)

    def _in_place_of(self, event: Event) -> list[Event]:
        """What the client gets when the server has sent this."""
        if isinstance(event, CloseConnection):
            return [*self._let_go(), event]
        if not isinstance(event, Message):
            return [event]
        self._begun.append(event.data)
        if not event.message_finished:
            return []
        whole = replace(event, data=type(event.data)().join(self._begun))
        self._begun = []
        if self._held:
            return [whole, *self._let_go()]
        fault = self._link.hit(Level.FRAMES, Kind.FLOOD)
        match fault.kind if fault else None:
            case Kind.DROP | Kind.SILENCE:
                return []
            case Kind.REPEAT:
                return [whole, whole]
            case Kind.REORDER:
                self._held = [whole]
                return []
            case Kind.GARBLE:
                return list(_garbled(whole))
        return [whole]

    def _let_go(self) -> list[Event]:
        held, self._held = self._held, []
        return held

    async def _beside(self) -> None:
        """Send what no frame of the server brings about: events that nobody committed, and what is held no more."""
        height, due = 0, 0.0
        while True:
            await asyncio.sleep(LOOK_S)
            fault = self._link.fault
            if fault is None or fault.kind is not Kind.REORDER:
                for held in self._let_go():
                    await self._to_client(_sent(self._client, held))
            due = due + fault.amount * LOOK_S if fault is not None and fault.kind is Kind.FLOOD else 0.0
            for _ in range(int(due)):
                due -= 1
                if self._link.hit(Level.FRAMES):
                    height += 1
                    invented = f'{{"height": {height}, "asset_id": "{0:064d}", "transaction_id": "{height:064d}"}}'
                    await self._to_client(_sent(self._client, TextMessage(data=invented)))


def _sent(protocol: Protocol, event: Event) -> bytes:
    """A frame, as an end is sent it; nothing once that end is closing, but for the closing itself."""
    if protocol.state is ConnectionState.OPEN or (
        protocol.state is ConnectionState.REMOTE_CLOSING and isinstance(event, CloseConnection)
    ):
        return protocol.send(event)
    return b""


def _is_end(end: Protocol, piece: bytes) -> bool:
    """Whether an end is gone. Raises ConnectionResetError when it goes before either said so, by a closing frame."""
    if not piece and end.state is ConnectionState.OPEN:
        raise ConnectionResetError
    return not piece


def _garbled(event: Message[Any]) -> Iterator[Event]:
    """An event's first half, one bit of it turned, as text where it still is one."""
    text = event.data if isinstance(event, TextMessage) else ""
    half = bytearray(text[: max(1, len(text) // 2)].encode() or b"\0")
    half[-1] ^= 1
    try:
        yield TextMessage(data=half.decode())
    except UnicodeDecodeError:
        yield BytesMessage(data=bytes(half))
