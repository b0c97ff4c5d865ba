"""The node, the stream and the Function as attackers: what they cost the relay, what it says, and that it goes on.

The relay's own clients are asked in a child process, so that its memory can be measured. `MOST_MIB` is what a process
with one of them may take at its highest, of which some 60 MiB are the program.
"""

import datetime as dt
import gc
import io
import itertools
import json
import logging
import multiprocessing
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme

from local import audit
from local.processes import ROOT, Child, start
from local.scenario import LedgerClient
from local.stack import Stack
from relay import backoff, ledger, logs, stream
from relay.bell import Bell
from relay.cars import Cars
from relay.errors import LedgerError, SettingsError
from relay.events import CarEvent
from relay.feeder import Feeder
from relay.ledger import Ledger
from relay.post import Post
from relay.predecessors import Predecessors
from relay.progress import Mark, Progress
from relay.settings import Secret
from relay.stream import Stream
from relay.verdict import Settled, Unknown
from tests.integration.conftest import LESSOR, eventually
from tests.integration.hostile_node import (
    BINARY,
    CLOSE,
    CONTINUED,
    DEEP,
    MIB,
    PING,
    RSV1,
    TEXT,
    HostileNode,
    Serve,
    always,
    answered,
    bomb,
    chunk,
    endless_stream,
    endlessly,
    event,
    first_then,
    frame,
    head,
    long,
    passing_to,
    redirect,
    upgrade,
    whole,
    zeros,
)
from tests.integration.hostile_node import (
    stream as streaming,
)
from tests.integration.relays import TERMS, has
from tests.writing import new_car, new_keys

MOST_MIB = 400
LONGEST_LINE = 1_500
KEY = "the-function-key-of-these-tests"
TRANSACTION = {"id": "a" * 64, "operation": "CREATE", "inputs": [], "outputs": [], "asset": {"data": {}}}
MOVING = TRANSACTION | {"operation": "TRANSFER", "asset": {"id": "a#b"}}
FULL = answered({"height": 5, "transactions": [TRANSACTION]})


@dataclass
class Told:
    """What a child process has to tell of its work: the result, seconds, and the most memory that it had, in MiB."""

    result: Any
    seconds: float
    peak: float
    log: list[str] = field(default_factory=list)


def watched(work: Callable[..., Any], *arguments: Any) -> Told:
    """In the child: do the work, with short delays, and tell."""
    logged = io.StringIO()
    logs.write_logs("text", logged)
    logging.getLogger("leasehook.relay").setLevel(logging.INFO)
    backoff.BASE_S = 0.02
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the most memory is counted from now on
    began = time.monotonic()
    result = work(*arguments)
    seconds = time.monotonic() - began
    return Told(result, seconds, most_memory("self"), logged.getvalue().splitlines())


def most_memory(pid: int | str) -> float:
    """The most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


In = Callable[..., Told]


@pytest.fixture(scope="module")
def child() -> Iterator[In]:
    """Does work in a process of its own, and checks what holds for all of it: bounded memory, and lines that are."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:

        def run(work: Callable[..., Any], *arguments: Any, most: int = MOST_MIB) -> Told:
            told = pool.submit(watched, work, *arguments).result(60)
            assert told.peak < most
            assert all(len(line) < LONGEST_LINE and KEY not in line for line in told.log)
            return told

        yield run


Start = Callable[..., HostileNode]


@pytest.fixture
def hostile() -> Iterator[Start]:
    """Starts hostile servers, which are stopped after the test."""
    with starting() as start:
        yield start


@contextmanager
def starting() -> Iterator[Start]:
    started: list[HostileNode] = []

    def start(serve: Serve, **named: Any) -> HostileNode:
        started.append(HostileNode(serve, **named))
        return started[-1]

    yield start
    for one in started:
        one.close()


# ---- the node over HTTP


def ask(url: str, question: str, within: float = 10.0) -> str:
    """In the child: put a question to a node that has `within` seconds for its answer; the answer, or the error."""
    ledger.TIMEOUT_S = ledger.ANSWER_TIMEOUT_S = within
    asked = Ledger((url,))
    questions: dict[str, Callable[[], object]] = {
        "block": lambda: asked.block(5),
        "has block": lambda: asked.has_block(5),
        "transaction": lambda: asked.transaction("a" * 64),
        "chain": lambda: asked.chain("a" * 64),
        "height": lambda: asked.height_of("a" * 64),
        "stream": asked.stream_url,
    }
    try:
        return f"answer: {str(questions[question]())[:300]}"
    except LedgerError as error:
        return f"error: {str(error)[:2_000]}"


def block_of(transactions: bytes) -> bytes:
    return b'{"height": 5, "transactions": [' + transactions + b"]}"


