"""The relay's verdict on an answer: settled only by a body that names every event, whatever else comes back."""

import json
from typing import Any

from relay.backoff import MAX_RETRY_AFTER_S
from relay.verdict import Answer, Misconfigured, Outcome, Refused, Settled, Unknown, judge
from tests.fuzz.messages import headers, parts

SENT = ("first", "second")


def check(data: bytes) -> None:
    """Hold the verdict on an answer, whose head begins with a line of its status, to the contract."""
    (status_line, *lines), body = parts(data)
    if not (status_line.isascii() and status_line.isdigit() and len(status_line) == 3):
        return
    status = int(status_line)
    verdict = judge(Answer(status, headers(lines), body), SENT)
    match verdict:
        case Settled(results):
            assert status == 200
            assert {one: results[one].outcome for one in SENT} == _named(body)
        case Unknown(reason, _, retry_after):
            assert reason
            assert 0.0 <= retry_after <= MAX_RETRY_AFTER_S
        case Refused(reason, _):
            assert status in {400, 413, 415}
            assert reason
        case Misconfigured(reason):
            assert status in {401, 421}
            assert reason


def _named(body: bytes) -> dict[str, Outcome]:
    """The outcomes of the events sent, as the standard library reads them; an event has one alone."""
    answer: Any = json.loads(body.decode(errors="replace"), parse_int=str)
    outcomes = {(one["id"], Outcome(one["outcome"])) for one in answer["results"] if one["id"] in SENT}
    assert len(outcomes) == len(SENT)
    return dict(outcomes)
