"""How long the relay waits before it tries again."""

import datetime as dt
import email.utils
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import backoff
from relay.backoff import MAX_RETRY_AFTER_S


@given(st.integers(1, 10**6))
def test_a_delay_is_never_longer_than_the_cap_nor_than_its_attempt_allows(attempt: int) -> None:
    assert 0 <= backoff.delay(attempt) <= min(backoff.CAP_S, backoff.BASE_S * 2.0 ** min(attempt, 1000))


@given(st.integers(1, 10**6), st.floats(0, 5))
def test_another_cap_is_kept(attempt: int, cap: float) -> None:
    assert 0 <= backoff.delay(attempt, cap) <= cap


def test_the_longest_delay_doubles_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)
    assert [backoff.delay(attempt) for attempt in range(1, 10)] == [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_delays_are_spread_over_the_whole_range() -> None:
    delays = [backoff.delay(20) for _ in range(1_000)]
    assert min(delays) < backoff.CAP_S * 0.1
    assert max(delays) > backoff.CAP_S * 0.9


# ---- Retry-After


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("17", 17, 17),
        ("0", 0, 0),
        ("1.5", 1.5, 1.5),
        ("-5", 0, 0),
        (" 17 ", 17, 17),
        ("1e9", MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S),
        ("inf", MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S),
        ("nan", 0, MAX_RETRY_AFTER_S),
        ("", 0, 0),
        ("soon", 0, 0),
        ("17 seconds", 0, 0),
        ("Mon, 99 Foo 2020 00:00:00 GMT", 0, 0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", 0, MAX_RETRY_AFTER_S),
        ("Mon, 01 Jan 2020 99999999999999999999:00:00 GMT", 0, MAX_RETRY_AFTER_S),
    ],
)
def test_retry_after_is_obeyed_within_bounds(header: str, least: float, most: float) -> None:
    assert least <= backoff.retry_after(header) <= most


@pytest.mark.parametrize(
    ("seconds_from_now", "least", "most"),
    [(60, 50, 60), (-60, 0, 0), (10**8, MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S)],
)
def test_retry_after_may_be_a_date(seconds_from_now: int, least: float, most: float) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds_from_now)
    assert least <= backoff.retry_after(email.utils.format_datetime(date, usegmt=True)) <= most


@given(st.text(max_size=20) | st.text("0123456789.-+eEinfa: GMT,", max_size=20))
def test_whatever_retry_after_holds_the_wait_is_bounded(header: str) -> None:
    assert 0 <= backoff.retry_after(header) <= MAX_RETRY_AFTER_S
