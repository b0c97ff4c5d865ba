"""The pipeline from a scripted ledger to a scripted platform."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from relay.bell import Bell
from relay.blocks import sequence
from relay.cars import Cars
from relay.errors import LedgerError
from relay.ledger import Ledger
from relay.parked import ParkedCar, ParkedTable
from relay.parking import Evidence
from relay.pipeline import Delivery, Pipeline
from relay.post import Post
from relay.predecessors import Predecessors
from relay.progress import Mark
from relay.repair import Repairs, chain_of, new_places
from relay.settings import Secret, read_settings
from relay.silence import StreamState
from relay.stream import Stream
from relay.tally import Tally
from tests.integration.conftest import LESSOR
from tests.integration.delivering import IN_TIME_S, KEY, ScriptedLedger, parked_in, set_delays, until
from tests.integration.scripted_platform import SILENCE, Answer, Platform, Record, all_applied, outcomes
from tests.integration.test_stream import Node
from tests.writing import Json, create, new_keys, spoofed_create, transfer


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, nearly, however often it has failed."""
    set_delays(monkeypatch, 0.005)


Laying = Callable[..., Pipeline]


@pytest.fixture
def lay(platform: Platform, parking: ParkedTable, tables: str) -> Iterator[Laying]:
    """Makes pipelines from a ledger to the platform; settings and what else a pipeline takes may be given."""
    made: list[Pipeline] = []

    def make(
        ledger: Ledger,
        start: int = 0,
        parked: Iterable[str] = (),
        hint: Bell | None = None,
        last: int | None = None,
        stream: Stream | None = None,
        predecessors: Predecessors | None = None,
        **environment: str,
    ) -> Pipeline:
        required = {
            "LEDGER_NAME": "test",
            "TABLES_CONNECTION_STRING": tables,
            "LEDGER_URLS": "http://127.0.0.1:9",
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "FUNCTION_URL": platform.url,
            "FUNCTION_KEY": KEY,
            "RELAY_POLL_SECONDS": "0.1",
        }
        delivery = Delivery(
            settings=read_settings(required | environment),
            ledger=ledger,
            cars=Cars({LESSOR.public_key}, ledger.transaction),
            parking=parking,
            evidence=Evidence(),
            tally=Tally(),
            new_post=lambda: Post(platform.url, Secret(KEY)),
            predecessors=predecessors or Predecessors(),
        )
        made.append(Pipeline(delivery, Mark(start), parked, stream, hint, last))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.stop(0.5)


def registrations(count: int) -> list[Json]:
    """Registrations of so many cars."""
    return [create(LESSOR) for _ in range(count)]


def signed_story(moves: int, start: Json | None = None) -> list[Json]:
    """A car that is registered and handed on so many times: its transactions, signed, on no ledger yet."""
    owner, transactions = LESSOR, [start or create(LESSOR)]
    for _ in range(moves):
        following = new_keys()
        transactions.append(transfer(transactions[-1], owner, following.public_key))
        owner = following
    return transactions


def test_only_cars_of_trusted_lessors_are_sent(platform: Platform, lay: Laying) -> None:
    stranger = new_keys()
    assets = [create(LESSOR), create(stranger), spoofed_create(LESSOR.public_key, stranger)]
    owners = [LESSOR, stranger, stranger]
    moved = [transfer(asset, owner, new_keys().public_key) for asset, owner in zip(assets, owners, strict=True)]
    pipeline = lay(ScriptedLedger(assets, moved))
    until(lambda: pipeline.progress.mark.height == 2)
    assert list(itertools.chain.from_iterable(platform.ids)) == [assets[0]["id"], moved[0]["id"]]


def test_reading_ends_with_the_last_block_where_one_is_given(platform: Platform, lay: Laying) -> None:
    cars = registrations(5)
    ledger = ScriptedLedger(*([one] for one in cars))
    pipeline = lay(ledger, start=1, last=3)
    until(lambda: pipeline.progress.mark.height == 3)
    time.sleep(0.2)
    assert pipeline.progress.read == 3
    assert sorted(itertools.chain.from_iterable(platform.ids)) == sorted(str(one["id"]) for one in cars[1:3])


def test_several_transfers_of_one_car_in_one_block_arrive_in_order_although_the_node_has_them_by_id(
    platform: Platform, lay: Laying
) -> None:
    platform.answering = record = Record()
    stories = [signed_story(moves=4) for _ in range(5)]
    in_id_order = [sorted(str(one["id"]) for one in told) for told in stories]
    assert in_id_order != [[one["id"] for one in told] for told in stories]
    pipeline = lay(ScriptedLedger(list(itertools.chain.from_iterable(stories))))
    until(lambda: pipeline.progress.mark.height == 1)
    for told in stories:
        ids = [one["id"] for one in told]
        assert [one for one in record.applied if one in ids] == ids
    assert record.deferred == []
    for batch in platform.batches:
        assert [event["sequence"] for event in batch] == sorted(event["sequence"] for event in batch)


