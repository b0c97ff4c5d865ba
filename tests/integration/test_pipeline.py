"""The pipeline from a scripted ledger to a scripted platform, and what shows that storage holds what it delivered."""

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import pytest

from relay.bell import Bell
from relay.blocks import sequence
from relay.cars import Cars
from relay.lane import Sent
from relay.ledger import Ledger
from relay.parked import ParkedCar, ParkedTable
from relay.parking import Evidence
from relay.pipeline import Delivery, Pipeline, latest
from relay.post import Post
from relay.progress import Mark
from relay.proof import Proof, prove
from relay.settings import Secret, TablesSettings, read_settings
from relay.tally import Tally
from tests.integration.conftest import LESSOR
from tests.integration.delivering import IN_TIME_S, KEY, ScriptedLedger, events_of, parked_in, set_delays, until
from tests.integration.platform import LIES, RESET, SILENCE, Answer, Platform, Record, all_applied, outcomes
from tests.writing import Json, create, new_keys, spoofed_create, transfer


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.stop()


@pytest.fixture
def parking(tables: str) -> Iterator[ParkedTable]:
    """The relay's table, for a ledger name that no other test has."""
    parking = ParkedTable(TablesSettings(f"pipeline-{secrets.token_hex(8)}", Secret(tables), ""))
    yield parking
    parking.close()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, nearly, however often it has failed."""
    set_delays(monkeypatch, 0.005)


@dataclass
class Piping:
    """A pipeline at work on a scripted ledger, and the bell that hints at new blocks."""

    pipeline: Pipeline
    ledger: ScriptedLedger
    hint: Bell

    def show(self, count: int) -> None:
        """Let the ledger have so many blocks more, and wait until they are settled."""
        self.ledger.shown += count
        self.hint.ring()
        self.settle()

    def settle(self) -> None:
        """Wait until all that the ledger shows is settled."""
        until(lambda: self.pipeline.progress.mark.height >= self.ledger.shown)
        self.pipeline.check()


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
        )
        made.append(Pipeline(delivery, Mark(start), parked, hint=hint, last=last))
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


def test_the_mark_waits_for_the_slowest_lane(platform: Platform, lay: Laying) -> None:
    cars = registrations(12)
    slow = cars[3]["id"]
    platform.answering = lambda events: outcomes(events, lambda one: "failed" if one["id"] == slow else "applied")
    pipeline = lay(ScriptedLedger(*([one] for one in cars)))
    until(lambda: {one["id"] for one in cars} <= set(itertools.chain.from_iterable(platform.ids)))
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


# ---- what shows that storage holds what was acknowledged


def sent(name: str, sent_at: float, acknowledged_at: float) -> Sent:
    return Sent(tuple(events_of(name)), sent_at, acknowledged_at)


def test_a_batch_that_was_sent_after_anothers_acknowledgement_vouches_for_it() -> None:
    early, late = sent("a0", 1.0, 2.0), sent("b0", 3.0, 4.0)
    assert latest([early, late]) == latest([late, early]) == [late]


def test_batches_that_were_under_way_together_do_not_vouch_for_each_other() -> None:
    one, other = sent("a0", 1.0, 3.0), sent("b0", 2.0, 4.0)
    assert latest([one, other]) == [one, other]


def test_of_many_batches_those_are_to_be_proven_that_were_still_under_way_as_the_last_was_sent() -> None:
    batches = [sent("a0", 0.0, 1.0), sent("b0", 0.5, 9.0), sent("c0", 5.0, 6.0), sent("d0", 4.0, 4.5)]
    assert latest(batches) == [batches[1], batches[2]]
    assert latest([]) == []


def test_what_was_applied_is_to_be_proven_until_it_is_and_then_what_is_applied_next(
    platform: Platform, lay: Laying
) -> None:
    platform.answering = Record()
    cars = registrations(3)
    ledger, hint = ScriptedLedger(*([one] for one in cars)), Bell()
    ledger.shown = 0
    piping = Piping(lay(ledger, hint=hint), ledger, hint)
    assert piping.pipeline.unproven() == []
    for one in cars:
        piping.show(1)
        unproven = piping.pipeline.unproven()
        assert [event.transaction_id for batch in unproven for event in batch.events] == [one["id"]]
        piping.pipeline.proved(unproven)
        assert piping.pipeline.unproven() == []


def test_a_batch_is_never_taken_for_an_earlier_one_that_was_proven(lay: Laying) -> None:
    pipeline = lay(ScriptedLedger(), RELAY_LANES="1")
    [lane] = pipeline._lanes
    for _ in range(100):
        lane.last_written = Sent((), 0.0, 1.0)
        pipeline.proved(pipeline.unproven())
        for at in (2.0, 3.0):
            lane.last_written = Sent((), at, at + 1.0)
        assert pipeline.unproven() == [lane.last_written]


def test_a_batch_that_was_lost_is_not_proven_by_one_that_was_applied_afterwards(
    platform: Platform, lay: Laying
) -> None:
    # Storage restarts between two batches, as quickly as no request sees it, without what it had not saved yet.
    platform.answering = record = Record()
    ledger, hint = ScriptedLedger(*([one] for one in registrations(2))), Bell()
    ledger.shown = 0
    piping = Piping(lay(ledger, hint=hint, RELAY_LANES="1"), ledger, hint)
    piping.show(1)
    record.applied.clear()
    piping.show(1)
    assert proof_of(platform, *piping.pipeline.unproven()) is Proof.WENT_BACK


def test_what_was_applied_although_its_answer_was_lost_is_to_be_proven(platform: Platform, lay: Laying) -> None:
    record = Record()
    answers = iter([RESET])

    def losing_one_answer(events: list[Json]) -> Answer:
        applied = record(events)
        return next(answers, applied)

    platform.answering = losing_one_answer
    cars = registrations(2)
    pipeline = lay(ScriptedLedger(cars), RELAY_LANES="1")
    until(lambda: pipeline.progress.mark.height == 1)
    assert {event.transaction_id for batch in pipeline.unproven() for event in batch.events} == {
        str(one["id"]) for one in cars
    }


def proof_of(platform: Platform, *batches: Sent) -> Proof:
    post = Post(platform.url, Secret(KEY))
    try:
        return prove(post, batches)
    finally:
        post.close()


def test_a_record_that_has_every_event_holds_what_was_acknowledged(platform: Platform) -> None:
    known = {"a0": "duplicate", "b0": "ignored", "a1": "duplicate"}
    platform.answering = lambda events: outcomes(events, lambda one: known[one["id"]])
    batches = [Sent(tuple(events_of("a0", "b0")), 0.0, 1.0), sent("a1", 0.0, 1.0)]
    assert proof_of(platform, *batches) is Proof.HOLDS
    assert platform.ids == [["a0", "b0"], ["a1"]]


def test_where_nothing_is_to_be_proven_nothing_is_asked(platform: Platform) -> None:
    assert proof_of(platform) is Proof.HOLDS
    assert platform.ids == []


@pytest.mark.parametrize("other", ["duplicate", "failed"])
@pytest.mark.parametrize("outcome", ["applied", "deferred", "rejected"])
def test_a_record_that_lacks_an_event_went_back(platform: Platform, outcome: str, other: str) -> None:
    # Beside one that failed too: asked again, the record would have what it now took in again.
    platform.answering = lambda events: outcomes(events, lambda one: outcome if one["id"] == "b0" else other)
    assert proof_of(platform, Sent(tuple(events_of("a0", "b0", "c0")), 0.0, 1.0)) is Proof.WENT_BACK


def test_a_record_that_has_one_batch_and_lacks_another_went_back(platform: Platform) -> None:
    platform.answering = lambda events: outcomes(events, lambda one: "duplicate" if one["id"] == "a0" else "applied")
    assert proof_of(platform, sent("a0", 0.0, 2.0), sent("b0", 1.0, 3.0)) is Proof.WENT_BACK


@pytest.mark.parametrize(
    "answer",
    [
        *LIES.values(),
        outcomes([{"id": "a0"}, {"id": "b0"}, {"id": "a1"}], lambda _: "failed"),
        Answer(401),
        Answer(413),
    ],
    ids=[*LIES, "failed", "401", "413"],
)
def test_an_answer_that_settles_nothing_proves_nothing(platform: Platform, answer: Answer) -> None:
    platform.answering = lambda _: answer
    assert proof_of(platform, Sent(tuple(events_of("a0", "b0", "a1")), 0.0, 1.0)) is Proof.UNKNOWN
