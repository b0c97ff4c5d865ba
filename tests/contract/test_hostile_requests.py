"""Hostile requests to POST /api/ledger-events, on the real app with all its secrets: refused or decided, and forgotten.

What is made up here goes through sockets, the local host, Microsoft's library and the app to real tables. Routing,
framing and the function key are the local host's own; docs/fuzzing.md says what that proves of Azure's.
"""

import contextlib
import gzip
import http.client
import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.processes import ROOT, running
from tests.contract.conftest import CURRENT_SECRET, KEY, LESSOR, NEXT_SECRET
from tests.signing import signed
from tests.unit.ledger_writing import encoded, with_fulfillment, with_own_id
from tests.writing import Json, create, event, new_keys, transfer

PATH = "/api/ledger-events"
CONTENT_TYPE = "application/cloudevents-batch+json"
MAX_BODY = 1_048_576
EXAMPLES = 120
"""Requests that Hypothesis makes up in a run of the tests; docs/fuzzing.md has the figures of a long one."""
SECONDS = 10.0
"""Twenty times what the slowest of these takes here, half a second (thousands of owners), and far from a hang."""
Headers = Mapping[str, str | bytes]
NO_MORE: Headers = {}
GIVING_BACK = {"PYTHONMALLOC": "malloc", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has the process give memory back as soon as it is freed. As it is by default, what is free but kept grows by 20 MB
over some thirty rounds, and hides what is not free."""


class Host:
    """A host that serves the app, signed requests alone, and takes every request over a connection of its own."""

    def __init__(self, url: str, pid: int, log: Path, tables: str) -> None:
        self._address = urlsplit(url)
        self._pid = pid
        self._log = log
        account_key = tables.partition("AccountKey=")[2].partition(";")[0]
        self._secrets = [KEY, account_key, *(one.removeprefix("whsec_") for one in (CURRENT_SECRET, NEXT_SECRET))]

    def post(self, body: bytes, headers: Headers = NO_MORE, *, query: str = "") -> tuple[int, bytes]:
        """Status and body of the answer to a request that is as the relay's, but for what `headers` says."""
        connection = http.client.HTTPConnection(str(self._address.hostname), self._address.port, timeout=SECONDS)
        usual = {"x-functions-key": KEY, "content-type": CONTENT_TYPE}
        usual |= signed("batch-1", int(time.time()), body, CURRENT_SECRET)
        try:
            connection.request("POST", PATH + query, body, {**usual, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(self, head: str, body: bytes) -> bytes:
        """What comes back for these very bytes, until the host closes the connection. The signature is that of `[]`."""
        address = (str(self._address.hostname), self._address.port or 0)
        with socket.create_connection(address, timeout=SECONDS) as raw:
            usual = {"host": "host", "connection": "close", "x-functions-key": KEY, "content-type": CONTENT_TYPE}
            usual |= signed("batch-1", int(time.time()), b"[]", CURRENT_SECRET)
            lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in usual.items()), head]
            raw.sendall("\r\n".join([*lines, "", ""]).encode() + body)
            raw.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: raw.recv(65_536), b""))

    def outcomes(self, *events: Json) -> list[str]:
        """The outcomes of a good batch."""
        status, answer = self.post(msgspec.json.encode(events))
        assert status == 200, answer
        return [one["outcome"] for one in json.loads(answer)["results"]]

    def resident_bytes(self) -> int:
        """Memory of the host's process that is its own and in RAM."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        return 1024 * int(status.partition("RssAnon:")[2].split()[0])

    def log(self) -> str:
        """All that the host and the app have logged."""
        return self._log.read_text(errors="replace")

    def leaked(self, text: str) -> list[str]:
        """The secrets that stand in a text, each cut to what tells it from another."""
        return [secret[:4] for secret in self._secrets if secret in text]


@pytest.fixture(scope="module")
def host(tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The app with every secret that it can have, on a host that logs every request."""
    log = tmp_path_factory.mktemp("hostile") / "functions.log"
    argv = [sys.executable, "-m", "local.functions_host", str(ROOT), "--with-parent", "--verbose"]
    environment = {
        "LEDGER_NAME": "local",
        "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
        "TABLES_CONNECTION_STRING": tables,
        "LOCAL_FUNCTIONS_KEY": KEY,
        "WEBHOOK_SECRETS": f"{CURRENT_SECRET},{NEXT_SECRET}",
        **GIVING_BACK,
    }
    with running("the Functions host", argv, log=log, env=environment) as child:
        yield Host(child.announced["http"], child.pid, log, tables)