BLOCK = b'{"height": 5, "transactions": ['
TINY = b'{"id":"1","operation":"CREATE","inputs":[],"outputs":[]}'
PADDED = json.dumps(TRANSACTION | {"metadata": {"padding": " " * MIB}}).encode()
NO_ANSWER = "block 5: no answer from"
MALFORMED = "answer is malformed: block 5"
LARGE: dict[str, tuple[Serve, str]] = {
    "a gzip bomb of 10 GiB": (bomb(10 * 1024), "it has more than 67,108,864 bytes"),
    "a deflate bomb": (bomb(1024, "deflate", 15), "not asked for"),
    "a brotli body": (bomb(1024, "br"), "not asked for"),
    "a zstd body": (bomb(1024, "zstd"), "not asked for"),
    "a bomb in a bomb": (bomb(1024, "gzip, gzip"), "not asked for"),
    "a gzip of nothing without end": (
        endlessly(head("content-encoding: gzip") + next(zeros(1, 31))[:10], b"\x00\x00\x00\xff\xff" * 10_000),
        "it has more than 67,108,864 bytes",
    ),
    "a gzip whose file name has no end": (
        endlessly(head("content-encoding: gzip") + b"\x1f\x8b\x08\x08\0\0\0\0\0\0", b"x" * 60_000),
        "it has more than 67,108,864 bytes",
    ),
    "a gzip that is none": (always(whole(b"no gzip", "content-encoding: gzip")), "cannot be decompressed"),
    "a body without end": (endlessly(head(), b" " * MIB), "it has more than 67,108,864 bytes"),
    "chunks without end": (
        endlessly(head("transfer-encoding: chunked"), chunk(b" " * MIB)),
        "it has more than 67,108,864 bytes",
    ),
    "a block of 100 MB": (
        long(BLOCK, PADDED + b",", 96, PADDED + b"]}"),
        "it has more than 67,108,864 bytes",
    ),
    "a length of 10^30": (always(head("content-length: 1" + "0" * 30), b"{}"), "no answer"),
    "a negative length": (always(head("content-length: -5"), b'{"height": 5}'), MALFORMED),
    "a length and chunks": (
        always(head("content-length: 3", "transfer-encoding: chunked") + chunk(b'{"height": 6}') + b"0\r\n\r\n"),
        MALFORMED,
    ),
    "a line of HTTP/0.9": (always(b'{"height": 5, "transactions": []}'), "ConnectionError"),
    "garbage": (always(bytes(range(256)) * 100), "ConnectionError"),
    "nothing": (always(), "ConnectionError"),
    "a header line without end": (endlessly(b"HTTP/1.1 200 OK\r\nx: ", b"x" * 60_000), "ConnectionError"),
    "headers without end": (endlessly(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 100), "ConnectionError"),
    "thousands of headers": (always(head(*[f"x-{n}: y" for n in range(5_000)]) + b"{}"), "ConnectionError"),
    "a status line without end": (endlessly(b"HTTP/1.1 200 ", b"O" * 60_000), "ConnectionError"),
    "a million tiny transactions": (
        long(BLOCK, (TINY + b",") * 1_000, 1_000, TINY + b"]}"),
        "it claims 1000001 transactions",
    ),
    "twenty million things that are no transactions": (
        long(BLOCK, b"{}," * 100_000, 200, b"{}]}"),
        MALFORMED,
    ),
    "thirty million numbers": (long(BLOCK, b"0," * 100_000, 300, b"0]}"), MALFORMED),
    "values for which JSON has no word, and twenty million more": (
        long(BLOCK + b"NaN,", b"[]," * 100_000, 200, b"0]}"),
        "more than 22000000 values",
    ),
    "brackets 100,000 deep": (always(whole(DEEP)), MALFORMED),
    "a transaction with metadata 100,000 deep": (
        always(
            whole(block_of(json.dumps(TRANSACTION | {"metadata": 0}).encode().replace(b": 0}", b": " + DEEP + b"}")))
        ),
        MALFORMED,
    ),
    "a block of another height": (answered({"height": 6, "transactions": []}), "the answer is not this block"),
    "a 404 of 60 MB": (
        long(b"[", b"[]," * 100_000, 200, b"0]", status="404 Not Found"),
        "it has more than 65,536 bytes",
    ),
}
SLOW: dict[str, Serve] = {
    "a body that drips": endlessly(head("content-length: 100000"), b" ", 0.1),
    "a head that drips": endlessly(b"HTTP/1.1 200 OK\r\nx: ", b"x", 0.1),
    "a chunk's length that drips": endlessly(head("transfer-encoding: chunked"), b"0", 0.1),
    "a chunk that drips": endlessly(head("transfer-encoding: chunked") + b"fffff\r\n", b" ", 0.1),
    "trailers without end": endlessly(head("transfer-encoding: chunked") + b"0\r\n", b"x: y\r\n" * 1_000),
    "100 Continue without end": endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "silence": endlessly(b"", 1.0),
}


