"""Runs the table service of Azurite, the local Azure Table Storage, on a free port of 127.0.0.1.

It is stopped with SIGINT, by its own process id: on SIGTERM Azurite drops what it has not yet saved, up to 5 s of
acknowledged writes. Its account has a random key, made anew for each start.
"""

import base64
import contextlib
import secrets
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.processes import ROOT, Child, ProcessError, free_port, start

ACCOUNT = "leasehook"
PROGRAM = ROOT / "node_modules" / ".bin" / "azurite-table"
START_TIMEOUT_S = 30.0
STOP_GRACE_S = 10.0
PORT_ATTEMPTS = 3


def table_endpoint(connection_string: str) -> str:
    """The table endpoint in a connection string of Azurite's, where it stands last."""
    return connection_string.rpartition("TableEndpoint=")[2].strip(";")


class Azurite:
    """One Azurite: it may be killed, as a crash would, and started again at the same address with the same account.

    Its data are in memory, or in the folder `keep_in`, where it saves them every five seconds.
    """

    def __init__(self, log: Path, keep_in: Path | None = None) -> None:
        self._log = log
        self._keep_in = keep_in
        self._key = base64.b64encode(secrets.token_bytes(64)).decode()
        self._child, self._port = self._start_anywhere()

    @property
    def connection_string(self) -> str:
        """The connection string of its account."""
        return (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={self._key};"
            f"TableEndpoint=http://127.0.0.1:{self._port}/{ACCOUNT};"
        )

    @property
    def child(self) -> Child:
        """Its process."""
        return self._child

    def kill(self) -> None:
        """Kill -9: up to five seconds of acknowledged writes are gone."""
        self._child.kill()

    def stop(self) -> None:
        """Stop it politely, which saves everything."""
        self._child.stop(signal.SIGINT, STOP_GRACE_S)

    def start_again(self) -> None:
        """Start it where it was, with what was saved. Raises ProcessError when it does not come up."""
        self._child = self._start(self._port)

    def _start_anywhere(self) -> tuple[Child, int]:
        """On a port that is free; another may take the port meanwhile, so that it is tried more than once."""
        for _ in range(PORT_ATTEMPTS - 1):
            port = free_port()
            with contextlib.suppress(ProcessError):
                return self._start(port), port
        port = free_port()
        return self._start(port), port

    def _start(self, port: int) -> Child:
        place = ["--location", str(self._keep_in)] if self._keep_in else ["--inMemoryPersistence"]
        options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--tableHost", "127.0.0.1"]
        child = start(
            "Azurite",
            [str(PROGRAM), *options, "--tablePort", str(port), *place],
            log=self._log,
            env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self._key}"},
            cwd=self._log.parent,
        )
        try:
            child.wait_until(lambda _: answers(port), START_TIMEOUT_S)
        except BaseException:
            child.stop(signal.SIGINT, STOP_GRACE_S)
            raise
        return child


@contextmanager
def running_azurite(log: Path, keep_in: Path | None = None) -> Iterator[Azurite]:
    """Run Azurite for the length of a with block. Raises ProcessError when it does not come up."""
    if not PROGRAM.exists():
        raise ProcessError("Azurite is not installed: run `make setup`")
    running = Azurite(log, keep_in)
    try:
        yield running
    finally:
        running.stop()


@contextmanager
def azurite(log: Path, keep_in: Path | None = None) -> Iterator[str]:
    """Run Azurite for the length of a with block, and yield the connection string of its account.

    Raises ProcessError when it does not come up.
    """
    with running_azurite(log, keep_in) as running:
        yield running.connection_string


def answers(port: int) -> bool:
    """Whether it is Azurite that answers at this port: it refuses an unsigned request, and says who it is."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/{ACCOUNT}/Tables", timeout=2).close()
    except urllib.error.HTTPError as answer:
        answer.close()
        return answer.code == 403 and str(answer.headers.get("Server", "")).startswith("Azurite-Table")
    except OSError:
        return False
    return False
