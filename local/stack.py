"""The whole path on this machine: ledger, Azurite, Functions host and relay, each on a free port, stopped together.

Every part is the real one, within what docs/limits.md says of the ledger and the Functions host.
"""

import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from local import host as functions_host
from local import webjob
from local.azurite import Azurite, running_azurite, table_endpoint
from local.host import FunctionsHost, Hosting
from local.processes import Child, ProcessError, free_port, running

LEDGER_NAME = "local"
START_TIMEOUT_S = 60.0
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is run: the Function app, how the relay's job is laid out below a folder, and what starts it.

    By default all of it is this repository's.
    """

    hosting: Hosting = functions_host.REPOSITORY
    lay_out: Callable[[Path], Path] = webjob.lay_out
    kudu: webjob.Kudu = webjob.LOCAL


REPOSITORY = Deployed()


@dataclass
class Stack:
    """The running parts: their addresses, the Functions key, and the relay, which may be killed and started again."""

    folder: Path
    ledger_url: str
    stream_url: str
    storage: Azurite
    functions_url: str
    key: str
    lessors: Sequence[str]
    webhook_secrets: str = ""
    deployed: Deployed = REPOSITORY
    relay: Child | None = field(default=None)

    @property
    def tables(self) -> str:
        """The storage account's connection string."""
        return self.storage.connection_string

    @property
    def relay_settings(self) -> dict[str, str]:
        """The relay's App Settings."""
        return {
            "LEDGER_NAME": LEDGER_NAME,
            "LEDGER_URLS": self.ledger_url,
            "LESSOR_PUBLIC_KEYS": ",".join(self.lessors),
            "FUNCTION_URL": f"{self.functions_url}/api/ledger-events",
            "FUNCTION_KEY": self.key,
            "TABLES_CONNECTION_STRING": self.tables,
            "RELAY_POLL_SECONDS": "1",
            "WEBHOOK_SECRETS": self.webhook_secrets,
        }

    def start_relay(self) -> Child:
        """Start the relay, or start it again."""
        job = self.deployed.lay_out(self.folder)
        self.relay = webjob.start_relay(job, self.relay_settings, self.folder / "relay.log", self.deployed.kudu)
        return self.relay

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        """Call the Function app's API as the insurer does."""
        headers = {"x-functions-key": self.key}
        return requests.request(method, f"{self.functions_url}/api/{path}", json=body, headers=headers, timeout=30)


@contextmanager
def running_stack(
    folder: Path,
    lessors: Sequence[str],
    say: Say,
    host: str = "local",
    *,
    keep_tables_in: Path | None = None,
    webhook_secrets: str = "",
    deployed: Deployed = REPOSITORY,
) -> Iterator[Stack]:
    """Start everything but the relay, for the length of a with block; `say` is told of each part as it comes up.

    `host` is `local`, the host in this repository, or `func`, Azure Functions Core Tools. The tables are in memory, or
    on disk in `keep_tables_in`. With `webhook_secrets` (WEBHOOK_SECRETS) events are signed. Function app and relay are
    those of `deployed`. Raises ProcessError.
    """
    with ExitStack() as parts:
        began = time.monotonic()
        python = [sys.executable, "-m"]
        ledger = parts.enter_context(
            running(
                "the ledger",
                [*python, "local.ledger", "--with-parent"],
                log=folder / "ledger.log",
                timeout=START_TIMEOUT_S,
            )
        )
        say(f"ledger          {ledger.announced['http']}  ({_since(began)})")
        began = time.monotonic()
        storage = parts.enter_context(running_azurite(folder / "azurite.log", keep_tables_in))
        tables = storage.connection_string
        say(f"table storage   {table_endpoint(tables)}  ({_since(began)})")
        began = time.monotonic()
        key = secrets.token_urlsafe(32)
        settings = {
            "LEDGER_NAME": LEDGER_NAME,
            "LESSOR_PUBLIC_KEYS": ",".join(lessors),
            "TABLES_CONNECTION_STRING": tables,
            "LOCAL_FUNCTIONS_KEY": key,
            "WEBHOOK_SECRETS": webhook_secrets,
        }
        functions_url = parts.enter_context(_functions(host, folder / "functions.log", settings, deployed.hosting))
        say(f"Function app    {functions_url}/api  ({_since(began)})")
        stack = Stack(
            folder=folder,
            ledger_url=ledger.announced["http"],
            stream_url=ledger.announced["stream"],
            storage=storage,
            functions_url=functions_url,
            key=key,
            lessors=list(lessors),
            webhook_secrets=webhook_secrets,
            deployed=deployed,
        )
        _wait_for_api(stack)
        try:
            yield stack
        finally:
            if stack.relay is not None:
                stack.relay.stop()


@contextmanager
def _functions(host: str, log: Path, settings: dict[str, str], hosting: Hosting) -> Iterator[str]:
    if host == "func":
        url = f"http://127.0.0.1:{(port := free_port())}"
        command, env = _func_command(port), _func_env(settings)
        with running("func", command, log=log, env=env, is_ready=lambda _: _answers(url), timeout=START_TIMEOUT_S):
            yield url
        return
    served = FunctionsHost(log, settings, hosting)
    try:
        yield served.url
    finally:
        served.stop()


def _answers(url: str) -> bool:
    try:
        requests.get(url, timeout=2)
    except requests.RequestException:
        return False
    return True


def _func_command(port: int) -> list[str]:
    program = shutil.which("func")
    if program is None:
        raise ProcessError(
            "HOST=func needs Azure Functions Core Tools (`func`) on PATH; without HOST=func, none is needed"
        )
    return [program, "start", "--port", str(port)]


def _func_env(settings: dict[str, str]) -> dict[str, str]:
    # Core Tools takes the first Python on PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    # A timer needs Blob Storage for its locks, which is not there.
    without_timer = {"AzureWebJobs.relay_watch.Disabled": "true"}
    return {**settings, **without_timer, "FUNCTIONS_WORKER_RUNTIME": "python", "PATH": path}


def _wait_for_api(stack: Stack) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            answer = str(stack.call("GET", "drivers?limit=1").status_code)
        except requests.RequestException as error:
            answer = type(error).__name__
        if answer == "200":
            return
        if time.monotonic() > deadline:
            raise ProcessError(f"the Function app does not answer (last: {answer}); see {stack.folder}/functions.log")
        time.sleep(0.2)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.1f} s"
