"""Plays a history and a schedule on the running parts: one thread commits, another has accidents begin and end.

At the end everything is mended, and it waits until the relay says that it is level with the ledger.
"""

import os
import signal
import subprocess
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from local.chaos import schedule
from local.chaos.findings import Commits, Deliveries
from local.chaos.history import History
from local.chaos.parts import Part, Parts, relay_status, wake
from local.chaos.schedule import Accident, Episode, What
from local.processes import ProcessError
from local.stack import Say
from local.writer import Writer

WAVE_S = 0.5
TICK_S = 0.05
SAY_EVERY_S = 15.0
SETTLE_S = 300.0
"""So long after the last accident everything must be level."""
FRESH_S = 5.0
"""An older heartbeat proves nothing."""
LEVEL_LOOKS = 2
"""So often in a row the relay must say that it is level."""

Act = Callable[[], None]


@dataclass(frozen=True)
class _Moment:
    """What is done at a time, in seconds from the start."""

    at: float
    act: Act


class Player:
    """One run. `play` returns when the history is committed and the accidents are over."""

    def __init__(self, parts: Parts, say: Say) -> None:
        self.commits = Commits()
        self.deliveries = Deliveries()
        self.episodes: Counter[str] = Counter()
        """How many accidents there have been, by what they are."""
        self._is_paused = False
        self.commands: Counter[str] = Counter()
        self._parts = parts
        self._say = say
        self._writer = Writer(parts.ledger_url)
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._trouble: list[BaseException] = []
        parts.links[schedule.TO_FUNCTION].observe = self.deliveries.observe

    @property
    def height(self) -> int:
        """The block in which the history ends."""
        return self._writer.height

    def play(self, seed: int, seconds: float, rate: float, episodes: Iterable[Episode]) -> None:
        """Commit `rate` transactions a second for so many seconds, while the episodes happen."""
        waves = islice(History(seed).waves(round(rate * WAVE_S)), round(seconds / WAVE_S))
        committing = threading.Thread(target=self._commit, args=(waves,), name="history", daemon=True)
        self._parts.relays[0].start_again()
        committing.start()
        self._direct(episodes, committing, seconds)
        if self._trouble:
            raise self._trouble[0]

    def _commit(self, waves: Iterable[list[dict[str, object]]]) -> None:
        due = time.monotonic()
        try:
            for wave in waves:
                self.commits.note(wave)
                self._writer.commit(wave)
                due = max(due + WAVE_S, time.monotonic())
                time.sleep(max(0.0, due - time.monotonic()))
        except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits for this one
            self._trouble.append(error)

    # ---- accidents

    def _direct(self, episodes: Iterable[Episode], committing: threading.Thread, seconds: float) -> None:
        began = said = time.monotonic()
        # In the order planned, however late: what begins at a place finds ended what was there before.
        due = deque(sorted((moment for one in episodes for moment in self._moments(one)), key=lambda one: one.at))
        while due or committing.is_alive():
            now = time.monotonic()
            while due and began + due[0].at <= now:
                due.popleft().act()
            self._tend()
            if now - said > SAY_EVERY_S:
                said = now
                self._say(
                    f"{now - began:4.0f} of {seconds:.0f} s: {len(self.commits.sent_at)} transactions committed, "
                    f"{len(self.deliveries.applied)} applied, {self.episodes.total()} accidents"
                )
            time.sleep(TICK_S)

    def _moments(self, episode: Episode) -> "tuple[_Moment, _Moment]":
        """The beginning of an episode, and its end."""
        undo: list[Act] = []

        def begin() -> None:
            self.episodes[_what(episode.accident)] += 1
            undo.append(self._begin(episode.accident))

        return _Moment(episode.at, begin), _Moment(episode.at + episode.lasts, lambda: undo.pop()())

    def _begin(self, accident: Accident) -> Act:
        """Have it happen; what ends it."""
        parts, where = self._parts, accident.where
        match accident.what:
            case What.FAULT if accident.fault is not None:
                parts.links[where].switch(accident.fault)
                return parts.links[where].clear
            case What.KILL:
                parts.part(where).kill()
                return lambda: self._bring_back(where)
            case What.STOP:
                parts.part(where).stop()
                return lambda: self._bring_back(where)
            case What.FREEZE:
                return _freeze(parts.part(where))
            case What.CLOCK:
                parts.jump(where, accident.amount)
                return lambda: parts.jump(where, 0.0)
            case What.POWER_CUT:
                for name in schedule.PARTS:
                    parts.part(name).kill()
                return lambda: self._bring_back(*schedule.PARTS)
            case What.SECOND_RELAY:
                parts.relays[1].start_again()
                return parts.relays[1].stop
            case What.PAUSE:
                self._is_paused = True
                self._command("pause")
                return self._resume
            case What.REPLAY:
                # From wherever: the blocks before are those that the record may be behind with.
                self._command("replay", "--from", str(1 + len(self.commits.sent_at) // 50))
        return lambda: None

    def _bring_back(self, *names: str) -> None:
        for name in names:
            self._parts.part(name).start_again()
        if schedule.STORAGE in names and not self._is_paused:
            # What storage lost may be that the relay was to go on: an operator sees it paused, and asks again.
            self._command("resume")

    def _resume(self) -> None:
        self._is_paused = False
        self._command("resume")

    def _command(self, *words: str) -> None:
        self._running.append((words[0], self._parts.begin_command(*words)))

    def _tend(self) -> None:
        for relay in self._parts.relays:
            relay.tend()
        self._collect()

    def _collect(self) -> None:
        """Note the commands that have ended."""
        for name, process in list(self._running):
            if process.poll() is not None:
                self.commands[f"{name}, exit code {process.returncode}"] += 1
                self._running.remove((name, process))
                if not self._is_paused and (name == "pause" or (name == "resume" and process.returncode)):
                    # An operator who is told that it did not work, or that the relay is paused after all, asks again.
                    self._command("resume")

    # ---- the end

    def settle(self) -> None:
        """Mend everything, and wait until the relay is level with the ledger and no car is parked.

        Raises ProcessError when it does not get there.
        """
        parts = self._parts
        for link in parts.links.values():
            link.clear()
        for name in (schedule.RELAY, schedule.FUNCTION):
            parts.jump(name, 0.0)
        parts.relays[1].stop()
        deadline = time.monotonic() + SETTLE_S
        for name, process in self._running:
            self._say(f"waiting for {name} to end")
            process.wait(max(1.0, deadline - time.monotonic()))
        self._collect()
        parts.command("resume")
        levels = 0
        while levels < LEVEL_LOOKS:
            parts.relays[0].tend()
            status = relay_status(parts.settings)
            if time.monotonic() > deadline:
                raise ProcessError(f"the relay is not level after {SETTLE_S:.0f} s: {status}")
            levels = levels + 1 if self._is_level(status) else 0
            if status.get("parked_cars"):
                self._say(f"redriving {status['parked_cars']} parked cars")
                parts.command("redrive", "--all")
            if not levels:
                self._say(f"waiting: checkpoint {status.get('checkpoint')}, tip {status.get('tip')}")
            time.sleep(1.0)

    def _is_level(self, status: dict[str, Any]) -> bool:
        return (
            "problem" not in status
            and status["state"] == "level"
            and status["checkpoint"] >= self._writer.height
            and status["parked_cars"] == 0
            and status["heartbeat_age_s"] < FRESH_S
        )


def _freeze(part: Part) -> Act:
    frozen = part.child
    if frozen.exit_code is None:
        os.kill(frozen.pid, signal.SIGSTOP)
    return lambda: wake(frozen)


def _what(accident: Accident) -> str:
    return accident.fault.kind.title if accident.fault is not None else f"{accident.what} ({accident.where})"
