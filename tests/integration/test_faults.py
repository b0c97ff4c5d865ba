"""The proxy that puts faults between two parts: what a client and a server see of each fault, and that without one they
see nothing of the proxy. Clients, servers and sockets are real."""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import requests
import websocket
from aiohttp import WSCloseCode, WSMsgType, web
from azure.core.exceptions import HttpResponseError
from azure.data.tables import TableClient, TableTransactionError, TransactionOperation, UpdateMode

from local.faults.__main__ import main, obey, read_fault
from local.faults.answers import Answer, Request
from local.faults.fault import Fault, Kind
from local.faults.link import Link
from local.faults.proxy import Proxy, running_proxy
from tests.integration.conftest import eventually

ASK = b"GET /cars HTTP/1.1\r\nHost: insurer\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
AT_ONCE_S = 1.0
"""Less than any timeout that could be at work instead."""
TESTED: set[Kind] = set()
"""The faults that this file tests, as `shows` has been told."""

INSTEAD = {
    Kind.STARTING: (404, "<h1>404 Not Found</h1>", "text/html"),
    Kind.STOPPED: (403, "web app is stopped", "text/html"),
    Kind.ACCEPTED: (202, "", None),
    Kind.CRASH: (500, "", None),
    Kind.BAD_GATEWAY: (502, "<h1>502 - Web server", "text/html"),
    Kind.UNAVAILABLE: (503, "<h1>Service Unavailable", "text/html"),
    Kind.THROTTLED: (429, "", None),
    Kind.PAGE: (200, "up and running", "text/html"),
}
"""What comes in place of the server's answer: status, a part of the body, the content type."""


def shows[F: Callable[..., None]](*kinds: Kind) -> Callable[[F], F]:
    """A test that shows what these faults do."""
    TESTED.update(kinds)
    return lambda test: test


def test_every_fault_has_a_test() -> None:
    assert set(Kind) == TESTED


@dataclass(frozen=True)
class Asked:
    """What the server was asked; `peer` is the port that the connection came from."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    peer: int


class Server:
    """A real server, in its own thread: /stream is a WebSocket; all else is recorded and answered by `answering`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answering: Callable[[Asked], Coroutine[Any, Any, web.Response] | web.Response] = echo
        self.streams: list[web.WebSocketResponse] = []
        self.heard: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._runner = self._loop.run_until_complete(self._start())
        self.address: tuple[str, int] = self._runner.addresses[0]
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")
        self._thread.start()

    def say(self, *events: str) -> None:
        """Send these events on the last stream."""
        for event in events:
            self.do(self.streams[-1].send_str(event))

    def do[T](self, what: Coroutine[Any, Any, T]) -> T:
        """Run this in the server's thread."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    def renew(self) -> None:
        """Forget what was asked, and echo."""
        self.asked, self.streams, self.heard, self.answering = [], [], [], echo

    def stop(self) -> None:
        """Close everything."""
        self.do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        app = web.Application(client_max_size=16 * 1024**2)
        app.router.add_get("/stream", self._stream)
        app.router.add_route("*", "/{any:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")[1]
        headers = {name.lower(): text for name, text in request.headers.items()}
        asked = Asked(request.method, request.raw_path, headers, await request.read(), peer)
        self.asked.append(asked)
        answer = self.answering(asked)
        return answer if isinstance(answer, web.Response) else await answer

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        stream = web.WebSocketResponse(autoping=False, max_msg_size=0)
        await stream.prepare(request)
        self.streams.append(stream)
        heard = self.heard
        async for message in stream:
            if message.type is WSMsgType.PING:
                await stream.pong(message.data)
            heard.append(message.data)
        heard.append(stream.close_code)
        return stream


def echo(asked: Asked) -> web.Response:
    """The request's body, as it came."""
    return web.Response(body=asked.body)


@pytest.fixture(scope="module")
def running_server() -> Iterator[Server]:
    """One server for the module."""
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def server(running_server: Server) -> Server:
    """A server that has not been asked anything."""
    running_server.renew()
    return running_server


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy without links."""
    with running_proxy() as proxy:
        yield proxy


@pytest.fixture
def link(proxy: Proxy, server: Server) -> Link:
    """A link to the server."""
    return proxy.open(Link("to the server", server.address))


@pytest.fixture
def session() -> Iterator[requests.Session]:
    """A client that keeps its connection."""
    with requests.Session() as session:
        yield session


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that does nothing but what a test does for it, byte by byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        yield listener


@pytest.fixture
def bare(proxy: Proxy, listener: socket.socket) -> Link:
    """A link to the listener."""
    return proxy.open(Link("to the listener", listener.getsockname()))


def connected(link: Link) -> socket.socket:
    """A client's connection, byte by byte."""
    return socket.create_connection(("127.0.0.1", link.port), timeout=5)


def accepted(listener: socket.socket) -> socket.socket:
    """The server's end of the next connection."""
    connection, _ = listener.accept()
    connection.settimeout(5)
    return connection


def until(end: bytes, connection: socket.socket) -> bytes:
    """What comes, up to its end."""
    read = b""
    while not read.endswith(end):
        piece = connection.recv(65536)
        assert piece, read
        read += piece
    return read