@pytest.mark.parametrize(("serve", "words"), LARGE.values(), ids=LARGE)
def test_what_a_node_answers_in_the_place_of_a_block_costs_little_memory_and_is_named(
    hostile: Start, child: In, serve: Serve, words: str
) -> None:
    node = hostile(serve)
    told = child(ask, node.url(), "block")
    assert told.result.startswith("error: block 5: ")
    assert words in told.result
    assert f"127.0.0.1:{node.port}" in told.result
    assert len(told.result) < LONGEST_LINE


def test_the_most_memory_is_taken_by_a_block_full_of_values_for_one_of_which_json_has_no_word(
    hostile: Start, child: In
) -> None:
    serve = long(BLOCK + b"NaN,", b"[0]," * 100_000, 54, b"0]}")
    told = child(ask, hostile(serve).url(), "block", most=800)
    assert "a transaction is not whole" in told.result


@pytest.mark.parametrize("serve", SLOW.values(), ids=SLOW)
def test_a_node_that_never_comes_to_an_end_is_left_in_time(hostile: Start, child: In, serve: Serve) -> None:
    told = child(ask, hostile(serve).url(), "block", 0.5)
    assert told.result.startswith("error: block 5: no answer from 127.0.0.1:")
    assert told.seconds < 3


def test_a_node_whose_description_or_heights_have_no_bounds_is_refused_before_they_are_read(
    hostile: Start, child: In
) -> None:
    lists = hostile(long(b"[", b"[]," * 100_000, 200, b"0]")).url()
    heights = hostile(long(b"[", b"1," * 1_000_000, 1, b"1]")).url()
    for url, question in ((lists, "stream"), (lists, "height"), (heights, "height")):
        told = child(ask, url, question)
        assert "it has more than 65,536 bytes" in told.result


@pytest.mark.parametrize("height", [0, -1, True, 1.5, 10**24, "5", None], ids=repr)
def test_a_height_that_no_ledger_has_is_none(hostile: Start, child: In, height: object) -> None:
    told = child(ask, hostile(answered([height])).url(), "height")
    assert told.result.startswith("error: the block of transaction aaa")


def moving(name: str, spent: str, asset: str = "a" * 64) -> dict[str, Any]:
    inputs = [{"fulfills": {"transaction_id": spent, "output_index": 0}}]
    return {"id": name, "operation": "TRANSFER", "asset": {"id": asset}, "inputs": inputs, "outputs": []}


CHAINS: dict[str, tuple[Serve, str]] = {
    "transactions that spend each other": (answered([moving("b", "c"), moving("c", "b")]), "in a circle"),
    "a transaction that spends itself": (answered([moving("b", "b")]), "in a circle"),
    "transactions of another asset": (answered([TRANSACTION, moving("b", "a", "other")]), "b, of another asset"),
    "transactions without end": (
        endlessly(head() + b"[", (json.dumps(moving("b", "a")).encode() + b",") * 1_000),
        "it has more than 67,108,864 bytes",
    ),
}


@pytest.mark.parametrize(("serve", "words"), CHAINS.values(), ids=CHAINS)
def test_a_chain_that_cannot_be_one_is_an_error(hostile: Start, child: In, serve: Serve, words: str) -> None:
    told = child(ask, hostile(serve).url(), "chain")
    assert told.result.startswith("error: the transactions of asset aaa")
    assert words in told.result


def test_a_transaction_under_another_id_is_not_taken_for_the_one_that_was_asked_for(hostile: Start, child: In) -> None:
    other = answered(TRANSACTION | {"id": "b" * 64})
    told = child(ask, hostile(other).url(), "transaction")
    assert f"the answer is transaction {'b' * 64}" in told.result


@pytest.mark.parametrize(
    "transaction",
    [TRANSACTION | {"id": "../x"}, TRANSACTION | {"id": "x" * 3_000_000}, TRANSACTION | {"id": ""}, MOVING],
    ids=["a path", "3 MB", "nothing", "an asset's"],
)
def test_an_id_that_no_row_can_have_is_an_error_and_parks_no_car(
    hostile: Start, child: In, transaction: dict[str, Any]
) -> None:
    told = child(ask, hostile(answered({"height": 5, "transactions": [transaction]})).url(), "block")
    assert "block 5: a transaction, or its asset, has an id that is none" in told.result


def test_a_transaction_that_a_block_holds_twice_is_one(hostile: Start, child: In) -> None:
    told = child(ask, hostile(answered({"height": 5, "transactions": [TRANSACTION] * 1_000})).url(), "block")
    assert told.result.startswith("answer: Block")
    assert told.result.count("Transaction(") == 1


