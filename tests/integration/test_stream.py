"""The listener against a scripted node's event stream: what it hears, and how it comes back."""

import asyncio
import itertools
import json
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from relay import backoff, stream
from relay.bell import Bell
from relay.errors import LedgerError
from relay.stream import KEPT_HEIGHTS, MAX_FRAME_BYTES, Stream
from tests.integration.conftest import eventually

SHORT_PING_S = 0.2
DEEP = "[" * 100_000 + "]" * 100_000
KERNEL_BUFFERS = 16 * 1024 * 1024
"""More than sockets on this machine hold of what is sent and not yet read."""


class Node:
    """A node's event stream that says what a test tells it to; run in a thread of its own."""

    def __init__(self) -> None:
        self.connections: list[web.WebSocketResponse] = []
        self.pings = 0
        self.answers_pings = True
        self._loop = asyncio.new_event_loop()
        self._runner = self._loop.run_until_complete(self._start())
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/api/v1/streams/valid_transactions"
        self._thread = threading.Thread(target=self._loop.run_forever, name="scripted-node")
        self._thread.start()

    def say(self, frame: str | bytes) -> None:
        """Send a frame, text or binary, on the last connection."""
        connection = self.connections[-1]
        self._do(connection.send_str(frame) if isinstance(frame, str) else connection.send_bytes(frame))

    def announce(self, *heights: int) -> None:
        """Send the event of a transaction in each of these blocks."""
        self._do(self._announce(self.connections[-1], heights))

    def flood(self, frames: Iterator[bytes]) -> int:
        """Send raw frames on the last connection until it is gone, or until there are no more; how many bytes went."""
        return self._do(self._flood(self.connections[-1], frames))

    def close_connection(self) -> None:
        """Close the last connection, politely."""
        self._do(self.connections[-1].close())

    def stop(self) -> None:
        """Close everything."""
        self._do(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do[T](self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(20)

    async def _announce(self, connection: web.WebSocketResponse, heights: Sequence[int]) -> None:
        for height in heights:
            event = {"height": height, "asset_id": "a" * 64, "transaction_id": "b" * 64}
            await connection.send_str(json.dumps(event))

    async def _flood(self, connection: web.WebSocketResponse, frames: Iterator[bytes]) -> int:
        assert connection._writer is not None
        transport = connection._writer.transport
        sent = 0
        for frame in frames:
            while transport.get_write_buffer_size() > MAX_FRAME_BYTES and not transport.is_closing():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            if transport.is_closing():
                break
            transport.write(frame)
            sent += len(frame)
        return sent

    async def _start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/v1/streams/valid_transactions", self._accept)
        app.router.add_get("/moved", self._point_to_the_stream)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    async def _point_to_the_stream(self, _request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(self.url)

    async def _accept(self, request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse(autoping=False, timeout=0.1)
        await connection.prepare(request)
        self.connections.append(connection)
        async for message in connection:
            if message.type is aiohttp.WSMsgType.PING:
                self.pings += 1
                if self.answers_pings:
                    await connection.pong(message.data)
        return connection


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.stop()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Come back fast, so that the tests do not wait for the dice."""
    monkeypatch.setattr(backoff, "BASE_S", 0.02)


@pytest.fixture
def bell() -> Bell:
    return Bell()


Listen = Callable[[Callable[[], str]], Stream]


@pytest.fixture
def listen(bell: Bell) -> Iterator[Listen]:
    """Starts a listener, which is closed after the test."""
    listeners = []

    def start(find_url: Callable[[], str]) -> Stream:
        listeners.append(Stream(find_url, bell.ring))
        listeners[-1].start()
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()
        listener.join(5)
        assert not listener.is_alive()


@pytest.fixture
def listener(node: Node, listen: Listen) -> Stream:
    """A listener that is connected to the node."""
    listener = listen(lambda: node.url)
    eventually(lambda: len(node.connections) == 1 and listener.is_connected, within=5)
    return listener


def hears(listener: Stream, *heights: int) -> Callable[[], bool]:
    """Whether all of these blocks were announced by now, whatever else was."""
    heard: set[int] = set()

    def has_heard() -> bool:
        heard.update(listener.heard())
        return heard >= set(heights)

    return has_heard


def is_rung(bell: Bell) -> bool:
    """Whether the bell has a ring that is not answered yet."""
    return not bell._rings.empty()


def test_an_announced_block_is_heard_and_rings_the_bell(node: Node, listener: Stream, bell: Bell) -> None:
    eventually(lambda: is_rung(bell))  # for the connection itself: blocks may have come before it
    bell.wait(0)
    node.announce(7)
    eventually(lambda: is_rung(bell), within=2)
    assert listener.heard() == [7]
    assert listener.heard() == []


def test_every_block_is_heard_however_the_stream_shuffles_and_repeats(node: Node, listener: Stream) -> None:
    node.announce(3, 9, 4, 9, 1, 8)
    eventually(hears(listener, 1, 3, 4, 8, 9), within=2)
    node.announce(10)
    eventually(hears(listener, 10), within=2)


def test_a_burst_of_events_of_few_blocks_keeps_few_heights(node: Node, listener: Stream, bell: Bell) -> None:
    node.announce(*(height for height in (5, 6, 7, 8) for _ in range(5_000)), 9)
    eventually(lambda: len(listener._heights) > 0 and listener._heights[-1] == 9, within=10)
    assert listener.heard() == [5, 6, 7, 8, 9]
    assert is_rung(bell)
    bell.wait(0)
    assert not is_rung(bell)


def test_of_a_burst_of_many_blocks_the_last_heights_are_kept(node: Node, listener: Stream) -> None:
    node.announce(*range(1, 5 * KEPT_HEIGHTS + 1))
    eventually(lambda: len(listener._heights) > 0 and listener._heights[-1] == 5 * KEPT_HEIGHTS, within=10)
    assert listener.heard() == list(range(4 * KEPT_HEIGHTS + 1, 5 * KEPT_HEIGHTS + 1))


def test_a_height_that_no_ledger_has_is_heard_and_nothing_more(node: Node, listener: Stream) -> None:
    node.announce(10**24, -1, 7)
    eventually(hears(listener, 10**24, -1, 7), within=2)
    assert len(node.connections) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "not JSON",
        "null",
        "[]",
        "7",
        "{}",
        '{"height": "7"}',
        '{"height": null}',
        '{"height": 7.5}',
        '{"height": -1}',
        '{"block_id": "1.0 had this"}',
        '{"height": 7',
        b"\x00\xff binary",
        "x" * 1_000_000,
        DEEP,
        f'{{"height": 5, "more": {DEEP}}}',
    ],
    ids=lambda garbage: repr(garbage)[:30],
)
def test_garbage_does_not_stop_the_listener(node: Node, listener: Stream, garbage: str | bytes) -> None:
    node.say(garbage)
    node.announce(7)
    eventually(hears(listener, 7), within=2)
    assert len(node.connections) == 1


def frame(opcode: int, payload: bytes, *, is_last: bool) -> bytes:
    """A frame of a server, as RFC 6455 has it."""
    return bytes([0x80 * is_last | opcode, 0x7F]) + len(payload).to_bytes(8) + payload


CONTINUED, TEXT = 0x0, 0x1
HUGE_CLAIMS = {
    "a frame that claims a terabyte": lambda: itertools.chain(
        [b"\x81\x7f" + (2**40).to_bytes(8)], itertools.repeat(b"x" * 65_536)
    ),
    "a frame that claims a little too much": lambda: itertools.chain(
        [b"\x81\x7f" + (MAX_FRAME_BYTES + 1).to_bytes(8)], itertools.repeat(b"x" * 65_536)
    ),
    "endless continuation frames": lambda: itertools.chain(
        [frame(TEXT, b"{", is_last=False)], itertools.repeat(frame(CONTINUED, b" " * 60_000, is_last=False))
    ),
    "endless small continuation frames": lambda: itertools.chain(
        [frame(TEXT, b"{", is_last=False)], itertools.repeat(frame(CONTINUED, b" " * 100, is_last=False) * 100)
    ),
    "endless empty continuation frames": lambda: itertools.chain(
        [frame(TEXT, b"", is_last=False)], itertools.repeat(frame(CONTINUED, b"", is_last=False) * 1_000)
    ),
}


@pytest.mark.parametrize("frames", HUGE_CLAIMS.values(), ids=HUGE_CLAIMS)
def test_a_message_without_end_costs_a_connection_and_no_memory(
    node: Node, listener: Stream, frames: Callable[[], Iterator[bytes]]
) -> None:
    assert node.flood(frames()) < MAX_FRAME_BYTES + KERNEL_BUFFERS
    eventually(lambda: len(node.connections) == 2 and listener.is_connected, within=5)
    node.announce(7)
    eventually(hears(listener, 7), within=2)


def test_messages_of_any_number_are_no_message_without_end(node: Node, listener: Stream) -> None:
    padded = frame(TEXT, b'{"height": 5' + b" " * 100_000 + b"}", is_last=True)
    parts = frame(TEXT, b'{"height":', is_last=False) + frame(CONTINUED, b" 6}", is_last=True)
    node.flood(itertools.chain(itertools.repeat(padded, 30), [parts]))
    eventually(hears(listener, 5, 6), within=5)
    assert len(node.connections) == 1


def test_a_text_frame_that_is_no_utf8_costs_a_connection_at_most(node: Node, listener: Stream) -> None:
    writer = node.connections[-1]._writer
    assert writer is not None
    node._do(writer.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT))
    eventually(lambda: len(node.connections) == 2, within=5)
    node.announce(7)
    eventually(hears(listener, 7), within=2)


def test_a_closed_connection_is_made_again_and_rings_since_blocks_may_have_passed(
    node: Node, listener: Stream, bell: Bell
) -> None:
    eventually(lambda: is_rung(bell))
    bell.wait(0)
    node.close_connection()
    eventually(lambda: len(node.connections) == 2, within=5)
    eventually(lambda: is_rung(bell), within=2)
    assert listener.connections == 2
    node.announce(7)
    eventually(hears(listener, 7), within=2)


def test_a_node_that_is_not_there_is_tried_until_it_is(node: Node, listen: Listen) -> None:
    reasons: list[Exception] = [LedgerError("no answer from the node"), ConnectionRefusedError(), ValueError("no URL")]

    def find_url() -> str:
        if reasons:
            raise reasons.pop()
        return node.url

    listener = listen(find_url)
    eventually(lambda: listener.is_connected, within=10)
    assert reasons == []


@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/", "not a URL", "ws://", ""])
def test_a_url_that_leads_nowhere_is_given_up_for_the_next(node: Node, listen: Listen, url: str) -> None:
    urls = itertools.chain([url], itertools.repeat(node.url))
    listener = listen(lambda: next(urls))
    eventually(lambda: listener.is_connected, within=10)


def test_what_answers_without_being_a_stream_is_tried_again(node: Node, listen: Listen) -> None:
    not_found = node.url.removesuffix("valid_transactions")
    urls = itertools.chain([not_found], itertools.repeat(node.url))
    listener = listen(lambda: next(urls))
    eventually(lambda: listener.is_connected, within=10)


def test_a_node_that_points_elsewhere_is_not_followed(
    node: Node, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    listen(lambda: node.url.replace("/api/v1/streams/valid_transactions", "/moved"))
    eventually(lambda: caplog.text.count("stream lost") >= 2, within=5)
    assert node.connections == []


def test_reconnect_takes_effect_within_two_seconds_while_a_frame_is_waited_for(node: Node, listener: Stream) -> None:
    listener.reconnect()
    eventually(lambda: len(node.connections) == 2 and listener.is_connected, within=2)


def test_reconnect_without_a_connection_does_nothing(listen: Listen, bell: Bell) -> None:
    idle = Stream(lambda: "ws://127.0.0.1:9/", bell.ring)
    idle.reconnect()
    assert not idle.is_connected


class _Closing:
    """A connection whose socket the listening thread takes away right after another thread has looked at it.

    With real threads it takes some ten million reconnects to meet this moment.
    """

    def __init__(self, real: socket.socket) -> None:
        self._looks = iter([real])

    @property
    def sock(self) -> socket.socket | None:
        return next(self._looks, None)


def test_reconnect_while_the_connection_is_just_ending_is_no_error(bell: Bell) -> None:
    listener = Stream(lambda: "ws://127.0.0.1:9/", bell.ring)
    with socket.socket() as real:
        listener._socket = _Closing(real)  # type: ignore[assignment]
        listener.reconnect()


def test_a_node_that_answers_pings_but_says_nothing_stays_connected(
    node: Node, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING_S", SHORT_PING_S)
    listener = listen(lambda: node.url)
    eventually(lambda: node.pings >= 4, within=5)
    assert listener.is_connected
    assert listener.connections == len(node.connections) == 1


def test_a_node_that_answers_no_ping_is_given_up(node: Node, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PING_S", SHORT_PING_S)
    node.answers_pings = False
    listen(lambda: node.url)
    eventually(lambda: len(node.connections) == 2, within=5)
    assert node.pings >= 1


def test_a_node_that_ends_in_the_middle_of_a_frame_is_given_up(
    node: Node, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PING_S", SHORT_PING_S)
    listener = listen(lambda: node.url)
    eventually(lambda: listener.is_connected, within=5)
    node.flood(iter([b"\x81\x7f" + (2**40).to_bytes(8)]))
    eventually(lambda: len(node.connections) == 2, within=5)


def test_close_ends_the_thread_while_it_waits_for_a_frame(listener: Stream) -> None:
    listener.close()
    listener.join(2)
    assert not listener.is_alive()
    assert not listener.is_connected


def test_close_ends_the_thread_while_it_waits_to_connect_again(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backoff, "delay", lambda _attempt: 60.0)
    listener = listen(lambda: "ws://127.0.0.1:9/")
    eventually(lambda: "stream lost" in caplog.text, within=5)
    listener.close()
    listener.join(2)
    assert not listener.is_alive()


def test_close_before_it_ever_listened_ends_it_too(bell: Bell) -> None:
    listener = Stream(lambda: "ws://127.0.0.1:9/", bell.ring)
    listener.close()
    listener.start()
    listener.join(2)
    assert not listener.is_alive()