def test_each_event_names_the_one_before_it_of_its_car_but_the_first_that_is_seen(
    platform: Platform, lay: Laying
) -> None:
    platform.answering = record = Record()
    stories = [signed_story(3), signed_story(3)]
    pipeline = lay(ScriptedLedger(*(list(moves) for moves in zip(*stories, strict=True))))
    until(lambda: pipeline.progress.mark.height == len(stories[0]))
    told = {event["id"]: event.get("predecessor") for batch in platform.batches for event in batch}
    for story in stories:
        ids = [one["id"] for one in story]
        assert [told[one] for one in ids] == [None, *ids[:-1]]
    assert len(record.applied) == sum(map(len, stories))


def test_each_event_of_a_chain_names_the_one_before_it() -> None:
    story = signed_story(3)
    ledger = ScriptedLedger(*([one] for one in story))
    chain = chain_of(ledger, "urn:bigchaindb:test", story[0]["id"], frozenset(), new_places(), threading.Event())
    told = [json.loads(event.encoded).get("predecessor") for event in chain]
    assert told == [None, *(one["id"] for one in story[:-1])]


@pytest.mark.parametrize("start", [2, 3], ids=["earlier", "where it stood, after a pause"])
def test_delivery_that_begins_again_names_what_came_before_what_it_has_seen(
    platform: Platform, lay: Laying, start: int
) -> None:
    platform.answering = Record()
    story = signed_story(4)
    ledger = ScriptedLedger(*([one] for one in story))
    ledger.shown = 3
    seen = Predecessors()
    first = lay(ledger, predecessors=seen)
    until(lambda: first.progress.mark.height == 3)
    first.stop(1.0)
    sent = len(platform.batches)
    ledger.shown = len(story)
    again = lay(ledger, start=start, predecessors=seen)
    until(lambda: again.progress.mark.height == len(story))
    told = [event.get("predecessor") for batch in platform.batches[sent:] for event in batch]
    assert told == [one["id"] for one in story[start - 1 : -1]]


class FailingOnce(ScriptedLedger):
    """A ledger that fails once in a while, and counts what it was asked."""

    questions = 0

    def height_of(self, transaction_id: str) -> int:
        """Fail at every fifth question."""
        self.questions += 1
        if self.questions % 5 == 0:
            raise LedgerError("now and then")
        return super().height_of(transaction_id)


def test_a_chain_that_could_not_be_read_at_once_is_read_on_from_there() -> None:
    story = signed_story(12)
    ledger = FailingOnce(*([one] for one in story))
    places = new_places()
    failures = 0
    while True:
        try:
            chain = chain_of(ledger, "urn:bigchaindb:test", story[0]["id"], frozenset(), places, threading.Event())
        except LedgerError:
            failures += 1
        else:
            break
    assert failures == 3
    assert [event.transaction_id for event in chain] == [one["id"] for one in story]
    assert ledger.questions == len(story) + failures


def test_repairs_that_are_stopped_fetch_no_other_chain() -> None:
    story = signed_story(2)
    ledger = FailingOnce(*([one] for one in story))
    goes_on = threading.Event()

    def wait() -> None:
        goes_on.wait(5)

    repairs = Repairs(ledger, "urn:bigchaindb:test", new_places())
    first = repairs.fetch(story[0]["id"], set(), wait)
    others = [repairs.fetch(story[0]["id"], set(), lambda: None) for _ in range(3)]
    until(lambda: first.is_done)
    repairs.stop()
    goes_on.set()
    repairs.join(5.0)
    assert not any(one.is_done for one in others)


def test_blocks_are_delivered_as_the_ledger_grows_and_the_pipeline_is_level_at_its_tip(
    platform: Platform, lay: Laying
) -> None:
    platform.answering = record = Record()
    cars = registrations(6)
    ledger = ScriptedLedger(*([one] for one in cars[:3]), [], *([one] for one in cars[3:]))
    ledger.shown = 4
    pipeline = lay(ledger)
    until(lambda: pipeline.is_level)
    assert pipeline.progress.mark.height == pipeline.tip == 4
    assert sorted(record.applied) == sorted(str(one["id"]) for one in cars[:3])
    ledger.shown = 7
    until(lambda: pipeline.progress.mark.height == 7)
    assert sorted(record.applied) == sorted(str(one["id"]) for one in cars)


def test_at_the_tip_nothing_lingers(platform: Platform, lay: Laying) -> None:
    ledger = ScriptedLedger(*([one] for one in registrations(7)))
    began = time.monotonic()
    pipeline = lay(ledger, RELAY_LINGER_MS="10000")
    until(lambda: pipeline.progress.mark.height == 7)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(("limit", "per_event"), [("MAX_EVENTS", 1), ("MAX_BYTES", 1_000)])
