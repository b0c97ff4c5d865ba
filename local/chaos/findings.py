"""What a chaos run has found so far: filled by several threads while it goes on, read at its end."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from local.faults.answers import Answer, Request

SETTLED = {"applied", "duplicate", "ignored"}
EVENTS_PATH = "/api/ledger-events"


@dataclass
class Deliveries:
    """What the Function said to each event, as seen on the wire, whether its answer reached the relay or not.

    An answer that the Function did not finish is not seen.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    """How often each transaction was applied: more than once where storage lost it."""
    applied_at: dict[str, float] = field(default_factory=dict)
    """When it was applied last, on the monotonic clock."""
    moments: list[float] = field(default_factory=list)
    """When anything was settled: applied, or found to be applied already."""

    def observe(self, request: Request, answer: Answer) -> None:
        """Note an answer of the Function app."""
        if answer.status != 200 or request.target != EVENTS_PATH:
            return
        for result in json.loads(answer.body)["results"]:
            self.outcomes[result["outcome"]] += 1
            if result["outcome"] in SETTLED:
                self.moments.append(time.monotonic())
            if result["outcome"] == "applied":
                self.applied[result["id"]] += 1
                self.applied_at[result["id"]] = time.monotonic()


@dataclass
class Commits:
    """When each transaction was sent to the ledger, on the monotonic clock."""

    sent_at: dict[str, float] = field(default_factory=dict)

    def note(self, wave: list[dict[str, Any]]) -> None:
        """Note a wave that is about to be sent."""
        now = time.monotonic()
        self.sent_at.update((transaction["id"], now) for transaction in wave)


def longest_delay(commits: Commits, deliveries: Deliveries) -> float:
    """Seconds from the ledger to the record, of the event that took longest, until it was applied for good."""
    return max(
        (at - commits.sent_at[one] for one, at in deliveries.applied_at.items() if one in commits.sent_at), default=0.0
    )


def longest_stand(commits: Commits, deliveries: Deliveries) -> float:
    """Seconds for which nothing at all was settled, the longest time while transactions were committed."""
    moments = sorted({min(commits.sent_at.values()), *deliveries.moments, max(commits.sent_at.values())})
    return max((after - before for before, after in pairwise(moments)), default=0.0)
