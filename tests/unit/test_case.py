"""A car that is set aside: what is sent for it, in which order, and what its blocks are told."""

from hypothesis import given
from hypothesis import strategies as st

from relay.case import MOST, Case
from relay.events import CarEvent
from relay.outage import Retry
from relay.parking import Evidence, Strikes
from relay.repair import Fetch

CHAIN_LENGTH = 12


def event(number: int, size: int = 10, unsendable: str = "") -> CarEvent:
    encoded = b"" if unsendable else b"x" * size
    return CarEvent(str(number), "car", f"{number:012d}-000000", number, encoded, unsendable)


def events(*numbers: int) -> list[CarEvent]:
    return [event(number) for number in numbers]


def case_of(*numbers: int) -> Case:
    """A car that is set aside with these events."""
    case = Case("car", Strikes(Evidence()), retry=Retry())
    case.add(events(*numbers))
    return case


def test_one_event_is_sent_at_first_and_more_as_they_get_through() -> None:
    case = case_of(*range(20))
    sizes = []
    while batch := case.batch(100, 10_000):
        sizes.append(len(batch))
        case.got_through(batch)
    assert sizes == [1, 2, 4, 8, 5]


def test_a_batch_keeps_to_the_settings() -> None:
    case = case_of(*range(20))
    case.size = 16
    assert [len(case.batch(most, most_bytes)) for most, most_bytes in ((3, 10_000), (100, 50), (100, 5))] == [3, 4, 1]


def test_no_batch_grows_beyond_the_most_that_go_together() -> None:
    case = case_of(*range(3 * MOST))
    for _ in range(12):
        case.got_through(case.batch(1, 10_000))
    assert len(case.batch(10**6, 10**9)) == MOST


def test_what_cannot_be_sent_ends_a_batch() -> None:
    case = case_of(1, 2)
    case.add([event(3, unsendable="it cannot be written as JSON"), event(4)])
    case.size = 10
    assert case.batch(100, 10_000) == events(1, 2)
    case.got_through(events(1, 2))
    assert case.batch(100, 10_000) == []
    assert case.first is not None
    assert case.first.unsendable


def test_what_comes_later_is_sent_after_all_that_it_has() -> None:
    case = case_of(1)
    case.add(events(2, 3))
    case.size = 10
    assert case.batch(100, 10_000) == events(1, 2, 3)


def test_what_is_put_before_is_sent_and_left_out_before_all_that_it_has() -> None:
    case = case_of(3)
    case.put_before(events(1, 2))
    case.size = 10
    assert case.batch(100, 10_000) == events(1, 2, 3)
    assert list(case.owed.values()) == events(1, 2, 3)
    assert case.got_through(events(1, 2, 3)) == events(1, 2, 3)


def test_what_got_through_is_told_to_its_blocks_and_the_car_begins_anew() -> None:
    case = case_of(1, 2, 3)
    case.strikes.fail()
    assert case.got_through(events(1, 2)) == events(1, 2)
    assert (list(case.owed.values()), case.first, case.strikes.failures) == (events(3), event(3), 0)
    assert case.got_through(events(3)) == events(3)
    assert (case.owed, case.first) == ({}, None)


def test_a_chain_is_sent_whole_and_first_and_only_what_is_owed_is_told_to_blocks() -> None:
    case = case_of(3, 4)
    case.needs_chain = True
    case.take_chain(events(1, 2, 3))
    assert (case.needs_chain, case.is_chain) == (False, True)
    assert case.batch(100, 10_000) == events(1, 2, 3, 4)
    assert case.got_through(events(1, 2, 3)) == events(3)
    assert case.got_through(events(4)) == events(4)


def test_a_chain_that_holds_nothing_that_is_owed_is_sent_all_the_same() -> None:
    case = case_of()
    case.take_chain(events(1, 2))
    assert case.batch(100, 10_000) == events(1, 2)
    assert case.got_through(events(1, 2)) == []
    assert case.first is None


def test_a_car_whose_chain_is_being_fetched_says_so() -> None:
    case = case_of(1)
    assert not case.is_fetching
    case.fetch = Fetch("car", frozenset(), lambda: None)
    assert case.is_fetching
    case.fetch.is_done = True
    assert not case.is_fetching


@given(
    first=st.integers(0, CHAIN_LENGTH),
    known=st.integers(0, CHAIN_LENGTH),
    arrived=st.integers(0, CHAIN_LENGTH),
    most=st.integers(1, 5),
)
def test_every_event_that_is_owed_is_told_once_and_sent_in_the_order_of_the_ledger(
    first: int, known: int, arrived: int, most: int
) -> None:
    """Events `first` to `arrived` came before the chain, of which the node knew the first `known`; the rest after."""
    arrived = max(first, arrived)
    case = case_of(*range(first, arrived))
    case.take_chain(events(*range(known)))
    sent: list[CarEvent] = []
    told: list[CarEvent] = []
    later = list(range(arrived, CHAIN_LENGTH))
    while later or case.first is not None:
        if later:
            case.add(events(later.pop(0)))
        batch = case.batch(most, 10_000)
        sent += batch
        told += case.got_through(batch)
    assert sorted(told, key=lambda one: one.height) == events(*range(first, CHAIN_LENGTH))
    assert case.owed == {}
    first_sent = list(dict.fromkeys(sent))
    assert first_sent == sorted(first_sent, key=lambda one: one.height)
