"""How the relay reads a node: what it believes, what it asks for again, what it takes for an error."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from relay.errors import LedgerError
from relay.ledger import Ledger

EXAMPLES = Path(__file__).parent.parent / "contract" / "examples"
TRANSACTION = json.loads((EXAMPLES / "batch.json").read_text())[0]["data"]
EMPTY = {"height": 5, "transactions": []}
FULL = {"height": 5, "transactions": [TRANSACTION]}
Answer = tuple[int, str, str]


@contextmanager
def node(*answers: Answer) -> Iterator[str]:
    """A node that gives these answers, status, content type and body, one after the other."""
    waiting = list(answers)

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = waiting.pop(0)
            self.send_response(status)
            self.send_header("content-type", content_type)
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answered(body: Any, status: int = 200) -> Answer:
    """A JSON answer."""
    return status, "application/json", json.dumps(body)


def test_a_block_that_was_committed_while_it_was_asked_for_is_not_taken_for_an_empty_one() -> None:
    with node(answered(EMPTY), answered(FULL)) as url:
        block = Ledger((url,)).block(5)
    assert block is not None
    assert [body["id"] for body in block.transactions] == [TRANSACTION["id"]]


def test_a_block_that_is_empty_twice_is_empty() -> None:
    with node(answered(EMPTY), answered(EMPTY)) as url:
        block = Ledger((url,)).block(5)
    assert block is not None
    assert block.transactions == ()


def test_a_height_above_the_tip_is_no_block() -> None:
    with node(answered({"message": "Not found", "status": 404}, 404)) as url:
        assert Ledger((url,)).block(5) is None


@pytest.mark.parametrize(
    "answer",
    [
        (404, "text/html", "<!doctype html><title>404 Not Found</title>"),
        (200, "text/html", "<h1>It works!</h1>"),
        (200, "application/json", '{"height": 5, "transactions": ['),
        answered({"message": "too many"}, 429),
        answered({"message": "oops"}, 500),
        answered({"message": "oops"}, 502),
        answered([]),
        answered({"height": 6, "transactions": []}),
        answered({"height": 5}),
        answered({"height": 5, "transactions": [{"id": "1"}]}),
        answered({"height": 5, "transactions": [TRANSACTION | {"inputs": [{"fulfills": "nothing"}]}]}),
    ],
)
def test_what_is_not_clearly_the_block_is_an_error_to_be_tried_again(answer: Answer) -> None:
    with node(answer) as url, pytest.raises(LedgerError, match="block 5"):
        Ledger((url,)).block(5)


def test_after_a_node_that_refuses_connections_the_next_one_is_asked() -> None:
    with node(answered(FULL)) as url:
        ledger = Ledger(("http://127.0.0.1:9", url))
        with pytest.raises(LedgerError):
            ledger.block(5)
        block = ledger.block(5)
    assert block is not None
    assert len(block.transactions) == 1
