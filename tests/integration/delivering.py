"""Lanes at work, and what they deliver: events of cars that a test names, from a ledger that it writes."""

import itertools
import json
import random
import string
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from relay import backoff
from relay.bell import Bell
from relay.blocks import Block, Transaction, in_spending_order, read_block, read_transaction, sequence
from relay.errors import LedgerError
from relay.events import CarEvent, make_event
from relay.feeder import lane_of
from relay.lane import Lane, Parts
from relay.ledger import Ledger
from relay.parked import ParkedTable
from relay.progress import Mark, Progress
from relay.repair import Repairs, new_places
from tests.writing import Json

KEY = "the-function-key-of-these-tests"
SOURCE = "urn:bigchaindb:test"
IN_TIME_S = 15.0


def set_delays(monkeypatch: pytest.MonkeyPatch, most: float) -> None:
    """Let attempts be at most so many seconds apart, with jitter."""
    monkeypatch.setattr(backoff, "delay", lambda _attempt, _cap=0.0: random.uniform(most / 2, most))


class Working:
    """Lanes at work on blocks that a test gives them, one height after the other."""

    def __init__(self, parts: Parts, lanes: int, parked: Iterable[str]) -> None:
        self.progress = Progress(Mark(0), Bell())
        self.lanes = [Lane(number, msgspec.structs.replace(parts, progress=self.progress)) for number in range(lanes)]
        left_out = list(parked)
        for number, lane in enumerate(self.lanes):
            lane.start(car for car in left_out if lane_of(car, lanes) == number)

    def put(self, *events: CarEvent) -> None:
        """Open the blocks of these events, and hand each to its lane."""
        for height, together in itertools.groupby(events, key=lambda event: event.height):
            block = list(together)
            self.progress.open(height, "", block)
            for event in block:
                self.lane(event.asset_id).put([event])

    def flush(self) -> None:
        """Say that nothing more is coming for now."""
        for lane in self.lanes:
            lane.flush()

    def lane(self, asset_id: str) -> Lane:
        """The lane of a car."""
        return self.lanes[lane_of(asset_id, len(self.lanes))]

    def settle(self, *events: CarEvent, within: float = IN_TIME_S) -> None:
        """Deliver these events, and wait until they and all before them are settled."""
        self.put(*events)
        self.flush()
        until(lambda: self.progress.is_settled or any(lane.error for lane in self.lanes), within)
        self.check()

    def check(self) -> None:
        """Raise what ended a lane."""
        for lane in self.lanes:
            if lane.error is not None:
                raise lane.error

    def stop(self) -> None:
        """End the lanes."""
        for lane in self.lanes:
            lane.stop()
        for lane in self.lanes:
            lane.join(5)


@contextmanager
def working(parts: Parts, lanes: int = 1, parked: Iterable[str] = ()) -> Iterator[Working]:
    """Lanes at work, for the length of a with block."""
    at_work = Working(parts, lanes, parked)
    try:
        yield at_work
    finally:
        at_work.stop()
    at_work.check()


def deliver(parts: Parts, *events: CarEvent, lanes: int = 1, parked: Iterable[str] = ()) -> None:
    """Deliver these events until they are settled."""
    with working(parts, lanes, parked) as at_work:
        at_work.settle(*events)


def deliver_amid_others(parts: Parts, *events: CarEvent) -> None:
    """Deliver the events of one block, while new cars are registered one after the other until it is settled."""
    with working(parts) as at_work:
        at_work.put(*events)
        register_others_until(at_work, lambda: at_work.progress.mark.height >= events[0].height)
        at_work.settle()


def register_others_until(at_work: Working, is_so: Callable[[], object]) -> None:
    """Put the registration of one new car after the other, each in a block of its own."""
    deadline = time.monotonic() + IN_TIME_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        at_work.check()
        at_work.put(*events_of(next(OTHERS), height=at_work.progress.read + 1))
        at_work.flush()
        time.sleep(0.003)


def until(is_so: Callable[[], object], within: float = IN_TIME_S) -> None:
    """Wait until `is_so`; fail when it is not in time."""
    deadline = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.002)


