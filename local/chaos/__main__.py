"""`make chaos`: play a random history and random accidents on the whole path, then hold the record against the ledger.

Exit code 0 with no difference at all, 1 with any, or when something did not come back. The same seed, length and rate
give the same history and the same accidents; what they hit depends on the moment.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local import audit
from local.chaos import calm
from local.chaos.history import LESSORS
from local.chaos.parts import running_parts
from local.chaos.play import Player
from local.chaos.report import Result, report, what_is_wrong
from local.chaos.schedule import plan
from local.processes import ProcessError
from local.stack import Say
from local.writer import LedgerRefusedError

RATE = 40.0


def run(seed: int, seconds: float, rate: float, folder: Path, say: Say) -> tuple[Result, str]:
    """One run in `folder`: its result and its report. Raises ProcessError or LedgerRefusedError."""
    began = time.monotonic()
    episodes = plan(seed, seconds)
    say(f"seed {seed}: {seconds:.0f} s, {rate:.0f} transactions a second, {len(episodes)} accidents; logs in {folder}")
    with running_parts(folder, seed) as parts:
        player = Player(parts, say)
        player.play(seed, seconds, rate, episodes)
        say("every accident is over")
        player.settle()
        say("level with the ledger; comparing")
        facts = audit.fold(audit.read_blocks(parts.ledger_url), [lessor.public_key for lessor in LESSORS])
        compared = audit.compare(facts, parts.tables)
        found = calm.rows(parts.tables)
        undisturbed = calm.record_calmly(parts, folder / "calm", player.height)
        result = Result(
            compared.rows, compared.differences, calm.differences(found, undisturbed), what_is_wrong(player, parts)
        )
        title = f"Seed {seed}: {seconds / 60:g} minutes, {rate:g} transactions a second"
        return result, report(title, player, parts, episodes, result, time.monotonic() - began)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="decides history and accidents (%(default)s)")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long accidents happen (%(default)s)")
    parser.add_argument("--rate", type=float, default=RATE, help="transactions a second, on average (%(default)s)")
    parser.add_argument("--plan", action="store_true", help="print what would go wrong, and when, and run nothing")
    parser.add_argument("--report", type=Path, help="write the report to this file too")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run; those of a bad one are kept")
    asked = parser.parse_args(arguments)
    if asked.minutes <= 0 or asked.rate <= 0:
        parser.error("--minutes and --rate must be more than 0")
    if asked.plan:
        for one in plan(asked.seed, asked.minutes * 60):
            print(f"{one.at:7.1f} s, for {one.lasts:4.1f} s: {one.accident}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="leasehook-chaos-"))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f}  {line}", file=sys.stderr, flush=True)

    try:
        result, text = run(asked.seed, asked.minutes * 60, asked.rate, folder, say)
    except (ProcessError, LedgerRefusedError, subprocess.TimeoutExpired) as error:
        print(f"chaos failed: {error}\nlogs: {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    print(text)
    if asked.report:
        asked.report.write_text(text + "\n", encoding="utf-8")
    if result.is_good and not asked.keep:
        shutil.rmtree(folder)
    print("record equals ledger" if result.is_good else f"NOT as promised; logs: {folder}")
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
