"""Proves, before the checkpoint moves, that storage still holds what was acknowledged.

Storage can go back by seconds unseen: Azurite killed with -9 does, and so may an account that fails over to another
region. The last batches are sent once more: a record that holds them answers `duplicate` for every event, and since
storage goes back to one moment as a whole, it then holds all that was acknowledged before them
(docs/decisions/0008-proof-before-the-checkpoint-moves.md).
"""

import enum
from collections.abc import Iterable

from relay.lane import Sent
from relay.logs import fields, log, short
from relay.post import Post
from relay.verdict import DONE, Outcome, Settled

TIMEOUT_S = 10.0


class Proof(enum.Enum):
    """What the record was seen to hold."""

    HOLDS = "holds"
    WENT_BACK = "went back"
    UNKNOWN = "unknown"


def prove(post: Post, batches: Iterable[Sent]) -> Proof:
    """Send these batches, which were acknowledged, once more. A record that went back takes some of them in again."""
    for sent in batches:
        verdict = post.send(sent.events, TIMEOUT_S)
        if not isinstance(verdict, Settled):
            log.warning("not proven", extra=fields(events=len(sent.events), reason=short(verdict.reason)))
            return Proof.UNKNOWN
        outcomes = {verdict.results[event.transaction_id].outcome for event in sent.events}
        if Outcome.FAILED in outcomes:
            log.warning("not proven", extra=fields(events=len(sent.events), reason="the Function failed"))
            return Proof.UNKNOWN
        if Outcome.APPLIED in outcomes or not outcomes <= DONE:
            return Proof.WENT_BACK
    return Proof.HOLDS
