"""Lanes: delivery to a scripted platform, with a real table behind it, and a real ledger where a chain is needed."""

import itertools
import logging
import random
import secrets
import socket
import string
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import pytest
from bigchaindb_driver.offchain import prepare_transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.scenario import LedgerClient, spending
from relay import backoff
from relay.bell import Bell
from relay.blocks import Transaction, sequence
from relay.errors import LedgerError
from relay.events import MAX_BATCH_BYTES, CarEvent, make_event
from relay.feeder import lane_of
from relay.gate import Gate
from relay.lane import ATTEMPTS_TOGETHER, Parts
from relay.ledger import Ledger
from relay.outage import Outage
from relay.parked import ParkedCar, ParkedTable
from relay.parking import STRIKES, UNSUPPORTED_REJECTIONS, Evidence
from relay.post import ANSWER_TIMEOUT_S, Post
from relay.progress import Mark, Progress
from relay.repair import Repairs, new_places
from relay.settings import Secret
from relay.tally import PARKED, Tally
from relay.verdict import Verdict
from tests.integration.conftest import LESSOR
from tests.integration.delivering import (
    KEY,
    SOURCE,
    UNSENDABLE,
    ScriptedLedger,
    body_of,
    deliver,
    deliver_amid_others,
    events_of,
    holds,
    one_car_a_lane,
    parked_in,
    register_others_until,
    repairing_from,
    scripted,
    set_delays,
    unsendable,
    until,
    working,
)
from tests.integration.scripted_platform import (
    HTML,
    LIES,
    PATH,
    RESET,
    SILENCE,
    Answer,
    Platform,
    Record,
    all_applied,
    outcomes,
    problem,
)
from tests.writing import Json, create, fulfilled, new_car, new_keys

# ---- what the tests deliver with


