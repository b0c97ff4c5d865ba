"""What a faulty node does to the relay: a fault is a LedgerError, tried again, and another node may have the answer."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from relay import ledger
from relay.errors import LedgerError
from relay.ledger import Ledger

BLOCK = {"height": 1, "transactions": [{"id": "a", "operation": "OTHER", "inputs": [], "outputs": []}]}
DEEP = "[" * 100_000 + "]" * 100_000
QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "block": lambda asked: asked.block(1),
    "transaction": lambda asked: asked.transaction("a"),
    "chain": lambda asked: asked.chain("a"),
    "height_of": lambda asked: asked.height_of("a"),
    "stream_url": lambda asked: asked.stream_url(),
}


@contextmanager
def node(body: str, status: int = 200, location: str = "", pause: float = 0.0) -> Iterator[str]:
    """A node that answers every question alike."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(pause)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if location:
                self.send_header("location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)
@pytest.mark.parametrize(
    "body",
    ['{"error": "oops"}', "5", "null", "true", '"text"', "[true]", "[[]]", "{", "", "<html>", DEEP],
    ids=lambda b: b[:9],
)
def test_an_answer_of_any_other_shape_is_an_error_to_be_tried_again(
    body: str, question: Callable[[Ledger], object]
) -> None:
    with node(body) as url, pytest.raises(LedgerError):
        question(Ledger((url,)))


@pytest.mark.parametrize("location", ["http://[", "http://a..b/", "ftp://elsewhere/", ""])
def test_a_redirect_that_leads_nowhere_is_an_error_to_be_tried_again(location: str) -> None:
    with node("{}", status=302, location=location) as url, pytest.raises(LedgerError):
        Ledger((url,)).block(1)


def test_a_node_that_has_been_away_for_hours_is_still_only_an_error_to_be_tried_again() -> None:
    away = Ledger(("http://127.0.0.1:9",))
    # The driver's own transport counts refused connections, and cannot count beyond about a thousand.
    for _ in range(1_100):
        with pytest.raises(LedgerError):
            away.block(1)


@pytest.mark.parametrize(
    "fault",
    [
        {"body": "{}", "status": 502},
        {"body": "<html>", "status": 200},
        {"body": "<html>", "status": 404},
        {"body": "{}", "pause": 3.0},
    ],
    ids=["502 of a proxy whose node is down", "garbage", "an HTML 404", "no answer in time"],
)
def test_when_one_node_fails_another_is_asked(fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "TIMEOUT_S", 0.5)
    with node(**fault) as failing, node(json.dumps(BLOCK)) as healthy:
        asked = Ledger((failing, healthy))
        assert any(_answers(asked) for _ in range(4))


def _answers(asked: Ledger) -> bool:
    """Whether block 1 was read this time."""
    try:
        return asked.block(1) is not None
    except LedgerError:
        return False