def test_metadata_as_deep_as_a_ledger_takes_are_no_reason_to_refuse_a_block(hostile: Start, child: In) -> None:
    deep = json.dumps(TRANSACTION | {"metadata": 0}).encode().replace(b": 0}", b": " + b"[" * 990 + b"]" * 990 + b"}")
    told = child(ask, hostile(always(whole(block_of(deep)))).url(), "block")
    assert told.result.startswith("answer: Block")


def test_what_comes_behind_an_answer_is_not_taken_for_the_next(hostile: Start, child: In) -> None:
    good = whole(b'{"height": 5, "transactions": []}').replace(b"connection: close", b"connection: keep-alive")
    forged = whole(block_of(json.dumps(TRANSACTION).encode()))
    # An empty block is asked for twice.
    told = child(ask, hostile(always(good + forged, 0.3)).url(), "block")
    assert TRANSACTION["id"] not in told.result


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_node_cannot_send_the_relay_to_another_host(hostile: Start, child: In, status: int) -> None:
    elsewhere = hostile(FULL)
    node = hostile(redirect(status, elsewhere.url() + "/api/v1/blocks/5"))
    for question in ("block", "has block", "transaction", "chain", "height", "stream"):
        told = child(ask, node.url(), question)
        assert f"answered {status}" in told.result
    assert elsewhere.connections == 0


def test_what_comes_with_a_redirect_is_not_read(hostile: Start, child: In) -> None:
    moved = head("location: /elsewhere", status="307 Elsewhere")
    node, function = hostile(endlessly(moved, b" " * MIB)), hostile(endlessly(moved, b" " * MIB))
    told = child(ask, node.url(), "block", most=150)
    assert "more than 65,536 bytes" in told.result
    told = child(post, function.url() + "/api/ledger-events", 10.0, most=150)
    assert not told.result["settled"]


def ask_often(url: str, times: int) -> int:
    """In the child: ask for the same block again and again; how often it was there."""
    asked = Ledger((url,))
    return sum(asked.block(5) is not None for _ in range(times))


def test_cookies_are_neither_kept_nor_sent_back(hostile: Start, child: In) -> None:
    numbers = itertools.count()

    def serve(_: bytes) -> Iterator[bytes | float]:
        cookies = [f"set-cookie: c{next(numbers)}={'x' * 50_000}; max-age=99999999" for _ in range(90)]
        return iter([whole(block_of(json.dumps(TRANSACTION).encode()), *cookies)])

    node = hostile(serve)
    told = child(ask_often, node.url(), 40)
    assert told.result == 40
    assert told.peak < 150
    assert not any(b"cookie" in request.lower() for request in node.requests)


# ---- memory while many are read


def read_ahead(url: str, workers: int, upto: int) -> int:
    """In the child: read blocks ahead with so many threads, as while catching up; up to which block it came."""
    bell, progress = Bell(), Progress(Mark(0), Bell())
    asked = Ledger((url,))
    feeder = Feeder(
        asked,
        Cars([], asked.transaction),
        Predecessors(),
        "urn:x",
        [],
        progress,
        bell,
        workers=workers,
        polls=(1, 1),
        last=upto,
    )
    feeder.start()
    feeder.join(50)
    feeder.stop()
    return progress.read


def test_large_blocks_are_read_one_after_the_other_however_many_threads_there_are(hostile: Start, child: In) -> None:
    large = b",".join([PADDED] * 60)

    def serve(request: bytes) -> Iterator[bytes | float]:
        height = int(request.split()[1].rpartition(b"/")[2])
        body = large if height % 20 > 15 else b"%s" % PADDED[:-100]
        return iter([whole(b'{"height": %d, "transactions": [%s]}' % (height, body if height % 20 > 15 else b""))])

    told = child(read_ahead, hostile(serve).url(), 16, 42)
    assert told.result == 42


# ---- the stream


def listen(url: str, seconds: float) -> dict[str, Any]:
    """In the child: listen until block 7 is announced, or for so long; what was heard, and over how many connections.

    Delays and patience are short.
    """
    stream.CONNECT_TIMEOUT_S, stream.PING_S = 0.5, 0.3
    hints: list[float] = []
    listener = Stream(lambda: url, lambda: hints.append(1.0))
    listener.start()
    heard: list[int] = []
    end = time.monotonic() + seconds
    while 7 not in heard and time.monotonic() < end:
        time.sleep(0.01)
        heard = (heard + listener.heard())[-100:]
    is_alive = listener.is_alive()
    listener.close()
    listener.join(2)
    return {
        "heard": [height for height in heard if abs(height) < 10**6],
        "connections": listener.connections,
        "was alive": is_alive,
        "is alive": listener.is_alive(),
        "hints": len(hints),
    }


