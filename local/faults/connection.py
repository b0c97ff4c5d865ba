"""One connection of a client, carried to the server over one connection of its own, through the link's faults.

The two live and die together: a server that ends a connection, or is killed, ends the client's too, as it would without
a proxy, and a client that goes away while it is answered ends the server's. What it sent before still comes to the
server, as over a slow network. HTTP messages are taken apart and passed on whole; after an upgrade, WebSocket messages.
"""

import asyncio
import contextlib
import http
import math
import socket
import struct
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Callable, Iterable, Iterator

import h11
from wsproto.utilities import LocalProtocolError

from local.faults import answers
from local.faults.answers import Answer, Request
from local.faults.fault import Fault, Kind, Level
from local.faults.frames import Stream
from local.faults.link import Link
from local.faults.racing import until_one_ends

PIECE = 64 * 1024
LOOK_S = 0.02
"""How often it is looked whether a fault is over."""
TRICKLES = 10
"""In so many parts a slow body comes."""
FOR_REQUESTS, FOR_ANSWERS = (Kind.STALL_REQUESTS,), (Kind.STALL_ANSWERS, Kind.TRUNCATE)
"""Faults of one direction."""
FRAMING = {"connection", "content-length", "keep-alive", "te", "transfer-encoding"}
"""Headers that say how a message is carried: each side has its own."""


class _LostError(Exception):
    """The connection is over, by a fault or by one of its ends."""


class Connection:
    """A client's connection over a link. `carry` returns when it is over."""

    def __init__(self, link: Link, reader: Reader, writer: Writer) -> None:
        self._link = link
        self._client = writer
        self._server: Writer | None = None
        self._from_client = _Source(reader)
        self._from_server = _Source(None)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=PIECE)
        self._is_idle = True
        self._is_last = False
        """Whether the server has said that it ends the connection."""

    async def carry(self) -> None:
        """Carry requests and answers, then frames, until one end closes or a fault ends it."""
        try:
            await self._refuse_half_open()
            reader, self._server = await asyncio.open_connection(*self._link.server)
            self._from_server = _Source(reader, at_end=self._end_if_idle)
            while await self._exchange():
                pass
        except (_LostError, OSError, h11.ProtocolError, LocalProtocolError):
            if not self._client.is_closing():
                _reset(self._client)
        except asyncio.CancelledError:
            for writer in (self._client, self._server):
                if writer is not None:
                    writer.transport.abort()
            raise
        finally:
            self._from_client.close()
            self._from_server.close()
            for writer in (self._client, self._server):
                if writer is not None:
                    writer.close()

    async def _refuse_half_open(self) -> None:
        fault = self._link.fault
        if fault is not None and fault.kind is Kind.HALF_OPEN:
            self._link.hit(Level.BYTES)
            await until_one_ends(self._outlast(fault), self._from_client.ended.wait())
            raise _LostError

    def _end_if_idle(self) -> None:
        if self._is_idle:
            self._client.close()

    # ---- bytes

    async def _outlast(self, fault: Fault, until: float = math.inf) -> None:
        """Wait until a moment of the loop's clock, or until the fault is over."""
        now = asyncio.get_running_loop().time
        while self._link.fault is fault and (left := until - now()) > 0:  # noqa: ASYNC110  # switched in another thread
            await asyncio.sleep(min(LOOK_S, left))

    async def _endure(self, fault: Fault, seconds: float) -> None:
        await self._outlast(fault, asyncio.get_running_loop().time() + seconds)

    async def _suffer(self, piece: bytes, *, is_answer: bool) -> bytes:
        """Put a piece through the link's fault; what is left of it."""
        fault = self._link.hit(Level.BYTES, *(FOR_REQUESTS if is_answer else FOR_ANSWERS))
        match fault.kind if fault else None:
            case Kind.DELAY if fault:
                source = self._from_server if is_answer else self._from_client
                await self._outlast(fault, source.came_at + fault.amount)
            case Kind.BANDWIDTH if fault:
                await self._endure(fault, len(piece) / fault.amount)
            case Kind.STALL_REQUESTS | Kind.STALL_ANSWERS if fault:
                await self._outlast(fault)
            case Kind.HALF_OPEN if fault:
                await self._outlast(fault)
                raise _LostError
            case Kind.RESET:
                raise _LostError
            case Kind.TRUNCATE if fault:
                self._client.write(piece[: int(fault.amount)])
                await self._client.drain()
                self._client.close()
                raise _LostError
        return piece

    async def _from_client_piece(self) -> bytes:
        piece = await self._from_client.next()
        return await self._suffer(piece, is_answer=False) if piece else piece

    async def _to_client(self, piece: bytes) -> None:
        self._client.write(await self._suffer(piece, is_answer=True))
        await self._client.drain()

    # ---- HTTP

    async def _exchange(self) -> bool:
        """One request and its answer; whether the connection goes on with another."""
        request = await self._next_request()
        if request is None:
            return False
        self._is_idle = False
        self._link.requests += 1
        if request.headers.get("upgrade", "").lower() == "websocket":
            await self._open_stream(request)
            return False
        await until_one_ends(self._answer(request), self._from_client.ended.wait())
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._is_idle = True
        return not self._from_server.ended.is_set()

    async def _next_request(self) -> Request | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            match event := self._http.next_event():
                case h11.NEED_DATA:
                    self._http.receive_data(await self._from_client_piece())
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage() if head is not None:
                    return Request(head.method.decode(), head.target.decode(), _named(head.headers), bytes(body))
                case _:
                    return None

    async def _answer(self, request: Request) -> None:
        fault = self._link.hit(Level.REQUESTS, *answers.unmoved(request))
        kind = fault.kind if fault else None
        if kind is Kind.LOST_BEFORE:
            raise _LostError
        answer = answers.instead(fault, request) if fault else None
        if answer is None:
            if kind is Kind.TWICE:
                await self._ask(request)
            answer = await self._ask(request)
        if kind is Kind.LOST_AFTER:
            raise _LostError
        if kind is Kind.LATE and fault:
            await self._endure(fault, fault.amount)
        if kind is Kind.ID_MISSING:
            answer = answers.without_one(answer) or answer
        await self._hand_on(answer, fault if kind is Kind.SLOW_BODY else None)

    async def _ask(self, request: Request) -> Answer:
        """The server's answer to a request."""
        if self._server is None:
            raise _LostError
        protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=PIECE)
        headers = [(name, text) for name, text in _raw(request.headers) if name.decode() not in FRAMING]
        if request.body or request.method not in {"GET", "DELETE", "HEAD"}:
            headers += _raw({"content-length": str(len(request.body))})
        _send(self._server, protocol, request, headers)
        await self._server.drain()
        answer = await self._read_answer(protocol)
        if self._link.observe is not None:
            self._link.observe(request, answer)
        return answer

    async def _read_answer(self, protocol: h11.Connection) -> Answer:
        head: h11.Response | None = None
        body = bytearray()
        while True:
            match event := protocol.next_event():
                case h11.NEED_DATA:
                    protocol.receive_data(await self._from_server.next())
                case h11.Response():
                    head = event
                case h11.Data():
                    body += event.data
                case h11.EndOfMessage() if head is not None:
                    named = _named(head.headers)
                    self._is_last = named.get("connection", "").lower() == "close" or head.http_version == b"1.0"
                    kept = {name: text for name, text in named.items() if name not in FRAMING}
                    return Answer(head.status_code, kept, bytes(body))
                case h11.InformationalResponse(status_code=101):
                    return Answer(101, _named(event.headers))
                case h11.InformationalResponse():
                    pass
                case _:
                    raise _LostError

    async def _hand_on(self, answer: Answer, slow: Fault | None = None) -> None:
        headers = _raw(answer.headers)
        if answer.status not in {204, 304}:
            headers += _raw({"content-length": str(len(answer.body))})
        if self._is_last or self._from_server.ended.is_set():
            headers += _raw({"connection": "close"})
        head = (
            self._http.send(h11.Response(status_code=answer.status, headers=headers, reason=_reason(answer.status)))
            or b""
        )
        body = self._http.send(h11.Data(data=answer.body)) or b""
        end = self._http.send(h11.EndOfMessage()) or b""
        if slow is None:
            await self._to_client(head + body + end)
            return
        await self._to_client(head)
        for part in _parts(body):
            await self._endure(slow, slow.amount / TRICKLES)
            await self._to_client(part)
        await self._to_client(end)

    # ---- WebSocket

    async def _open_stream(self, request: Request) -> None:
        """Have the server open a WebSocket, and carry its frames until it is over."""
        if self._server is None:
            raise _LostError
        protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=PIECE)
        # Without extensions frames are not compressed, and can be looked into.
        headers = [(name, text) for name, text in _raw(request.headers) if name != b"sec-websocket-extensions"]
        _send(self._server, protocol, request, headers)
        answer = await self._read_answer(protocol)
        if answer.status != 101:
            await self._hand_on(answer)
            return
        opened = h11.InformationalResponse(status_code=101, headers=_raw(answer.headers))
        await self._to_client(self._http.send(opened) or b"")
        await Stream(
            self._link,
            from_client=self._from_client_piece,
            from_server=self._from_server.next,
            to_client=self._to_client,
            to_server=self._server.write,
            sent_already=(self._http.trailing_data[0], protocol.trailing_data[0]),
        ).carry()


