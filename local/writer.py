"""Commits many signed transactions to a ledger, quickly: it sends them side by side, and waits for their blocks."""

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

POSTERS = 4
TIMEOUT_S = 60.0

Json = dict[str, Any]


class LedgerRefusedError(RuntimeError):
    """The ledger refused a transaction, or does not commit what it took."""


class Writer:
    """Sends signed transactions from a few threads, and waits until blocks hold them."""

    def __init__(self, url: str) -> None:
        self.committed = 0
        self.height = 0
        """The highest block that has been read."""
        self._api = f"{url}/api/v1"
        self._kept = threading.local()

    def commit(self, signed: Iterable[Json]) -> list[Json]:
        """Send these transactions, each as soon as it is signed, and return them once they are committed."""
        with ThreadPoolExecutor(POSTERS) as posters:
            sent = [(one, posters.submit(self.send, one)) for one in signed]
            for _, answer in sent:
                answer.result()
        self._await(len(sent))
        return [one for one, _ in sent]

    def send(self, signed: Json) -> None:
        """Send one signed transaction; it is not waited for. Raises LedgerRefusedError when it is refused."""
        answer = self._session().post(f"{self._api}/transactions?mode=async", json=signed, timeout=TIMEOUT_S)
        if not answer.ok:
            raise LedgerRefusedError(f"transaction {signed['id']} was answered {answer.status_code}: {answer.text}")

    def _await(self, expected: int) -> None:
        """Read on from the block last seen, until so many more transactions are in blocks."""
        goal, deadline = self.committed + expected, time.monotonic() + TIMEOUT_S
        while self.committed < goal:
            answer = self._session().get(f"{self._api}/blocks/{self.height + 1}", timeout=TIMEOUT_S)
            if answer.status_code == 404:
                if time.monotonic() > deadline:
                    raise LedgerRefusedError(f"{goal - self.committed} transactions are not in blocks at {self.height}")
                time.sleep(0.1)
                continue
            answer.raise_for_status()
            self.height += 1
            self.committed += len(answer.json()["transactions"])

    def _session(self) -> requests.Session:
        """This thread's connection."""
        if not hasattr(self._kept, "session"):
            self._kept.session = requests.Session()
        session: requests.Session = self._kept.session
        return session