def is_silent(connection: socket.socket, for_s: float = 0.1) -> bool:
    """Whether nothing comes, not even an end."""
    connection.settimeout(for_s)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def is_ended(connection: socket.socket) -> bool:
    """Whether the connection ends, after what comes of it. Raises TimeoutError if it does not."""
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def url(link: Link, target: str = "/cars") -> str:
    """Where a client finds the link."""
    return f"http://{link.address}{target}"


@contextlib.contextmanager
def listening(link: Link, server: Server) -> Iterator[websocket.WebSocket]:
    """A client of the stream that both ends have opened; it goes away without a word."""
    client = websocket.create_connection(f"ws://{link.address}/stream", timeout=5)
    try:
        eventually(lambda: server.streams)
        yield client
    finally:
        client.shutdown()  # type: ignore[no-untyped-call]


def frame_of(client: websocket.WebSocket) -> Any:
    """The next frame of the stream, of whatever sort."""
    return client.recv_frame()  # type: ignore[no-untyped-call]


def below(client: websocket.WebSocket) -> socket.socket:
    """What a stream goes over."""
    assert isinstance(client.sock, socket.socket)
    return client.sock


def tasks(proxy: Proxy) -> int:
    """How many tasks a proxy has."""
    return len(asyncio.all_tasks(proxy._loop))


# ---- without a fault


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "MERGE", "DELETE"])
def test_a_request_comes_as_it_was_sent(method: str, link: Link, server: Server, session: requests.Session) -> None:
    target = "/a%2Fb(PartitionKey='x',RowKey='')?$filter=y%20eq%20'z'&empty="
    headers = {
        "x-functions-key": "k/=+",
        "if-match": "W/\"datetime'2026-04-01T00%3A00'\"",
        "content-type": "application/cloudevents-batch+json; charset=utf-8",
        "x-name": "Zoë",
    }
    prepared = session.prepare_request(requests.Request(method, url(link), headers=headers, data=b"\0\r\n\xff"))
    prepared.url = url(link, target)
    prepared.headers["x-name"] = b"Zo\xeb"  # type: ignore[assignment]
    session.send(prepared, timeout=5)
    [asked] = server.asked
    assert (asked.method, asked.target, asked.body) == (method, target, b"\0\r\n\xff")
    assert {name: asked.headers[name] for name in headers if name != "x-name"} == {
        name: text for name, text in headers.items() if name != "x-name"
    }
    assert asked.headers["x-name"].encode("utf-8", "surrogateescape") == b"Zo\xeb"
    assert asked.headers["host"] == link.address


@pytest.mark.parametrize("status", [200, 201, 204, 207, 304, 404, 412, 503])
def test_an_answer_comes_as_it_was_given(status: int, link: Link, server: Server, session: requests.Session) -> None:
    body = b"" if status in {204, 304} else b"\0\r\n\xff"
    headers = [("etag", 'W/"1"'), ("x-ms-error-code", "None"), ("warning", "1"), ("warning", "2"), ("x-name", "Zoë")]

    def answering(_: Asked) -> web.Response:
        answer = web.Response(status=status, body=body)
        answer.headers.extend(headers)
        return answer

    server.answering = answering
    answer = session.get(url(link), timeout=5)
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers["etag"] == 'W/"1"'
    assert answer.headers["warning"] == "1, 2"
    assert answer.headers["x-name"].encode("latin-1").decode() == "Zoë"


def test_bodies_of_several_megabytes_pass_both_ways(link: Link, session: requests.Session) -> None:
    body = random.Random(1).randbytes(6 * 1024**2 + 1)
    assert session.post(url(link), data=body, timeout=5).content == body


def test_a_chunked_request_comes_whole(link: Link, server: Server, session: requests.Session) -> None:
    parts = [b"one", b"\r\n0\r\n\r\n", b"x" * 200_000]
    session.post(url(link), data=iter(parts), timeout=5)
    assert server.asked[0].body == b"".join(parts)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
            b"one\r\n\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\none", b"one"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end", b"up to the end"),
        (b"HTTP/1.0 200 OK\r\n\r\nup to the end", b"up to the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\none", b"one"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"yes"),
    ],
)
def test_an_answer_comes_whole_however_it_is_framed(
    answer: bytes, body: bytes, bare: Link, listener: socket.socket
) -> None:
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(requests.get, url(bare), timeout=5)
        with accepted(listener) as served:
            until(b"\r\n\r\n", served)
            served.sendall(answer)
        assert asking.result().content == body


def test_many_requests_go_over_one_connection(link: Link, server: Server, session: requests.Session) -> None:
    bodies = [f"{number}".encode() * number for number in range(200)]
    assert [session.post(url(link), data=body, timeout=5).content for body in bodies] == bodies
    assert len({asked.peer for asked in server.asked}) == 1
    assert link.requests == 200


def test_requests_that_are_sent_ahead_are_answered_in_turn(link: Link) -> None:
    ahead = b"".join(b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d" % (n, n) for n in range(5))
    with connected(link) as client:
        client.sendall(ahead)
        assert re.findall(rb"\r\n\r\n(\d)", until(b"\r\n\r\n4", client)) == [b"0", b"1", b"2", b"3", b"4"]


def test_connections_are_carried_at_once(link: Link, server: Server) -> None:
    together = asyncio.Barrier(8)

    async def answering(asked: Asked) -> web.Response:
        await together.wait()
        return web.Response(text=asked.target)

    server.answering = answering
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda number: requests.get(url(link, f"/{number}"), timeout=5).text, range(8))
        assert list(answers) == [f"/{number}" for number in range(8)]


