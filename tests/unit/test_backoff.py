"""How long the relay waits before it tries again."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import backoff


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
