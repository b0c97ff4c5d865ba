"""The running programs of a chaos run, with a link between any two, and each of them one that may be killed."""

import base64
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from local import webjob
from local.azurite import Azurite, running_azurite, table_endpoint
from local.chaos import schedule
from local.chaos.history import LESSORS
from local.faults.link import Link
from local.faults.proxy import running_proxy
from local.host import FunctionsHost
from local.processes import ROOT, Child, running

CLOCK = Path(__file__).parent / "clock"
LEDGER_NAME = "chaos"
RESTART_S = 1.0
"""After so long a relay that ended is started again. Kudu takes a minute."""
COMMAND_TIMEOUT_S = 90.0


class Part(Protocol):
    """A program that can be taken away and brought back."""

    @property
    def child(self) -> Child:
        """Its process at present."""

    def kill(self) -> None:
        """Kill -9."""

    def stop(self) -> None:
        """Stop it politely."""

    def start_again(self) -> None:
        """Bring it back."""


class RelayJob:
    """A relay as Kudu keeps it: started again when it ends, while it is wanted.

    `ends` counts the exit codes with which it ended by itself, `stops` those with which it ended when asked to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.log = folder / "relay.log"
        self.ends: Counter[int] = Counter()
        self.stops: Counter[int] = Counter()
        self._job = webjob.lay_out(folder)
        shutil.copy(CLOCK / "sitecustomize.py", self._job)
        self._settings = settings
        self._is_wanted = False
        self._ended_at: float | None = None
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """Its process at present."""
        if self._child is None:
            raise RuntimeError("this relay was never started")
        return self._child

    def start_again(self) -> None:
        """Start it, and from now on whenever it ends."""
        self._note_end()
        self._is_wanted = True
        if self._child is None or self._child.exit_code is not None:
            self._child = webjob.start_relay(self._job, self._settings, self.log)
            self._ended_at = None

    def kill(self) -> None:
        """Kill -9, and leave it dead."""
        self._is_wanted = False
        self._note_end()
        if self._child is not None and self._ended_at is None:
            self._child.kill()
            self._ended_at = time.monotonic()

    def stop(self) -> None:
        """Stop it as Kudu does, by its shutdown file, and leave it so."""
        self._is_wanted = False
        self._note_end()
        if self._child is None or self._ended_at is not None:
            return
        (self._job / "shutdown.txt").touch()
        with contextlib.suppress(TimeoutError):
            _wait_for_end(self._child, 6.0)
        self.stops[self._child.stop()] += 1
        self._ended_at = time.monotonic()

    def tend(self) -> None:
        """Start it again when it has ended by itself a while ago."""
        self._note_end()
        if self._is_wanted and self._ended_at is not None and time.monotonic() - self._ended_at > RESTART_S:
            self.start_again()

    def _note_end(self) -> None:
        """Note that it has ended by itself, if it has and that was not noted."""
        if self._child is not None and self._ended_at is None and self._child.exit_code is not None:
            self._ended_at = time.monotonic()
            self.ends[self._child.exit_code] += 1


def _wait_for_end(child: Child, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while child.exit_code is None:
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)


@dataclass
class Parts:
    """Everything that runs. `tables` is the storage account as it is without a link, for whoever looks at the end."""

    folder: Path
    ledger_url: str
    tables: str
    links: dict[str, Link]
    storage: Azurite
    function: FunctionsHost
    relays: tuple[RelayJob, RelayJob]
    settings: Mapping[str, str]
    begun: list[subprocess.Popen[bytes]]
    """Commands that were started."""

    def part(self, name: str) -> Part:
        """The part of this name in a schedule."""
        parts: dict[str, Part] = {
            schedule.RELAY: self.relays[0],
            schedule.FUNCTION: self.function,
            schedule.STORAGE: self.storage,
        }
        return parts[name]

    def jump(self, name: str, seconds: float) -> None:
        """Set the clock of a part off by so many seconds."""
        _clock(self.folder, name).write_text(f"{seconds}")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the relay, as an operator does, over the same links."""
        return run_command(self.settings, *words)

    def end_commands(self) -> None:
        """Kill the commands that have not ended."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
            process.wait()

    def begin_command(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command of the relay, and do not wait for it."""
        log = self.folder / "commands.log"
        with log.open("ab") as sink:
            argv = [sys.executable, "-m", "relay", *words]
            begun = subprocess.Popen(argv, env=_environment(self.settings), stdout=sink, stderr=sink)
        self.begun.append(begun)
        return begun


