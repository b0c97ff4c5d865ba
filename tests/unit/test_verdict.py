"""What an answer to a batch means: every kind of answer in the design, and that nothing else settles an event."""

import datetime as dt
import email.utils
import json
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from relay.verdict import (
    MAX_RETRY_AFTER_S,
    Crashed,
    Outcome,
    Settled,
    Split,
    Unauthorised,
    Unknown,
    Verdict,
    judge,
    judge_failure,
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
    """A verdict in a word: `again`, `again, then halve`, `halve`, `wrong key`, or the outcomes of what was sent."""
    match verdict:
        case Settled(found):
            return " ".join(found[one].outcome for one in SENT)
        case Split():
            return "halve"
        case Unauthorised():
            return "wrong key"
        case Crashed():
            return "again, then halve"
        case Unknown():
            return "again"


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (200, {}, results(("a", "applied"), ("b", "duplicate")), "applied duplicate"),
        (200, {}, results(("a", "ignored"), ("b", "deferred")), "ignored deferred"),
        (200, {}, results(("b", "rejected"), ("a", "failed")), "failed rejected"),
        (200, {}, results(("a", "applied"), ("b", "applied"), ("unasked", "failed")), "applied applied"),
        (200, {}, results(("a", "applied")), "again"),
        (200, {}, results(("a", "applied"), ("B", "applied")), "again"),
        (200, {}, results(), "again"),
        (200, {}, results(("a", "applied"), ("b", "done")), "again"),
        (200, {}, results(("a", "applied"), ("b", "Applied")), "again"),
        (200, {}, results(("a", "applied"), ("b", "")), "again"),
        (200, {}, b'{"results": [{"id": "a"}, {"id": "b", "outcome": "applied"}]}', "again"),
        (200, {}, b'{"results": [{"id": "a", "outcome": null}, {"id": "b", "outcome": "applied"}]}', "again"),
        (200, {}, b'{"results": {"a": "applied", "b": "applied"}}', "again"),
        (200, {}, b'["a", "b"]', "again"),
        (200, {}, b"{}", "again"),
        (200, {}, b"null", "again"),
        (200, {}, b"", "again"),
        (200, {}, b"\xff\xfe", "again"),
        (200, {}, results(("a", "applied"), ("b", "applied"))[:-1], "again"),
        (200, {"content-type": "text/html"}, HTML, "again"),
        (200, {}, NESTED_RESULTS, "again"),
        (201, {}, results(("a", "applied"), ("b", "applied")), "again"),
        (202, {}, b"", "again"),
        (202, {}, results(("a", "applied"), ("b", "applied")), "again"),
        (204, {}, b"", "again"),
        (302, {"location": "https://login.example/"}, b"", "again"),
        (400, {"content-type": "text/html"}, HTML, "again"),
        (400, {}, b"", "again"),
        (400, {"content-type": "application/json"}, PROBLEM_BODY, "again"),
        (400, PROBLEM, PROBLEM_BODY, "halve"),
        (400, {"content-type": "application/problem+json; charset=utf-8"}, PROBLEM_BODY, "halve"),
        (415, PROBLEM, PROBLEM_BODY, "halve"),
        (415, {"content-type": "text/html"}, HTML, "again"),
        (401, {}, b"", "wrong key"),
        (401, PROBLEM, PROBLEM_BODY, "wrong key"),
        (403, {"content-type": "text/html"}, HTML, "again"),
        (403, PROBLEM, PROBLEM_BODY, "again"),
        (404, {}, b"", "again"),
        (404, PROBLEM, PROBLEM_BODY, "again"),
        (408, {}, b"", "again"),
        (413, {}, b"", "halve"),
        (413, PROBLEM, PROBLEM_BODY, "halve"),
        (413, {"content-type": "text/html"}, HTML, "halve"),
        (413, {}, DEEP, "halve"),
        (429, {}, b"", "again"),
        (500, {}, b"", "again, then halve"),
        (500, PROBLEM, PROBLEM_BODY, "again, then halve"),
        (502, {}, HTML, "again"),
        (503, {}, HTML, "again"),
        (504, {}, b"", "again"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_means(status: int, headers: dict[str, str], body: bytes, expected: str) -> None:
    assert described(judge(status, headers, body, SENT)) == expected


def test_the_headers_of_a_real_answer_are_found_however_they_are_written() -> None:
    answer = requests.structures.CaseInsensitiveDict({"Content-Type": "application/problem+json"})
    assert described(judge(400, answer, PROBLEM_BODY, SENT)) == "halve"


def test_a_refusal_carries_the_functions_own_words_cut_to_length() -> None:
    assert judge(400, PROBLEM, PROBLEM_BODY, SENT) == Split("400: an event has no id - at `$[0].id`")
    endless = judge(413, PROBLEM, json.dumps({"detail": "x" * 10_000}).encode(), SENT)
    assert isinstance(endless, Split)
    assert len(endless.reason) < 400


@pytest.mark.parametrize("body", [HTML, b"", b"[]", b"5", b'{"detail": {"deep": [1]}}', b"\xff"], ids=repr)
def test_a_refusal_without_words_is_still_one(body: bytes) -> None:
    assert isinstance(judge(413, {}, body, SENT), Split)


@pytest.mark.parametrize("status", [429, 503])
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
def test_retry_after_is_obeyed_within_bounds(status: int, header: str, least: float, most: float) -> None:
    verdict = judge(status, {"retry-after": header}, b"", SENT)
    assert isinstance(verdict, Unknown)
    assert least <= verdict.retry_after <= most


@pytest.mark.parametrize(
    ("seconds_from_now", "least", "most"),
    [(60, 50, 60), (-60, 0, 0), (10**8, MAX_RETRY_AFTER_S, MAX_RETRY_AFTER_S)],
)
def test_retry_after_may_be_a_date(seconds_from_now: int, least: float, most: float) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds_from_now)
    verdict = judge(503, {"retry-after": email.utils.format_datetime(date, usegmt=True)}, b"", SENT)
    assert isinstance(verdict, Unknown)
    assert least <= verdict.retry_after <= most


@pytest.mark.parametrize("status", [429, 503])
def test_without_retry_after_no_wait_is_asked_for(status: int) -> None:
    assert judge(status, {}, b"", SENT) == Unknown(f"the answer is {status}", 0.0)


def test_no_answer_means_again_and_its_reason_tells_the_kind_of_error_alone() -> None:
    error = requests.ConnectionError("https://host/api/ledger-events?code=secret")
    assert judge_failure(error) == Unknown("no answer (ConnectionError)")


OUTCOMES = st.sampled_from([*Outcome, "done", "APPLIED", None, 1])
IDS = st.sampled_from(["a", "b", "c", "A", "", None])
ANSWERS: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries({}, optional={"id": IDS, "outcome": OUTCOMES, "detail": st.text(max_size=3)}), max_size=4
).map(lambda found: {"results": found})
BODIES = st.binary(max_size=30) | (ANSWERS | st.lists(IDS)).map(lambda value: json.dumps(value).encode())


def _names_all(body: bytes, sent: list[str]) -> bool:
    """Whether a body names every id sent with a known outcome, by the standard library's reading of it."""
    named = {found["id"]: found["outcome"] for found in json.loads(body)["results"]}
    return all(named.get(one) in set(Outcome) for one in sent)


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
    verdict = judge(status, headers, body, sent)
    if isinstance(verdict, Settled):
        assert status == 200
        assert _names_all(body, sent)


@given(st.permutations(["a", "b", "c"]), st.lists(st.sampled_from(list(Outcome)), min_size=3, max_size=3))
def test_a_200_that_names_every_event_settles_in_any_order(order: list[str], outcomes: list[Outcome]) -> None:
    verdict = judge(200, {}, results(*zip(order, outcomes, strict=True)), ["a", "b", "c"])
    assert isinstance(verdict, Settled)
    assert {one: found.outcome for one, found in verdict.results.items()} == dict(zip(order, outcomes, strict=True))


def test_an_event_named_twice_with_different_outcomes_is_not_done() -> None:
    verdict = judge(200, {}, results(("a", "failed"), ("a", "applied"), ("b", "applied")), SENT)
    assert described(verdict) != "applied applied"
