"""What came of a chaos run, as text: Markdown tables, first what was promised, then what it went through."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from local.chaos.findings import longest_delay, longest_stand
from local.chaos.parts import Parts
from local.chaos.play import Player
from local.chaos.schedule import Episode

SUPERSEDED = 3
"""Another relay has taken over: the one exit code with which a relay ends by itself here."""
GOOD_STOPS = {0, SUPERSEDED}
STOOD_STILL_S = 120.0
"""No accident lasts so long: a relay that delivers nothing for this time was not under test."""
NO_WAY = "its transactions on the ledger do not lead to it"
"""No accident justifies it that a car is parked for this."""
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
    """The verdict: rows compared, what differs from the ledger or an undisturbed record, and what else is wrong."""

    rows: int
    from_ledger: Sequence[str]
    from_calm: Sequence[str]
    wrong: Sequence[str]

    @property
    def is_good(self) -> bool:
        """Whether everything is as promised."""
        return self.rows > 0 and not (self.from_ledger or self.from_calm or self.wrong)


def what_is_wrong(player: Player, parts: Parts) -> list[str]:
    """What no run may show, whatever it ends with: relays that end badly, cars parked for nothing, no chaos at all."""
    lines = []
    for relay in parts.relays:
        lines += [
            f"a relay ended by itself {times} times with exit code {code}, see {relay.log}"
            for code, times in relay.ends.items()
            if code != SUPERSEDED
        ]
        lines += [
            f"a relay that was asked to stop ended {times} times with exit code {code}, see {relay.log}"
            for code, times in relay.stops.items()
            if code not in GOOD_STOPS
        ]
    lines += [f"a car was parked: {reason}" for reason in _parked(parts) if NO_WAY in reason]
    stood = longest_stand(player.commits, player.deliveries)
    if stood > STOOD_STILL_S:
        lines.append(f"nothing was settled for {stood:.0f} s")
    if not player.deliveries.applied or not any(link.hits for link in parts.links.values()):
        lines.append("nothing was applied, or no fault has hit anything")
    return lines


def report(title: str, player: Player, parts: Parts, episodes: Iterable[Episode], result: Result, took: float) -> str:
    """The report in Markdown on a run with these episodes."""
    planned = {(one.accident.where, one.accident.fault.kind) for one in episodes if one.accident.fault}
    deliveries, commits = player.deliveries, player.commits
    applied_again = sum(times - 1 for times in deliveries.applied.values())
    log = Counter(re.split("[:;]", line["message"])[0] for line in _log_lines(parts))
    ends = sum((relay.ends for relay in parts.relays), Counter[int]())
    stops = sum((relay.stops for relay in parts.relays), Counter[int]())
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
                "**what else is wrong**": len(result.wrong),
                "longest time from the ledger to the record, s": round(longest_delay(commits, deliveries), 1),
                "longest time in which nothing was settled, s": round(longest_stand(commits, deliveries), 1),
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
                **{words: log[line] for line, words in TOLD.items()},
                **{f"relays that ended by themselves, {_ended(code)}": times for code, times in sorted(ends.items())},
                **{f"relays stopped, {_ended(code)}": times for code, times in sorted(stops.items())},
                **{f"cars parked: {reason}": times for reason, times in sorted(_parked(parts).items())},
                **dict(sorted(player.commands.items())),
            },
        ),
        *_table("accidents", dict(sorted(player.episodes.items()))),
        *_table(
            "faults, by what they hit",
            {
                f"{where}: {kind.title}": parts.links[where].hits[kind]
                for where, kind in sorted(planned, key=lambda one: (one[0], one[1].title))
            },
        ),
    ]
    for name, differing in (
        ("differ from the ledger", result.from_ledger),
        ("differ from an undisturbed record", result.from_calm),
        ("what else is wrong", result.wrong),
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


def _parked(parts: Parts) -> Counter[str]:
    """How often cars were parked, by the reason without what is about this one car."""
    return Counter(
        re.sub("[0-9a-f]{64}", "...", line["reason"]) for line in _log_lines(parts) if line["message"] == "CAR PARKED"
    )


def _log_lines(parts: Parts) -> Iterator[dict[str, Any]]:
    """The lines of the relays' logs."""
    for relay in parts.relays:
        text = relay.log.read_text(encoding="utf-8", errors="replace") if relay.log.exists() else ""
        for line in text.splitlines():
            # A relay that is killed does not finish its line; a traceback has lines that are none of these.
            with contextlib.suppress(ValueError):
                yield json.loads(line)