GOOD = streaming(event(7))
COMPRESSED = next(zeros(1, -15))
LOST: dict[str, Serve] = {
    "a frame of 2^63 bytes": streaming(b"\x81\x7f" + (2**63).to_bytes(8), b"x" * 2 * MIB),
    "a frame of 1 GiB": endless_stream(b"\x81\x7f" + (2**30).to_bytes(8), again=b"x" * 65_536),
    "a message in endless fragments": endless_stream(
        frame(TEXT, b"{", is_last=False), again=frame(CONTINUED, b" " * 999, is_last=False)
    ),
    "a message in endless fragments of a byte": endless_stream(
        frame(TEXT, b"{", is_last=False), again=frame(CONTINUED, b" ", is_last=False) * 1_000
    ),
    "a compressed frame, unasked": lambda request: iter(
        [upgrade(request, "sec-websocket-extensions: permessage-deflate"), frame(TEXT, COMPRESSED, bits=RSV1), 1.0]
    ),
    "text that is no UTF-8": streaming(frame(TEXT, b"\xff\xfe")),
    "an unknown opcode": streaming(frame(0x5, b"x")),
    "a continuation of nothing": streaming(frame(CONTINUED, b"x")),
    "a long ping": streaming(frame(PING, b"x" * 126)),
    "a ping in fragments": streaming(frame(PING, b"x", is_last=False)),
    "a close": streaming(frame(CLOSE, b"")),
    "a close with a code": streaming(frame(CLOSE, (1009).to_bytes(2) + b"too big")),
    "a close with a code that is none": streaming(frame(CLOSE, (999).to_bytes(2))),
    "a close of one byte": streaming(frame(CLOSE, b"x")),
    "half a frame": streaming(b"\x81\x7f\x00"),
    "silence, and no pong": streaming(),
    "a hang-up": lambda request: iter([upgrade(request)]),
    "a handshake that drips": endlessly(b"HTTP/1.1 101 Switching Protocols\r\nx: ", b"x", 0.1),
    "a handshake that never begins": always(20.0),
    "a handshake with a header without end": endlessly(b"HTTP/1.1 101 Switching Protocols\r\nx: ", b"x" * 60_000),
    "a handshake with headers without end": endlessly(b"HTTP/1.1 101 Switching Protocols\r\n", b"x: y\r\n" * 1_000),
    "a handshake that is refused with 10 GB": endlessly(
        head("content-length: 10000000000", status="403 No"), b"x" * MIB
    ),
    "a handshake that is refused with a length that is none": always(head("content-length: many", status="403 No")),
    "a handshake with the wrong key": always(
        head("upgrade: websocket", "connection: upgrade", "sec-websocket-accept: x", status="101 Switching Protocols")
    ),
    "a handshake without a key": always(head("upgrade: websocket", status="101 Switching Protocols")),
    "a handshake that is garbage": always(bytes(range(256)) * 100),
    "a handshake with a cookie that is none": streaming(headers=("set-cookie: a=1; x/y=2; domain=z, {}=3",)),
}


@pytest.mark.parametrize("serve", LOST.values(), ids=LOST)
def test_what_no_stream_sends_costs_a_connection_and_the_next_is_heard(hostile: Start, child: In, serve: Serve) -> None:
    told = child(listen, hostile(first_then(serve, GOOD)).url("ws"), 5.0)
    assert told.result["heard"] == [7]
    assert not told.result["is alive"]
    assert any("stream lost" in line for line in told.log)


ODD: list[object] = [True, 1e308, 7.5, "7", None, [], {}]
KEPT: dict[str, list[bytes]] = {
    "binary frames": [frame(BINARY, b"\x00\xff" * 1_000)] * 100,
    "JSON 100,000 deep": [frame(TEXT, DEEP)],
    "heights that are none": [
        *(event(height) for height in ODD),
        frame(TEXT, b'{"height": ' + b"9" * 5_000 + b"}"),
    ],
    "heights that no ledger has": [event(10**24), event(-1), event(0)],
    "twenty thousand frames that are no events": [frame(TEXT, b"{}") * 20_000],
    "twenty thousand pings": [frame(PING, b"x") * 20_000],
    "twenty thousand events": [event(3) * 20_000],
    "large frames": [frame(TEXT, b"x" * 1_000_000)] * 3,
}


@pytest.mark.parametrize("frames", KEPT.values(), ids=KEPT)
def test_a_stream_that_floods_is_heard_out_and_little_is_said_of_it(
    hostile: Start, child: In, frames: list[bytes]
) -> None:
    told = child(listen, hostile(streaming(*frames, event(7))).url("ws"), 10.0)
    assert told.result["heard"][-1] == 7
    assert told.result["connections"] == 1
    assert len(told.log) <= 2