def test_a_client_that_asks_for_it_has_its_connection_closed(link: Link) -> None:
    with connected(link) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"connection: close" in until(b"\r\n\r\n", client).lower()
        assert client.recv(1) == b""


def test_links_of_one_proxy_do_not_share_faults(
    link: Link, bare: Link, server: Server, session: requests.Session
) -> None:
    bare.switch(Fault(Kind.CRASH))
    assert session.get(url(link), timeout=5).status_code == 200


def test_a_link_opens_on_the_port_that_is_asked_for(proxy: Proxy, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            proxy.open(Link("taken", server.address), port)
    assert proxy.open(Link("free", server.address), port).address == f"127.0.0.1:{port}"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65536, 1_000_000])
def test_a_streams_messages_pass_both_ways(size: int, link: Link, server: Server) -> None:
    text, octets = "ë" * size, random.Random(size).randbytes(size)
    with listening(link, server) as client:
        server.say(text)
        server.do(server.streams[0].send_bytes(octets))
        assert (client.recv(), client.recv()) == (text, octets)
        client.send(text)
        client.send_binary(octets)
        eventually(lambda: len(server.heard) == 2)
        assert server.heard == [text, octets]


def test_pings_are_answered_by_the_other_end(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        client.ping("are you there")
        frame = frame_of(client)
        assert (frame.opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"are you there")
        assert server.heard == [b"are you there"]
        server.do(server.streams[0].ping(b"and you"))
        frame = frame_of(client)
        assert (frame.opcode, frame.data) == (websocket.ABNF.OPCODE_PING, b"and you")


def test_a_server_that_closes_a_stream_says_why_and_hears_the_reply(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        closed = threading.Thread(
            target=server.do, args=[server.streams[0].close(code=WSCloseCode.GOING_AWAY, message=b"so long")]
        )
        closed.start()
        opcode, payload = client.recv_data(control_frame=True)
        closed.join()
    assert (opcode, payload) == (websocket.ABNF.OPCODE_CLOSE, b"\x03\xe9so long")
    assert server.streams[0].close_code == WSCloseCode.OK  # what this client replies; 1006 if no reply had come


def test_a_client_that_closes_a_stream_says_why_and_hears_the_reply(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        client.send_close(4001, b"enough")
        opcode, _ = client.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_CLOSE
        assert below(client).recv(1) == b""
    eventually(lambda: server.heard)
    assert server.heard == [4001]


def test_a_client_may_close_without_a_code(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        client.send(b"", websocket.ABNF.OPCODE_CLOSE)
    eventually(lambda: server.heard)
    assert server.heard[0] in {0, WSCloseCode.OK}


def test_a_stream_that_is_refused_is_refused_as_the_server_does(link: Link) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"ws://{link.address}/elsewhere", timeout=5)
    assert refused.value.status_code == 200


# ---- the ends of a connection


def test_a_server_that_is_not_there_is_a_lost_connection(proxy: Proxy, listener: socket.socket) -> None:
    link = proxy.open(Link("nowhere", listener.getsockname()))
    listener.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(url(link), timeout=5)


def test_a_server_that_closes_an_idle_connection_closes_the_clients(bare: Link, listener: socket.socket) -> None:
    with connected(bare) as client:
        served = accepted(listener)
        client.sendall(ASK)
        until(b"\r\n\r\n", served)
        served.sendall(OK)
        until(b"yes", client)
        assert is_silent(client, 0.05)
        served.close()
        assert client.recv(1) == b""


def test_a_server_that_closes_before_the_first_request_closes_the_clients(bare: Link, listener: socket.socket) -> None:
    with connected(bare) as client:
        accepted(listener).close()
        assert client.recv(1) == b""


@pytest.mark.parametrize("so_far", [b"", b"HTTP/1.1 200", OK[:-1]])
def test_a_server_that_is_killed_in_an_answer_resets_the_clients(
    so_far: bytes, bare: Link, listener: socket.socket
) -> None:
    with connected(bare) as client:
        client.sendall(ASK)
        with accepted(listener) as served:
            until(b"\r\n\r\n", served)
            served.sendall(so_far)
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_server_that_is_killed_ends_the_stream(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        transport = server.streams[0]._req.transport  # type: ignore[union-attr]
        assert transport is not None
        server._loop.call_soon_threadsafe(transport.abort)
        with pytest.raises((ConnectionResetError, websocket.WebSocketConnectionClosedException)):
            client.recv()


def test_a_client_that_goes_away_in_a_request_leaves_nothing_behind(
    bare: Link, listener: socket.socket, proxy: Proxy
) -> None:
    with connected(bare) as client:
        client.sendall(ASK)
        served = accepted(listener)
        until(b"\r\n\r\n", served)
        assert tasks(proxy) > 0
    with served:
        assert served.recv(1) == b""
    eventually(lambda: tasks(proxy) == 0)


def test_a_client_that_goes_away_with_half_a_request_leaves_nothing_behind(
    bare: Link, listener: socket.socket, proxy: Proxy
) -> None:
    with connected(bare) as client:
        client.sendall(ASK[:-2])
        served = accepted(listener)
    with served:
        assert served.recv(1) == b""
    eventually(lambda: tasks(proxy) == 0)


def test_a_client_that_goes_away_from_a_stream_leaves_nothing_behind(link: Link, server: Server, proxy: Proxy) -> None:
    with listening(link, server):
        assert tasks(proxy) > 0
    eventually(lambda: server.heard)
    eventually(lambda: tasks(proxy) == 0)


@pytest.mark.parametrize("kind", [Kind.HALF_OPEN, Kind.STALL_ANSWERS, Kind.LATE, Kind.SLOW_BODY])
def test_a_client_that_gives_up_on_a_fault_leaves_nothing_behind(kind: Kind, link: Link, proxy: Proxy) -> None:
    link.switch(Fault(kind, 1000))
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        requests.post(url(link), data=b"x", timeout=0.1)
    eventually(lambda: tasks(proxy) == 0)


@pytest.mark.parametrize("kind", [None, Kind.HALF_OPEN, Kind.STALL_REQUESTS, Kind.DELAY])
def test_a_proxy_closes_at_once_and_ends_what_it_carries(kind: Kind | None, listener: socket.socket) -> None:
    with running_proxy() as proxy:
        link = proxy.open(Link("to end", listener.getsockname()))
        if kind is not None:
            link.switch(Fault(kind, 1000))
        clients = [connected(link) for _ in range(3)]
        for client in clients:
            client.sendall(ASK)
        eventually(lambda: tasks(proxy) >= 3)
        began = time.monotonic()
    assert time.monotonic() - began < AT_ONCE_S
    for client in clients:
        with client:
            assert is_ended(client)
    with pytest.raises(ConnectionRefusedError):
        connected(link)


def test_a_proxy_closes_at_once_though_clients_are_just_connecting(listener: socket.socket) -> None:
    for _ in range(20):
        with contextlib.ExitStack() as ends:
            with running_proxy() as proxy:
                link = proxy.open(Link("to end", listener.getsockname()))
                clients = [ends.enter_context(connected(link)) for _ in range(5)]
            assert all(is_ended(client) for client in clients)


def test_a_proxy_closes_at_once_though_a_client_does_not_read(listener: socket.socket) -> None:
    with contextlib.ExitStack() as ends:
        with running_proxy() as proxy:
            link = proxy.open(Link("to end", listener.getsockname()))
            client, served = ends.enter_context(connected(link)), ends.enter_context(accepted(listener))
            client.sendall(ASK)
            until(b"\r\n\r\n", served)
            size = 32 * 1024**2
            served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            client.recv(1)
            began = time.monotonic()
        assert time.monotonic() - began < AT_ONCE_S
        assert is_ended(client)


# ---- bytes


@shows(Kind.DELAY)
def test_delay_hands_on_every_piece_so_much_later(link: Link, session: requests.Session) -> None:
    link.switch(Fault(Kind.DELAY, 0.15))
    began = time.monotonic()
    session.post(url(link), data=bytes(2 * 1024**2), timeout=5)
    # Once to the server and once back: not once more for each of the pieces that the body comes in.
    assert 0.3 <= time.monotonic() - began < 1.5


def test_delay_does_not_add_up_over_the_events_of_a_stream(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.DELAY, 0.2))
        began = time.monotonic()
        server.say(*"abcdefghij")
        assert [client.recv() for _ in range(10)] == list("abcdefghij")
    assert 0.2 <= time.monotonic() - began < 1.0


@shows(Kind.BANDWIDTH)
def test_bandwidth_lets_pieces_pass_at_its_rate(link: Link, session: requests.Session) -> None:
    link.switch(Fault(Kind.BANDWIDTH, 100_000))
    began = time.monotonic()
    assert len(session.post(url(link), data=bytes(20_000), timeout=5).content) == 20_000
    assert 0.4 <= time.monotonic() - began < 1.0


@shows(Kind.RESET)
def test_reset_resets_the_connection_before_the_server_has_the_request(bare: Link, listener: socket.socket) -> None:
    with connected(bare) as client, accepted(listener) as served:
        bare.switch(Fault(Kind.RESET))
        assert is_silent(client, 0.05)
        client.sendall(ASK)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert served.recv(1) == b""


@shows(Kind.HALF_OPEN)
def test_half_open_accepts_and_answers_nothing_and_resets_at_the_end(bare: Link, listener: socket.socket) -> None:
    with connected(bare) as before, accepted(listener) as served:
        bare.switch(Fault(Kind.HALF_OPEN))
        with connected(bare) as new:
            for client in (before, new):
                client.sendall(ASK)
                assert is_silent(client, 0.05)
            assert is_silent(served, 0.01)
            bare.clear()
            for client in (before, new):
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
    listener.settimeout(0.05)
    with pytest.raises(TimeoutError):
        accepted(listener)


@shows(Kind.TRUNCATE)
def test_truncate_ends_the_connection_after_so_many_bytes(link: Link) -> None:
    link.switch(Fault(Kind.TRUNCATE, 12))
    with connected(link) as client:
        client.sendall(ASK)
        assert client.makefile("rb").read() == b"HTTP/1.1 200"


@shows(Kind.STALL_REQUESTS)
def test_stall_requests_holds_back_what_goes_to_the_server(bare: Link, listener: socket.socket) -> None:
    with connected(bare) as client, accepted(listener) as served:
        client.sendall(ASK)
        until(b"\r\n\r\n", served)
        bare.switch(Fault(Kind.STALL_REQUESTS))
        served.sendall(OK)
        until(b"yes", client)
        client.sendall(ASK)
        assert is_silent(served)
        bare.clear()
        assert b"/cars" in until(b"\r\n\r\n", served)
        served.sendall(OK)
        until(b"yes", client)


def test_what_a_client_sent_before_it_gave_up_still_comes_to_the_server(bare: Link, listener: socket.socket) -> None:
    bare.switch(Fault(Kind.STALL_REQUESTS))
    with connected(bare) as client:
        client.sendall(ASK)
    with accepted(listener) as served:
        eventually(lambda: bare.hits[Kind.STALL_REQUESTS])
        bare.clear()
        assert b"/cars" in until(b"\r\n\r\n", served)
        assert served.recv(1) == b""


@shows(Kind.STALL_ANSWERS)
def test_stall_answers_holds_back_what_goes_to_the_client(bare: Link, listener: socket.socket) -> None:
    bare.switch(Fault(Kind.STALL_ANSWERS))
    with connected(bare) as client, accepted(listener) as served:
        client.sendall(ASK)
        until(b"\r\n\r\n", served)
        served.sendall(OK)
        assert is_silent(client)
        bare.clear()
        until(b"yes", client)


@pytest.mark.parametrize(
    "fault",
    [Fault(Kind.DELAY, 1000), Fault(Kind.BANDWIDTH, 1), Fault(Kind.LATE, 1000), Fault(Kind.SLOW_BODY, 1000)],
    ids=str,
)
@pytest.mark.parametrize("another", [None, Fault(Kind.REPEAT)], ids=str)
def test_a_fault_that_is_over_lets_go_what_it_held_back(
    fault: Fault, another: Fault | None, link: Link, session: requests.Session
) -> None:
    link.switch(fault)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(session.post, url(link), data=b"held back", timeout=5)
        eventually(lambda: link.hits[fault.kind])
        assert not asking.done()
        if another is None:
            link.clear()
        else:
            link.switch(another)
        began = time.monotonic()
        assert asking.result().content == b"held back"
        assert time.monotonic() - began < AT_ONCE_S


# ---- requests


def numbered(server: Server) -> Callable[[Asked], web.Response]:
    """Answers that say how often the server has been asked."""
    return lambda _: web.Response(text=f"{len(server.asked)}")


@shows(Kind.TWICE)
def test_twice_has_the_server_do_it_twice_and_hands_on_the_second_answer(
    link: Link, server: Server, session: requests.Session
) -> None:
    server.answering = numbered(server)
    link.switch(Fault(Kind.TWICE))
    assert session.post(url(link), data=b"lease", timeout=5).text == "2"
    first, second = server.asked
    assert first == second
    link.clear()
    assert session.post(url(link), data=b"lease", timeout=5).text == "3"


@shows(Kind.LOST_BEFORE)
def test_lost_before_loses_the_connection_and_the_request(link: Link, server: Server) -> None:
    link.switch(Fault(Kind.LOST_BEFORE))
    with pytest.raises(requests.ConnectionError):
        requests.post(url(link), data=b"lease", timeout=5)
    assert server.asked == []


@shows(Kind.LOST_AFTER)
def test_lost_after_loses_the_connection_when_the_work_is_done(link: Link, server: Server) -> None:
    link.switch(Fault(Kind.LOST_AFTER))
    with pytest.raises(requests.ConnectionError):
        requests.post(url(link), data=b"lease", timeout=5)
    assert [asked.body for asked in server.asked] == [b"lease"]


@shows(Kind.LATE)
def test_late_hands_on_the_answer_so_much_after_the_work(link: Link, server: Server) -> None:
    link.switch(Fault(Kind.LATE, 0.3))
    with ThreadPoolExecutor() as pool:
        began = time.monotonic()
        asking = pool.submit(requests.post, url(link), data=b"lease", timeout=5)
        eventually(lambda: server.asked)
        assert time.monotonic() - began < 0.3
        assert asking.result().content == b"lease"
        assert 0.3 <= time.monotonic() - began < 1.0


@shows(Kind.SLOW_BODY)
def test_slow_body_trickles_the_body_after_the_head(link: Link, server: Server, session: requests.Session) -> None:
    server.answering = lambda _: web.Response(body=bytes(1000))
    link.switch(Fault(Kind.SLOW_BODY, 0.4))
    began = time.monotonic()
    answer = session.get(url(link), stream=True, timeout=5)
    assert time.monotonic() - began < 0.3
    came = [(time.monotonic(), len(part)) for part in answer.iter_content(100)]
    assert sum(size for _, size in came) == 1000
    assert 0.4 <= came[-1][0] - began < 1.0
    assert max(later - earlier for (earlier, _), (later, _) in pairwise(came)) < 0.3


@shows(*INSTEAD)
@pytest.mark.parametrize("kind", INSTEAD)
def test_the_platform_answers_in_place_of_the_function(
    kind: Kind, link: Link, server: Server, session: requests.Session
) -> None:
    status, part, content_type = INSTEAD[kind]
    link.switch(Fault(kind, 7))
    answer = session.post(url(link), data=b"lease", timeout=5)
    assert (answer.status_code, answer.headers.get("content-type")) == (status, content_type)
    assert part in answer.text
    assert bool(answer.text) == bool(part)
    assert answer.headers.get("retry-after") == ("7" if kind is Kind.THROTTLED else None)
    assert server.asked == []
    link.clear()
    assert session.post(url(link), data=b"lease", timeout=5).text == "lease"


@shows(Kind.CRASH_ON_A_CAR)
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps([{"subject": "ff"}, {"subject": "03ab"}]), 500),
        (json.dumps([{"subject": "00"}]), 500),
        (json.dumps([{"subject": "04ab"}, {"subject": "a00"}, {}]), 200),
        (json.dumps({"subject": "00"}), 200),
        ("[1, null]", 200),
        ("not JSON", 200),
        ("", 200),
    ],
)
def test_crash_on_a_car_fails_what_holds_an_event_of_certain_cars(
    body: str, status: int, link: Link, server: Server, session: requests.Session
) -> None:
    link.switch(Fault(Kind.CRASH_ON_A_CAR))
    assert session.post(url(link), data=body, timeout=5).status_code == status
    assert len(server.asked) == (status == 200)
    assert link.hits[Kind.CRASH_ON_A_CAR] == (status == 500)


