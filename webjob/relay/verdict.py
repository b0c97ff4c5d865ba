"""What an answer to a batch means. Pure: one function for answers, one for the lack of one.

A bare 2xx proves nothing, since platforms answer 202 for functions that are not there, and neither does a 4xx: they
answer 404 and 403 while an app starts or is stopped. Only a body that names every event sent, each with an outcome,
settles them.
"""

import email.utils
import enum
import math
import time
from collections.abc import Collection, Mapping

import msgspec

MAX_DETAIL = 300
MAX_RETRY_AFTER_S = 300.0


class Outcome(enum.StrEnum):
    """The outcome that the Function gives an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    DEFERRED = "deferred"
    REJECTED = "rejected"
    FAILED = "failed"


DONE = frozenset({Outcome.APPLIED, Outcome.DUPLICATE, Outcome.IGNORED})


class Result(msgspec.Struct, frozen=True):
    """What became of one event."""

    id: str
    outcome: Outcome
    detail: str = ""


class _Answer(msgspec.Struct, frozen=True):
    results: list[Result]


class Settled(msgspec.Struct, frozen=True):
    """Every event that was sent has its result, by transaction id."""

    results: dict[str, Result]


class Split(msgspec.Struct, frozen=True):
    """The Function refuses this batch as it is: halve it. Alone, the event can never be sent."""

    reason: str


class Unauthorised(msgspec.Struct, frozen=True):
    """The key is wrong. Keep everything, say so loudly, retry slowly."""

    reason: str


class Crashed(msgspec.Struct, frozen=True):
    """Nothing is known, and it may be one of the events that brings the Function down: send again, then halve."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """Nothing is known: send again, not before `retry_after` seconds."""

    reason: str
    retry_after: float = 0.0


Verdict = Settled | Split | Unauthorised | Crashed | Unknown


def judge(status: int, headers: Mapping[str, str], body: bytes, sent: Collection[str]) -> Verdict:
    """The verdict on an answer with this status and body to a batch of the transaction ids `sent`."""
    if status == 200:
        return _judge_results(body, sent)
    if status == 413:
        return Split(f"413: {_detail(body)}")
    if status == 401:
        return Unauthorised("401: the Function does not accept FUNCTION_KEY")
    if status in {400, 415} and headers.get("content-type", "").startswith("application/problem+json"):
        return Split(f"{status}: {_detail(body)}")
    if status == 500:
        return Crashed("500: an error in the Function, or in what stands before it")
    if status in {429, 503}:
        return Unknown(f"the answer is {status}", _retry_after(headers.get("retry-after", "")))
    return Unknown(f"the answer is {status}")


def judge_failure(error: Exception) -> Verdict:
    """The verdict when there was no answer. The error's text may hold the URL, never the key; its kind is enough."""
    return Unknown(f"no answer ({type(error).__name__})")


def _judge_results(body: bytes, sent: Collection[str]) -> Verdict:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Unknown(f"a 200 that names no outcomes: {error}")
    results = {result.id: result for result in answer.results}
    if any(result.outcome is not results[result.id].outcome for result in answer.results):
        return Unknown("a 200 that gives one event two outcomes")
    missing = [one for one in sent if one not in results]
    if missing:
        return Unknown(f"a 200 that leaves out {len(missing)} of {len(sent)} events, first {missing[0]}")
    return Settled(results)


def _detail(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body)["detail"])[:MAX_DETAIL]
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, RecursionError):
        return "no detail"


def _retry_after(text: str) -> float:
    """Seconds in a Retry-After header, which holds a number or an HTTP date; 0 where it holds neither."""
    try:
        return _bounded(float(text))
    except ValueError:
        pass
    try:
        return _bounded(email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MAX_RETRY_AFTER_S) if math.isfinite(seconds) else MAX_RETRY_AFTER_S
