"""What came of a chaos run, as text: Markdown tables, first what was promised, then what it went through."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.chaos.findings import longest_delay
from local.chaos.parts import Parts
from local.chaos.play import Player

EXPECTED_EXITS = {0, 3}
"""Asked to stop; another relay has taken over. Anything else is a fault of the relay's own."""
TOLD = {
    "CAR PARKED": "cars parked",
    "car redriven": "cars redriven",
    "car repaired from the ledger": "cars repaired from the ledger",
    "checkpoint went back": "times storage was found to have gone back, by its row",
    "storage may have gone back": "times storage may have gone back, by its connection",
    "stream is silent, reconnecting": "silent streams found out",
    "stream lost": "streams lost",
    "another relay has taken over": "relays superseded",
    "REFUSED": "times the relay said that a key, a secret or a clock is wrong",
    "not delivered": "requests without a usable answer",
}
MOST_SHOWN = 20


@dataclass(frozen=True)
class Result:
    """The verdict: rows and properties compared, and what differs from the ledger or from an undisturbed record."""

    rows: int
    from_ledger: Sequence[str]
    from_calm: Sequence[str]
    ended_badly: Sequence[str]
    """Relays that ended as none should."""

    @property
    def is_good(self) -> bool:
        """Whether everything is as promised."""
        return not (self.from_ledger or self.from_calm or self.ended_badly)


def bad_ends(parts: Parts) -> list[str]:
    """The relays that ended with an exit code that none should have."""
    return [
        f"a relay ended {times} times with exit code {code}, see {relay.log}"
        for relay in parts.relays
        for code, times in relay.exits.items()
        if code not in EXPECTED_EXITS and code >= 0
    ]


def report(title: str, player: Player, parts: Parts, result: Result, took: float) -> str:
    """The report in Markdown."""
    deliveries, commits = player.deliveries, player.commits
    applied_again = sum(times - 1 for times in deliveries.applied.values())
    log = _log_lines(relay.log for relay in parts.relays)
    exits = sum((relay.exits for relay in parts.relays), Counter[int]())
    lines = [
        f"## {title}",
        "",
        *_table(
            "what was promised",
            {
                "transactions committed": len(commits.sent_at),
                "events of trusted lessors' cars, applied": len(deliveries.applied),
                "rows held against the ledger": result.rows,
                "**rows that differ from the ledger**": len(result.from_ledger),
                "**properties that differ from an undisturbed record**": len(result.from_calm),
                "**relays that ended as none should**": len(result.ended_badly),
                "longest time from the ledger to the record, s": round(longest_delay(commits, deliveries), 1),
                "the run took, s": round(took),
            },
        ),
        *_table(
            "what was absorbed",
            {
                "duplicates": deliveries.outcomes["duplicate"],
                "events applied again, since storage had lost them": applied_again,
                "events deferred": deliveries.outcomes["deferred"],
                "events failed for the moment": deliveries.outcomes["failed"],
                "parked cars redriven at the end": player.redriven,
                **{words: log[line] for line, words in TOLD.items()},
                **{f"relays that ended with {_ended(code)}": times for code, times in sorted(exits.items())},
                **dict(sorted(player.commands.items())),
            },
        ),
        *_table("accidents", dict(sorted(player.episodes.items()))),
        *_table(
            "faults, by what they hit",
            {
                f"{link.name}: {kind.title}": hits
                for link in parts.links.values()
                for kind, hits in sorted(link.hits.items(), key=lambda one: one[0].title)
            },
        ),
    ]
    for name, differing in (
        ("differ from the ledger", result.from_ledger),
        ("differ from an undisturbed record", result.from_calm),
        ("ended badly", result.ended_badly),
    ):
        if differing:
            lines += [f"### {name}", "", *(f"- {line}" for line in differing[:MOST_SHOWN]), ""]
            if len(differing) > MOST_SHOWN:
                lines += [f"- and {len(differing) - MOST_SHOWN} more", ""]
    return "\n".join(lines)


def _table(title: str, counted: dict[str, int | float]) -> list[str]:
    return [f"| {title} | |", "|---|---:|", *(f"| {name} | {number:,} |" for name, number in counted.items()), ""]


def _ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _log_lines(logs: Iterable[Path]) -> Counter[str]:
    """How often each line stands in the relays' logs, by its message."""
    found: Counter[str] = Counter()
    for log in logs:
        if not log.exists():
            continue
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                # What follows a colon or a semicolon is about this one line.
                found[re.split("[:;]", json.loads(line)["message"])[0]] += 1
            except (ValueError, KeyError, TypeError):
                found["no line of the log"] += 1
    return found
