"""Starts a child process, waits until it says that it is ready, and stops it by its own process id.

It knows nothing about what the child does. A child of this package announces itself with one line on its standard
output, `ready {"http": "http://127.0.0.1:41234"}`; everything it prints goes to its log file. Its standard input is a
pipe that stays open as long as the parent lives: a child that reads end-of-file there has lost its parent and exits.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

READY = "ready "
PORTS = range(20_000, 32_000)
ROOT = Path(__file__).resolve().parent.parent


class ProcessError(RuntimeError):
    """A child did not become ready, or ended when it should not have."""


class Child:
    """One child process: its id, its log, and what it announced when it became ready."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path, log_from: int) -> None:
        self.name = name
        self.log = log
        self.announced: dict[str, Any] = {}
        self._popen = popen
        self._log_from = log_from

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code, or None while it runs."""
        return self._popen.poll()

    def wait_until(self, is_ready: Callable[["Child"], bool], timeout: float) -> None:
        """Poll `is_ready` until it is true.

        Raises ProcessError, with the end of the log, when the child ends first or `timeout` seconds pass.
        """
        deadline = time.monotonic() + timeout
        while not is_ready(self):
            if self.exit_code is not None:
                raise ProcessError(
                    f"{self.name} ended with exit code {self.exit_code}; its log ends:\n{self.log_tail()}"
                )
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready after {timeout:.0f} s; its log ends:\n{self.log_tail()}")
            time.sleep(0.02)

    def own_log(self) -> str:
        """What this child has logged: its log may hold what others did before it."""
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._log_from :].decode("utf-8", errors="replace")

    def log_tail(self, lines: int = 15) -> str:
        """Last lines of the child's log."""
        return "\n".join(self.own_log().splitlines()[-lines:])

    def stop(self, sign: signal.Signals = signal.SIGTERM, grace: float = 5.0) -> int:
        """Ask the child to stop with `sign`, kill it after `grace` seconds; its exit code."""
        if self._popen.poll() is None:
            self._popen.send_signal(sign)
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self._reap()

    def kill(self) -> int:
        """Kill -9, as a crash would; its exit code."""
        if self._popen.poll() is None:
            self._popen.kill()
        return self._reap()

    def _reap(self) -> int:
        if self._popen.stdin is not None:
            self._popen.stdin.close()
        return self._popen.wait()


@contextmanager
def running(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    is_ready: Callable[[Child], bool] | None = None,
    timeout: float = 30.0,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[Child]:
    """Run `argv` for the length of a with block and yield it once it is ready.

    `env` is added to this process's environment. Ready means that `is_ready` says so, or, without one, that the
    child announced itself. Raises ProcessError when it does not get there; the child is stopped in every case.
    """
    child = start(name, argv, log=log, env=env, cwd=cwd)
    try:
        child.wait_until(is_ready or announced, timeout)
        yield child
    finally:
        child.stop(stop_signal)


def start(
    name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Child:
    """Start `argv` in a session of its own (a Ctrl-C reaches the parent alone) and return at once."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        log_from = sink.tell()
        popen = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    return Child(name, popen, log, log_from)


def announced(child: Child) -> bool:
    """Whether the child's log holds its ready line; what the line says is kept in `child.announced`."""
    for line in child.own_log().splitlines():
        if line.startswith(READY):
            child.announced = json.loads(line.removeprefix(READY))
            return True
    return False


def announce(**urls: str) -> None:
    """Called by a child of this package when it serves: print the ready line."""
    print(READY + json.dumps(urls), flush=True)


def stop_when_orphaned(stop: Callable[[], None]) -> None:
    """Called by a child of this package: call `stop` once the parent has gone (end-of-file on standard input)."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by this thread at exit, would abort the interpreter.
        while os.read(0, 4096):
            pass
        stop()

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, for a program that cannot say which port it took.

    It is none of those that systems give to outgoing connections: a program that is stopped and started again finds its
    port as it left it.
    """
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise ProcessError(f"none of the ports {PORTS.start} to {PORTS.stop - 1} of 127.0.0.1 is free")