@pytest.mark.parametrize(
    "again", [event(3) * 100, frame(TEXT, b"{}") * 100, frame(PING, b"") * 100], ids=["events", "no events", "pings"]
)
def test_a_stream_that_floods_without_end_takes_no_memory_and_can_be_left(
    hostile: Start, child: In, again: bytes
) -> None:
    told = child(listen, hostile(endless_stream(again=again)).url("ws"), 1.0)
    assert told.result["was alive"]
    assert not told.result["is alive"]
    assert len(told.log) <= 2
    assert told.peak < 150


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_stream_cannot_send_the_relay_to_another_host(hostile: Start, child: In, status: int) -> None:
    elsewhere = hostile(GOOD)
    told = child(listen, hostile(redirect(status, elsewhere.url("ws") + "/")).url("ws"), 0.5)
    assert elsewhere.connections == 0
    assert any("stream lost" in line for line in told.log)


@pytest.mark.parametrize(
    "advertised",
    [
        "http://{place}/",
        "https://{place}/",
        "file:///etc/passwd",
        "unix:///run/x",
        "ws:{place}",
        "ws://",
        "ws://[",
        "ws://a b/",
        "ws://\x00/",
        "ws://{long}/",
        "ws://127.0.0.1:99999/",
        "javascript:1",
    ],
)
def test_an_advertised_stream_that_is_no_stream_is_not_connected_to(hostile: Start, child: In, advertised: str) -> None:
    elsewhere = hostile(GOOD)
    place = f"127.0.0.1:{elsewhere.port}"
    told = child(listen, advertised.replace("{place}", place).replace("{long}", "x" * 100_000), 0.5)
    assert elsewhere.connections == 0
    assert told.result["was alive"]
    assert any("stream lost" in line for line in told.log)


def test_an_advertised_stream_on_another_host_gets_a_bare_handshake(hostile: Start, child: In) -> None:
    elsewhere = hostile(GOOD)
    url = f"ws://user:word@127.0.0.1:{elsewhere.port}/a\r\nx-injected: 1\r\n\r\nGET /b"
    told = child(listen, url, 5.0)
    assert told.result["heard"] == [7]
    [request] = elsewhere.requests
    assert b"word" not in request
    assert request.count(b"\r\n\r\n") == 1
    named = {line.split(b":")[0].lower() for line in request.strip().split(b"\r\n")[1:]}
    assert named == {b"upgrade", b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"connection"}


def test_no_cookie_of_a_stream_is_kept_or_sent_back(hostile: Start, child: In) -> None:
    flood = ("set-cookie: a=" + "x" * 50_000 + "; domain=127.0.0.1",)
    node = hostile(first_then(lambda request: iter([upgrade(request, *flood)]), GOOD, times=5))
    told = child(listen, node.url("ws"), 10.0)
    assert told.result["heard"] == [7]
    assert len(node.requests) == 6
    assert not any(b"cookie" in request.lower() for request in node.requests)


def test_a_stream_that_announces_what_is_not_there_does_not_have_the_node_flooded(hostile: Start) -> None:
    node = hostile(answered({"message": "Not found", "status": 404}, status="404 Not Found"))
    bell = Bell()
    asked = Ledger((node.url(),))
    feeder = Feeder(
        asked,
        Cars([], asked.transaction),
        Predecessors(),
        "urn:x",
        [],
        Progress(Mark(0), bell),
        bell,
        workers=1,
        polls=(9, 9),
    )
    feeder.start()
    end = time.monotonic() + 1.2
    while time.monotonic() < end:
        bell.ring()
        time.sleep(0.001)
    feeder.stop()
    feeder.join(5)
    assert 5 < len(node.requests) < 15


# ---- the Function


BATCH = [CarEvent(name, "car", f"{7:012d}-{0:06d}", 7, b'{"id":"%s"}' % name.encode()) for name in ("a", "b")]


def post(url: str, within: float) -> dict[str, Any]:
    """In the child: send a batch, for an answer within so many seconds; what the relay makes of that."""
    posting = Post(url, Secret(KEY))
    verdict = posting.send(BATCH, within)
    posting.close()
    lasted = isinstance(verdict, Settled)
    return {"settled": lasted} if lasted else {"settled": False, **msgspec.to_builtins(verdict)}