@contextmanager
def running_parts(folder: Path, seed: int) -> Iterator[Parts]:
    """Start everything but the relays, for the length of a with block. Raises ProcessError."""
    with ExitStack() as parts:
        proxy = parts.enter_context(running_proxy())
        ledger = parts.enter_context(
            running("the ledger", [sys.executable, "-m", "local.ledger", "--with-parent"], log=folder / "ledger.log")
        )
        (folder / "tables").mkdir()
        storage = parts.enter_context(running_azurite(folder / "azurite.log", folder / "tables"))
        servers = {
            schedule.NODE_A: _address(ledger.announced["http"]),
            schedule.NODE_B: _address(ledger.announced["http"]),
            schedule.STREAM: _address(ledger.announced["stream"]),
            schedule.RELAY_TABLES: _address(table_endpoint(storage.connection_string)),
            schedule.FUNCTION_TABLES: _address(table_endpoint(storage.connection_string)),
        }
        links = {name: proxy.open(Link(name, server, seed=seed)) for name, server in servers.items()}
        shared = {
            "LEDGER_NAME": LEDGER_NAME,
            "LESSOR_PUBLIC_KEYS": ",".join(lessor.public_key for lessor in LESSORS),
            "WEBHOOK_SECRETS": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        key = secrets.token_urlsafe(32)
        function = FunctionsHost(
            folder / "functions.log",
            shared
            | _clock_settings(folder, schedule.FUNCTION)
            | {
                "PYTHONPATH": str(CLOCK),
                "LOCAL_FUNCTIONS_KEY": key,
                "TABLES_CONNECTION_STRING": _through(storage.connection_string, links[schedule.FUNCTION_TABLES]),
            },
        )
        parts.callback(function.stop)
        links[schedule.TO_FUNCTION] = proxy.open(Link(schedule.TO_FUNCTION, _address(function.url), seed=seed))
        settings = shared | {
            "LEDGER_URLS": ",".join(f"http://{links[node].address}" for node in (schedule.NODE_A, schedule.NODE_B)),
            "LEDGER_STREAM_URL": f"ws://{links[schedule.STREAM].address}{urlsplit(ledger.announced['stream']).path}",
            "FUNCTION_URL": f"http://{links[schedule.TO_FUNCTION].address}/api/ledger-events",
            "FUNCTION_KEY": key,
            "TABLES_CONNECTION_STRING": _through(storage.connection_string, links[schedule.RELAY_TABLES]),
            "RELAY_POLL_SECONDS": "1",
            "RELAY_LOG_FORMAT": "json",
        }
        clocks = _clock_settings(folder, schedule.RELAY)
        relays = (RelayJob(folder / "first", settings | clocks), RelayJob(folder / "second", settings | clocks))
        for relay in relays:
            parts.callback(relay.kill)
        running_now = Parts(
            folder, ledger.announced["http"], storage.connection_string, links, storage, function, relays, settings, []
        )
        parts.callback(running_now.end_commands)
        yield running_now


def run_command(settings: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the relay with these App Settings. Raises subprocess.TimeoutExpired."""
    argv = [sys.executable, "-m", "relay", *words]
    env = _environment(settings)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)


def relay_status(settings: Mapping[str, str]) -> dict[str, Any]:
    """What `status` tells of the relay with these App Settings; its complaint, as `problem`, where it tells nothing."""
    found = run_command(settings, "status", "--json")
    try:
        status: dict[str, Any] = json.loads(found.stdout)
    except ValueError:
        return {"problem": f"status ended with {found.returncode}: {found.stderr[-500:]}"}
    return status


def wake(child: Child) -> None:
    """Let a frozen process go on."""
    if child.exit_code is None:
        os.kill(child.pid, signal.SIGCONT)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **settings, "PYTHONPATH": str(ROOT / "webjob")}


def _clock(folder: Path, name: str) -> Path:
    return folder / f"clock of {name}"


def _clock_settings(folder: Path, name: str) -> dict[str, str]:
    return {"CHAOS_CLOCK_FILE": str(_clock(folder, name))}


def _through(connection_string: str, link: Link) -> str:
    host, port = _address(table_endpoint(connection_string))
    return connection_string.replace(f"{host}:{port}", link.address)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 0