def assert_unharmed(host: Host) -> None:
    """The next good events are applied as ever, and nothing of the app has failed."""
    registered = create(LESSOR)
    leased = transfer(registered, LESSOR, new_keys().public_key)
    assert host.outcomes(event(registered, 1), event(leased, 2)) == ["applied", "applied"]
    assert "Traceback" not in host.log()


def assert_answered(status: int, answer: bytes) -> None:
    """A result for each event, or a problem that says what is wrong in few words, or nothing: that is the host's."""
    assert status == 200 or 400 <= status < 500, (status, answer)
    if status == 200:
        assert "failed" not in [one["outcome"] for one in json.loads(answer)["results"]]
    elif answer:
        assert len(json.loads(answer)["detail"]) < 400


# Bodies. `number` makes those of one round unlike those of another.


def hostile_bodies(number: int) -> dict[str, bytes]:
    """One body of each hostile kind, many of them as large as a body may be."""
    registered = create(LESSOR, {"@type": "Car", "number": number})
    leased = transfer(registered, LESSOR, LESSOR.public_key)
    good = msgspec.json.encode([event(registered)])
    large = MAX_BODY - len(msgspec.json.encode([event(leased)])) - 100

    def beside(text: bytes) -> bytes:
        """A batch with this text in a transaction's metadata."""
        return msgspec.json.encode([event(leased | {"metadata": {"odd": f"here {number}"}})]).replace(
            b'"here %d"' % number, text
        )

    def owned_by(owners: list[str]) -> bytes:
        body = create(LESSOR) | {"metadata": {"number": number}}
        body["inputs"][0]["owners_before"] = owners
        return msgspec.json.encode([event(with_own_id(body))])

    signatures = b"\xa4\x64\x80\x20" + bytes(32) + b"\x81\x40" + bytes(64)
    forged = with_fulfillment(leased | {"metadata": {"number": number}}, encoded(signatures * 7_000))
    nested: Json = {"type": "ed25519-sha-256", "public_key": LESSOR.public_key}
    for _ in range(90):
        nested = {"type": "threshold-sha-256", "threshold": 1, "subconditions": [nested] * 2}
        nested["subconditions"][1:] = [{"type": "ed25519-sha-256", "public_key": LESSOR.public_key}]
    held = leased | {"metadata": {"number": number}}
    held["outputs"] = [held["outputs"][0] | {"condition": {"details": nested, "uri": ""}}]
    small = {"specversion": "1.0", "source": "urn:bigchaindb:local", "type": "t"}
    return {
        "nothing": b"",
        "white space": b" " * (MAX_BODY - 2) + b"[]",
        "one byte too many": b"[]" + b" " * (MAX_BODY - 1),
        "arrays without end": b"[" * MAX_BODY,
        "objects without end": b'{"a":' * (MAX_BODY // 5),
        "deep metadata": beside(b"[" * 245 + b"]" * 245),
        "a long text": beside(b'"' + b"x" * large + b'"'),
        "a text of escapes": beside(b'"' + rb"\u0001" * (large // 6) + b'"'),
        "many names": beside(b"{" + b",".join(b'"%d-%d":1' % (number, n) for n in range(60_000)) + b"}"),
        "many empty arrays": beside(b"[" + b",".join([b"[]"] * (large // 3)) + b"]"),
        "digits": beside(b"9" * large),
        "digits of a fraction": beside(b"0." + b"9" * large),
        "a power": beside(b"1e" + b"9" * large),
        "no number": beside(b"NaN"),
        "nul": beside(rb'"\u0000"').replace(b'"local"', rb'"lo\u0000cal"'),
        "a raw nul": beside(b'"\0"'),
        "half a pair": beside(rb'"\ud800"'),
        "half a pair in bytes": beside(b'"\xed\xa0\x80"'),
        "no utf-8": beside(b'"\xff\xfe"'),
        "a name twice": good.replace(b'"id":', b'"id":"%d","id":' % number),
        "data twice": good.replace(b'"data":', b'"data":[],"data":'),
        "utf-16": good.decode().encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "cut off": good[: len(good) // 2],
        "twice": good + good,
        "a form": b"events=%5B%5D&number=" + str(number).encode(),
        "gzip": gzip.compress(good),
        "as many events as are taken": msgspec.json.encode([small | {"id": f"{number}-{n}"} for n in range(500)]),
        "too many events": msgspec.json.encode([small | {"id": f"{number}-{n}"} for n in range(501)]),
        "the same event all over": msgspec.json.encode([event(leased | {"metadata": {"n": number}})] * 500),
        "a long id": msgspec.json.encode([small | {"id": f"{number}" * (large // 8)}]),
        "a long key": owned_by([LESSOR.public_key, "z" * large]),
        "thousands of owners": owned_by([LESSOR.public_key] * 20_000),
        "thousands of inputs": msgspec.json.encode(
            [event(with_own_id(leased | {"inputs": leased["inputs"] * 2_500, "metadata": {"n": number}}))]
        ),
        "thousands of signatures": msgspec.json.encode([event(forged)]),
        "deep conditions": msgspec.json.encode([event(with_own_id(held))]),
    }


@pytest.mark.parametrize("kind", hostile_bodies(0))
def test_a_hostile_body_is_refused_or_decided_in_time(host: Host, kind: str) -> None:
    body = hostile_bodies(1)[kind]

    began = time.monotonic()
    assert_answered(*host.post(body))
    assert time.monotonic() - began < SECONDS

    assert_unharmed(host)


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": ""},
        {"content-type": "application/cloudevents-batch+json" + "; x=y" * 5_000},
        {"content-type": b"application/\xff\xfe"},
        {"content-type": "application/json\tx"},
        {"content-encoding": "gzip", "content-type": "application/cloudevents-batch+json; charset=utf-7"},
        {"webhook-id": "a.b"},
        {"webhook-id": "x" * 20_000},
        {"webhook-id": b"\xf0\x9f\x9a\x97\xff"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "\u0661".encode()},
        {"webhook-signature": "v1," * 5_000},
        {"webhook-signature": " ".join(f"v1,{n}" for n in range(5_000))},
        {"webhook-signature": b"v1,\xff\xfe v1a,\xc3\xa9"},
        {"x-functions-key": b"\xff\xfe"},
        {"x-functions-key": "k" * 20_000},
        {"traceparent": "00-" + "f" * 5_000, "tracestate": b"\xff"},
        {f"x-number-{n}": "x" * 50 for n in range(500)},
        {"x-long": "x" * 40_000},
        {"expect": "100-continue"},
    ],
    ids=lambda headers: next(f"{name} {str(value)[:12]}" for name, value in headers.items()),
)
def test_hostile_headers_are_refused_or_passed_over(host: Host, headers: Headers) -> None:
    status, answer = host.post(msgspec.json.encode([event(create(LESSOR))]), headers)

    assert status == 200 or 400 <= status < 500, (status, answer)
    assert_unharmed(host)


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("content-length: 2", b"[] and more than was said"),
        ("content-length: -1", b"[]"),
        ("content-length: +2", b"[]"),
        ("content-length: 0x2", b"[]"),
        ("content-length: 2, 2", b"[]"),
        ("content-length: 2\r\ncontent-length: 3", b"[]"),
        ("content-length: 99999999999999999999", b"[]"),
        ("content-length: 200000000", b"[]"),
        ("content-length: two", b"[]"),
        ("x-none: 1", b"[]"),
        ("transfer-encoding: chunked", b"2\r\n[]\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked", b"ffffffffffffffff\r\n[]"),
        ("transfer-encoding: chunked\r\ncontent-length: 2", b"2\r\n[]\r\n0\r\n\r\n"),
        ("transfer-encoding: gzip, chunked", b"2\r\n[]\r\n0\r\n\r\n"),
    ],
)
def test_a_body_of_another_length_than_was_said_is_refused_or_read_to_that_length(
    host: Host, head: str, body: bytes
) -> None:
    answer = host.send(head, body)

    assert answer[:10] in {b"HTTP/1.1 2", b"HTTP/1.1 4"}, answer[:200]
    assert_unharmed(host)


def test_who_hangs_up_in_the_middle_of_a_body_harms_nobody(host: Host) -> None:
    assert host.send("content-length: 1000", b"[]") == b""
    assert_unharmed(host)


# What Hypothesis makes up: events of which any part is anything, in any number, and whatever headers.

TEXTS = st.text(max_size=40) | st.sampled_from(["\0", "\ud800", "\u2028", "9" * 5_000, "0" * 64, "x" * 5_000])
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, 2**64, 10**400, -0.0])
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
HEADER_NAMES = [
    "content-type",
    "content-encoding",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "traceparent",
]
# With control characters in them the server refuses them, and the app never sees them.
HEADER_VALUES = st.lists(st.sampled_from([*range(0x20, 0x7F), *range(0x80, 0x100)]), max_size=60).map(bytes)
HEADERS = st.dictionaries(st.sampled_from(HEADER_NAMES), HEADER_VALUES)
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-7"]
REGISTERED = create(LESSOR)
LEASED = transfer(REGISTERED, LESSOR, LESSOR.public_key)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every place in a tree of JSON: a list or object, and an index or name in it."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, value in items for place in [(tree, key), *places(value)]]


@st.composite
def hostile_batches(draw: st.DrawFn) -> bytes:
    """A batch of good events in which up to three things are anything."""
    batch: list[Any] = json.loads(json.dumps([event(REGISTERED, 1), event(LEASED, 2)]))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(places([batch])))
        container[key] = draw(ANYTHING)
    # Signed again or not, an id that belongs to its content gets farther.
    for one in batch if isinstance(batch, list) else []:
        if draw(st.booleans()) and isinstance(one, dict) and isinstance(one.get("data"), dict):
            with contextlib.suppress(UnicodeEncodeError):
                one["data"] = with_own_id(one["data"])
                one["id"] = one["data"]["id"]
    text = json.dumps(batch, ensure_ascii=draw(st.booleans()))
    return text.encode(draw(st.sampled_from(ENCODINGS)), errors="surrogatepass")


@settings(max_examples=EXAMPLES, deadline=None)
@given(body=hostile_batches() | st.binary(max_size=200), headers=st.just({}) | HEADERS)
def test_whatever_is_sent_is_refused_or_decided(host: Host, body: bytes, headers: Headers) -> None:
    assert_answered(*host.post(body, headers))


def test_after_whatever_was_sent_the_next_good_events_are_applied(host: Host) -> None:
    assert_unharmed(host)


# What stays of it

ROUNDS, WARM_UP = 11, 4
SMALL_A_ROUND = 40
MAX_GROWTH = 500_000
"""Bytes. After two rounds the figure moves by less than 100,000 in all; what is sent in the seven rounds that count is
110 MB in some 520 requests. So a kilobyte that is kept of each request shows, or a single large body."""


def one_round(host: Host, number: int) -> None:
    """Send every hostile body, and small ones, none as it was before."""
    bodies = [*hostile_bodies(number).values(), *(b"[%d.%d]" % (number, n) for n in range(SMALL_A_ROUND))]
    for body in bodies:
        assert_answered(*host.post(body))


def test_nothing_of_what_was_sent_stays_in_memory(host: Host) -> None:
    numbers = itertools.count(1_000)
    after_each = []
    for _ in range(ROUNDS):
        one_round(host, next(numbers))
        after_each.append(host.resident_bytes())

    growth = after_each[-1] - after_each[WARM_UP - 1]
    assert growth < MAX_GROWTH, [round(one / 1e6, 2) for one in after_each]


def test_no_secret_is_logged_or_answered_whatever_is_sent_and_wherever_it_stands(host: Host) -> None:
    good = msgspec.json.encode([event(create(LESSOR))])
    sends: list[Callable[[], tuple[int, bytes]]] = [
        lambda: host.post(b"no json"),
        lambda: host.post(good, {"webhook-signature": f"v1,{NEXT_SECRET}"}),
        lambda: host.post(good, {"webhook-id": CURRENT_SECRET + ".x"}),
        lambda: host.post(good, {"webhook-timestamp": CURRENT_SECRET}),
        lambda: host.post(good, {"x-functions-key": f"{KEY} "}, query=f"?code={KEY}"),
        lambda: host.post(good, {"authorization": f"SharedKey {KEY}"}, query=f"?sig={NEXT_SECRET}&code={KEY}"),
    ]
    answers = [send() for send in sends]

    assert [status for status, _ in answers] == [400, 401, 401, 401, 200, 200]
    assert [leaked for _, answer in answers if (leaked := host.leaked(answer.decode()))] == []
    log = host.log()
    assert log.count(f"POST {PATH}: 400") > 1
    assert host.leaked(log) == []
    assert "SharedAccessSignature" not in log
    assert "SharedKeyLite" not in log
