"""What an answer to a batch means: every kind of answer in the design, and that nothing else settles an event."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from relay.backoff import MAX_RETRY_AFTER_S
from relay.verdict import (
    Answer,
    Misconfigured,
    NoAnswer,
    Outcome,
    Refused,
    Settled,
    Unknown,
    Verdict,
    judge,
)

HTML = b"<!DOCTYPE html><html><body>The service is unavailable.</body></html>"
PROBLEM = {"content-type": "application/problem+json"}
PROBLEM_BODY = b'{"title": "Bad Request", "status": 400, "detail": "an event has no id - at `$[0].id`"}'
SENT = ["a", "b"]
DEEP = b"[" * 100_000 + b"]" * 100_000
NESTED_RESULTS = b'{"results": [], "more": ' + DEEP + b"}"


def results(*pairs: tuple[str, str]) -> bytes:
    return json.dumps({"results": [{"id": one, "outcome": outcome} for one, outcome in pairs]}).encode()


def described(verdict: Verdict) -> str:
    """A verdict in a word, or the outcomes of what was sent.

    `halve`: an event that is refused alone is not to blame for certain; `halve, then park`: it is, by the Function's
    own word. `again`: no event brings this about; `again, then halve`: one of them may.
    """
    match verdict:
        case Settled(found):
            return " ".join(found[one].outcome for one in SENT)
        case Refused(_, by_function):
            return "halve, then park" if by_function else "halve"
        case Misconfigured():
            return "wrong setting"
        case Unknown(_, may_be_an_event):
            return "again, then halve" if may_be_an_event else "again"


def verdict_on(status: int, headers: Mapping[str, str], body: bytes, sent: list[str] = SENT) -> Verdict:
    return judge(Answer(status, headers, body), sent)


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, results(("a", "applied"), ("b", "duplicate")), "applied duplicate"),
        (200, {}, results(("a", "ignored"), ("b", "deferred")), "ignored deferred"),
        (200, {}, results(("b", "rejected"), ("a", "failed")), "failed rejected"),
        (200, {}, results(("a", "applied"), ("b", "applied"), ("unasked", "failed")), "applied applied"),
        (200, {}, results(("a", "applied"), ("b", "applied"), ("b", "applied")), "applied applied"),
        (200, {"content-type": "text/html"}, results(("a", "applied"), ("b", "applied")), "applied applied"),
        (200, {}, results(("a", "applied")), "again, then halve"),
        (200, {}, results(("a", "applied"), ("B", "applied")), "again, then halve"),
        (200, {}, results(), "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "done")), "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "Applied")), "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "")), "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "applied"), ("unasked", "done")), "again, then halve"),
        (200, {}, results(("a", "failed"), ("a", "applied"), ("b", "applied")), "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "applied"), ("b", "rejected")), "again, then halve"),
        (200, {}, b'{"results": [{"id": "a"}, {"id": "b", "outcome": "applied"}]}', "again, then halve"),
        (
            200,
            {},
            b'{"results": [{"id": "a", "outcome": null}, {"id": "b", "outcome": "applied"}]}',
            "again, then halve",
        ),
        (200, {}, b'{"results": {"a": "applied", "b": "applied"}}', "again, then halve"),
        (200, {}, b'["a", "b"]', "again, then halve"),
        (200, {}, b"{}", "again, then halve"),
        (200, {}, b"null", "again, then halve"),
        (200, {}, b"", "again, then halve"),
        (200, {}, b"\xff\xfe", "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "applied"))[:-1], "again, then halve"),
        (200, {}, results(("a", "applied"), ("b", "applied")) + b"x", "again, then halve"),
        (200, {"content-type": "text/html"}, HTML, "again, then halve"),
        (200, PROBLEM, PROBLEM_BODY, "again, then halve"),
        (200, {}, NESTED_RESULTS, "again, then halve"),
        (201, {}, results(("a", "applied"), ("b", "applied")), "again"),
        (202, {}, b"", "again"),
        (202, {}, results(("a", "applied"), ("b", "applied")), "again"),
        (204, {}, b"", "again"),
        (204, {}, results(("a", "applied"), ("b", "applied")), "again"),
        (302, {"location": "https://login.example/"}, b"", "again"),
        (302, {"location": "https://login.example/"}, results(("a", "applied"), ("b", "applied")), "again"),
        (400, {"content-type": "text/html"}, HTML, "again"),
        (400, {}, b"", "again"),
        (400, {"content-type": "application/json"}, PROBLEM_BODY, "again"),
        (400, PROBLEM, PROBLEM_BODY, "halve, then park"),
        (400, {"content-type": "application/problem+json; charset=utf-8"}, PROBLEM_BODY, "halve, then park"),
        (415, PROBLEM, PROBLEM_BODY, "halve, then park"),
        (415, {"content-type": "text/html"}, HTML, "again"),
        (415, {}, b"", "again"),
        (401, {}, b"", "wrong setting"),
        (401, {"content-type": "text/html"}, HTML, "wrong setting"),
        (401, PROBLEM, PROBLEM_BODY, "wrong setting"),
        (403, {"content-type": "text/html"}, HTML, "again"),
        (403, PROBLEM, PROBLEM_BODY, "again"),
        (404, {}, b"", "again"),
        (404, PROBLEM, PROBLEM_BODY, "again"),
        (408, {}, b"", "again"),
        (413, {}, b"", "halve"),
        (413, PROBLEM, PROBLEM_BODY, "halve, then park"),
        (413, {"content-type": "text/html"}, HTML, "halve"),
        (413, {}, DEEP, "halve"),
        (421, PROBLEM, PROBLEM_BODY, "wrong setting"),
        (421, {}, HTML, "again"),
        (429, {}, b"", "again"),
        (429, PROBLEM, PROBLEM_BODY, "again"),
        (500, {}, b"", "again, then halve"),
        (500, PROBLEM, PROBLEM_BODY, "again, then halve"),
        (500, {}, results(("a", "applied"), ("b", "applied")), "again, then halve"),
        (502, {}, HTML, "again, then halve"),
        (503, {}, HTML, "again, then halve"),
        (503, PROBLEM, PROBLEM_BODY, "again, then halve"),
        (504, {}, b"", "again, then halve"),
        (599, {}, b"", "again"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_means(status: int, headers: dict[str, str], body: bytes, expected: str) -> None:
    assert described(verdict_on(status, headers, body)) == expected


def test_the_headers_of_a_real_answer_are_found_however_they_are_written() -> None:
    answer = requests.structures.CaseInsensitiveDict({"Content-Type": "application/problem+json"})
    assert described(verdict_on(400, answer, PROBLEM_BODY)) == "halve, then park"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (413, Refused), (415, Refused), (401, Misconfigured), (421, Misconfigured)],
)
def test_a_refusal_carries_the_functions_own_words_cut_to_length(
    status: int, kind: type[Refused | Misconfigured]
) -> None:
    verdict = verdict_on(status, PROBLEM, PROBLEM_BODY)
    assert isinstance(verdict, kind)
    assert verdict.reason == f"{status}: an event has no id - at `$[0].id`"
    endless = verdict_on(status, PROBLEM, json.dumps({"detail": "x" * 10_000}).encode())
    assert isinstance(endless, kind)
    assert len(endless.reason) < 400


def test_a_bare_401_names_the_setting_that_is_wrong() -> None:
    assert verdict_on(401, {}, b"") == Misconfigured("401: FUNCTION_KEY is not accepted")


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b"5", b'{"detail": {"deep": [1]}}', b"\xff", DEEP], ids=repr)
def test_a_refusal_without_words_is_still_one(body: bytes) -> None:
    assert isinstance(verdict_on(413, {}, body), Refused)
    assert isinstance(verdict_on(400, PROBLEM, body), Refused)
    assert isinstance(verdict_on(421, PROBLEM, body), Misconfigured)


def test_a_200_that_leaves_events_out_says_how_many_and_which_is_the_first() -> None:
    verdict = verdict_on(200, {}, results(("b", "applied")), ["a", "b", "c"])
    assert verdict == Unknown("a 200 that leaves out 2 of 3 events, first a", may_be_an_event=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("header", "seconds"), [("17", 17.0), ("0", 0.0), ("-5", 0.0), ("1e9", MAX_RETRY_AFTER_S), ("soon", 0.0)]
)
def test_retry_after_is_obeyed_within_bounds(status: int, header: str, seconds: float) -> None:
    verdict = verdict_on(status, {"retry-after": header}, b"")
    assert isinstance(verdict, Unknown)
    assert verdict.retry_after == seconds
    assert verdict.is_busy == (status == 429 or seconds > 0)


@pytest.mark.parametrize("status", [429, 503])
def test_without_retry_after_no_wait_is_asked_for(status: int) -> None:
    verdict = verdict_on(status, {}, b"")
    assert verdict == Unknown(f"the answer is {status}", status == 503, 0.0, is_busy=status == 429)


@pytest.mark.parametrize("status", [200, 202, 404, 500, 502])
def test_no_other_answer_asks_for_a_wait(status: int) -> None:
    verdict = verdict_on(status, {"retry-after": "17"}, b"")
    assert isinstance(verdict, Unknown)
    assert verdict.retry_after == 0.0


@pytest.mark.parametrize(("was_sent", "expected"), [(True, "again, then halve"), (False, "again")])
def test_no_answer_may_be_an_events_doing_only_if_the_request_was_sent(*, was_sent: bool, expected: str) -> None:
    verdict = judge(NoAnswer("no answer (ReadTimeout)", was_sent), SENT)
    assert described(verdict) == expected
    assert verdict == Unknown("no answer (ReadTimeout)", was_sent, 0.0)


def test_a_detail_stands_with_its_event() -> None:
    body = json.dumps({"results": [{"id": "a", "outcome": "rejected", "detail": "its id is wrong", "more": 1}]})
    verdict = verdict_on(200, {}, body.encode(), ["a"])
    assert isinstance(verdict, Settled)
    assert verdict.results["a"].detail == "its id is wrong"


OUTCOMES = st.sampled_from([*Outcome, "done", "APPLIED", None, 1])
IDS = st.sampled_from(["a", "b", "c", "A", "", None])
ANSWERS: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries({}, optional={"id": IDS, "outcome": OUTCOMES, "detail": st.text(max_size=3)}), max_size=4
).map(lambda found: {"results": found})
BODIES = st.binary(max_size=30) | (ANSWERS | st.lists(IDS)).map(lambda value: json.dumps(value).encode())


def _names_all(body: bytes, sent: list[str]) -> bool:
    """Whether a body gives every id sent one known outcome, by the standard library's reading of it."""
    found = json.loads(body)["results"]
    return all(
        {one["outcome"] for one in found if one["id"] == name} in [{known} for known in Outcome] for name in sent
    )


