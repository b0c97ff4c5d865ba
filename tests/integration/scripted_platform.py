"""A platform that answers by script, and lies as Azure does.

It is played here because no host on this machine can be brought to answer as a cold, stopped or half deployed app does.
What it is asked and what it says stays HTTP.
"""

import json
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.writing import Json

PATH = "/api/ledger-events"
HTML = b"<!DOCTYPE html><title>Azure Functions</title>Your app is up and running."
PROBLEM = {"content-type": "application/problem+json"}


@dataclass(frozen=True)
class Answer:
    """What the platform answers."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


RESET = Answer(0)
"""The connection is reset."""
SILENCE = Answer(0, b"silence")
"""No answer comes, however long one waits."""
Answering = Callable[[list[Json]], Answer]


@dataclass(frozen=True)
class Request:
    """What the platform was asked, and when; `at` is in monotonic seconds, the names of headers in lower case."""

    at: float
    path: str
    headers: Mapping[str, str]
    events: list[Json]


def outcomes(events: Iterable[Json], outcome_of: Callable[[Json], str]) -> Answer:
    """A whole answer, with an outcome for every event."""
    results = [{"id": event["id"], "outcome": outcome_of(event), "detail": f"of {event['id']}"} for event in events]
    return Answer(200, json.dumps({"results": results}).encode())


def all_applied(events: list[Json]) -> Answer:
    """What a Function answers that has seen none of these events before."""
    return outcomes(events, lambda _: "applied")


def problem(status: int, detail: str) -> Answer:
    """An error in the Function's own words."""
    return Answer(status, json.dumps({"detail": detail}).encode(), PROBLEM)


LIES = {
    "202 without a body": Answer(202),
    "204": Answer(204),
    "404 while an app starts": Answer(404, HTML, {"content-type": "text/html"}),
    "404 of the Function's own": problem(404, "no such thing"),
    "403 while an app is stopped": Answer(403, HTML, {"content-type": "text/html"}),
    "500": Answer(500),
    "502": Answer(502, HTML),
    "503 without Retry-After": Answer(503, HTML),
    "503 with a garbled Retry-After": Answer(503, HTML, {"retry-after": "soon"}),
    "504": Answer(504, HTML),
    "429": Answer(429),
    "200 with a page of HTML": Answer(200, HTML, {"content-type": "text/html"}),
    "200 without a body": Answer(200),
    "200 that leaves an event out": outcomes([{"id": "a0"}, {"id": "a1"}], lambda _: "applied"),
    "200 with an outcome nobody knows": outcomes([{"id": "a0"}, {"id": "b0"}, {"id": "a1"}], lambda _: "done"),
    "400 of a proxy": Answer(400, HTML, {"content-type": "text/html"}),
    "400 without a body": Answer(400),
    "421 of a proxy": Answer(421, HTML, {"content-type": "text/html"}),
    "a connection reset": RESET,
    "a redirect whose target is no URL": Answer(302, b"", {"location": "http://["}),
}
"""Answers to a batch of a0, b0 and a1 that settle nothing."""


class Platform:
    """The place the relay posts to. `script` holds the next answers; once it is empty, `answering` answers.

    `answering` is called by as many threads at once as there are requests.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.script: deque[Answer] = deque()
        self.answering: Answering = all_applied
        self.most_at_once = 0
        """The most requests that were under way at one time."""
        self.overlapping: set[str] = set()
        """The cars of which two requests were under way at one time."""
        self._under_way: list[set[str]] = []
        self._lock = threading.Lock()
        self._is_stopped = threading.Event()
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                events = json.loads(self.rfile.read(int(self.headers["content-length"])))
                named = {name.lower(): value for name, value in self.headers.items()}
                answer = platform._answer_to(Request(time.monotonic(), self.path, named, events))
                if answer is SILENCE:
                    platform._is_stopped.wait()
                if answer is SILENCE or answer is RESET:
                    self._reset()
                else:
                    self._answer(answer)

            def _answer(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def _reset(self) -> None:
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                os.close(self.connection.detach())

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="platform")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    @property
    def batches(self) -> list[list[Json]]:
        """The events of every request so far."""
        return [request.events for request in list(self.requests)]

    @property
    def ids(self) -> list[list[str]]:
        """The ids in every batch so far."""
        return [[event["id"] for event in batch] for batch in self.batches]

    @property
    def times(self) -> list[float]:
        """When each request came."""
        return [request.at for request in list(self.requests)]

    def stop(self) -> None:
        """End it, and reset what is under way."""
        self._is_stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answer_to(self, request: Request) -> Answer:
        cars = {str(event["subject"]) for event in request.events}
        with self._lock:
            self.requests.append(request)
            self.overlapping.update(*(cars & others for others in self._under_way))
            self._under_way.append(cars)
            self.most_at_once = max(self.most_at_once, len(self._under_way))
            scripted = self.script.popleft() if self.script else None
        try:
            return scripted or self.answering(request.events)
        finally:
            with self._lock:
                self._under_way.remove(cars)


class Record:
    """Answers as the Function does, as far as order goes: it applies what builds on what it applied."""

    def __init__(self) -> None:
        self.applied: list[str] = []
        self.deferred: list[str] = []
        """What came before that which it builds on."""
        self._lock = threading.Lock()

    def __call__(self, events: list[Json]) -> Answer:
        """The outcome of each of these events."""
        return outcomes(events, self.apply)

    def apply(self, event: Json) -> str:
        """The outcome of one event."""
        with self._lock:
            if event["id"] in self.applied:
                return "duplicate"
            spent = [one["fulfills"]["transaction_id"] for one in event["data"]["inputs"] if one["fulfills"]]
            if not all(one in self.applied for one in spent):
                self.deferred.append(event["id"])
                return "deferred"
            self.applied.append(event["id"])
            return "applied"

    def of(self, *cars: str) -> list[str]:
        """What was applied to these cars, which the first letters of their transactions name, in order."""
        return [name for name in list(self.applied) if name.rstrip("0123456789") in cars]
