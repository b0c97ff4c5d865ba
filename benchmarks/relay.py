"""`python -m benchmarks.relay [--quick] [--million]`: measures the relay, and writes benchmarks/relay.md.

The report goes to standard output too, and progress to standard error. Exit code 0 when everything was measured,
whatever came of the goals; 1 when a part did not come up or did not get there, and when it was stopped.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import requests

from benchmarks import measurements
from benchmarks.history import BLOCK_TIME_S, HistoryError, commit_history
from benchmarks.measurements import FULL, QUICK, Scale, Values
from benchmarks.parts import Bench, Ledger, bench
from benchmarks.recording import record
from benchmarks.report import Run, write_report
from local.processes import ProcessError

REPORT = Path(__file__).parent / "relay.md"

Say = Callable[[str], None]


def measure(
    folder: Path, scale: Scale, say: Say, *, to_a_million: bool
) -> tuple[dict[str, list[float]], list[tuple[int, float]]]:
    """Measure everything, in repetitions; the values of each key, and memory to a million events where it is asked."""
    values: dict[str, list[float]] = {}
    recording = folder / "recording.jsonl"
    with bench(folder) as shared, shared.ledger("--block-time", str(BLOCK_TIME_S)) as ledger:
        commit_history(ledger.url, scale.history, say)
        record(ledger.url, recording)
        for turn in range(scale.repetitions):
            for name, step in _steps(shared, ledger, recording, scale, turn):
                say(f"repetition {turn + 1} of {scale.repetitions}: {name}")
                for key, value in step().items():
                    values.setdefault(key, []).append(value)
        if not to_a_million:
            return values, []
        say("memory to a million events")
        return values, measurements.memory_to_a_million(shared, recording)


def _steps(
    shared: Bench, ledger: Ledger, recording: Path, scale: Scale, turn: int
) -> Iterator[tuple[str, Callable[[], Values]]]:
    """What is measured in one repetition."""
    yield "catching up", partial(measurements.catching_up, shared, ledger, scale, turn)
    yield (
        "catching up with a slow node",
        partial(measurements.catching_up_with_slow_node, shared, recording, scale, turn),
    )
    yield "live", partial(measurements.live, shared, recording, scale)
    yield "from hint to POST", partial(measurements.hint_to_post, shared, scale)
    yield "a slow Function", partial(measurements.slow_function, shared, recording, scale, turn)
    yield "memory", partial(measurements.memory, shared, recording, scale)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few and short repetitions, no basis for claims")
    parser.add_argument("--million", action="store_true", help="read memory up to a million events, too")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale, load, began = QUICK if asked.quick else FULL, os.getloadavg()[0], time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {line}", file=sys.stderr, flush=True)

    folder = Path(tempfile.mkdtemp(prefix="leasehook-bench-"))
    try:
        values, million = measure(folder, scale, say, to_a_million=asked.million)
    except (ProcessError, HistoryError, requests.RequestException, subprocess.SubprocessError) as error:
        print(f"the measurement failed: {error}\nlogs are in {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        print("stopped", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    report = write_report(Run(scale, asked.quick, values, million, load, (time.monotonic() - began) / 60))
    REPORT.write_text(report, encoding="utf-8")
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
