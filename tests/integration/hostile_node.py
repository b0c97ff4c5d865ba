"""A server on real sockets that answers as no node and no Function should, over HTTP, WebSocket and TLS.

It sends bytes as a test writes them, without a library that would keep it from lying.
"""

import base64
import contextlib
import hashlib
import itertools
import json
import re
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

Pieces = Iterator[bytes | float]
"""What is sent, piece by piece; a number is a pause in seconds."""
Serve = Callable[[bytes], Pieces]
"""Makes the answer to a request, of which it gets all bytes."""

MIB = 1024 * 1024
DEEP = b"[" * 100_000 + b"]" * 100_000
TEXT, BINARY, CLOSE, PING, CONTINUED = 0x1, 0x2, 0x8, 0x9, 0x0
RSV1 = 0x40
ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class HostileNode:
    """Answers each request with what `serve` makes of it, and closes. `requests` are those that came, whole."""

    def __init__(self, serve: Serve, tls: ssl.SSLContext | None = None) -> None:
        self.serve = serve
        self.connections = 0
        self.requests: list[bytes] = []
        self._tls = tls
        self._is_closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, name="hostile-node")
        self._accepting.start()

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"{scheme}://{host}:{self.port}"

    def close(self) -> None:
        """End it, and hang up on everybody."""
        self._is_closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in (self._accepting, *self._threads):
            thread.join()

    def hang_up(self) -> None:
        """End every connection that there is."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._is_closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._talk, args=(connection,), name="hostile-connection")
            self._threads.append(thread)
            thread.start()

    def _talk(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.add(connection)
            request = b""
            while (missing := _missing(request)) > 0:
                if not (came := connection.recv(missing)):
                    return
                request += came
            self.requests.append(request)
            for piece in self.serve(request):
                if self._is_closing.is_set() or not self._send(connection, piece):
                    return
        except OSError:
            return  # the client has hung up, which is what most tests are about
        finally:
            self._open.discard(connection)
            connection.close()

    def _send(self, connection: socket.socket, piece: bytes | float) -> bool:
        """Send a piece, or wait; False when the client is gone. What it says meanwhile is read and forgotten."""
        end = time.monotonic() + (0 if isinstance(piece, bytes) else piece)
        while True:
            left = end - time.monotonic()
            if select.select([connection], [], [], min(0.05, max(0.0, left)))[0] and not connection.recv(65_536):
                return False
            if left <= 0 or self._is_closing.is_set():
                break
        if isinstance(piece, bytes):
            connection.sendall(piece)
        return True


def _missing(request: bytes) -> int:
    """How many bytes may still be read of a request; 0 when it is whole."""
    head, end, body = request.partition(b"\r\n\r\n")
    if not end:
        return 65_536
    length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.IGNORECASE)
    return int(length[1]) - len(body) if length else 0


def always(*pieces: bytes | float) -> Serve:
    """Answers everything with these pieces."""
    return lambda _: iter(pieces)


def long(start: bytes, again: bytes, times: int, end: bytes, *headers: str, status: str = "200 OK") -> Serve:
    """Answers everything with a body that says the same so many times, and has a right length."""
    length = f"content-length: {len(start) + len(again) * times + len(end)}"
    first = head(length, "connection: close", *headers, status=status) + start
    return lambda _: itertools.chain([first], itertools.repeat(again, times), [end])


def endlessly(first: bytes, *again: bytes | float) -> Serve:
    """Answers with `first`, and then with the others for ever."""
    return lambda _: itertools.chain([first], itertools.cycle(again))


def head(*headers: str, status: str = "200 OK") -> bytes:
    """The head of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", "content-type: application/json", *headers, "", ""]).encode()


def whole(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer, with its length."""
    return head(f"content-length: {len(body)}", "connection: close", *headers, status=status) + body


def answered(body: Any, *headers: str, status: str = "200 OK") -> Serve:
    """Answers everything with this, as JSON."""
    return always(whole(json.dumps(body).encode(), *headers, status=status))


def redirect(status: int, location: str) -> Serve:
    """Points elsewhere."""
    return always(whole(b"", f"location: {location}", status=f"{status} Elsewhere"))


def zeros(mebibytes: int, wbits: int) -> Iterator[bytes]:
    """So many MiB of blanks, compressed to a thousandth; wbits as zlib has them."""
    packing = zlib.compressobj(9, wbits=wbits)
    yield packing.compress(b" " * MIB) + packing.flush(zlib.Z_FULL_FLUSH)
    # After a full flush nothing refers to what came before: the same bytes again mean the same blanks again.
    again = packing.compress(b" " * MIB) + packing.flush(zlib.Z_FULL_FLUSH)
    yield from itertools.repeat(again, mebibytes - 1)


def bomb(mebibytes: int, encoding: str = "gzip", wbits: int = 31) -> Serve:
    """Answers with a body that takes a thousand times its size when it is decompressed."""
    return lambda _: itertools.chain([head(f"content-encoding: {encoding}")], zeros(mebibytes, wbits))


def chunk(body: bytes) -> bytes:
    """A chunk of an answer in chunks."""
    return b"%x\r\n%s\r\n" % (len(body), body)


# ---- the event stream


def frame(opcode: int, payload: bytes, *, is_last: bool = True, bits: int = 0) -> bytes:
    """A frame of a server, as RFC 6455 has it."""
    size = len(payload)
    length = (
        bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2) if size < 65_536 else b"\x7f" + size.to_bytes(8)
    )
    return bytes([0x80 * is_last | bits | opcode]) + length + payload


def event(height: object) -> bytes:
    """The frame of an event; a height may be anything."""
    return frame(TEXT, json.dumps({"height": height, "asset_id": "a" * 64, "transaction_id": "b" * 64}).encode())


def upgrade(request: bytes, *headers: str) -> bytes:
    """The answer to a handshake."""
    named = dict(line.split(b": ", 1) for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    accept = base64.b64encode(hashlib.sha1(named[b"Sec-WebSocket-Key"] + ACCEPT_GUID).digest()).decode()  # noqa: S324
    lines = ["HTTP/1.1 101 Switching Protocols", "upgrade: websocket", "connection: upgrade"]
    return "\r\n".join([*lines, f"sec-websocket-accept: {accept}", *headers, "", ""]).encode()


def stream(*frames: bytes | float, headers: tuple[str, ...] = ()) -> Serve:
    """A stream that sends these frames, and then nothing."""
    return lambda request: itertools.chain([upgrade(request, *headers)], frames, itertools.repeat(1.0))


def endless_stream(*first: bytes, again: bytes) -> Serve:
    """A stream that sends the same for ever."""
    return lambda request: itertools.chain([upgrade(request)], first, itertools.repeat(again))


def first_then(hostile: Serve, good: Serve, times: int = 1) -> Serve:
    """Hostile to the first so many requests, good to all that come later."""
    answers = itertools.chain(itertools.repeat(hostile, times), itertools.repeat(good))
    return lambda request: next(answers)(request)


# ---- passing through to the real part


def passing_to(url: str) -> Serve:
    """Lets requests through to a real server, and its answers back, until that closes or the client does."""
    there = urlsplit(url)
    assert there.hostname is not None
    assert there.port is not None
    place = (there.hostname, there.port)

    def serve(request: bytes) -> Pieces:
        with socket.create_connection(place, timeout=10) as real:
            real.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
            real.settimeout(0.05)
            while True:
                try:
                    came = real.recv(65_536)
                except TimeoutError:
                    yield 0.0
                    continue
                if not came:
                    return
                yield came

    return serve
