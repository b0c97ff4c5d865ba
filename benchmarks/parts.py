"""Starts what the measurements need, on free ports of 127.0.0.1, and looks at it from outside, through /proc and HTTP.

The relay runs as the WebJob does (local/webjob.py), from a copy that is made once, so that all repetitions measure the
same code. What is measured is not known here.
"""

import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import msgspec
import requests

from benchmarks.bare_loop import Read
from benchmarks.bare_stream import Received
from benchmarks.history import LESSOR
from benchmarks.recorded_node import STREAM, NodeFigures
from benchmarks.stub_function import Figures
from local import webjob
from local.azurite import azurite
from local.processes import ROOT, Child, ProcessError, running

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 600.0
LOOK_S = 0.05
"""How often it is looked whether something has come about. Times are taken from clocks, not from when it was seen."""
BEGINNINGS = ("delivering", "relay started")
KEY = "a-key-that-the-stub-does-not-check"


class Ledger(msgspec.Struct, frozen=True):
    """A local ledger that runs: the addresses of its API and of its event stream, and its process id."""

    url: str
    stream_url: str
    pid: int


class Target(Protocol):
    """What a relay posts to."""

    @property
    def url(self) -> str:
        """Where the relay is to post."""


class Stub:
    """A stub of the Function that runs."""

    def __init__(self, child: Child) -> None:
        self._url = child.announced["http"]
        self._session = requests.Session()

    @property
    def url(self) -> str:
        """Where the relay is to post."""
        return f"{self._url}/api/ledger-events"

    def figures(self) -> Figures:
        """What came so far, without the arrivals."""
        return self._ask("/figures")

    def figures_with_arrivals(self) -> Figures:
        """What came so far, with every arrival."""
        return self._ask("/figures?arrivals")

    def _ask(self, path: str) -> Figures:
        answer = self._session.get(self._url + path, timeout=START_TIMEOUT_S)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=Figures)


class Node:
    """A recorded node that runs."""

    def __init__(self, child: Child) -> None:
        self.url = child.announced["http"]
        self.stream_url = self.url.replace("http", "ws", 1) + STREAM
        self.pid = child.pid

    def figures(self) -> NodeFigures:
        """What it has done so far."""
        answer = requests.get(f"{self.url}/figures", timeout=START_TIMEOUT_S)
        answer.raise_for_status()
        return msgspec.json.decode(answer.content, type=NodeFigures)

    def grow(self, blocks: int, interval: float) -> None:
        """Let its tip grow by so many blocks from now on, one every `interval` seconds."""
        query = f"blocks={blocks}&interval={interval}"
        requests.post(f"{self.url}/grow?{query}", timeout=START_TIMEOUT_S).raise_for_status()


class Relay:
    """A relay that runs; `started` is when it said that it begins, on the clock of time.monotonic."""

    def __init__(self, child: Child, started: float) -> None:
        self.started = started
        self._child = child

    @property
    def pid(self) -> int:
        """Process id."""
        return self._child.pid

    def wait_until(self, is_so: Callable[[], bool], within: float = END_TIMEOUT_S) -> None:
        """Wait until something has come about. Raises ProcessError when the relay ends, or it does not in time."""
        deadline = time.monotonic() + within
        while not is_so():
            if self._child.exit_code is not None:
                raise ProcessError(f"the relay ended with {self._child.exit_code}:\n{self._child.log_tail()}")
            if time.monotonic() > deadline:
                raise ProcessError(f"the relay did not get there in {within:.0f} s:\n{self._child.log_tail()}")
            time.sleep(LOOK_S)


