"""How the relay reads its nodes: what it believes, what it asks for again, what is an error, and whom it asks."""

import gzip
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from relay import ledger
from relay.errors import LedgerError
from relay.ledger import SURELY_COMMITTED, Ledger

EXAMPLES = Path(__file__).parent.parent / "contract" / "examples"
TRANSACTION = json.loads((EXAMPLES / "batch.json").read_text())[0]["data"]
NOWHERE = "http://127.0.0.1:9"
DEEP = "[" * 100_000 + "]" * 100_000


@dataclass(frozen=True)
class Answer:
    """What a node answers, and how: after `pause` seconds, in pieces with `drip` seconds between them."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    drip: float = 0.0
    more_is_claimed: int = 0
    is_chunked: bool = False


def answered(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(body).encode(), status, headers=named)


def block(height: int, *transactions: Any) -> Answer:
    return answered({"height": height, "transactions": transactions})


NOT_FOUND = answered({"message": "Not found", "status": 404}, 404)
HTML = Answer(b"<h1>It works!</h1>", content_type="text/html")
EMPTY = block(5)
FULL = block(5, TRANSACTION)
FULL_AT_100 = block(100, TRANSACTION)


class Node:
    """A node with scripted answers: given one after the other, the last of them for ever, or made from the path."""

    def __init__(self, *answers: Answer, by_path: Callable[[str], Answer] | None = None) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._in_turn = itertools.chain(answers[:-1], itertools.repeat(answers[-1])) if answers else iter(())
        self._by_path = by_path
        self._lock = threading.Lock()
        self._is_closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # the client has hung up
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._is_closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self, path: str) -> Answer:
        with self._lock:
            self.asked.append(path.removeprefix("/api/v1"))
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            return self._by_path(path) if self._by_path else next(self._in_turn)

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = node._next(self.path)
                node._is_closing.wait(answer.pause)
                with node._lock:
                    node.at_once -= 1
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.is_chunked:
                    self.send_header("transfer-encoding", "chunked")
                else:
                    self.send_header("content-length", str(len(answer.body) + answer.more_is_claimed))
                self.end_headers()
                size = 1 if answer.drip else max(1, len(answer.body))
                for start in range(0, len(answer.body), size):
                    piece = answer.body[start : start + size]
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if answer.is_chunked else piece)
                    if node._is_closing.wait(answer.drip):
                        break
                if answer.is_chunked and not answer.more_is_claimed:
                    self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Answering


Script = Callable[..., Node]


@pytest.fixture
def node() -> Iterator[Script]:
    """Starts scripted nodes, which are stopped after the test."""
    started: list[Node] = []

    def start(*answers: Answer, by_path: Callable[[str], Answer] | None = None) -> Node:
        started.append(Node(*answers, by_path=by_path))
        return started[-1]

    yield start
    for one in started:
        one.close()


def has_blocks_up_to(tip: int) -> Callable[[str], Answer]:
    """The answers of a node whose highest block is `tip`; each of its blocks has one transaction."""

    def answer(path: str) -> Answer:
        height = int(path.rpartition("/")[2])
        return block(height, {**TRANSACTION, "id": f"of block {height}"}) if 1 <= height <= tip else NOT_FOUND

    return answer


def reads_block(asked: Ledger, height: int = 5) -> bool:
    """Whether a block was read this time."""
    try:
        return asked.block(height) is not None
    except LedgerError:
        return False


# ---- blocks


def test_a_block_is_read_with_its_transactions(node: Script) -> None:
    found = Ledger((node(FULL).url,)).block(5)
    assert found is not None
    assert (found.height, [one.id for one in found.transactions]) == (5, [TRANSACTION["id"]])


def test_a_block_that_was_committed_while_it_was_asked_for_is_not_taken_for_an_empty_one(node: Script) -> None:
    found = Ledger((node(EMPTY, FULL).url,)).block(5)
    assert found is not None
    assert [one.id for one in found.transactions] == [TRANSACTION["id"]]


def test_a_block_that_is_empty_twice_is_empty(node: Script) -> None:
    asked = node(EMPTY)
    found = Ledger((asked.url,)).block(5)
    assert found is not None
    assert found.transactions == ()
    assert asked.asked == ["/blocks/5"] * 2


def test_an_empty_block_is_asked_for_again_of_the_same_node(node: Script) -> None:
    first, second = node(EMPTY), node(FULL)
    found = Ledger((first.url, second.url)).block(5)
    assert found is not None
    assert found.transactions == ()
    assert (len(first.asked), second.asked) == (2, [])


@pytest.mark.parametrize(("below", "times"), [(SURELY_COMMITTED, 1), (SURELY_COMMITTED - 1, 2)])
def test_an_empty_block_well_below_the_highest_shown_is_asked_for_once(node: Script, below: int, times: int) -> None:
    asked = node(by_path=lambda path: FULL_AT_100 if path.endswith("/100") else block(100 - below))
    reader = Ledger((asked.url,))
    reader.block(100)
    found = reader.block(100 - below)
    assert found is not None
    assert found.transactions == ()
    assert asked.asked == ["/blocks/100", *[f"/blocks/{100 - below}"] * times]


def test_what_another_node_has_shown_says_nothing_of_this_one(node: Script) -> None:
    ahead = node(FULL_AT_100, answered({}, 502))
    behind = node(block(5), FULL)
    reader = Ledger((ahead.url, behind.url))
    reader.block(100)
    assert not reads_block(reader)
    found = reader.block(5)
    assert found is not None
    assert len(found.transactions) == 1


def test_a_height_above_the_tip_is_no_block(node: Script) -> None:
    assert Ledger((node(NOT_FOUND).url,)).block(5) is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<!doctype html><title>404 Not Found</title>", 404, "text/html"),
        HTML,
        Answer(b'{"height": 5, "transactions": ['),
        Answer(b"", 204),
        answered([], 404),
        answered({"message": "too many"}, 429),
        answered({"message": "oops"}, 500),
        answered({"message": "oops"}, 502),
        answered({"message": "oops"}, 503),
        answered({"height": 5, "transactions": []}, 400),
        answered([]),
        answered({"height": 6, "transactions": []}),
        answered({"height": 5}),
        answered({"height": 5, "transactions": [{"id": "1"}]}),
        answered({"height": 5, "transactions": [TRANSACTION | {"inputs": [{"fulfills": "nothing"}]}]}),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:30]!r}",
)
def test_what_is_not_clearly_the_block_is_an_error_to_be_tried_again(node: Script, answer: Answer) -> None:
    asked = node(answer, FULL)
    reader = Ledger((asked.url,))
    with pytest.raises(LedgerError, match="block 5"):
        reader.block(5)
    assert len(asked.asked) == 1


# ---- every question


QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "block": lambda asked: asked.block(1),
    "transaction": lambda asked: asked.transaction("a"),
    "chain": lambda asked: asked.chain("a"),
    "height_of": lambda asked: asked.height_of("a"),
    "stream_url": lambda asked: asked.stream_url(),
}
every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)


@every_question
@pytest.mark.parametrize(
    "body",
    ['{"error": "oops"}', "5", "null", "true", '"text"', "[true]", "[[]]", "{", "", "<html>", DEEP],
    ids=lambda body: body[:9],
)
def test_an_answer_of_any_other_shape_is_an_error_to_be_tried_again(
    node: Script, body: str, question: Callable[[Ledger], object]
) -> None:
    with pytest.raises(LedgerError):
        question(Ledger((node(Answer(body.encode())).url,)))


@every_question
@pytest.mark.parametrize("location", ["to a node", "http://[", "http://a..b/", "ftp://elsewhere/", ""])
def test_a_redirect_is_not_followed_wherever_it_leads(
    node: Script, location: str, question: Callable[[Ledger], object]
) -> None:
    elsewhere = node(FULL)
    target = elsewhere.url + "/api/v1/blocks/1" if location == "to a node" else location
    with pytest.raises(LedgerError):
        question(Ledger((node(answered({}, 302, location=target)).url,)))
    assert elsewhere.asked == []


def test_a_transaction_is_found_by_its_id_and_missed_where_there_is_none(node: Script) -> None:
    asked = node(answered(TRANSACTION), NOT_FOUND)
    reader = Ledger((asked.url,))
    found = reader.transaction(TRANSACTION["id"])
    assert found is not None
    assert (found.id, json.loads(found.raw)) == (TRANSACTION["id"], TRANSACTION)
    assert reader.transaction("../blocks/1?a=b#c é") is None
    assert asked.asked == [f"/transactions/{TRANSACTION['id']}", "/transactions/..%2Fblocks%2F1%3Fa%3Db%23c%20%C3%A9"]


def moves(name: str, *spent: str) -> dict[str, Any]:
    return {
        "id": name,
        "operation": "TRANSFER",
        "asset": {"id": "car"},
        "inputs": [{"fulfills": {"transaction_id": one, "output_index": 0}} for one in spent],
        "outputs": [],
    }


def test_a_chain_is_ordered_by_what_its_transactions_spend(node: Script) -> None:
    asked = node(answered([moves("a", "c"), moves("b", "car"), moves("c", "b")]))
    assert [one.id for one in Ledger((asked.url,)).chain("car")] == ["b", "c", "a"]
    assert asked.asked == ["/transactions/?asset_id=car"]


def test_an_asset_that_a_node_does_not_know_has_no_chain(node: Script) -> None:
    assert Ledger((node(NOT_FOUND).url,)).chain("car") == []
    assert Ledger((node(answered([])).url,)).chain("car") == []


def test_the_height_of_a_transaction_is_that_of_its_block(node: Script) -> None:
    asked = node(answered([7]))
    assert Ledger((asked.url,)).height_of("a") == 7
    assert asked.asked == ["/blocks/?transaction_id=a"]


@pytest.mark.parametrize("answer", [NOT_FOUND, answered([])], ids=["404", "none"])
def test_a_transaction_without_a_block_is_an_error_to_be_tried_again(node: Script, answer: Answer) -> None:
    with pytest.raises(LedgerError, match="the block of transaction a"):
        Ledger((node(answer).url,)).height_of("a")


def test_the_stream_is_where_the_node_says(node: Script) -> None:
    url = "ws://node:9985/api/v1/streams/valid_transactions"
    assert Ledger((node(answered({"streams": url})).url,)).stream_url() == url


def test_a_node_that_names_no_stream_is_an_error_that_names_the_setting(node: Script) -> None:
    with pytest.raises(LedgerError, match="LEDGER_STREAM_URL"):
        Ledger((node(answered({"streams": None})).url,)).stream_url()


# ---- answers without bounds


def test_an_answer_of_more_bytes_than_allowed_is_an_error(node: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"height": 5, "transactions": []}).encode()
    monkeypatch.setattr(ledger, "MAX_ANSWER_BYTES", len(body))
    assert reads_block(Ledger((node(Answer(body)).url,)))
    for answer in (Answer(body + b" "), Answer(body + b" ", is_chunked=True), Answer(b" " * 1_000_000 + body)):
        with pytest.raises(LedgerError, match="no answer"):
            Ledger((node(answer).url,)).block(5)


def test_an_answer_is_measured_as_it_is_when_it_is_decompressed(node: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "MAX_ANSWER_BYTES", 1_000_000)
    compressed = {"content-encoding": "gzip"}
    small, large = (gzip.compress(b" " * blanks + FULL.body) for blanks in (100_000, 1_000_000))
    assert reads_block(Ledger((node(Answer(small, headers=compressed)).url,)))
    with pytest.raises(LedgerError, match="no answer"):
        Ledger((node(Answer(large, headers=compressed)).url,)).block(5)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "in chunks"])
def test_an_answer_that_drips_too_slowly_is_an_error_in_time(
    node: Script, monkeypatch: pytest.MonkeyPatch, *, is_chunked: bool
) -> None:
    monkeypatch.setattr(ledger, "ANSWER_TIMEOUT_S", 0.3)
    dripping = node(Answer(b" " * 40 + EMPTY.body, drip=0.05, is_chunked=is_chunked))
    began = time.monotonic()
    with pytest.raises(LedgerError, match="no answer"):
        Ledger((dripping.url,)).block(5)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "answer",
    [
        Answer(EMPTY.body, more_is_claimed=10),
        Answer(FULL.body, more_is_claimed=10),
        Answer(EMPTY.body, more_is_claimed=10, is_chunked=True),
        Answer(gzip.compress(EMPTY.body)[:-10], headers={"content-encoding": "gzip"}, more_is_claimed=10),
        Answer(gzip.compress(EMPTY.body)[:-10], headers={"content-encoding": "gzip"}),
    ],
    ids=["an empty block", "a block", "in chunks", "compressed", "compressed, and cut by the node"],
)
def test_an_answer_that_ends_early_is_an_error_though_what_came_looks_whole(node: Script, answer: Answer) -> None:
    with pytest.raises(LedgerError):
        Ledger((node(answer).url,)).block(5)


def test_a_404_that_ends_early_is_not_taken_for_the_tip(node: Script) -> None:
    with pytest.raises(LedgerError):
        Ledger((node(Answer(NOT_FOUND.body, 404, more_is_claimed=10)).url,)).block(5)


# ---- several nodes


def test_a_node_that_has_been_away_for_hours_is_still_only_an_error_to_be_tried_again() -> None:
    away = Ledger((NOWHERE,))
    # The driver's own transport counts refused connections, and cannot count beyond about a thousand.
    for _ in range(1_100):
        with pytest.raises(LedgerError):
            away.block(1)


def test_after_a_node_that_refuses_connections_the_next_one_is_asked(node: Script) -> None:
    reader = Ledger((NOWHERE, node(FULL).url))
    with pytest.raises(LedgerError):
        reader.block(5)
    found = reader.block(5)
    assert found is not None
    assert len(found.transactions) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Answer(b"{}", 502),
        HTML,
        Answer(b"<html>", 404, "text/html"),
        Answer(b"{}", pause=3.0),
        Answer(FULL.body, more_is_claimed=10),
        answered({}, 429),
    ],
    ids=[
        "502 of a proxy whose node is down",
        "garbage",
        "an HTML 404",
        "no answer in time",
        "cut",
        "too many requests",
    ],
)
def test_when_one_node_fails_another_is_asked(node: Script, fault: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "TIMEOUT_S", 0.3)
    failing, healthy = node(fault), node(FULL)
    reader = Ledger((failing.url, healthy.url))
    assert [reads_block(reader) for _ in range(3)] == [False, True, True]
    assert len(failing.asked) == 1


def test_when_the_last_node_fails_the_first_is_asked_again(node: Script) -> None:
    first, second = node(FULL), node(answered({}, 502))
    reader = Ledger((first.url, second.url))
    reader.turn_to_next()
    assert [reads_block(reader) for _ in range(2)] == [False, True]


def test_the_next_node_is_turned_to_and_known_by_its_host_and_port(node: Script) -> None:
    first, second = node(FULL), node(FULL)
    reader = Ledger((first.url, second.url))
    assert reader.has_several_nodes
    assert reader.name == first.url.removeprefix("http://")
    reader.turn_to_next()
    assert reader.name == second.url.removeprefix("http://")
    reads_block(reader)
    reader.turn_to_next()
    reads_block(reader)
    assert (first.asked, second.asked) == (["/blocks/5"], ["/blocks/5"])


def test_each_node_may_be_asked_alone(node: Script) -> None:
    urls = tuple(node(FULL).url for _ in range(3))
    alone = Ledger(urls).nodes()
    assert [one.name for one in alone] == [url.removeprefix("http://") for url in urls]
    assert not any(one.has_several_nodes for one in alone)


def test_an_error_names_the_node_and_no_more_of_its_url(node: Script) -> None:
    asked = node(answered({}, 502))
    with pytest.raises(LedgerError) as caught:
        Ledger((asked.url + "/a/secret/path",)).block(5)
    assert str(caught.value) == f"block 5: {asked.url.removeprefix('http://')} answered 502"


# ---- nodes that ask to be left alone


@pytest.mark.parametrize("status", [429, 503])
def test_a_node_that_asks_for_a_pause_is_left_alone_for_so_long_and_another_is_asked_meanwhile(
    node: Script, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "BUSY_WAIT_S", 0.1)
    busy, free = node(answered({}, status, retry_after="0.4"), FULL), node(FULL)
    reader = Ledger((busy.url, free.url))
    assert not reads_block(reader)
    until = time.monotonic() + 0.4
    while time.monotonic() < until - 0.1:
        reader.turn_to_next()
        assert reads_block(reader)
    assert len(busy.asked) == 1
    time.sleep(0.2)
    for _ in range(2):
        reader.turn_to_next()
        assert reads_block(reader)
    assert len(busy.asked) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_when_every_node_asks_for_a_pause_none_is_asked_and_the_error_says_how_long(node: Script, count: int) -> None:
    nodes = [node(answered({}, 429, retry_after=seconds)) for seconds in ("50", "40")[:count]]
    reader = Ledger(tuple(one.url for one in nodes))
    assert [reads_block(reader) for _ in nodes] == [False] * count
    for _ in range(3):
        with pytest.raises(LedgerError) as caught:
            reader.block(5)
        shortest = 50 if count == 1 else 40
        assert shortest - 5 < caught.value.retry_after <= shortest
    assert [len(one.asked) for one in nodes] == [1] * count


def test_a_429_without_a_time_asks_for_a_short_pause(node: Script) -> None:
    reader = Ledger((node(answered({}, 429), FULL).url,))
    assert not reads_block(reader)
    with pytest.raises(LedgerError) as caught:
        reader.block(5)
    assert 0 < caught.value.retry_after <= ledger.BUSY_WAIT_S


def test_a_503_without_a_time_asks_for_none(node: Script) -> None:
    reader = Ledger((node(answered({}, 503), FULL).url,))
    assert [reads_block(reader), reads_block(reader)] == [False, True]


def test_no_node_is_left_alone_for_longer_than_is_sensible(node: Script) -> None:
    reader = Ledger((node(answered({}, 429, retry_after="1e9")).url,))
    assert not reads_block(reader)
    with pytest.raises(LedgerError) as caught:
        reader.block(5)
    assert caught.value.retry_after <= 300


# ---- several threads


def test_several_threads_may_ask_at_once(node: Script) -> None:
    tip = has_blocks_up_to(200)
    asked = node(by_path=lambda path: Answer(tip(path).body, pause=0.005))
    reader = Ledger((asked.url,))
    found: dict[int, list[str]] = {}

    def read(first: int) -> None:
        for height in range(first, 101, 8):
            one = reader.block(height)
            assert one is not None
            found[height] = [transaction.id for transaction in one.transactions]

    threads = [threading.Thread(target=read, args=(first,)) for first in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {height: [f"of block {height}"] for height in range(1, 101)}
    assert asked.most_at_once > 1


def test_threads_whose_questions_fail_together_turn_to_the_next_node_once(node: Script) -> None:
    failing, healthy = node(answered({}, 502)), node(FULL)
    reader = Ledger((failing.url, healthy.url))
    began = threading.Barrier(4)

    def read() -> None:
        began.wait()
        reads_block(reader)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.name == healthy.url.removeprefix("http://")


# ---- the tip


@pytest.mark.parametrize("tip", [0, 1, 2, 3, 100, 12_345])
@pytest.mark.parametrize("known", [0, 1, 99])
def test_the_tip_is_found_with_few_questions(node: Script, tip: int, known: int) -> None:
    asked = node(by_path=has_blocks_up_to(tip))
    known = min(known, tip)
    assert Ledger((asked.url,)).tip(known) == tip
    assert len(asked.asked) == len(set(asked.asked)) <= 30


def test_a_node_that_fails_while_the_tip_is_sought_is_an_error(node: Script) -> None:
    reader = Ledger((node(FULL, answered({}, 502)).url,))
    with pytest.raises(LedgerError, match="block"):
        reader.tip(4)


def test_whether_there_is_a_block_is_asked_once_though_it_is_empty(node: Script) -> None:
    asked = node(EMPTY, NOT_FOUND)
    reader = Ledger((asked.url,))
    assert [reader.has_block(5), reader.has_block(6)] == [True, False]
    assert asked.asked == ["/blocks/5", "/blocks/6"]


def test_what_answers_every_height_without_being_a_node_has_no_tip(node: Script) -> None:
    # It gives in at some time, so that this test ends.
    reader = Ledger((node(*[HTML] * 100, NOT_FOUND).url,))
    with pytest.raises(LedgerError):
        reader.tip()
