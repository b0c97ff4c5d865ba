"""Listens to a ledger's event stream beside whoever is measured: when the event of each transaction came."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import websocket

CONNECT_TIMEOUT_S = 20.0


@contextlib.contextmanager
def listening(url: str, clock: Callable[[], float]) -> Iterator[dict[str, float]]:
    """Subscribe to an event stream; when the event of each transaction came, by that clock, by its id."""
    heard: dict[str, float] = {}
    connection = websocket.create_connection(url, timeout=CONNECT_TIMEOUT_S)
    connection.settimeout(None)

    def listen() -> None:
        with contextlib.suppress(websocket.WebSocketException, OSError):
            while text := connection.recv():
                now = clock()
                heard.setdefault(json.loads(text)["transaction_id"], now)

    listener = threading.Thread(target=listen, name="subscriber", daemon=True)
    listener.start()
    try:
        yield heard
    finally:
        # Unlike closing, this wakes the thread that waits for a frame.
        with contextlib.suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)
        listener.join(CONNECT_TIMEOUT_S)
