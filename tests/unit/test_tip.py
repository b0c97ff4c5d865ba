"""Where a ledger ends that does not say so, found by asking for blocks."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from relay.tip import find_tip

HEIGHTS = st.integers(0, 20) | st.integers(0, 10**12)


class Chain:
    """A ledger with blocks 1 to `tip`, which counts the questions."""

    def __init__(self, tip: int, grows_by: int = 0) -> None:
        self.tip = tip
        self.asked: list[int] = []
        self._grows_by = grows_by

    def has_block(self, height: int) -> bool:
        self.asked.append(height)
        is_there = 1 <= height <= self.tip
        self.tip += self._grows_by
        return is_there


@given(HEIGHTS, HEIGHTS)
@example(0, 0)
@example(1, 0)
def test_the_tip_is_found_from_any_known_height_below_it_or_at_it(known: int, distance: int) -> None:
    assert find_tip(Chain(known + distance).has_block, known) == known + distance


@given(HEIGHTS, HEIGHTS)
def test_it_takes_about_twice_the_logarithm_of_the_distance_in_questions(known: int, distance: int) -> None:
    chain = Chain(known + distance)
    find_tip(chain.has_block, known)
    assert len(chain.asked) <= 2 * math.log2(distance + 1) + 2


@given(HEIGHTS, HEIGHTS)
def test_nothing_is_asked_twice_nor_what_is_known(known: int, distance: int) -> None:
    chain = Chain(known + distance)
    find_tip(chain.has_block, known)
    assert len(set(chain.asked)) == len(chain.asked)
    assert min(chain.asked) > known


@given(HEIGHTS, st.integers(0, 1000), st.integers(1, 3))
def test_on_a_ledger_that_grows_a_block_that_was_there_is_found(known: int, distance: int, grows_by: int) -> None:
    chain = Chain(known + distance, grows_by)
    assert known + distance <= find_tip(chain.has_block, known) <= chain.tip