@shows(Kind.ID_MISSING)
def test_id_missing_leaves_one_event_out_of_the_answer(link: Link, server: Server, session: requests.Session) -> None:
    results = [{"id": "a", "outcome": "applied"}, {"id": "b", "outcome": "applied"}]
    server.answering = lambda _: web.json_response({"results": results})
    link.switch(Fault(Kind.ID_MISSING))
    answer = session.post(url(link), data=b"lease", timeout=5)
    assert answer.json() == {"results": results[1:]}
    assert answer.headers["content-type"].startswith("application/json")
    assert len(server.asked) == 1


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"results": 1}', '{"results": []}', "<html>"])
def test_id_missing_leaves_alone_what_is_no_such_answer(
    body: str, link: Link, server: Server, session: requests.Session
) -> None:
    link.switch(Fault(Kind.ID_MISSING))
    assert session.post(url(link), data=body, timeout=5).text == body


@pytest.fixture
def cars(link: Link) -> Iterator[TableClient]:
    """The SDK's client of a table, which does not retry."""
    told = f"AccountName=a;AccountKey=aaaa;DefaultEndpointsProtocol=http;TableEndpoint=http://{link.address}/a"
    with TableClient.from_connection_string(told, "Cars", retry_total=0) as cars:
        yield cars


ROW = {"PartitionKey": "x", "RowKey": "y"}


