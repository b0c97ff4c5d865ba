"""Runs the table service of Azurite, the local Azure Table Storage, on a free port of 127.0.0.1.

It is stopped with SIGINT, by its own process id: on SIGTERM Azurite drops what it has not yet saved, up to 5 s of
acknowledged writes. Its account has a random key, made anew for each start.
"""

import base64
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


@contextmanager
def azurite(log: Path, keep_in: Path | None = None) -> Iterator[str]:
    """Run Azurite for the length of a with block, and yield the connection string of its account.

    Its data are in memory, or in the folder `keep_in`. Raises ProcessError when it does not come up.
    """
    if not PROGRAM.exists():
        raise ProcessError("Azurite is not installed: run `make setup`")
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    child, port = _start(log, key, keep_in)
    try:
        yield (
            f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={key};"
            f"TableEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
        )
    finally:
        child.stop(signal.SIGINT, STOP_GRACE_S)


def _start(log: Path, key: str, keep_in: Path | None) -> tuple[Child, int]:
    """Azurite on a port that is free; another may take the port meanwhile, so that it is tried more than once."""
    place = ["--location", str(keep_in)] if keep_in else ["--inMemoryPersistence"]
    for attempt in range(PORT_ATTEMPTS):
        port = free_port()
        options = ["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--tableHost", "127.0.0.1"]
        child = start(
            "Azurite",
            [str(PROGRAM), *options, "--tablePort", str(port), *place],
            log=log,
            env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
            cwd=log.parent,
        )
        try:
            child.wait_until(lambda _, port=port: answers(port), START_TIMEOUT_S)  # type: ignore[misc]
        except ProcessError:
            child.stop(signal.SIGINT, STOP_GRACE_S)
            if attempt == PORT_ATTEMPTS - 1:
                raise
        except BaseException:
            child.stop(signal.SIGINT, STOP_GRACE_S)
            raise
        else:
            return child, port
    raise AssertionError("unreachable")


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
