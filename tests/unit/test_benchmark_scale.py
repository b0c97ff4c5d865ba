"""The count of requests, rows and bytes: kinds of requests, sizes of rows, the lives of cars, the proxy, the report."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from benchmarks.history import LESSOR
from benchmarks.scale.counting_proxy import counting_proxy, through
from benchmarks.scale.entity_size import entity_bytes
from benchmarks.scale.measurements import QUICK, Followed, Found, Held, Step
from benchmarks.scale.report import write_report
from benchmarks.scale.requests_made import CHANGES, QUERY, READ, SINGLE_CHANGE, TABLES, Counted, Made, counted, made
from benchmarks.scale.stories import STEPS, lives
from benchmarks.table_calls import InMemoryRecord
from functions.rating.tariff import read_tariff
from functions.records.changeset import Insert, Replace, encode
from functions.records.record import CARS, DRIVERS

ROW = {"PartitionKey": "a", "RowKey": "record-a", "Name": "Ada"}


@pytest.mark.parametrize(
    ("method", "path", "kind", "entities"),
    [
        ("GET", "/leasehook/Cars(PartitionKey='a',RowKey='record-a')", READ, 1),
        ("GET", "/leasehook/Relay()", QUERY, 0),
        ("PUT", "/leasehook/Relay(PartitionKey='a',RowKey='b')", SINGLE_CHANGE, 1),
        ("POST", "/leasehook/Relay", SINGLE_CHANGE, 1),
        ("POST", "/leasehook/Tables", TABLES, 0),
        ("GET", "/leasehook/Tables('Cars')", TABLES, 0),
    ],
)
def test_a_request_is_told_by_its_method_and_path(method: str, path: str, kind: str, entities: int) -> None:
    assert made(method, path, b"{}", 7) == Made(kind, entities, 2, 7)


def test_an_entity_group_transaction_is_one_request_that_changes_as_many_entities_as_it_has_operations() -> None:
    body = encode("http://127.0.0.1:1/leasehook", CARS, [Replace(ROW, "etag"), Insert(ROW | {"RowKey": "b"})], "x")
    assert made("POST", "/leasehook/$batch", body, 0) == Made(CHANGES, 2, len(body), 0)


def test_a_request_that_nobody_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="OPTIONS /leasehook"):
        made("OPTIONS", "/leasehook/Cars", b"", 0)


def test_sums_leave_out_the_making_of_tables() -> None:
    requests = [
        Made(TABLES, 0, 10, 10),
        Made(READ, 1, 0, 100),
        Made(QUERY, 0, 0, 50),
        Made(CHANGES, 3, 1000, 200),
        Made(SINGLE_CHANGE, 1, 30, 5),
    ]
    found = counted(requests)
    assert found == Counted(
        reads=1, queries=1, changes=1, single_changes=1, entities=5, changed=4, sent=1030, received=355
    )
    assert found.requests == 4


def test_a_row_has_the_size_of_microsofts_formula() -> None:
    # 4, keys "p" and "rk" at 2 a character, Timestamp 8 + 18 + 8, then a text, a number, a fraction and a truth value.
    row = {"PartitionKey": "p", "RowKey": "rk", "T": "né", "N": 7, "F": 1.5, "B": True}
    assert entity_bytes(row) == 4 + 6 + 34 + (8 + 2 + 4 + 4) + (8 + 2 + 4) + (8 + 2 + 8) + (8 + 2 + 1)


def test_a_character_beyond_16_bits_counts_as_two() -> None:
    plain, wide = ({"PartitionKey": "p", "RowKey": text} for text in ("ab", "🚗"))
    assert entity_bytes(plain) == entity_bytes(wide)


def test_a_value_of_another_kind_has_no_size() -> None:
    with pytest.raises(TypeError, match="list"):
        entity_bytes({"PartitionKey": "p", "RowKey": "r", "L": [1]})


def test_a_life_touches_one_car_and_then_the_drivers_of_each_step() -> None:
    record = InMemoryRecord({LESSOR.public_key}, read_tariff())
    touched = []
    for life in lives(1):
        calls = record.apply([event.parsed() for event in life.events])
        touched.append([call.table for call in calls])
    assert len(touched) == len(STEPS)
    assert touched == [[CARS], [DRIVERS, CARS], [DRIVERS, DRIVERS, CARS], [DRIVERS, CARS]]


def test_each_step_has_one_event_for_each_car_in_their_order() -> None:
    found = lives(3)
    assert [life.step for life in found] == list(STEPS)
    assert len({tuple(event.asset_id for event in life.events) for life in found}) == 1
    sequences = [event.sequence for life in found for event in life.events]
    assert sequences == sorted(set(sequences))


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked: path, Content-Type, and body."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = f"{self.path} {self.headers.get('Content-Type')} ".encode() + body
        self.send_response(202)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("ETag", "an-etag")
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's own name
        """Keep quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    """The address of a server that answers with what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_proxy_passes_on_what_came_and_adds_nothing_that_would_have_to_be_signed(echo: str) -> None:
    with counting_proxy(echo) as proxy:
        answer = requests.get(f"{proxy.url}/leasehook/Cars(PartitionKey='a',RowKey='b%20c')", timeout=10)
    assert (answer.status_code, answer.headers["ETag"]) == (202, "an-etag")
    assert answer.text == "/leasehook/Cars(PartitionKey='a',RowKey='b%20c') None "


def test_the_proxy_notes_each_request_once(echo: str) -> None:
    with counting_proxy(echo) as proxy:
        answer = requests.post(f"{proxy.url}/leasehook/Cars", data=b"{}", timeout=10)
        assert proxy.take() == [Made(SINGLE_CHANGE, 1, 2, len(answer.content))]
        assert proxy.take() == []


def test_the_proxy_holds_a_request_for_as_long_as_it_is_told(echo: str) -> None:
    with counting_proxy(echo) as proxy:
        proxy.hold_s = 0.2
        began = time.monotonic()
        requests.get(f"{proxy.url}/leasehook/Cars()", timeout=10)
        assert time.monotonic() - began >= 0.2


def test_a_connection_string_leads_through_the_proxy_and_keeps_its_account() -> None:
    string = "AccountName=a;AccountKey=aw==;TableEndpoint=http://127.0.0.1:10002/a;"
    assert through("http://127.0.0.1:9", string) == "AccountName=a;AccountKey=aw==;TableEndpoint=http://127.0.0.1:9/a;"


def test_the_report_tells_requests_by_event_and_waits_by_the_length_of_a_call() -> None:
    asked = Counted(reads=30, changes=30, entities=90, changed=60, sent=65_000, received=54_000)
    report = write_report(
        Found(
            scale=QUICK,
            steps=[Step("hand-over", 10, 10, asked)],
            held=[Held(100, 2, 2.0)],
            followed=[Followed("nothing happens", 10.0, 0, 0, Counted(reads=5, queries=5, single_changes=6))],
            rows={"Cars record": 1810.4},
            event=1335.0,
        ),
        " --quick",
        0.5,
    )
    assert "| hand-over | 10 | 6.00 | 3.00 | 3.00 | 9.00 | 6.00 | 6,500 | 5,400 |" in report
    assert "| 100 | 2 | 2.00 | 40.0 |" in report
    assert "| nothing happens | 1.60 | 0.50 | 0.50 | 0.60 | 0 | 0 |" in report
    assert "| Cars record | 1,810 |" in report
    assert "benchmarks.scale --quick" in report