@shows(Kind.TABLES_TIMED_OUT, Kind.TABLES_BUSY)
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [(Kind.TABLES_TIMED_OUT, 500, "OperationTimedOut"), (Kind.TABLES_BUSY, 503, "ServerBusy")],
)
def test_table_storage_fails_with_its_own_codes(
    kind: Kind, status: int, code: str, link: Link, server: Server, cars: TableClient
) -> None:
    link.switch(Fault(kind))
    with pytest.raises(HttpResponseError) as failed:
        cars.upsert_entity(ROW)
    assert (failed.value.status_code, failed.value.error_code) == (status, code)  # type: ignore[attr-defined]
    assert server.asked == []


@shows(Kind.TABLES_CONFLICT)
def test_a_conflict_is_that_of_table_storage_for_a_row_and_for_a_batch(
    link: Link, server: Server, cars: TableClient
) -> None:
    link.switch(Fault(Kind.TABLES_CONFLICT))
    with pytest.raises(HttpResponseError) as failed:
        cars.update_entity(ROW, mode=UpdateMode.REPLACE)
    assert failed.value.status_code == 412
    assert failed.value.error_code == "UpdateConditionNotSatisfied"  # type: ignore[attr-defined]
    with pytest.raises(TableTransactionError) as failed_together:
        cars.submit_transaction(
            [(TransactionOperation.UPSERT, ROW), (TransactionOperation.DELETE, ROW | {"RowKey": "z"})]
        )
    assert (failed_together.value.status_code, failed_together.value.index) == (412, 0)
    assert server.asked == []