MANY_RESULTS = b'{"results": [' + b",".join([b'{"id":"a","outcome":"failed"}'] * 100_000) + b"]}"
ANSWERS: dict[str, tuple[Serve, str]] = {
    "a body without end": (endlessly(head(), b" " * MIB), "more than 4,194,304 bytes"),
    "a body of 100 MB": (long(b"", b" " * MIB, 100, b"{}"), "more than 4,194,304 bytes"),
    "a gzip bomb": (bomb(1024), "more than 4,194,304 bytes"),
    "a deflate bomb": (bomb(1024, "deflate", 15), "not asked for"),
    "JSON 100,000 deep": (always(whole(DEEP)), "names no outcomes"),
    "results without our events": (always(whole(MANY_RESULTS)), "leaves out 1 of 2"),
    "an outcome of 3 MB": (
        answered({"results": [{"id": "a", "outcome": "x" * 3_000_000}]}),
        "names no outcomes",
    ),
    "headers without end": (endlessly(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 100), "no answer"),
    "100 Continue without end": (endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000), "ReadTimeout"),
    "a head that drips": (endlessly(b"HTTP/1.1 200 OK\r\nx: ", b"x", 0.1), "ReadTimeout"),
    "a body that drips": (endlessly(head("content-length: 100000"), b" ", 0.1), "ReadTimeout"),
    "trailers without end": (
        endlessly(head("transfer-encoding: chunked") + b"0\r\n", b"x: y\r\n" * 1_000),
        "ReadTimeout",
    ),
    "garbage": (always(bytes(range(256)) * 100), "no answer"),
    "a refusal of 4 MB": (
        answered({"detail": "x" * 4_000_000}, "content-type: application/problem+json", status="413 Large"),
        "413: xx",
    ),
    "a pause of a century": (answered({}, "retry-after: 3155760000", status="503 Busy"), "503"),
    "a pause until the year 9999": (
        answered({}, "retry-after: Fri, 31 Dec 9999 23:59:59 GMT", status="429 Busy"),
        "429",
    ),
}


@pytest.mark.parametrize(("serve", "words"), ANSWERS.values(), ids=ANSWERS)
def test_whatever_the_function_answers_settles_nothing_and_costs_little(
    hostile: Start, child: In, serve: Serve, words: str
) -> None:
    within = 0.5 if "Timeout" in words else 10.0
    told = child(post, hostile(serve).url() + "/api/ledger-events", within)
    assert not told.result["settled"]
    assert words in told.result["reason"]
    assert KEY not in told.result["reason"]
    assert len(logs.fields(reason=told.result["reason"])["fields"]["reason"]) < LONGEST_LINE
    assert told.result.get("retry_after", 0.0) <= 300
    assert told.seconds < within + 3
    assert told.peak < 150


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_function_cannot_have_the_key_sent_to_another_host(hostile: Start, child: In, status: int) -> None:
    elsewhere = hostile(answered({}))
    function = hostile(redirect(status, elsewhere.url() + "/api/ledger-events"))
    told = child(post, function.url() + "/api/ledger-events", 10.0)
    assert not told.result["settled"]
    assert [KEY.encode() in request for request in function.requests] == [True]
    assert elsewhere.connections == 0


