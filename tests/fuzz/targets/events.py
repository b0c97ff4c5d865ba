"""The relay's events of a node's block, as the Function reads them: no transaction spoils or forges another's event."""

from itertools import pairwise

from functions.api.answers import RequestError
from functions.api.ledger_events import CloudEvent, read_batch, read_event
from functions.leasing.car import Decision, LedgerEvent
from relay.blocks import MalformedBlockError, read_block, sequence
from relay.events import CONTENT_TYPE, CarEvent, by_car, encode_batch, following, how_many_fit, make_event

HEIGHT = 7
SOURCE = "urn:bigchaindb:local"
FEW_EVENTS, FEW_BYTES = 3, 4_000


def check(data: bytes) -> None:
    """Hold the events of a node's answer to the contract, alone and in a batch."""
    try:
        transactions = read_block(HEIGHT, data).transactions
    except MalformedBlockError:
        return
    events = [make_event(one, HEIGHT, sequence(HEIGHT, index), SOURCE) for index, one in enumerate(transactions)]
    assert [event.unsendable for event in events] == [one.unsendable for one in transactions]
    pairs = [pair for car in by_car(events).values() for pair in pairwise(car)]
    named = {event.sequence: earlier.transaction_id for earlier, event in pairs}
    events = [following(event, named.get(event.sequence, "")) for event in events]
    sendable = [event for event in events if not event.unsendable]
    _check_batches(sendable)
    taken = {event.sequence: found for event in sendable if (found := _taken([event])) is not None}
    together = _taken([event for event in sendable if event.sequence in taken])
    assert together == [one for alone in taken.values() for one in alone]
    for event in sendable:
        for one in taken.get(event.sequence, ()):
            assert (one.id, one.subject, one.partitionkey) == (event.transaction_id, event.asset_id, event.asset_id)
            assert (one.sequence, one.source) == (event.sequence, SOURCE)
            assert one.predecessor == named.get(event.sequence, "")
            assert isinstance(read_event(one), LedgerEvent | Decision)


def _taken(events: list[CarEvent]) -> list[CloudEvent] | None:
    """The events as the Function reads them; None where it refuses the batch."""
    try:
        found = read_batch(CONTENT_TYPE, encode_batch(events))
    except RequestError:
        return None
    assert len(found) == len(events)
    return found


def _check_batches(events: list[CarEvent]) -> None:
    """Batches lose nothing, stay within their bounds but for a single event, and keep a car's order."""
    left = events
    while left:
        count = how_many_fit(left, FEW_EVENTS, FEW_BYTES)
        assert 1 <= count <= FEW_EVENTS
        assert count == 1 or len(encode_batch(left[:count])) <= FEW_BYTES
        left = left[count:]
    assert sorted(one.sequence for car in by_car(events).values() for one in car) == [one.sequence for one in events]
