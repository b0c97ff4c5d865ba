"""When a car is parked for failing, and when the fault is taken to be the Function's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.parking import STRIKES, UNSUPPORTED_REJECTIONS, Evidence, Strikes
from relay.verdict import Outcome, Result


def came_back(evidence: Evidence, *outcomes: Outcome) -> None:
    """These results came back for events of other cars."""
    evidence.note(Result(str(place), outcome) for place, outcome in enumerate(outcomes))


def test_a_car_that_keeps_failing_alone_while_others_get_through_is_parked() -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    parked = []
    for _ in range(STRIKES):
        came_back(evidence, Outcome.APPLIED)
        parked.append(strikes.fail())
    assert parked == [False] * (STRIKES - 1) + [True]
    assert (strikes.failures, strikes.strikes) == (STRIKES, STRIKES)


def test_a_function_that_fails_everything_parks_nothing_however_long_it_does() -> None:
    strikes = Strikes(Evidence())
    assert not any(strikes.fail() for _ in range(1_000))
    assert (strikes.failures, strikes.strikes) == (1_000, 0)


def test_what_got_through_before_the_car_was_set_aside_speaks_against_nobody() -> None:
    evidence = Evidence()
    came_back(evidence, *[Outcome.APPLIED] * 100)
    strikes = Strikes(evidence)
    assert not any(strikes.fail() for _ in range(100))


def test_many_events_that_got_through_at_once_make_one_strike() -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    came_back(evidence, *[Outcome.APPLIED] * 100)
    assert not any(strikes.fail() for _ in range(100))
    assert strikes.strikes == 1


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.APPLIED])
def test_only_what_was_applied_shows_that_the_function_can_write(outcome: Outcome) -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    for _ in range(100):
        came_back(evidence, outcome)
        assert not strikes.fail()
    assert evidence.count == 0


def test_where_most_is_known_already_a_duplicate_speaks_for_the_function_too() -> None:
    evidence = Evidence(frozenset({Outcome.APPLIED, Outcome.DUPLICATE}))
    came_back(evidence, Outcome.DUPLICATE, Outcome.APPLIED, Outcome.IGNORED, Outcome.FAILED)
    assert evidence.count == 2


def test_a_car_that_got_something_through_begins_anew() -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    for _ in range(STRIKES - 1):
        came_back(evidence, Outcome.APPLIED)
        strikes.fail()
    came_back(evidence, Outcome.APPLIED)
    strikes.clear()
    assert (strikes.failures, strikes.strikes) == (0, 0)
    # What was applied was its own, or as old.
    assert not strikes.fail()
    assert strikes.strikes == 0


def test_events_that_fail_together_say_nothing_against_the_car_but_count_for_how_long_to_wait() -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    for _ in range(100):
        came_back(evidence, Outcome.APPLIED)
        strikes.stumble()
    assert (strikes.failures, strikes.strikes) == (100, 0)
    assert not strikes.fail()
    assert (strikes.failures, strikes.strikes) == (101, 1)


@given(st.lists(st.sampled_from(["fails", "another is applied", "gets through"]), max_size=60))
def test_a_car_is_parked_when_and_only_when_it_failed_so_often_with_something_applied_in_between(
    steps: list[str],
) -> None:
    evidence = Evidence()
    strikes = Strikes(evidence)
    counted, is_applied_since = 0, False
    for step in steps:
        match step:
            case "another is applied":
                came_back(evidence, Outcome.APPLIED)
                is_applied_since = True
            case "gets through":
                strikes.clear()
                counted, is_applied_since = 0, False
            case _:
                counted += is_applied_since
                is_applied_since = False
                assert strikes.fail() == (counted >= STRIKES)


# ---- rejections


def test_so_many_rejections_in_a_row_are_believed_and_no_more() -> None:
    evidence = Evidence()
    believed = [evidence.believes_rejection() for _ in range(UNSUPPORTED_REJECTIONS + 3)]
    assert believed == [True] * UNSUPPORTED_REJECTIONS + [False] * 3


def test_after_something_was_applied_rejections_are_believed_again() -> None:
    evidence = Evidence()
    for _ in range(UNSUPPORTED_REJECTIONS + 1):
        evidence.believes_rejection()
    came_back(evidence, Outcome.DUPLICATE, Outcome.IGNORED, Outcome.REJECTED)
    assert not evidence.believes_rejection()
    came_back(evidence, Outcome.APPLIED)
    assert evidence.believes_rejection()
