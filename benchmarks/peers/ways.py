"""The four forwarders: how each is started on a route, and how many lines it has. What they do is not known here."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.command import Say
from benchmarks.history import LESSOR
from benchmarks.leases import LEDGER
from local import webjob
from local.processes import ROOT, Child, ProcessError, start

FOLDER = Path(__file__).parent
NODE_RED = FOLDER / "node_red"
PROGRAM = NODE_RED / "node_modules" / "node-red" / "red.js"
INSTALL_S = 300.0
CONNECT_S = 60.0
UPGRADE_S = 1.0
"""From a connection to the stream until events are certain to come."""


@dataclass(frozen=True, slots=True)
class Route:
    """All that a forwarder is told: where to read, where to post, and where the relay keeps its checkpoint.

    `start_from` is the relay's RELAY_START_FROM: the others begin with what they hear next, whatever it says.
    """

    node_url: str
    stream_url: str
    function_url: str
    key: str = field(repr=False)
    tables: str = field(repr=False)
    start_from: str = "tip"


Start = Callable[[Route, Path], Child]


@dataclass(frozen=True, slots=True)
class Way:
    """A forwarder: its name, how it is started, and the files that it consists of."""

    name: str
    start: Start
    files: Sequence[Path]

    @property
    def lines(self) -> int:
        """Lines of its files that are neither empty nor comments."""
        return sum(lines_of(file.read_text(encoding="utf-8")) for file in self.files)


def lines_of(text: str) -> int:
    """Lines of a source that are neither empty nor comments; docstrings count."""
    return sum(1 for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "//")))


def _module(name: str) -> Start:
    def start_module(route: Route, folder: Path) -> Child:
        argv = [sys.executable, "-m", f"benchmarks.peers.{name}"]
        return start(name, argv, log=folder / "forwarder.log", env=_environment(route))

    return start_module


def _start_node_red(route: Route, folder: Path) -> Child:
    home = folder / "node-red"
    home.mkdir(exist_ok=True)
    for name in ("flow.json", "settings.js"):
        shutil.copy(NODE_RED / name, home)
    argv = [_found("node"), str(PROGRAM), "--userDir", str(home), "--settings", str(home / "settings.js")]
    return start("Node-RED", argv, log=folder / "forwarder.log", env=_environment(route), cwd=home)


def _start_relay(route: Route, folder: Path) -> Child:
    settings = {
        "LEDGER_NAME": LEDGER,
        "LEDGER_URLS": route.node_url,
        "LEDGER_STREAM_URL": route.stream_url,
        "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
        "FUNCTION_URL": route.function_url,
        "FUNCTION_KEY": route.key,
        "TABLES_CONNECTION_STRING": route.tables,
        "RELAY_START_FROM": route.start_from,
        "RELAY_LOG_FORMAT": "json",
    }
    return webjob.start_relay(webjob.lay_out(folder), settings, folder / "forwarder.log")


def _environment(route: Route) -> dict[str, str]:
    return {
        "NODE_URL": route.node_url,
        "STREAM_URL": route.stream_url,
        "FUNCTION_URL": route.function_url,
        "FUNCTION_KEY": route.key,
        "LEDGER_NAME": LEDGER,
    }


ARTICLE = Way("article", _module("article"), (FOLDER / "article.py", FOLDER / "event.py"))
STRAIGHTFORWARD = Way(
    "straightforward", _module("straightforward"), (FOLDER / "straightforward.py", FOLDER / "event.py")
)
FLOW = Way("Node-RED", _start_node_red, (NODE_RED / "flow.json", NODE_RED / "settings.js"))
RELAY = Way("Leasehook", _start_relay, tuple(sorted((ROOT / "webjob" / "relay").rglob("*.py"))))
WAYS = (ARTICLE, STRAIGHTFORWARD, FLOW, RELAY)


class Forwarder:
    """One way at work on a route; it may be killed, and started again. Its log and what it needs are in `folder`."""

    def __init__(self, way: Way, route: Route, folder: Path) -> None:
        self._way = way
        self._route = route
        self._folder = folder
        self.child = way.start(route, folder)

    def await_stream(self, is_followed: Callable[[], bool]) -> None:
        """Wait until it follows the stream. Raises ProcessError."""
        self.child.wait_until(lambda _: is_followed(), CONNECT_S)
        time.sleep(UPGRADE_S)

    def kill(self) -> None:
        """Kill -9."""
        self.child.kill()

    def start_again(self) -> None:
        """Start it where it was."""
        self.child = self._way.start(self._route, self._folder)

    def stop(self) -> None:
        """Stop it politely, and kill it when it does not."""
        self.child.stop()


@contextmanager
def forwarding(way: Way, route: Route, folder: Path) -> Iterator[Forwarder]:
    """Have a way at work for the length of a with block."""
    folder.mkdir(parents=True, exist_ok=True)
    forwarder = Forwarder(way, route, folder)
    try:
        yield forwarder
    finally:
        forwarder.stop()


def install_node_red(say: Say) -> None:
    """Install Node-RED as it is pinned, where it is not there. Raises ProcessError that says what is missing."""
    if PROGRAM.exists():
        return
    say("installing Node-RED")
    argv = [_found("npm"), "ci", "--ignore-scripts", "--progress"]
    done = subprocess.run(argv, cwd=NODE_RED, stdout=sys.stderr, timeout=INSTALL_S, check=False)
    if done.returncode:
        raise ProcessError(
            f"Node-RED was not installed: `npm ci` in benchmarks/peers/node_red ended with {done.returncode}"
        )


def _found(program: str) -> str:
    place = shutil.which(program)
    if place is None:
        raise ProcessError(f"`{program}` is not on PATH: install Node.js 20 or later with npm")
    return place