class Bench:
    """The folder and the table storage that all measurements share, and how to start what each has for itself."""

    def __init__(self, folder: Path, tables: str) -> None:
        self.folder = folder
        self._tables = tables
        self._job = webjob.lay_out(folder)
        self._starts = 0
        self._naming = Lock()

    @contextmanager
    def ledger(self, *options: str) -> Iterator[Ledger]:
        """Run a new, empty local ledger."""
        with self._python("local.ledger", "--with-parent", *options) as child:
            yield Ledger(child.announced["http"], child.announced["stream"], child.pid)

    @contextmanager
    def stub(self, *options: str) -> Iterator[Stub]:
        """Run a stub of the Function."""
        with self._python("benchmarks.stub_function", *options) as child:
            yield Stub(child)

    @contextmanager
    def node(self, recording: Path, *options: str) -> Iterator[Node]:
        """Run a recorded node."""
        with self._python("benchmarks.recorded_node", str(recording), *options) as child:
            yield Node(child)

    @contextmanager
    def relay(self, ledger_url: str, target: Target, settings: dict[str, str] | None = None) -> Iterator[Relay]:
        """Run the relay from the first block of a ledger on, with settings beside, or instead of, what it needs."""
        name = self._next("relay")
        own = {
            "LEDGER_NAME": name,
            "LEDGER_URLS": ledger_url,
            "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
            "FUNCTION_URL": target.url,
            "FUNCTION_KEY": KEY,
            "TABLES_CONNECTION_STRING": self._tables,
            "RELAY_START_FROM": "beginning",
            "RELAY_LOG_FORMAT": "json",
        }
        child = webjob.start_relay(self._job, {**own, **(settings or {})}, self.folder / f"{name}.log")
        try:
            child.wait_until(lambda one: _started(one) is not None, START_TIMEOUT_S)
            yield Relay(child, _started(child) or 0.0)
        finally:
            child.stop()

    def bare_loop(self, ledger_url: str, events: int, *options: str) -> float:
        """Run the bare loop over a ledger of so many events; its events a second."""
        read = msgspec.json.decode(self._run("benchmarks.bare_loop", ledger_url, *options), type=Read)
        if read.events != events:
            raise ProcessError(f"the bare loop read {read.events} events of {events}")
        return read.per_s

    def flood(self, node: Node, blocks: int, messages: int, *options: str) -> Received:
        """Run a listener on a node's stream while it announces so many blocks at once."""
        with ThreadPoolExecutor(1) as running_listener:
            listener = running_listener.submit(
                self._run, "benchmarks.bare_stream", node.stream_url, str(messages), *options
            )
            while not node.figures().subscribers and not listener.done():
                time.sleep(LOOK_S)
            node.grow(blocks, 0.0)
            return msgspec.json.decode(listener.result(), type=Received)

    def _run(self, module: str, *arguments: str) -> bytes:
        """Run a program of this package to its end; what it prints. Raises ProcessError."""
        argv = [sys.executable, "-m", module, *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT / "webjob")}
        done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, check=False, timeout=END_TIMEOUT_S)
        if done.returncode:
            raise ProcessError(f"{module} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
        return done.stdout

    def _python(self, module: str, *arguments: str) -> Any:
        name = self._next(module.rpartition(".")[2].replace("_", "-"))
        argv = [sys.executable, "-m", module, *arguments]
        return running(name, argv, log=self.folder / f"{name}.log", timeout=START_TIMEOUT_S)

    def _next(self, what: str) -> str:
        """A name that no part had before; parts may be started side by side."""
        with self._naming:
            self._starts += 1
            return f"{what}-{self._starts}"


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    """Start what all measurements share."""
    with ExitStack() as shared:
        yield Bench(folder, shared.enter_context(azurite(folder / "azurite.log")))


def _started(child: Child) -> float | None:
    """When the relay said in its log that it begins, on the clock of time.monotonic; None while it has not.

    It says `delivering` before it reads the first block, and `relay started` once it has; the first of them counts.
    """
    for line in child.log.read_text(encoding="utf-8", errors="replace").splitlines():
        if any(f'"message": "{message}"' in line for message in BEGINNINGS):
            said = dt.datetime.fromisoformat(json.loads(line)["time"]).timestamp()
            return said - (time.time() - time.monotonic())
    return None