def test_reading_stops_while_too_much_is_under_way_and_goes_on_as_it_is_answered(
    platform: Platform, lay: Laying, monkeypatch: pytest.MonkeyPatch, limit: str, per_event: int
) -> None:
    monkeypatch.setattr(f"relay.progress.{limit}", 50 * per_event)
    answers = threading.Event()

    def late(events: list[Json]) -> Answer:
        assert answers.wait(IN_TIME_S)
        return all_applied(events)

    platform.answering = late
    ledger = ScriptedLedger(*([one] for one in registrations(150)))
    pipeline = lay(ledger, RELAY_PREFETCH_BLOCKS="4")
    until(lambda: max(ledger.asked, default=0) >= 30)
    time.sleep(0.5)
    assert 30 <= pipeline.progress.read <= 50
    assert max(ledger.asked) <= 50 + 4 + 1
    assert pipeline.progress.mark.height == 0
    answers.set()
    until(lambda: pipeline.progress.mark.height == 150)


def test_the_tip_is_looked_for_often_until_the_stream_proves_itself_then_rarely_and_often_again_when_it_is_silent(
    platform: Platform, lay: Laying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.silence.GRACE_S", 0.5)
    node, hint = Node(), Bell()
    stream = Stream(lambda: node.url, hint.ring)
    stream.start()
    try:
        until(lambda: stream.is_connected and node.connections)
        ledger = ScriptedLedger(*([one] for one in registrations(3)))
        ledger.shown = 0
        pipeline = lay(ledger, hint=hint, stream=stream, RELAY_POLL_SECONDS="0.1", RELAY_POLL_TRUSTED_SECONDS="60")
        until(lambda: len(ledger.asked) > 5)
        assert pipeline.stream_state is StreamState.UNPROVEN

        ledger.shown = 1
        node.announce(1)
        until(lambda: pipeline.stream_state is StreamState.ANNOUNCING)
        until(lambda: pipeline.is_level)
        time.sleep(0.2)
        asked = len(ledger.asked)
        time.sleep(0.6)
        assert len(ledger.asked) == asked

        ledger.shown = 2  # not announced: found when something else makes the relay look
        hint.ring()
        until(lambda: pipeline.stream_state is StreamState.SILENT)
        asked = len(ledger.asked)
        until(lambda: len(ledger.asked) > asked + 5)
        assert pipeline.progress.mark.height == 2

        until(lambda: len(node.connections) == 2)
        ledger.shown = 3
        node.announce(3)
        until(lambda: pipeline.stream_state is StreamState.ANNOUNCING)
    finally:
        stream.close()
        stream.join(5)
        node.stop()


def test_the_mark_waits_for_the_slowest_lane(platform: Platform, lay: Laying) -> None:
    cars = registrations(12)
    slow = cars[3]["id"]
    platform.answering = lambda events: outcomes(events, lambda one: "failed" if one["id"] == slow else "applied")
    pipeline = lay(ScriptedLedger(*([one] for one in cars)))
    until(lambda: {one["id"] for one in cars} <= set(itertools.chain.from_iterable(platform.ids)))
    until(lambda: pipeline.progress.mark.height == 3)
    time.sleep(0.1)
    assert pipeline.progress.mark.height == 3
    platform.answering = all_applied
    until(lambda: pipeline.progress.mark.height == 12)


def test_a_redrive_reaches_the_lane_of_its_car(platform: Platform, lay: Laying, parking: ParkedTable) -> None:
    platform.answering = record = Record()
    stories = [signed_story(moves=2) for _ in range(6)]
    ids = [[str(one["id"]) for one in told] for told in stories]
    rows = [ParkedCar(told[0], told[1], sequence(2, 0), "for a reason", told[2], redrive=True) for told in ids]
    for row in rows:
        parking.park(row)
    pipeline = lay(ScriptedLedger(*map(list, zip(*stories, strict=True))), parked=[told[0] for told in ids])
    until(lambda: pipeline.is_level)
    assert record.applied == []
    for row in rows:
        pipeline.redrive(row)
    until(lambda: parked_in(parking) == {})
    assert all([one for one in record.applied if one in told] == told for told in ids)


def test_a_stop_waits_no_longer_than_it_is_told_for_a_platform_that_does_not_answer(
    platform: Platform, lay: Laying
) -> None:
    platform.answering = lambda _: SILENCE
    pipeline = lay(ScriptedLedger(registrations(8)))
    until(lambda: platform.requests)
    began = time.monotonic()
    pipeline.stop(0.5)
    assert time.monotonic() - began < 1


def test_a_stop_lets_the_requests_that_are_under_way_end(platform: Platform, lay: Laying) -> None:
    def slowly(events: list[Json]) -> Answer:
        time.sleep(0.5)
        return all_applied(events)

    platform.answering = slowly
    pipeline = lay(ScriptedLedger(registrations(1)))
    until(lambda: platform.requests)
    pipeline.stop(5)
    assert pipeline.progress.mark.height == 1


def test_a_fault_of_a_lanes_own_is_raised_and_settles_nothing(
    platform: Platform, lay: Laying, parking: ParkedTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(_car: ParkedCar) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(parking, "park", break_down)
    platform.answering = lambda events: outcomes(events, lambda _: "rejected")
    pipeline = lay(ScriptedLedger(registrations(1)))

    def is_broken() -> bool:
        try:
            pipeline.check()
        except ZeroDivisionError:
            return True
        return False

    until(is_broken)
    assert pipeline.progress.mark.height == 0