# ---- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, name: str, *, expired: bool = False) -> ssl.SSLContext:
    """What a server needs that has a certificate of this authority for this name."""
    long_ago = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    leaf = authority.issue_cert(name, not_after=long_ago) if expired else authority.issue_cert(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


REFUSED = {
    "of an authority that is not trusted": (
        lambda _: serving(trustme.CA(), "127.0.0.1"),
        "unable to get local",
    ),
    "for another name": (lambda authority: serving(authority, "elsewhere.example"), "mismatch"),
    "that has expired": (lambda authority: serving(authority, "127.0.0.1", expired=True), "expired"),
}
TlsOf = Callable[[trustme.CA], ssl.SSLContext]


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The authority is trusted, as an operator has it."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))


@pytest.mark.parametrize(("tls", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.usefixtures("trusting")
def test_a_certificate_that_is_not_right_is_refused_by_name_and_nothing_is_sent(
    hostile: Start, authority: trustme.CA, tls: TlsOf, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = hostile(FULL, tls=tls(authority))
    with pytest.raises(LedgerError, match=f"its certificate is refused: .*{words}"):
        Ledger((server.url("https"),)).block(5)
    verdict = Post(server.url("https"), Secret(KEY)).send(BATCH)
    assert isinstance(verdict, Unknown)
    assert "its certificate is refused: " in verdict.reason
    assert words in verdict.reason
    assert not verdict.may_be_an_event
    listener = Stream(lambda: server.url("wss"), lambda: None)
    listener.start()
    eventually(lambda: any(words in str(vars(record)) for record in caplog.records), within=5)
    listener.close()
    listener.join(5)
    assert server.requests == []


@pytest.mark.usefixtures("trusting")
def test_nodes_stream_and_function_of_an_authority_of_ones_own_are_reached(
    hostile: Start, authority: trustme.CA
) -> None:
    node = hostile(FULL, tls=serving(authority, "127.0.0.1"))
    assert Ledger((node.url("https"),)).block(5) is not None
    results = {"results": [{"id": event.transaction_id, "outcome": "applied"} for event in BATCH]}
    function = hostile(answered(results), tls=serving(authority, "localhost"))
    posting = Post(function.url("https", "localhost"), Secret(KEY))
    assert isinstance(posting.send(BATCH), Settled)
    posting.close()
    announcing = hostile(GOOD, tls=serving(authority, "127.0.0.1"))
    listener = Stream(lambda: announcing.url("wss"), lambda: None)
    listener.start()
    eventually(lambda: listener.heard() == [7], within=5)
    listener.close()
    listener.join(5)


def test_without_the_authority_of_ones_own_nothing_is_sent(hostile: Start, authority: trustme.CA) -> None:
    node = hostile(FULL, tls=serving(authority, "127.0.0.1"))
    with pytest.raises(LedgerError, match="its certificate is refused"):
        Ledger((node.url("https"),)).block(5)
    assert node.requests == []


def test_authorities_that_are_not_there_are_a_setting_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/authorities.pem")
    with pytest.raises(SettingsError, match=r"REQUESTS_CA_BUNDLE: found '/nowhere/authorities\.pem'"):
        Ledger(("https://127.0.0.1:9",))


# ---- all of it, to the relay as a process


IMPATIENT = """
import sys
from relay import backoff, ledger, stream
from relay.__main__ import main
from relay.post import Post
ledger.TIMEOUT_S = stream.CONNECT_TIMEOUT_S = 0.5
ledger.ANSWER_TIMEOUT_S = 1.0
stream.PING_S = 0.3
backoff.MAX_RETRY_AFTER_S = 0.5
backoff.CAP_S, backoff.delay.__defaults__ = 0.05, (0.05,)
Post.send.__defaults__ = (0.8,)
sys.exit(main(["run"]))
"""
"""The relay, with seconds where it has half minutes."""
REFUSALS = {"a refusal of 4 MB"}
"""The Function's own word, which parks a car as it should."""


def meets(relay: Child, server: HostileNode, serve: Serve, words: str) -> None:
    """Have the relay meet this, until it says these words of it."""
    before = server.connections
    place = relay.log.stat().st_size
    server.serve = serve
    eventually(lambda: server.connections > before and words in relay.log.read_text()[place:], within=15)


def test_a_relay_survives_all_of_this_and_then_delivers_everything(
    stack: Stack, ledger: LedgerClient, hostile: Start, tmp_path: Path
) -> None:
    elsewhere = hostile(FULL)
    to_ledger, to_stream = passing_to(stack.ledger_url), passing_to(stack.stream_url.replace("ws:", "http:"))
    to_function = passing_to(stack.functions_url)
    node, events, function = hostile(to_ledger), hostile(to_stream), hostile(to_function)
    settings = stack.relay_settings | {
        "LEDGER_URLS": node.url(),
        "LEDGER_STREAM_URL": events.url("ws") + "/api/v1/streams/valid_transactions",
        "FUNCTION_URL": function.url() + "/api/ledger-events",
        "RELAY_POLL_SECONDS": "0.1",
        "PYTHONPATH": str(ROOT / "webjob"),
    }
    relay = start("relay", [sys.executable, "-c", IMPATIENT], log=tmp_path / "relay.log", env=settings)
    beside = ThreadPoolExecutor(1)

    def attack_stream() -> None:
        for serve in (*LOST.values(), redirect(302, elsewhere.url("ws"))):
            events.hang_up()
            meets(relay, events, serve, "stream lost")
        for frames in KEPT.values():
            events.hang_up()
            meets(relay, events, streaming(*frames), "stream connected")

    try:
        written = [ledger.create(LESSOR, new_car())]
        eventually(lambda: has(stack, written[0]))
        attacked = beside.submit(attack_stream)
        for serve, words in LARGE.values():
            meets(relay, node, serve, words.removesuffix("block 5"))
        for serve in SLOW.values():
            meets(relay, node, serve, "Timeout")
        for status in (301, 302, 303, 307, 308):
            meets(relay, node, redirect(status, elsewhere.url()), f"answered {status}")
        node.serve = to_ledger
        for name, (serve, words) in ANSWERS.items():
            if name not in REFUSALS:
                written.append(ledger.create(LESSOR, new_car()))
                meets(relay, function, serve, words.removesuffix("1 of 2"))
        meets(relay, function, redirect(307, elsewhere.url()), "the answer is 307")
        function.serve = to_function
        attacked.result()
        events.serve = to_stream
        driver = new_keys().public_key
        written += [ledger.transfer(car, LESSOR, driver, TERMS) for car in written]
        eventually(lambda: all(has(stack, one) for one in written), within=30)
        peak = most_memory(relay.pid)
    finally:
        relay.stop()
        beside.shutdown()
    facts = audit.fold(audit.read_blocks(stack.ledger_url), stack.lessors)
    assert audit.differences(facts, stack.tables) == []
    assert elsewhere.connections == 0
    assert peak < MOST_MIB
    log = relay.log.read_text()
    assert stack.key not in log
    assert max(len(line) for line in log.splitlines()) < LONGEST_LINE
