"""Where the CPU time of a Python process goes: py-spy looks at it from outside, and its samples are sorted by part.

A sample counts for the innermost frame that belongs to a part. What C code does counts for the Python that called it.
A thread that waits, for a socket or for another thread, takes no CPU time: its samples are left out.
"""

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

RATE = 200
"""Samples a second."""
LONGEST_S = 600
THREADED = "--gil"
FRAME = re.compile(r"^(?P<function>.*) \((?P<file>[^()]*?)(:\d+)?\)$")
WAITING = re.compile(r"(select|poll|wait|readinto|recv_into|accept|acquire|watch|sleep)$")
"""What a thread waits in, at the end of the innermost function's name."""
OTHER = "other"

Parts = Sequence[tuple[str, str]]
"""A regular expression for `file function`, and the part that such a frame belongs to; the first that fits counts."""

FUNCTION_PARTS: Parts = (
    (r"/nacl/|leasing/evidence|leasing/conditions|/base58/", "evidence: hash, conditions, signatures"),
    (r"functions/leasing/|functions/rating/", "deciding and rating"),
    (r"functions/records/rows|functions/records/guard", "rows: making and reading"),
    (r"functions/records/wire|functions/records/changeset", "Table Storage: codec"),
    (r"/aiohttp/|/azure/core/|/yarl/|/multidict/|functions/records/", "Table Storage: HTTP"),
    (r"functions/api/", "the route: reading the batch, answering"),
    (r"functions/", "recording"),
    (r"/azure_functions|/azure/functions|local/functions_host", "the host and the Functions runtime"),
    (r"/uvicorn/|/h11/|/httptools/", "the host's HTTP server"),
    (r"/asyncio/|/selectors", "the event loop"),
)
RELAY_PARTS: Parts = (
    (r"relay/stream|/websocket/", "the stream"),
    (r"relay/(blocks|events|cars)", "blocks: reading, ordering, encoding"),
    (r"relay/(tables|checkpoint|parked|control|identity)|/azure/", "checkpoint"),
    (r"/requests/|/urllib3/|/http/client|relay/(http|ledger|post)|/ssl|/socket", "HTTP to node and Function"),
    (r"relay/(feeder|gate|progress|pipeline)", "handing out to lanes"),
    (r"relay/(lane|case|outage|verdict|tally)", "lanes: batches and answers"),
    (r"relay/", "the rest of the relay"),
)


@contextmanager
def profiling(pid: int, samples: Path, *options: str) -> Iterator[None]:
    """Have py-spy sample a process for the length of a with block, and write its stacks to `samples`.

    With THREADED only the thread that has the interpreter's lock is sampled: of many threads, the others wait for it.
    """
    program = Path(sys.executable).parent / "py-spy"
    usual = ["--format", "raw", "--rate", str(RATE), "--duration", str(LONGEST_S), "--full-filenames"]
    argv = [str(program), "record", "--pid", str(pid), "--output", str(samples), *usual, *options]
    with samples.with_suffix(".log").open("wb") as log:
        spy = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)
            spy.wait()


def shares_of(samples: Path, parts: Parts) -> dict[str, float]:
    """The shares in a file that py-spy has written; none where it could not."""
    return shares(samples.read_text(encoding="utf-8"), parts) if samples.exists() else {}


def shares(text: str, parts: Parts) -> dict[str, float]:
    """The part of all samples that each part has, the largest first; `text` are py-spy's raw stacks."""
    counted = Counter[str]()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_named(frame) for frame in stack.split(";")]
        if not WAITING.search(frames[-1]):
            counted[_part_of(frames, parts)] += int(count)
    total = counted.total()
    return {name: count / total for name, count in counted.most_common()}


def _named(frame: str) -> str:
    """A frame as `file function`."""
    found = FRAME.match(frame)
    return f"{found['file']} {found['function']}" if found else frame


def _part_of(frames: Sequence[str], parts: Parts) -> str:
    for frame in reversed(frames):
        for pattern, name in parts:
            if re.search(pattern, frame):
                return name
    return OTHER