OTHERS = ("other" + "".join(letters) + "0" for letters in itertools.product(string.ascii_lowercase, repeat=3))
"""The registrations of cars that no test names."""


def events_of(*names: str, height: int = 1) -> list[CarEvent]:
    """Events of one block, named by car and step: `a0` registers car a, `a1` spends it, and so on."""
    bodies = [read_transaction(json.dumps(body_of(name)).encode(), "of this test") for name in names]
    return [make_event(one, height, sequence(height, place), SOURCE) for place, one in enumerate(bodies)]


def body_of(name: str) -> Json:
    car = name.rstrip(string.digits)
    step = int(name.removeprefix(car))
    spent = {"transaction_id": f"{car}{step - 1}", "output_index": 0} if step else None
    return {
        "id": name,
        "operation": "TRANSFER" if step else "CREATE",
        "asset": {"id": f"{car}0"} if step else {"data": {}},
        "inputs": [{"fulfills": spent}],
        "outputs": [],
    }


UNSENDABLE = {"metadata": {"mileage": float("nan")}}


def unsendable(name: str, height: int) -> CarEvent:
    """An event of a transaction for which JSON has no words."""
    body = json.dumps(body_of(name) | UNSENDABLE).encode()
    return make_event(read_transaction(body, "of this test"), height, sequence(height, 0), SOURCE)


def holds(events: list[Json], car: str) -> bool:
    """Whether an event of a car is among these."""
    return any(event["subject"] == f"{car}0" for event in events)


def parked_in(parking: ParkedTable) -> dict[str, str]:
    """The reason of each parked car."""
    return {car.asset_id: car.reason for car in parking.all()}


class ScriptedLedger(Ledger):
    """A node whose blocks a test writes. Of these it shows the first `shown`; it may be made to wait for a chain."""

    def __init__(self, *blocks: Sequence[Json]) -> None:
        super().__init__(("http://127.0.0.1:9",))
        self._blocks = blocks
        self.shown = len(blocks)
        self.has_chains = threading.Event()
        self.has_chains.set()
        self.chains: list[str] = []
        """The assets whose chains it was asked for."""
        self.asked: list[int] = []
        """The heights that it was asked for."""

    def block(self, height: int) -> Block | None:
        self.asked.append(height)
        if not 0 < height <= self.shown:
            return None
        in_id_order = sorted(self._blocks[height - 1], key=lambda body: str(body["id"]))
        return read_block(height, json.dumps({"height": height, "transactions": in_id_order}).encode())

    def has_block(self, height: int) -> bool:
        return 0 < height <= self.shown

    def transaction(self, transaction_id: str) -> Transaction | None:
        return next((one for one in self._all() if one.id == transaction_id), None)

    def chain(self, asset_id: str) -> list[Transaction]:
        self.chains.append(asset_id)
        assert self.has_chains.wait(IN_TIME_S)
        return in_spending_order([one for one in self._all() if one.asset_id == asset_id])

    def height_of(self, transaction_id: str) -> int:
        for height, block in enumerate(self._blocks[: self.shown], 1):
            if transaction_id in {body["id"] for body in block}:
                return height
        raise LedgerError(f"the block of transaction {transaction_id}: the node names no height")

    def _all(self) -> list[Transaction]:
        shown = itertools.chain.from_iterable(self._blocks[: self.shown])
        return [read_transaction(json.dumps(body).encode(), "of this test") for body in shown]


def scripted(*names: str) -> ScriptedLedger:
    """A ledger of one transaction a block."""
    return ScriptedLedger(*([body_of(name)] for name in names))


def one_car_a_lane(lanes: int) -> list[str]:
    """Names of cars, one for each lane."""
    cars = {lane_of(f"{car}0", lanes): car for car in string.ascii_lowercase}
    return [cars[number] for number in range(lanes)]


@contextmanager
def repairing_from(parts: Parts, ledger: Ledger) -> Iterator[Parts]:
    """The same parts, with another ledger to fetch chains from."""
    repairs = Repairs(ledger, SOURCE, new_places())
    yield msgspec.structs.replace(parts, repairs=repairs)
    repairs.stop()