def test_a_conflict_spares_reads(link: Link, server: Server, session: requests.Session) -> None:
    link.switch(Fault(Kind.TABLES_CONFLICT))
    assert session.get(url(link), timeout=5).status_code == 200
    assert link.hits.total() == 0


# ---- frames


@shows(Kind.DROP)
def test_drop_drops_events_and_others_go_on(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        server.say("a")
        assert client.recv() == "a"
        link.switch(Fault(Kind.DROP))
        server.say("b")
        eventually(lambda: link.hits[Kind.DROP])
        link.clear()
        server.say("c")
        assert client.recv() == "c"


def test_an_event_is_dropped_whole_however_it_comes_in_pieces(bare: Link, listener: socket.socket) -> None:
    with ThreadPoolExecutor() as pool:
        opening = pool.submit(websocket.create_connection, f"ws://{bare.address}/stream", timeout=5)
        served = accepted(listener)
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", until(b"\r\n\r\n", served))
        assert key is not None
        served.sendall(switching(key[1]))
        client = opening.result()
    with served, below(client):
        bare.switch(Fault(Kind.DROP))
        served.sendall(b"\x81\x04ab")
        assert is_silent(below(client), 0.05)
        assert bare.hits.total() == 0
        served.sendall(b"cd")
        eventually(lambda: bare.hits[Kind.DROP] == 1)
        bare.clear()
        served.sendall(b"\x01\x01e\x89\x01!\x80\x01f")
        assert frame_of(client).opcode == websocket.ABNF.OPCODE_PING
        assert client.recv() == "ef"


def switching(key: bytes) -> bytes:
    """A server's consent to a WebSocket, as RFC 6455 has it."""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )


@shows(Kind.REPEAT)
def test_repeat_sends_an_event_twice(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.REPEAT))
        server.say("a", "b")
        assert [client.recv() for _ in range(4)] == ["a", "a", "b", "b"]


@shows(Kind.REORDER)
def test_reorder_sends_an_event_after_its_successor(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.REORDER))
        server.say("a", "b", "c", "d")
        assert [client.recv() for _ in range(4)] == ["b", "a", "d", "c"]
        assert link.hits[Kind.REORDER] == 2


def test_an_event_whose_successor_does_not_come_goes_on_when_the_fault_is_over(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.REORDER))
        server.say("a")
        assert is_silent(below(client))
        link.clear()
        assert client.recv() == "a"


def test_an_event_whose_successor_does_not_come_goes_on_when_the_stream_closes(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.REORDER))
        server.say("a")
        eventually(lambda: link.hits[Kind.REORDER])
        closed = threading.Thread(target=server.do, args=[server.streams[0].close()])
        closed.start()
        assert client.recv() == "a"
        assert client.recv_data(control_frame=True)[0] == websocket.ABNF.OPCODE_CLOSE
        closed.join()


@shows(Kind.GARBLE)
@pytest.mark.parametrize("event", ['{"height": 812}', "", "é", "ëëëë"])
def test_garble_cuts_an_event_and_changes_its_bytes(event: str, link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.GARBLE))
        server.say(event)
        _, garbled = client.recv_data()
        assert not event.encode().startswith(garbled)
        assert len(garbled) <= max(1, len(event.encode()))
        link.clear()
        server.say(event)
        assert client.recv() == event


@shows(Kind.SILENCE)
def test_silence_holds_events_but_not_pings(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.SILENCE))
        server.say("a", "b")
        client.ping("there?")
        frame = frame_of(client)
        assert (frame.opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"there?")
        link.clear()
        server.say("c")
        assert client.recv() == "c"


@shows(Kind.FLOOD)
def test_flood_invents_events_between_the_true_ones_at_its_rate(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.FLOOD, 200))
        began = time.monotonic()
        server.say("true")
        events = [client.recv() for _ in range(101)]
        assert 0.4 < time.monotonic() - began < 1.5
        assert events.count("true") == 1
        heights = [json.loads(event)["height"] for event in events if event != "true"]
        assert heights == list(range(1, 101))
        link.clear()
        eventually(lambda: is_silent(below(client), 0.1))


def test_a_flood_does_not_hinder_a_client_from_closing(link: Link, server: Server) -> None:
    with listening(link, server) as client:
        link.switch(Fault(Kind.FLOOD, 500))
        assert json.loads(client.recv())["height"] == 1
        client.send_close(1000)
        while client.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_CLOSE:
            pass
    eventually(lambda: server.heard)
    assert server.heard == [1000]


def test_faults_of_frames_spare_requests_and_those_of_requests_spare_frames(
    link: Link, server: Server, session: requests.Session
) -> None:
    link.switch(Fault(Kind.DROP))
    assert session.get(url(link), timeout=5).status_code == 200
    link.switch(Fault(Kind.CRASH))
    with listening(link, server) as client:
        server.say("a")
        assert client.recv() == "a"
    assert link.hits.total() == 0


# ---- chance, hits, what is observed


def statuses(link: Link, session: requests.Session, times: int = 100) -> list[int]:
    """What the link answers, time after time."""
    return [session.get(url(link), timeout=5).status_code for _ in range(times)]


def test_chance_hits_some_and_the_same_ones_for_the_same_seed(
    proxy: Proxy, server: Server, session: requests.Session
) -> None:
    links = [
        proxy.open(Link(name, server.address, seed=seed)) for name, seed in [("a", 1), ("a", 1), ("a", 2), ("b", 1)]
    ]
    for link in links:
        link.switch(Fault(Kind.CRASH, chance=0.3))
    first, same, *others = [statuses(link, session) for link in links]
    assert 15 <= first.count(500) <= 45
    assert first.count(500) + first.count(200) == 100
    assert first == same
    assert first not in others
    assert links[0].hits == {Kind.CRASH: first.count(500)}
    assert links[0].requests == 100


def test_hits_are_counted_for_each_fault_and_outlast_it(link: Link, session: requests.Session) -> None:
    link.switch(Fault(Kind.CRASH))
    statuses(link, session, 3)
    link.switch(Fault(Kind.PAGE))
    statuses(link, session, 2)
    link.clear()
    statuses(link, session, 4)
    assert link.hits == {Kind.CRASH: 3, Kind.PAGE: 2}
    assert link.requests == 9


