"""`python -m benchmarks.relay [--quick] [--million]`: measures the relay, and writes benchmarks/relay.md.

The report goes to standard output too, and progress to standard error. Exit code 0 when everything was measured,
whatever came of the goals; 1 when a part did not come up or did not get there, and when it was stopped.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import requests

from benchmarks import measurements
from benchmarks.command import Say, measured, options, publish
from benchmarks.history import BLOCK_TIME_S, commit_history
from benchmarks.measurements import FULL, QUICK, Scale, Values
from benchmarks.parts import Bench, Ledger, bench
from benchmarks.recording import record
from benchmarks.report import Run, write_report
from local.processes import ProcessError
from local.writer import LedgerRefusedError

REPORT = Path(__file__).parent / "relay.md"

FAULTS = (ProcessError, LedgerRefusedError, requests.RequestException, subprocess.SubprocessError)
"""What a measurement may fail by."""


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
    parser = options("benchmarks.relay", __doc__)
    parser.add_argument("--million", action="store_true", help="read memory up to a million events, too")
    asked = parser.parse_args(arguments)
    scale = QUICK if asked.quick else FULL
    found = measured(lambda folder, say: measure(folder, scale, say, to_a_million=asked.million), FAULTS)
    if found is None:
        return 1
    values, million = found.values
    publish(write_report(Run(scale, asked.quick, values, million, found.load, found.minutes)), REPORT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
