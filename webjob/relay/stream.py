"""Listens to the node's event stream with websocket-client, in a thread of its own, and gives a hint at each event.

Events are hints: only the heights of the last blocks that they name are kept, so a burst of any length takes no memory.
The stream has no replay and no errors, and the server sends no pings; this side does, and reconnects with backoff
whatever happens.
"""

import contextlib
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec
import websocket
from websocket._handshake import CookieJar
from websocket._http import connect, proxy_info

from relay import backoff
from relay.http import authorities
from relay.logs import fields, log, short
from relay.silence import REMEMBERED

PING_S = 15.0
"""After so many seconds without a frame a ping is sent; after twice as many the connection is given up."""
CONNECT_TIMEOUT_S = 10.0
"""For the connection, and once more for the answer to the handshake."""
MAX_HANDSHAKE_BYTES = 64 * 1024
MAX_FRAME_BYTES = 1024 * 1024
"""An event has some 200 bytes. A message ends the connection when so much of it has come."""
FRAME_COSTS_BYTES = 256
"""What each frame counts for beside its bytes: joining fragments takes time, and the more the smaller they are."""
MAX_REASON = 200
SAY_AGAIN_S = 60.0
"""Frames that are no events are spoken of at most so often, whatever their number."""
KEPT_HEIGHTS = REMEMBERED
"""As many as their judge remembers: by a full list it knows that others may be missing."""


class _Announcement(msgspec.Struct):
    height: int


_announcement = msgspec.json.Decoder(_Announcement)


class Stream(threading.Thread):
    """The listener. `find_url` names the stream's URL at each connection, and may raise LedgerError.

    `hint` is called when a block may have come.
    """

    def __init__(self, find_url: Callable[[], str], hint: Callable[[], None]) -> None:
        super().__init__(name="event-stream", daemon=True)
        self.connections = 0
        """How many connections there have been."""
        self._heights: deque[int] = deque(maxlen=KEPT_HEIGHTS)
        self._find_url = find_url
        self._hint = hint
        self._is_closed = threading.Event()
        self._socket: websocket.WebSocket | None = None
        self._unread = 0
        self._said_at = -SAY_AGAIN_S

    def run(self) -> None:
        """Connect, listen, and connect again, until closed."""
        attempt = 0
        while not self._is_closed.is_set():
            began = time.monotonic()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001  whatever a node brings about, this thread goes on
                # A connection that lasted was good: start over with short delays.
                attempt = 1 if time.monotonic() - began > backoff.CAP_S else attempt + 1
                delay = backoff.delay(attempt)
                if not self._is_closed.is_set():
                    reason = short(str(error)[:MAX_REASON]) or type(error).__name__
                    log.warning("stream lost", extra=fields(reason=reason, attempt=attempt, retry_in_s=delay))
                self._is_closed.wait(delay)

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now; it proves nothing about events."""
        return self._socket is not None

    def heard(self) -> list[int]:
        """The heights announced since the last call: each once in a row, the last KEPT_HEIGHTS of them."""
        heights = []
        while self._heights:
            heights.append(self._heights.popleft())
        return heights

    def reconnect(self) -> None:
        """Drop the connection, so that the thread makes another."""
        # Both may go away at any moment, in the stream's own thread.
        connection = self._socket
        sock = connection.sock if connection is not None else None
        if sock is not None:
            # Unlike closing, this wakes the thread that waits for a frame.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening for good."""
        self._is_closed.set()
        self.reconnect()

    def _listen(self) -> None:
        # redirect_limit 0: a node that points elsewhere is not followed.
        self._socket = websocket.create_connection(
            self._find_url(),
            timeout=CONNECT_TIMEOUT_S,
            redirect_limit=0,
            class_=_Bounded,
            sslopt={"ca_certs": authorities()},
        )
        try:
            self._socket.settimeout(PING_S)
            self.connections += 1
            log.info("stream connected")
            # Blocks may have come while there was no connection.
            self._hint()
            is_pinged = False
            while not self._is_closed.is_set():
                try:
                    opcode, frame = self._socket.recv_data_frame(control_frame=True)
                except websocket.WebSocketTimeoutException:
                    if is_pinged:
                        raise
                    self._socket.ping()
                    is_pinged = True
                    continue
                is_pinged = False
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    raise websocket.WebSocketConnectionClosedException("the node closed the stream")
                if opcode == websocket.ABNF.OPCODE_TEXT:
                    self._hear(frame.data)
        finally:
            self._socket.shutdown()  # type: ignore[no-untyped-call]
            self._socket = None

    def _hear(self, text: bytes) -> None:
        try:
            height = _announcement.decode(text).height
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._unread += 1
            if time.monotonic() - self._said_at > SAY_AGAIN_S:
                log.warning("stream sent what is no event", extra=fields(bytes=len(text), frames=self._unread))
                self._unread, self._said_at = 0, time.monotonic()
            return
        # A block of a thousand transactions comes as a thousand events: once is enough.
        if not self._heights or self._heights[-1] != height:
            self._heights.append(height)
        self._hint()


class _Bounded(websocket.WebSocket):
    """A connection that is given up when the answer to its handshake, or a message, in one frame or in endless ones,
    is too large, or when the handshake takes too long."""

    _meter: "_Meter"

    def connect(self, url: str, **options: Any) -> None:
        sock, _ = connect(url, self.sock_opt, proxy_info(**options), None)  # type: ignore[no-untyped-call]
        self._meter = _Meter(sock, MAX_HANDSHAKE_BYTES, time.monotonic() + CONNECT_TIMEOUT_S)
        try:
            super().connect(url, socket=self._meter, **options)  # type: ignore[no-untyped-call]
        finally:
            # websocket-client keeps the cookies of everybody, for as long as the process lives.
            CookieJar.jar.clear()
        self._meter.start(MAX_FRAME_BYTES)

    def recv_frame(self) -> websocket.ABNF:
        self._meter.spend(FRAME_COSTS_BYTES)
        return super().recv_frame()  # type: ignore[no-untyped-call, no-any-return]

    def recv_data_frame(self, control_frame: bool = False) -> tuple[int, websocket.ABNF]:  # noqa: FBT001, FBT002
        opcode, frame = super().recv_data_frame(control_frame)
        if self.cont_frame.recving_frames is None:
            self._meter.start(MAX_FRAME_BYTES)
        return opcode, frame


class _Meter:
    """A socket from which at most so many bytes are read, until a moment in monotonic seconds; else it raises."""

    def __init__(self, sock: socket.socket, most: int, end: float) -> None:
        self._sock = sock
        self.start(most, end)

    def start(self, most: int, end: float = math.inf) -> None:
        """Allow so many bytes from now on."""
        self._most, self._left, self._end = most, most, end

    def spend(self, size: int) -> None:
        """Count so many bytes."""
        self._left -= size
        if self._left < 0:
            raise websocket.WebSocketPayloadException(f"the stream sent a message of more than {self._most} bytes")

    def recv(self, size: int) -> bytes:
        """What comes next, at most so many bytes."""
        received = self._sock.recv(size)
        self.spend(len(received))
        if time.monotonic() > self._end:
            raise websocket.WebSocketTimeoutException("the answer to the handshake takes too long")
        return received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