@given(
    status=st.sampled_from([200, 200, 200, 201, 202, 204, 206, 301, 400, 401, 403, 404, 413, 429, 500, 503])
    | st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(["content-type", "retry-after"]), st.text(max_size=12)),
    body=BODIES,
    sent=st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, unique=True),
)
def test_nothing_settles_but_a_200_that_names_every_event_with_a_known_outcome(
    status: int, headers: dict[str, str], body: bytes, sent: list[str]
) -> None:
    verdict = verdict_on(status, headers, body, sent)
    if isinstance(verdict, Settled):
        assert status == 200
        assert _names_all(body, sent)


@given(st.permutations(["a", "b", "c"]), st.lists(st.sampled_from(list(Outcome)), min_size=3, max_size=3))
def test_a_200_that_names_every_event_settles_in_any_order(order: list[str], outcomes: list[Outcome]) -> None:
    verdict = verdict_on(200, {}, results(*zip(order, outcomes, strict=True)), ["a", "b", "c"])
    assert isinstance(verdict, Settled)
    assert {one: found.outcome for one, found in verdict.results.items()} == dict(zip(order, outcomes, strict=True))


def test_an_event_named_twice_with_different_outcomes_is_not_done() -> None:
    verdict = verdict_on(200, {}, results(("a", "failed"), ("a", "applied"), ("b", "applied")))
    assert verdict == Unknown("a 200 that gives one event two outcomes", may_be_an_event=True)
