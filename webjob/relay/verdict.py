"""What an answer to a batch means, or the lack of one. Pure: one function for all of them.

A bare 2xx proves nothing, since platforms answer 202 for functions that are not there, and neither does a 4xx: they
answer 404 and 403 while an app starts or is stopped. Only a body that names every event sent, each with an outcome,
settles them.
"""

import enum
from collections.abc import Collection, Mapping

import msgspec

from relay.backoff import retry_after

MAX_DETAIL = 300
PROBLEM = "application/problem+json"


class Outcome(enum.StrEnum):
    """The outcome that the Function gives an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    FAILED = "failed"


DONE = frozenset({Outcome.APPLIED, Outcome.DUPLICATE, Outcome.IGNORED})


class Answer(msgspec.Struct, frozen=True):
    """What came back: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(msgspec.Struct, frozen=True):
    """Nothing came back. `was_sent`: the request, or a part of it, may have reached the Function."""

    reason: str
    was_sent: bool


class Result(msgspec.Struct, frozen=True):
    """What became of one event."""

    id: str
    outcome: Outcome
    detail: str = ""


class _Results(msgspec.Struct, frozen=True):
    results: list[Result]


class Settled(msgspec.Struct, frozen=True):
    """Every event that was sent has its result, by transaction id."""

    results: dict[str, Result]


class Refused(msgspec.Struct, frozen=True):
    """This batch is not taken as it is: halve it. `by_function`: it is our Function's own word, in its own form."""

    reason: str
    by_function: bool


class Misconfigured(msgspec.Struct, frozen=True):
    """A key, a secret or a name is wrong, for every batch alike. Keep everything, say so loudly, retry slowly."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """Nothing is known: send again, not before `retry_after` seconds.

    `may_be_an_event`: one of the events may bring this about (a crash, a time-out), so that it is worth halving.
    `is_busy`: it is said to be too much, so that nothing is to be sent sooner than backoff has it.
    """

    reason: str
    may_be_an_event: bool
    retry_after: float = 0.0
    is_busy: bool = False


Verdict = Settled | Refused | Misconfigured | Unknown


def judge(reply: Answer | NoAnswer, sent: Collection[str]) -> Verdict:
    """The verdict on what came back for a batch of the transaction ids `sent`."""
    match reply:
        case NoAnswer(reason, was_sent):
            return Unknown(reason, may_be_an_event=was_sent)
        case Answer(200, _, body):
            return _judge_results(body, sent)
        case Answer(413, _, body):
            return Refused(f"413: {_detail(body)}", by_function=_is_problem(reply))
        case Answer(400 | 415 as status, _, body) if _is_problem(reply):
            return Refused(f"{status}: {_detail(body)}", by_function=True)
        case Answer(401, _, body) if _is_problem(reply):
            return Misconfigured(f"401: {_detail(body)}")
        case Answer(401):
            return Misconfigured("401: FUNCTION_KEY is not accepted")
        case Answer(421, _, body) if _is_problem(reply):
            return Misconfigured(f"421: {_detail(body)}")
        case Answer(429, headers):
            return Unknown("the answer is 429", may_be_an_event=False, retry_after=_retry_after(headers), is_busy=True)
        case Answer(503, headers):
            wait = _retry_after(headers)
            return Unknown("the answer is 503", may_be_an_event=True, retry_after=wait, is_busy=wait > 0.0)
        case Answer(status):
            return Unknown(f"the answer is {status}", may_be_an_event=status in {500, 502, 504})


def _judge_results(body: bytes, sent: Collection[str]) -> Verdict:
    try:
        answer = msgspec.json.decode(body, type=_Results)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Unknown(f"a 200 that names no outcomes: {error}", may_be_an_event=True)
    results = {result.id: result for result in answer.results}
    if any(result.outcome is not results[result.id].outcome for result in answer.results):
        return Unknown("a 200 that gives one event two outcomes", may_be_an_event=True)
    missing = [one for one in sent if one not in results]
    if missing:
        reason = f"a 200 that leaves out {len(missing)} of {len(sent)} events, first {missing[0]}"
        return Unknown(reason, may_be_an_event=True)
    return Settled(results)


def _is_problem(answer: Answer) -> bool:
    return answer.headers.get("content-type", "").startswith(PROBLEM)


def _retry_after(headers: Mapping[str, str]) -> float:
    return retry_after(headers.get("retry-after", ""))


def _detail(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["detail"])[:MAX_DETAIL]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        return "no detail"