@pytest.mark.parametrize(
    ("kind", "times"),
    [(None, 1), (Kind.TWICE, 2), (Kind.LOST_AFTER, 1), (Kind.ID_MISSING, 1), (Kind.LOST_BEFORE, 0), (Kind.CRASH, 0)],
)
def test_an_observer_is_told_of_all_that_the_server_answers(
    kind: Kind | None, times: int, proxy: Proxy, server: Server
) -> None:
    told: list[tuple[Request, Answer]] = []
    link = proxy.open(Link("observed", server.address, observe=lambda *both: told.append(both)))
    link.fault = None if kind is None else Fault(kind)
    body = b'{"results": [{"id": "a"}]}'
    lost = (
        pytest.raises(requests.ConnectionError)
        if kind in {Kind.LOST_AFTER, Kind.LOST_BEFORE}
        else contextlib.nullcontext()
    )
    with lost:
        requests.post(url(link, "/a%2Fb"), data=body, headers={"X-Car": "Golf"}, timeout=5)
    assert len(told) == len(server.asked) == times
    for request, answer in told:
        assert (request.method, request.target, request.headers["x-car"], request.body) == (
            "POST",
            "/a%2Fb",
            "Golf",
            body,
        )
        assert (answer.status, answer.body) == (200, body)


@pytest.mark.parametrize(("target", "is_batch"), [("/a/$batch", True), ("/a/$batch?x=1", True), ("/a/Cars", False)])
def test_an_observer_can_tell_a_batch(target: str, *, is_batch: bool) -> None:
    assert Request("POST", target, {}).is_batch is is_batch


# ---- by hand


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("reset", Fault(Kind.RESET)),
        ("reset 0.25", Fault(Kind.RESET, chance=0.25)),
        ("delay 0.5", Fault(Kind.DELAY, 0.5)),
        ("delay 0", Fault(Kind.DELAY)),
        ("throttled 5 0.3", Fault(Kind.THROTTLED, 5, 0.3)),
        ("crash-on-a-car", Fault(Kind.CRASH_ON_A_CAR)),
    ],
)
def test_a_line_names_a_fault(line: str, fault: Fault) -> None:
    link = Link("by hand", ("127.0.0.1", 1))
    assert read_fault(line.split()) == fault
    assert obey(link, line.split()) == str(fault)
    assert link.fault == fault


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "no fault 'nonsense'; there are delay, bandwidth"),
        ("DELAY 1", "no fault 'DELAY'"),
        ("clear now", "no fault 'clear'"),
        ("delay", "needs an amount, seconds"),
        ("delay 1 0.5 2", "found 3 numbers"),
        ("reset 0.5 1", "found 2 numbers"),
        ("delay soon", "'soon'"),
        ("delay -1", "amount -1"),
        ("delay nan", "amount nan"),
        ("delay inf", "amount inf"),
        ("bandwidth 0", "amount 0"),
        ("reset 0", "chance 0"),
        ("reset 1.5", "chance 1.5"),
        ("twice nan", "chance nan"),
    ],
)
def test_a_line_that_is_wrong_is_told_and_changes_nothing(line: str, says: str) -> None:
    before = Fault(Kind.CRASH)
    link = Link("by hand", ("127.0.0.1", 1), fault=before)
    assert says in obey(link, line.split())
    assert link.fault is before


@pytest.mark.parametrize("kind", Kind)
def test_every_fault_can_be_named_by_hand(kind: Kind) -> None:
    words = [kind.title, "2", "0.5"] if kind.unit else [kind.title, "0.5"]
    assert read_fault(words) == Fault(kind, 2.0 if kind.unit else 0.0, 0.5)


def test_the_command_line_switches_faults_of_a_link(server: Server) -> None:
    argv = [sys.executable, "-m", "local.faults", f"127.0.0.1:{server.address[1]}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        came = running.stdout.readline()
        address = came.split()[0]
        assert came == f"{address} is carried to 127.0.0.1:{server.address[1]}; one fault a line, or clear, or hits\n"

        def told(line: str) -> str:
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(line + "\n")
            return running.stdout.readline().strip()

        with requests.Session() as session:
            assert told("hits") == "nothing was hit"
            assert told("throttled 5") == "throttled 5 seconds"
            assert session.get(f"http://{address}/", timeout=5).status_code == 429
            assert told("nonsense").startswith("no fault 'nonsense'")
            assert told("clear") == "no fault"
            assert session.get(f"http://{address}/", timeout=5).status_code == 200
            assert told("") == "throttled 1"
        running.stdin.close()
        assert running.wait(5) == 0


@pytest.mark.parametrize("server_argument", ["", "9984", "localhost:", "localhost:http", ":9984"])
def test_the_command_line_refuses_what_is_no_server(server_argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([server_argument])
    assert f"found {server_argument!r}; allowed is host:port" in capsys.readouterr().err


def test_the_command_line_refuses_a_port_that_is_taken(
    listener: socket.socket, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(SystemExit, match="2"):
        main(["127.0.0.1:1", "--port", f"{listener.getsockname()[1]}"])
    assert "argument --port" in capsys.readouterr().err


def test_the_command_line_explains_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    explained = capsys.readouterr().out
    assert [kind for kind in Kind if f"  {kind.title} " not in explained or kind.effect not in explained] == []