@pytest.fixture
def parts(platform: Platform, parking: ParkedTable, reading: Ledger) -> Iterator[Parts]:
    repairs = Repairs(reading, SOURCE, new_places())
    yield Parts(
        new_post=lambda: Post(platform.url, Secret(KEY)),
        repairs=repairs,
        parking=parking,
        progress=Progress(Mark(0), Bell()),
        evidence=Evidence(),
        gate=Gate(),
        outage=Outage(),
        tally=Tally(),
        most=100,
        most_bytes=MAX_BATCH_BYTES,
        linger_s=0.02,
    )
    repairs.stop()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, nearly, however often it has failed."""
    set_delays(monkeypatch, 0.005)


class HastyPost(Post):
    """Gives up on an answer after a short while."""

    def send(self, batch: Sequence[CarEvent], timeout: float = ANSWER_TIMEOUT_S) -> Verdict:
        return super().send(batch, min(timeout, 0.1))


def hasty(parts: Parts, platform: Platform) -> Parts:
    """The same parts, with posts that wait for an answer for a short while only."""
    return msgspec.structs.replace(parts, new_post=lambda: HastyPost(platform.url, Secret(KEY)))


@dataclass
class Story:
    """A car on the real ledger: its transactions in the order of their commitment."""

    transactions: list[Json]

    @property
    def asset_id(self) -> str:
        return str(self.transactions[0]["id"])

    @property
    def ids(self) -> list[str]:
        return [str(one["id"]) for one in self.transactions]


def story(lessor: LedgerClient, moves: int) -> Story:
    """A car that is registered and then handed on so many times."""
    owner, transactions = LESSOR, [lessor.create(LESSOR, new_car())]
    for _ in range(moves):
        following = new_keys()
        transactions.append(lessor.transfer(transactions[-1], owner, following.public_key))
        owner = following
    return Story(transactions)


def found(reading: Ledger, *transactions: Json) -> list[CarEvent]:
    """The events of transactions on the real ledger."""
    return [found_one(reading, str(one["id"])) for one in transactions]


def found_one(reading: Ledger, transaction_id: str) -> CarEvent:
    block = reading.block(reading.height_of(transaction_id))
    assert block is not None
    [(place, one)] = [(place, one) for place, one in enumerate(block.transactions) if one.id == transaction_id]
    return make_event(one, block.height, sequence(block.height, place), SOURCE)


# ---- what is posted, and how often


def test_a_batch_is_posted_as_the_contract_has_it(parts: Parts, platform: Platform) -> None:
    deliver(parts, *events_of("a0", "b0", "a1"))
    assert platform.ids == [["a0", "b0", "a1"]]
    [request] = platform.requests
    assert request.path == PATH
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    assert request.headers["x-functions-key"] == KEY
    assert "content-length" in request.headers
    assert "transfer-encoding" not in request.headers
    assert [event["data"] for event in request.events] == [body_of(name) for name in ("a0", "b0", "a1")]


def test_a_retry_carries_the_same_webhook_id_and_another_batch_another(parts: Parts, platform: Platform) -> None:
    platform.script.append(Answer(404))
    with working(parts) as at_work:
        at_work.settle(*events_of("a0", "b0"))
        at_work.settle(*events_of("a1", height=2))
    first, again, other = [request.headers["webhook-id"] for request in platform.requests]
    assert first == again != other
    assert "." not in first


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_after_an_answer_that_settles_nothing_the_same_batch_is_sent_again(
    parts: Parts, platform: Platform, parking: ParkedTable, caplog: pytest.LogCaptureFixture, lie: Answer
) -> None:
    caplog.set_level(logging.DEBUG)
    platform.script.extend([lie] * (ATTEMPTS_TOGETHER - 1))
    deliver(parts, *events_of("a0", "b0", "a1"))
    assert platform.ids == [["a0", "b0", "a1"]] * ATTEMPTS_TOGETHER
    assert parked_in(parking) == {}
    assert KEY not in "".join(str(vars(record)) for record in caplog.records)


def test_a_redirect_is_not_followed_since_it_would_take_the_key_elsewhere(parts: Parts, platform: Platform) -> None:
    platform.script.append(Answer(307, b"", {"location": platform.url.replace("/api/", "/elsewhere/")}))
    deliver(parts, *events_of("a0"))
    assert [request.path for request in platform.requests] == [PATH] * 2


def test_nobody_listening_is_waited_for(parts: Parts, parking: ParkedTable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    later = msgspec.structs.replace(parts, new_post=lambda: Post(f"http://127.0.0.1:{port}{PATH}", Secret(KEY)))
    with working(later) as at_work:
        at_work.put(*events_of("a0", "b0"))
        time.sleep(0.3)
        assert not at_work.progress.is_settled
        platform = Platform(port)
        try:
            at_work.settle()
        finally:
            platform.stop()
    assert platform.ids == [["a0", "b0"]]
    assert parked_in(parking) == {}


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_by_all_lanes(parts: Parts, platform: Platform, status: int) -> None:
    platform.script.append(Answer(status, b"", {"retry-after": "0.5"}))
    a, b = one_car_a_lane(2)
    with working(parts, lanes=2) as at_work:
        at_work.put(*events_of(f"{a}0"))
        until(lambda: at_work.lane(f"{a}0")._parts.gate._closed_until)
        at_work.settle(*events_of(f"{b}0", height=2))
    first, *later = platform.times
    assert len(later) == 2
    assert all(0.45 <= one - first < 2 for one in later)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_waited_for_when_it_is_a_car_set_aside_that_was_sent(
    parts: Parts, platform: Platform, status: int
) -> None:
    failed = outcomes([{"id": "a0"}], lambda _: "failed")
    platform.script.extend([failed, Answer(status, b"", {"retry-after": "0.5"})])
    deliver(parts, *events_of("a0"))
    _, asked_to_wait, again = platform.times
    assert 0.45 <= again - asked_to_wait < 2


@pytest.mark.parametrize("answer", [Answer(503, b"", {"retry-after": "300"}), Answer(401)], ids=["503", "401"])
def test_a_stop_ends_a_long_wait_at_once(parts: Parts, platform: Platform, answer: Answer) -> None:
    platform.answering = lambda _: answer
    a, b = one_car_a_lane(2)
    with working(parts, lanes=2) as at_work:
        at_work.put(*events_of(f"{a}0", f"{b}0"))
        until(lambda: len(platform.requests) >= 1)
        time.sleep(0.1)
        began = time.monotonic()
        at_work.stop()
        assert time.monotonic() - began < 1
        assert not any(lane._thread.is_alive() for lane in at_work.lanes)
        assert not at_work.progress.is_settled


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (Answer(401), "FUNCTION_KEY"),
        (Answer(401, HTML, {"content-type": "text/html"}), "FUNCTION_KEY"),
        (problem(401, "the signature is too old"), "the signature is too old"),
        (problem(421, "they are of ledger other"), "they are of ledger other"),
    ],
    ids=["401", "401 of the platform", "401 of the Function", "421 of the Function"],
)
def test_a_wrong_setting_is_said_loudly_retried_slowly_and_loses_nothing(
    parts: Parts,
    platform: Platform,
    parking: ParkedTable,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: Answer,
    words: str,
) -> None:
    monkeypatch.setattr("relay.lane.MISCONFIGURED_WAIT_S", 0.3)
    platform.script.extend([refusal, refusal])
    deliver(parts, *events_of("a0", "b0"))
    assert platform.ids == [["a0", "b0"]] * 3
    assert all(later - earlier >= 0.3 for earlier, later in itertools.pairwise(platform.times))
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in errors] == ["REFUSED"] * 2
    assert all(words in str(vars(record)) for record in errors)
    assert parked_in(parking) == {}
    assert KEY not in "".join(str(vars(record)) for record in caplog.records)


def test_a_wrong_setting_is_said_once_and_not_by_each_lane(
    parts: Parts, platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(4)

    def refuse(_: list[Json]) -> Answer:
        together.wait(5)
        return Answer(401)

    platform.answering = refuse
    with working(parts, lanes=4) as at_work:
        at_work.put(*events_of(*(f"{car}0" for car in one_car_a_lane(4))))
        until(lambda: len(platform.requests) == 4)
        time.sleep(0.2)
    assert len(platform.requests) == 4
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["REFUSED"]


# ---- batches that are refused, and cars that are


@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("refusal", [Answer(413), problem(413, "too much")], ids=["of a proxy", "of the Function"])
def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_keeps_each_cars_order(
    parts: Parts, platform: Platform, parking: ParkedTable, most: int, refusal: Answer
) -> None:
    record = Record()
    platform.answering = lambda events: refusal if len(events) > most else record(events)
    deliver(parts, *events_of("a0", "a1", "b0", "a2", "b1", "a3", "c0"))
    assert record.of("a") == ["a0", "a1", "a2", "a3"]
    assert record.of("b", "c") in (["b0", "b1", "c0"], ["b0", "c0", "b1"], ["c0", "b0", "b1"])
    assert record.deferred == []
    assert parked_in(parking) == {}


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (problem(413, "too many bytes"), "413: too many bytes"),
        (problem(400, "not JSON"), "400: not JSON"),
        (problem(415, "wrong type"), "415: wrong type"),
    ],
    ids=["413", "400", "415"],
)
def test_an_event_that_the_function_refuses_alone_parks_its_car_and_no_other(
    parts: Parts, platform: Platform, parking: ParkedTable, refusal: Answer, reason: str
) -> None:
    record = Record()
    platform.answering = lambda events: refusal if any(one["id"] == "b1" for one in events) else record(events)
    deliver(parts, *events_of("a0", "b0", "b1", "c0", "b2", "a1", "c1"))
    assert [record.of(car) for car in "abc"] == [["a0", "a1"], ["b0"], ["c0", "c1"]]
    assert record.deferred == []
    assert parking.all() == [ParkedCar("b0", "b1", sequence(1, 2), reason, last_transaction="b2")]


def test_what_a_proxy_refuses_alone_parks_its_car_only_after_others_got_through_several_times(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: Answer(413, HTML) if holds(events, "b") else all_applied(events)
    with working(parts) as at_work:
        at_work.put(*events_of("a0", "b0"))
        until(lambda: platform.ids.count(["b0"]) > 3 * STRIKES)
        assert parked_in(parking) == {}
        register_others_until(at_work, lambda: at_work.progress.mark.height >= 1)
        at_work.settle()
    assert list(parked_in(parking)) == ["b0"]


def test_a_rejected_event_parks_its_car_with_the_functions_words_and_its_later_events_are_left_out(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "rejected" if one["id"] == "a1" else "applied")
    with working(parts) as at_work:
        at_work.settle(*events_of("a0", "b0", "a1"))
        at_work.settle(*events_of("a2", "b1", height=2))
    assert platform.ids == [["a0", "b0", "a1"], ["b1"]]
    assert parking.all() == [ParkedCar("a0", "a1", sequence(1, 2), "of a1", last_transaction="a2")]


def test_a_relay_that_starts_later_leaves_a_parked_car_out_and_notes_what_it_passes(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    row = ParkedCar("a0", "a1", sequence(1, 1), "for a reason", last_transaction="a1")
    parking.park(row)
    deliver(parts, *events_of("a2", "b0", "a3"), parked=["a0"])
    assert platform.ids == [["b0"]]
    assert parking.all() == [msgspec.structs.replace(row, last_transaction="a3")]
    assert parts.tally.counts() == {"applied": 1, PARKED: 2}


def test_a_car_that_is_left_out_is_parked_in_the_table_even_if_its_row_went_missing(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    # As after a restore to a moment between the last move of the checkpoint and the parking of the car.
    deliver(parts, *events_of("a2", "b0", "a3"), parked=["a0"])
    assert platform.ids == [["b0"]]
    [car] = parking.all()
    assert (car.asset_id, car.transaction_id, car.last_transaction) == ("a0", "a2", "a3")


def test_an_event_that_json_cannot_carry_parks_its_car_and_no_other(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    odd = create(LESSOR) | UNSENDABLE
    other = create(LESSOR)
    ledger = ScriptedLedger([odd, other])
    block = ledger.block(1)
    assert block is not None
    deliver(parts, *(make_event(one, 1, sequence(1, place), SOURCE) for place, one in enumerate(block.transactions)))
    assert platform.ids == [[other["id"]]]
    [car] = parking.all()
    assert (car.asset_id, car.transaction_id) == (odd["id"], odd["id"])
    assert car.sequence == sequence(1, [one.id for one in block.transactions].index(odd["id"]))
    assert "JSON" in car.reason


@pytest.mark.parametrize("at_first", [None, Answer(404), Answer(503), Answer(413)], ids=["", "404", "503", "413"])
def test_what_comes_before_an_event_that_json_cannot_carry_is_delivered(
    parts: Parts, platform: Platform, parking: ParkedTable, at_first: Answer | None
) -> None:
    platform.script.extend([at_first] if at_first else [])
    platform.answering = record = Record()
    deliver(parts, *events_of("a0", "a1"), unsendable("a2", 2), *events_of("a3", "b0", height=3))
    assert record.of("a") == ["a0", "a1"]
    assert record.of("b") == ["b0"]
    assert "a2" not in itertools.chain.from_iterable(platform.ids)
    [car] = parking.all()
    assert (car.asset_id, car.transaction_id, car.last_transaction) == ("a0", "a2", "a3")


def test_a_car_that_fails_before_an_event_that_json_cannot_carry_keeps_its_note_of_what_was_passed(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "rejected" if one["id"] == "a0" else "applied")
    deliver(parts, *events_of("a0"), unsendable("a1", 2), *events_of("a2", height=3))
    [car] = parking.all()
    assert (car.transaction_id, car.last_transaction) == ("a0", "a2")


# ---- cars that fail


def test_only_what_failed_is_sent_again_and_in_order(parts: Parts, platform: Platform, parking: ParkedTable) -> None:
    failing = {"a1", "a2"}
    names = ["a0", "b0", "a1", "b1", "a2"]
    platform.script.append(
        outcomes([{"id": name} for name in names], lambda one: "failed" if one["id"] in failing else "applied")
    )
    deliver(parts, *events_of(*names))
    first, *later = platform.ids
    assert first == names
    assert list(itertools.chain.from_iterable(later)) == ["a1", "a2"]
    assert parked_in(parking) == {}


def test_a_car_that_keeps_failing_while_others_get_through_is_parked_and_the_others_go_on(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "failed" if holds([one], "a") else "applied")
    deliver_amid_others(parts, *events_of("a0", "b0", "a1", "b1"))
    sent = Counter(itertools.chain.from_iterable(platform.ids))
    assert sent["a0"] >= 1 + STRIKES
    assert sent["a1"] == sent["b0"] == sent["b1"] == 1
    [car] = parking.all()
    assert (car.asset_id, car.transaction_id, car.last_transaction) == ("a0", "a0", "a1")
    assert car.reason.startswith("failed alone ")
    assert car.reason.endswith("of a0")


def test_a_car_whose_failures_come_after_others_got_through_but_once_is_not_parked(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "failed" if holds([one], "a") else "applied")
    with working(parts) as at_work:
        at_work.put(*events_of("a0", "b0"))
        until(lambda: len(platform.ids) > STRIKES)
        at_work.put(*events_of("b1", "c0", height=2))
        until(lambda: platform.ids.count(["a0"]) > 4 * STRIKES)
        assert parked_in(parking) == {}


def test_a_car_begins_anew_with_each_event_that_gets_through(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    tried, names = Counter[str](), [f"a{step}" for step in range(STRIKES)]

    def outcome(one: Json) -> str:
        tried[one["id"]] += 1
        return "failed" if holds([one], "a") and tried[one["id"]] < STRIKES else "applied"

    platform.answering = lambda events: outcomes(events, outcome)
    deliver_amid_others(msgspec.structs.replace(parts, most=1), *events_of(*names))
    assert sum(tried[name] for name in names) >= len(names) * STRIKES
    assert parked_in(parking) == {}


def test_a_car_that_was_set_aside_goes_through_in_batches_that_grow(parts: Parts, platform: Platform) -> None:
    names = [f"a{step}" for step in range(8)]
    platform.script.append(outcomes([{"id": name} for name in names], lambda _: "failed"))
    deliver(parts, *events_of(*names))
    assert platform.ids == [names, names[:1], names[1:3], names[3:7], names[7:]]


def test_a_batch_that_fails_once_is_not_halved_whatever_happened_to_a_car_set_aside_before_it(
    parts: Parts, platform: Platform
) -> None:
    failed = outcomes([{"id": "a0"}], lambda _: "failed")
    platform.script.extend([failed, Answer(404), Answer(404), Answer(404), all_applied([{"id": "a0"}]), Answer(500)])
    with working(parts) as at_work:
        at_work.settle(*events_of("a0"))
        at_work.settle(*events_of("b0", "c0", height=2))
    assert platform.ids == [["a0"]] * 5 + [["b0", "c0"]] * 2


def test_a_car_that_fails_only_beside_another_is_not_parked_with_it(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    # Both cars touch one driver, whose record takes nothing while b's event is in the batch.
    platform.answering = lambda events: outcomes(events, lambda _: "failed" if holds(events, "b") else "applied")
    deliver_amid_others(parts, *events_of("a0", "b0"))
    assert list(parked_in(parking)) == ["b0"]


BREAKDOWNS = {
    "500": Answer(500),
    "502": Answer(502, HTML),
    "503": Answer(503),
    "504": Answer(504, HTML),
    "reset": RESET,
    "no answer": SILENCE,
    "no outcomes": Answer(200, HTML),
}


@pytest.mark.parametrize("breakdown", BREAKDOWNS.values(), ids=BREAKDOWNS)
def test_an_event_that_brings_the_function_down_is_found_and_its_car_parked_while_the_others_are_delivered(
    parts: Parts, platform: Platform, parking: ParkedTable, breakdown: Answer
) -> None:
    # An unexpected exception in the Function is an empty 500 for the whole batch, whichever of its events brings it on.
    record = Record()
    platform.answering = lambda events: breakdown if any(one["id"] == "b1" for one in events) else record(events)
    names = ["a0", "b0", "c0", "d0", "a1", "b1", "c1", "d1", "b2"]
    deliver_amid_others(hasty(parts, platform), *events_of(*names))
    assert [record.of(car) for car in "abcd"] == [["a0", "a1"], ["b0"], ["c0", "c1"], ["d0", "d1"]]
    assert record.deferred == []
    [car] = parking.all()
    assert (car.asset_id, car.transaction_id, car.last_transaction) == ("b0", "b1", "b2")


def test_a_car_that_is_set_aside_does_not_stop_the_others_of_its_lane(
    parts: Parts, platform: Platform, parking: ParkedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_delays(monkeypatch, 60.0)
    record = Record()
    platform.answering = lambda events: outcomes(
        events, lambda one: "failed" if one["id"] == "a1" else record.apply(one)
    )
    with working(parts) as at_work:
        at_work.put(*events_of("a0", "a1", "b0"))
        until(lambda: platform.ids == [["a0", "a1", "b0"]])
        for height in range(2, 7):
            at_work.put(*events_of(f"a{height}", f"b{height - 1}", f"c{height - 2}", height=height))
        until(lambda: len(record.of("b", "c")) == 11)
        assert at_work.progress.mark.height == 0
    assert record.of("a") == ["a0"]
    assert record.deferred == []
    assert parked_in(parking) == {}


def test_cars_that_fail_and_fail_take_no_more_than_every_other_turn_of_their_lane(
    parts: Parts, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_delays(monkeypatch, 0.0)
    failing = "abcde"
    platform.answering = lambda events: outcomes(
        events, lambda one: "failed" if one["subject"][0] in failing else "duplicate"
    )
    with working(msgspec.structs.replace(parts, most=1)) as at_work:
        at_work.put(*events_of(*(f"{car}0" for car in failing)))
        until(lambda: len(platform.ids) > 20)
        at_work.put(*events_of("x0", "y0", "z0", height=2))
        until(lambda: ["z0"] in platform.ids)
    places = [platform.ids.index([name]) for name in ("x0", "y0", "z0")]
    assert places == [places[0], places[0] + 2, places[0] + 4]


def test_the_later_events_of_a_car_that_was_set_aside_follow_in_order_once_it_gets_through(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    record = Record()
    failing = {"a1"}
    platform.answering = lambda events: outcomes(
        events, lambda one: "failed" if holds([one], "a") and failing & {e["id"] for e in events} else record.apply(one)
    )
    with working(parts) as at_work:
        at_work.put(*events_of("a0", "b0"))
        at_work.put(*events_of("a1", "b1", height=2), *events_of("a2", "b2", height=3))
        until(lambda: "b2" in record.applied)
        at_work.put(*events_of("a3", height=4))
        failing.clear()
        at_work.settle(*events_of("a4", "b3", height=5))
    assert record.of("a") == ["a0", "a1", "a2", "a3", "a4"]
    assert record.deferred == []
    assert parked_in(parking) == {}


OUTAGES: dict[str, Callable[[list[Json]], Answer]] = {
    "500": lambda _: Answer(500),
    "503": lambda _: Answer(503),
    "404": lambda _: Answer(404, HTML),
    "no answer": lambda _: SILENCE,
    "reset": lambda _: RESET,
    "failed for all": lambda events: outcomes(events, lambda _: "failed"),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_a_function_that_fails_everything_parks_nothing_however_long_and_then_gets_all_in_order(
    parts: Parts, platform: Platform, parking: ParkedTable, outage: Callable[[list[Json]], Answer]
) -> None:
    record = Record()
    platform.answering = outage
    cars = one_car_a_lane(2)
    with working(hasty(parts, platform), lanes=2) as at_work:
        at_work.put(*events_of(*(f"{car}{step}" for step in range(3) for car in cars)))
        at_work.flush()
        until(lambda: all(sum(holds(batch, car) for batch in platform.batches) > 4 * STRIKES for car in cars))
        assert at_work.progress.mark.height == 0
        assert parked_in(parking) == {}
        platform.answering = record
        at_work.settle()
    assert all(record.of(car) == [f"{car}{step}" for step in range(3)] for car in cars)
    assert record.deferred == []
    assert parked_in(parking) == {}


@pytest.mark.parametrize("outage", [one for name, one in OUTAGES.items() if name != "no answer"])
def test_once_the_function_is_back_all_lanes_go_on_however_long_their_backoff(
    parts: Parts, platform: Platform, monkeypatch: pytest.MonkeyPatch, outage: Callable[[list[Json]], Answer]
) -> None:
    monkeypatch.setattr(backoff, "delay", lambda attempt, _cap=0.0: 0.01 if attempt < 3 else 60.0)
    monkeypatch.setattr("relay.outage.LEAST_PROBE_S", 0.1)
    platform.answering = outage
    cars = one_car_a_lane(4)
    with working(parts, lanes=4) as at_work:
        at_work.put(*events_of(*(f"{car}{step}" for step in range(2) for car in cars)))
        at_work.flush()
        until(lambda: all(sum(holds(batch, car) for batch in platform.batches) > 4 for car in cars))
        platform.answering = Record()
        at_work.settle(within=3)


def test_an_overloaded_function_is_sent_nothing_sooner_than_backoff_has_it(
    parts: Parts, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "delay", lambda attempt, _cap=0.0: 0.01 if attempt < 3 else 60.0)
    monkeypatch.setattr("relay.outage.LEAST_PROBE_S", 0.01)
    busy, other = one_car_a_lane(2)
    platform.answering = lambda events: Answer(429) if holds(events, busy) else all_applied(events)
    with working(parts, lanes=2) as at_work:
        at_work.put(*events_of(f"{busy}0"))
        at_work.flush()
        until(lambda: len(platform.batches) == 3)
        at_work.put(*events_of(f"{other}0", height=2))
        at_work.flush()
        time.sleep(0.5)
        assert sum(holds(batch, busy) for batch in platform.batches) == 3


@pytest.mark.parametrize("lanes", [1, 4])
def test_a_function_that_rejects_every_car_is_not_believed_for_long(
    parts: Parts, platform: Platform, parking: ParkedTable, lanes: int
) -> None:
    platform.answering = lambda events: outcomes(events, lambda _: "rejected")
    names = [f"{car}0" for car in string.ascii_lowercase]
    with working(parts, lanes=lanes) as at_work:
        at_work.put(*events_of(*names))
        at_work.flush()
        until(lambda: all(name in parked_in(parking) or platform.ids.count([name]) > 2 * STRIKES for name in names))
        parked = parked_in(parking)
        assert 0 < len(parked) <= UNSUPPORTED_REJECTIONS
        # It is mended once no answer from before is under way any more.
        platform.answering, since = lambda _: Answer(404), len(platform.ids)
        waiting = {lane_of(name, lanes) for name in names if name not in parked}
        until(lambda: {lane_of(batch[0], lanes) for batch in platform.ids[since:]} == waiting)
        platform.answering = record = Record()
        at_work.settle()
    assert sorted(record.applied) == sorted(set(names) - parked.keys())
    assert parked_in(parking) == parked


def test_one_bad_car_after_the_other_is_parked_as_long_as_others_are_applied_in_between(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "rejected" if one["subject"] < "n" else "applied")
    with working(parts) as at_work:
        for height, (bad, good) in enumerate(zip("abcdefgh", "stuvwxyz", strict=True), 1):
            at_work.settle(*events_of(f"{bad}0", f"{good}0", height=height))
    assert sorted(parked_in(parking)) == [f"{car}0" for car in "abcdefgh"]
    assert len(platform.ids) == 8


# ---- cars that the record lacks something of


@pytest.mark.parametrize("most", [1, 2, 100])
def test_a_deferred_event_brings_the_cars_whole_chain_from_the_ledger_in_order(
    parts: Parts, platform: Platform, parking: ParkedTable, reading: Ledger, lessor: LedgerClient, most: int
) -> None:
    platform.answering = record = Record()
    told, other = story(lessor, moves=3), story(lessor, moves=0)
    events = found(reading, told.transactions[2], other.transactions[0])
    deliver(msgspec.structs.replace(parts, most=most), *events)
    assert [one for one in record.applied if one in told.ids] == told.ids
    assert other.asset_id in record.applied
    assert parked_in(parking) == {}


def test_the_chain_comes_with_the_places_that_the_blocks_give_it(
    parts: Parts, platform: Platform, reading: Ledger, lessor: LedgerClient
) -> None:
    platform.answering = Record()
    told = story(lessor, moves=2)
    expected = [event.sequence for event in found(reading, *told.transactions)]
    deliver(parts, *found(reading, told.transactions[-1]))
    assert [event["sequence"] for event in platform.batches[-1]] == expected


def test_a_car_that_is_deferred_although_its_whole_chain_was_sent_is_parked(
    parts: Parts, platform: Platform, parking: ParkedTable, reading: Ledger, lessor: LedgerClient
) -> None:
    told, other = story(lessor, moves=1), story(lessor, moves=0)
    last = told.ids[-1]
    platform.answering = lambda events: outcomes(events, lambda one: "deferred" if one["id"] == last else "applied")
    deliver(parts, *found(reading, told.transactions[-1], other.transactions[0]))
    assert parked_in(parking) == {told.asset_id: f"its transactions on the ledger do not lead to it: of {last}"}
    assert sorted(platform.ids) == sorted([[last], [other.asset_id], told.ids]) or platform.ids == [
        [last, other.asset_id],
        told.ids,
    ]


class Divided(Record):
    """The record of cars that are divided all the time: an event is applied when it names the last one of its car."""

    def apply(self, event: Json) -> str:
        """The outcome of one event."""
        with self._lock:
            own = [one for one in self.applied if one[0] == event["id"][0]]
            if event["id"] in own:
                return "duplicate"
            if event["data"]["operation"] == "TRANSFER" and event.get("predecessor") != (own or [""])[-1]:
                return "deferred"
            self.applied.append(event["id"])
            return "applied"


def test_a_divided_car_that_is_redriven_while_it_moves_again_is_not_parked_for_it(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = record = Divided()
    parking.park(row := parked_at("a1", "a1"))
    ledger = scripted("a0", "a1", "a2")
    ledger.shown = 2
    ledger.has_chains.clear()
    with repairing_from(parts, ledger) as chained, working(chained, parked=["a0"]) as at_work:
        at_work.lane("a0").redrive(row)
        until(lambda: ledger.chains)
        # The first one since the start: what it follows nobody can tell. The chain was read a moment before it.
        at_work.put(*events_of("a2", height=3))
        at_work.flush()
        ledger.has_chains.set()
        until(lambda: record.applied == ["a0", "a1"])
        ledger.shown = 3
        at_work.settle()
    assert record.applied == ["a0", "a1", "a2"]
    assert parked_in(parking) == {}


def test_storage_that_goes_back_while_a_chain_is_sent_has_the_chain_sent_again(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    names = [f"a{number}" for number in range(8)]
    record = Divided()
    record.applied = names[:5]

    def answering(events: list[Json]) -> Answer:
        answer = record(events)
        if len(platform.batches) == 3:
            del record.applied[5:]
        return answer

    platform.answering = answering
    few = msgspec.structs.replace(parts, most=3)
    with repairing_from(few, scripted(*names)) as chained, working(chained) as at_work:
        at_work.settle(*events_of("a7"))
    assert record.applied == names
    assert parked_in(parking) == {}


def test_the_chain_of_a_divided_car_is_sent_in_the_order_of_the_ledger(
    parts: Parts, platform: Platform, reading: Ledger, lessor: LedgerClient
) -> None:
    prepared = prepare_transaction(
        operation="CREATE",
        signers=LESSOR.public_key,
        recipients=[([LESSOR.public_key], 1), ([LESSOR.public_key], 1)],
        asset={"data": new_car()},
    )
    registered = lessor.commit(fulfilled(prepared, LESSOR))

    def half(index: int, nonce: int) -> Json:
        moved = prepare_transaction(
            operation="TRANSFER",
            asset={"id": registered["id"]},
            metadata={"nonce": nonce},
            inputs=spending(registered, index),
            recipients=LESSOR.public_key,
        )
        return fulfilled(moved, LESSOR)

    earlier = lessor.commit(half(0, 0))
    # One whose id sorts before that of the transaction that was committed before it.
    later = lessor.commit(next(one for nonce in itertools.count() if (one := half(1, nonce))["id"] < earlier["id"]))
    platform.answering = Record()
    deliver(parts, *found(reading, later))
    assert platform.ids[-1] == [registered["id"], earlier["id"], later["id"]]


def test_a_chain_that_is_long_in_coming_keeps_no_other_car_of_the_lane_waiting(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = record = Record()
    ledger = scripted(*(f"a{step}" for step in range(7)))
    ledger.has_chains.clear()
    with repairing_from(parts, ledger) as slow, working(slow) as at_work:
        at_work.put(*events_of("a1", "b0", height=2))
        for step in range(1, 6):
            until(lambda: len(record.of("b")) == at_work.progress.read - 1)
            at_work.put(*events_of(f"b{step}", f"a{step + 1}", height=2 + step))
        until(lambda: len(record.of("b")) == 6)
        assert record.of("a") == []
        assert at_work.progress.mark.height == 0
        ledger.has_chains.set()
        at_work.settle()
    assert record.of("a") == [f"a{step}" for step in range(7)]
    assert record.deferred == ["a1"]
    assert parked_in(parking) == {}


def test_what_comes_while_a_chain_is_fetched_follows_it_although_the_node_did_not_have_it_yet(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = record = Record()
    ledger = scripted("a0", "a1")
    ledger.has_chains.clear()
    with repairing_from(parts, ledger) as slow, working(slow) as at_work:
        at_work.put(*events_of("a1", height=2))
        until(lambda: ledger.chains)
        at_work.put(*events_of("a2", "b0", height=3), *events_of("a3", height=4))
        until(lambda: "b0" in record.applied)
        ledger.has_chains.set()
        at_work.settle()
    assert record.of("a") == ["a0", "a1", "a2", "a3"]
    assert parked_in(parking) == {}


def test_a_chain_that_a_node_cannot_show_whole_is_waited_for(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = record = Record()
    ledger = scripted("a0", "a1", "a2")
    ledger.shown = 2
    with repairing_from(parts, ledger) as behind, working(behind) as at_work:
        at_work.put(*events_of("a2", "b0", height=3))
        until(lambda: "b0" in record.applied)
        time.sleep(0.1)
        assert record.of("a") == []
        ledger.shown = 3
        at_work.settle()
    assert record.of("a") == ["a0", "a1", "a2"]
    assert parked_in(parking) == {}


def test_a_node_that_asks_to_be_left_alone_is_not_asked_for_a_chain_before(
    parts: Parts, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.answering = record = Record()
    ledger = scripted("a0", "a1")
    asked: list[float] = []
    whole = ledger.chain

    def busy_at_first(asset_id: str) -> list[Transaction]:
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise LedgerError("every node asked to be left alone for a while (429)", 0.4)
        return whole(asset_id)

    monkeypatch.setattr(ledger, "chain", busy_at_first)
    with repairing_from(parts, ledger) as chained:
        deliver(chained, *events_of("a1", height=2))
    first, second = asked
    assert 0.35 <= second - first < 2
    assert record.of("a") == ["a0", "a1"]


@pytest.mark.parametrize("refusal", [Answer(413), Answer(500)], ids=["413", "500"])
def test_a_chain_that_is_too_much_at_once_is_halved_until_it_fits_and_parks_nothing(
    parts: Parts, platform: Platform, parking: ParkedTable, refusal: Answer
) -> None:
    # 500 stands for a Function that cannot do so many of one car in the time it has. No event of them fails alone.
    record = Record()
    platform.answering = lambda events: refusal if holds(events, "a") and len(events) > 1 else record(events)
    names = [f"a{step}" for step in range(150)]
    with repairing_from(parts, scripted(*names)) as chained:
        deliver_amid_others(msgspec.structs.replace(chained, most=500), *events_of(names[-1]))
    assert parked_in(parking) == {}
    assert record.of("a") == names


@pytest.mark.parametrize("most", [1, 2, 100])
def test_an_asset_that_the_function_ignores_is_never_parked_however_long_its_chain(
    parts: Parts, platform: Platform, parking: ParkedTable, reading: Ledger, lessor: LedgerClient, most: int
) -> None:
    # The relay trusts a lessor whom the Function does not, or not yet.
    told = story(lessor, moves=2)
    platform.answering = lambda events: outcomes(
        events, lambda one: "ignored" if one["id"] == told.asset_id else "deferred"
    )
    deliver(msgspec.structs.replace(parts, most=most), *found(reading, told.transactions[1]))
    assert parked_in(parking) == {}


def ignored_as_by_the_function(events: list[Json]) -> Answer:
    """The Function sees from a CREATE that an asset is no car; of a TRANSFER it sees only that it knows no such car."""
    return outcomes(events, lambda one: "ignored" if one["id"] == one["subject"] else "deferred")


def test_an_asset_that_the_function_ignored_is_not_sent_again_for_a_while(parts: Parts, platform: Platform) -> None:
    platform.answering = ignored_as_by_the_function
    with repairing_from(parts, scripted("a0", "a1")) as chained, working(chained) as at_work:
        at_work.settle(*events_of("a1", height=2))
        sent = len(platform.ids)
        at_work.settle(*events_of("a2", "b0", height=3))
    assert platform.ids[sent:] == [["b0"]]


def test_an_asset_whose_registration_the_function_ignored_is_not_sent_again_for_a_while(
    parts: Parts, platform: Platform
) -> None:
    platform.answering = ignored_as_by_the_function
    with repairing_from(parts, scripted("a0", "a1")) as chained, working(chained) as at_work:
        at_work.settle(*events_of("a0", height=1))
        at_work.settle(*events_of("a1", height=2))
    assert platform.ids == [["a0"]]


def test_no_chain_is_fetched_for_an_asset_that_the_function_ignores_in_the_same_batch(
    parts: Parts, platform: Platform
) -> None:
    platform.answering = ignored_as_by_the_function
    ledger = scripted("a0", "a1")
    with repairing_from(parts, ledger) as chained:
        deliver(chained, *events_of("a0", "a1", "b0"))
    assert platform.ids == [["a0", "a1", "b0"]]
    assert ledger.chains == []


def test_an_asset_that_was_ignored_is_tried_again_after_a_while_and_then_comes_whole(
    parts: Parts, platform: Platform, parking: ParkedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.lane.IGNORED_S", 0.2)
    platform.answering = ignored_as_by_the_function
    with repairing_from(parts, scripted("a0", "a1", "a2")) as chained, working(chained) as at_work:
        at_work.settle(*events_of("a1", height=2))
        time.sleep(0.25)
        record = platform.answering = Record()
        at_work.settle(*events_of("a2", height=3))
    assert record.applied == ["a0", "a1", "a2"]
    assert parked_in(parking) == {}


# ---- cars that are tried again


def parked_at(name: str, last: str) -> ParkedCar:
    """The row of car a, which is parked from a transaction on and has passed others up to `last`."""
    return ParkedCar("a0", name, sequence(1, 0), "for a reason", last_transaction=last, redrive=True)


def test_a_redriven_car_is_sent_whole_and_parked_no_longer(
    parts: Parts, platform: Platform, parking: ParkedTable, lessor: LedgerClient, reading: Ledger
) -> None:
    platform.answering = record = Record()
    told = story(lessor, moves=3)
    row = ParkedCar(told.asset_id, told.ids[1], sequence(1, 0), "for a reason", told.ids[2], redrive=True)
    parking.park(row)
    with working(parts, parked=[told.asset_id]) as at_work:
        at_work.lane(told.asset_id).redrive(row)
        until(lambda: parked_in(parking) == {})
        assert record.applied == told.ids
        at_work.settle(*found(reading, told.transactions[3]))
    assert platform.ids == [told.ids, told.ids[3:]]


def test_a_redriven_car_that_fails_again_is_parked_with_the_new_reason_and_not_tried_for_ever(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    row = parked_at("a1", "a2")
    parking.park(row)
    platform.answering = lambda events: outcomes(events, lambda _: "rejected")
    with repairing_from(parts, scripted("a0", "a1", "a2")) as chained, working(chained, parked=["a0"]) as at_work:
        at_work.lane("a0").redrive(row)
        until(lambda: parked_in(parking) == {"a0": "of a0"})
        time.sleep(0.1)
    assert len(platform.ids) == 1
    assert parking.all() == [ParkedCar("a0", "a0", sequence(1, 0), "of a0", last_transaction="a2")]


def test_a_redrive_that_was_asked_for_twice_is_done_once(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    # The main loop asks again every two seconds until the row says otherwise, however busy the lane is.
    row = parked_at("a1", "a1")
    parking.park(row)
    platform.answering = lambda events: outcomes(events, lambda _: "rejected")
    with repairing_from(parts, scripted("a0", "a1")) as chained, working(chained, parked=["a0"]) as at_work:
        at_work.lane("a0").redrive(row)
        until(lambda: parked_in(parking) == {"a0": "of a0"})
        at_work.lane("a0").redrive(row)
        time.sleep(0.2)
    assert len(platform.ids) == 1


def test_a_car_that_fails_again_as_it_is_redriven_keeps_note_of_what_came_meanwhile(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    row = parked_at("a1", "a1")
    parking.park(row)
    ledger = scripted("a0", "a1", "a2")
    ledger.has_chains.clear()
    platform.answering = lambda events: outcomes(events, lambda one: "rejected" if holds([one], "a") else "applied")
    with repairing_from(parts, ledger) as chained, working(chained, parked=["a0"]) as at_work:
        at_work.lane("a0").redrive(row)
        at_work.put(*events_of("a2", "b0", height=3))
        until(lambda: ["b0"] in platform.ids)
        ledger.has_chains.set()
        at_work.settle()
    [car] = parking.all()
    assert (car.transaction_id, car.last_transaction) == ("a0", "a2")


def test_a_redriven_car_whose_last_transaction_cannot_be_sent_stays_parked(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    row = parked_at("a1", "a1")
    parking.park(row)
    ledger = ScriptedLedger([body_of("a0")], [body_of("a1") | UNSENDABLE])
    with repairing_from(parts, ledger) as chained, working(chained, parked=["a0"]) as at_work:
        at_work.lane("a0").redrive(row)
        until(lambda: "JSON" in parked_in(parking)["a0"])
    assert platform.ids == [["a0"]]
    assert parking.all()[0].transaction_id == "a1"


def test_a_car_redriven_from_a_node_that_is_behind_does_not_lose_what_was_left_out_while_it_was_parked(
    parts: Parts, platform: Platform, parking: ParkedTable, caplog: pytest.LogCaptureFixture
) -> None:
    platform.answering = record = Record()
    parking.park(parked_at("a1", "a1"))
    ledger = scripted("a0", "a1", "a2")
    ledger.shown = 2
    with repairing_from(parts, ledger) as behind, working(behind, parked=["a0"]) as at_work:
        at_work.settle(*events_of("a2", height=3))  # left out; the checkpoint then passes it
        [row] = parking.all()
        at_work.lane("a0").redrive(row)
        until(lambda: "car cannot be redriven yet" in caplog.messages)
        assert parking.all() == [row]
        ledger.shown = 3
        until(lambda: parked_in(parking) == {})
    assert record.applied == ["a0", "a1", "a2"]


def test_a_redrive_that_was_asked_for_before_more_was_left_out_brings_that_too(
    parts: Parts, platform: Platform, parking: ParkedTable
) -> None:
    platform.answering = record = Record()
    asked = parked_at("a1", "a1")
    parking.park(asked)
    ledger = scripted("a0", "a1", "a2")
    ledger.shown = 2
    with repairing_from(parts, ledger) as behind, working(behind, parked=["a0"]) as at_work:
        at_work.settle(*events_of("a2", height=3))
        at_work.lane("a0").redrive(asked)  # as the main loop read it before the lane passed a2 over
        time.sleep(0.3)
        assert list(parked_in(parking)) == ["a0"], f"it is parked no longer, and only {record.applied} arrived"
        ledger.shown = 3
        until(lambda: parked_in(parking) == {})
    assert record.applied == ["a0", "a1", "a2"]


# ---- batches


def test_a_full_batch_is_sent_at_once_and_the_rest_when_there_is_nothing_more_to_come(
    parts: Parts, platform: Platform
) -> None:
    with working(msgspec.structs.replace(parts, most=3, linger_s=60.0)) as at_work:
        for height, car in enumerate("abcdefg", 1):
            at_work.put(*events_of(f"{car}0", height=height))
        until(lambda: len(platform.ids) == 2)
        time.sleep(0.1)
        assert platform.ids == [["a0", "b0", "c0"], ["d0", "e0", "f0"]]
        began = time.monotonic()
        at_work.settle()
        assert time.monotonic() - began < 2
    assert platform.ids[2:] == [["g0"]]


def test_a_batch_holds_no_more_bytes_than_are_allowed(parts: Parts, platform: Platform) -> None:
    events = [events_of(f"{car}0", height=height)[0] for height, car in enumerate("abcde", 1)]
    two = 1 + sum(event.size for event in events[:2])
    with working(msgspec.structs.replace(parts, most_bytes=two, linger_s=60.0)) as at_work:
        at_work.put(*events)
        until(lambda: len(platform.ids) == 2)
        time.sleep(0.1)
        assert platform.ids == [["a0", "b0"], ["c0", "d0"]]
        at_work.settle()
    lengths = [int(request.headers["content-length"]) for request in platform.requests]
    assert all(length <= two for length in lengths)


def test_an_event_of_more_bytes_than_are_allowed_goes_alone(parts: Parts, platform: Platform) -> None:
    deliver(msgspec.structs.replace(parts, most_bytes=10), *events_of("a0", "b0"))
    assert platform.ids == [["a0"], ["b0"]]


def test_a_batch_is_filled_across_blocks_until_its_first_event_has_lingered(parts: Parts, platform: Platform) -> None:
    with working(msgspec.structs.replace(parts, linger_s=0.4)) as at_work:
        began = time.monotonic()
        for height, car in enumerate("abcd", 1):
            at_work.put(*events_of(f"{car}0", height=height))
            time.sleep(0.03)
        until(lambda: at_work.progress.is_settled)
    assert platform.ids == [["a0", "b0", "c0", "d0"]]
    assert 0.35 <= platform.times[0] - began < 1


# ---- lanes


@pytest.mark.parametrize("lanes", [1, 2, 4, 64])
def test_a_car_has_the_same_lane_always_and_cars_are_spread_over_all_lanes(lanes: int) -> None:
    cars = [secrets.token_hex(32) for _ in range(lanes * 100)]
    counts = Counter(lane_of(car, lanes) for car in cars)
    assert counts == Counter(lane_of(car, lanes) for car in cars)
    assert sorted(counts) == list(range(lanes))
    assert all(30 < count < 300 for count in counts.values()) or lanes == 1


def test_the_lane_of_a_car_does_not_depend_on_the_process() -> None:
    assert [lane_of(letter * 64, 4) for letter in "0123456789abcdef"] == [
        3,
        2,
        1,
        0,
        2,
        3,
        0,
        1,
        1,
        0,
        1,
        2,
        3,
        1,
        0,
        3,
    ]


def test_cars_of_several_lanes_are_delivered_in_parallel_one_batch_of_each_lane_at_a_time(
    parts: Parts, platform: Platform
) -> None:
    together = threading.Barrier(4)
    record = Record()

    def slowly(events: list[Json]) -> Answer:
        together.wait(5)
        return record(events)

    platform.answering = slowly
    cars = one_car_a_lane(4)
    with working(msgspec.structs.replace(parts, most=2), lanes=4) as at_work:
        at_work.settle(*events_of(*(f"{car}{step}" for step in range(6) for car in cars)))
    assert platform.most_at_once == 4
    assert len(platform.ids) == 12
    assert all(len({name[0] for name in batch}) == 1 for batch in platform.ids)
    assert all(record.of(car) == [f"{car}{step}" for step in range(6)] for car in cars)
    assert record.deferred == []


@pytest.mark.parametrize("lanes", [1, 2, 3, 8])
def test_each_cars_events_arrive_in_order_and_never_two_batches_of_one_car_at_once(
    parts: Parts, platform: Platform, lanes: int
) -> None:
    platform.answering = record = Record()
    dice, steps = random.Random(lanes), Counter[str]()
    with working(msgspec.structs.replace(parts, most=5, linger_s=0.001), lanes=lanes) as at_work:
        for height in range(1, 100):
            names = []
            for car in dice.choices("abcdefghijkl", k=dice.randint(1, 6)):
                names.append(f"{car}{steps[car]}")
                steps[car] += 1
            at_work.put(*events_of(*names, height=height))
        at_work.settle()
    assert all(record.of(car) == [f"{car}{step}" for step in range(count)] for car, count in steps.items())
    assert record.deferred == []
    assert platform.overlapping == set()


FAULTS = st.sampled_from(
    ["lost answer", "refused", "reset halfway", "one car failed", "page of HTML", "one id missing", "too large"]
)


class Faulty:
    """Answers as the Function does, after these faults."""

    def __init__(self, faults: Iterable[str], dice: random.Random) -> None:
        self.record = Record()
        self._left = deque(faults)
        self._dice = dice
        self._lock = threading.Lock()

    def __call__(self, events: list[Json]) -> Answer:
        with self._lock:
            return self._answer(self._left.popleft() if self._left else "", events)

    def _answer(self, fault: str, events: list[Json]) -> Answer:
        apply = self.record.apply
        match fault:
            case "lost answer":
                outcomes(events, apply)
                return RESET
            case "refused":
                return Answer(503)
            case "too large":
                return Answer(413)
            case "reset halfway":
                outcomes(events[: len(events) // 2], apply)
                return RESET
            case "one car failed":
                failing = self._dice.choice(events)["subject"]
                return outcomes(events, lambda one: "failed" if one["subject"] == failing else apply(one))
            case "page of HTML":
                outcomes(events, apply)
                return Answer(200, HTML)
            case "one id missing":
                return outcomes(events[1:], apply) if len({one["subject"] for one in events}) == len(events) else RESET
            case _:
                return outcomes(events, apply)


# A car is parked after it failed alone STRIKES times; the failure that sets it aside does not count.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(FAULTS, max_size=STRIKES),
    seed=st.integers(0, 2**16),
    most=st.integers(1, 7),
    lanes=st.integers(1, 4),
)
def test_whatever_the_platform_does_every_event_is_applied_in_its_cars_order(
    parts: Parts, platform: Platform, parking: ParkedTable, faults: list[str], seed: int, most: int, lanes: int
) -> None:
    dice = random.Random(seed)
    platform.answering = faulty = Faulty(faults, dice)
    stories = [[f"{car}{step}" for step in range(dice.randint(1, 5))] for car in "abcdef"]
    names = []
    while waiting := [one for one in stories if one]:
        names.append(dice.choice(waiting).pop(0))
    blocks = [
        events_of(*together, height=height)
        for height, together in enumerate(itertools.batched(names, 4, strict=False), 1)
    ]
    deliver(msgspec.structs.replace(parts, most=most), *itertools.chain.from_iterable(blocks), lanes=lanes)
    assert sorted(faulty.record.applied) == sorted(names)
    assert faulty.record.deferred == []
    assert platform.overlapping == set()
    assert parked_in(parking) == {}