class _Source:
    """What one end sends: pieces, then an empty one for ever. Reading goes on by itself, so that the end is noticed."""

    def __init__(self, reader: Reader | None, at_end: Callable[[], None] | None = None) -> None:
        self.ended = asyncio.Event()
        self.came_at = 0.0
        """When the last piece that `next` gave had come, by the loop's clock."""
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        self._at_end = at_end
        self._reading = asyncio.create_task(self._read(reader)) if reader else None

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        self.came_at, piece = await self._pieces.get()
        if not piece:
            self._pieces.put_nowait((self.came_at, b""))
        return piece

    def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()

    async def _read(self, reader: Reader) -> None:
        now = asyncio.get_running_loop().time
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                await self._pieces.put((now(), piece))
        self.ended.set()
        if self._at_end is not None:
            self._at_end()
        await self._pieces.put((now(), b""))


def _send(writer: Writer, protocol: h11.Connection, request: Request, headers: list[tuple[bytes, bytes]]) -> None:
    """Send a request with these headers."""
    head = h11.Request(method=request.method, target=request.target, headers=headers)
    for event in (head, h11.Data(data=request.body), h11.EndOfMessage()):
        writer.write(protocol.send(event) or b"")


def _named(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; those that are repeated in one, as HTTP has it."""
    named: dict[str, str] = {}
    for name, text in headers:
        before = [named[name.decode()]] if name.decode() in named else []
        named[name.decode()] = ", ".join([*before, text.decode("latin-1")])
    return named


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]


def _reason(status: int) -> str:
    return http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""


def _parts(body: bytes) -> Iterator[bytes]:
    size = max(1, -(-len(body) // TRICKLES))
    for begin in range(0, len(body), size):
        yield body[begin : begin + size]


def _reset(writer: Writer) -> None:
    """Make the connection end with RST, whatever was still to be sent."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
