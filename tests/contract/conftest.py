"""The real Function app on the local host, with Azurite below it."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local.processes import ROOT, running
from local.scenario import key_pair
from tests.signing import signing_secret

KEY = "key-of-these-tests"
LESSOR = key_pair("the lessor")
CURRENT_SECRET, NEXT_SECRET = signing_secret("current"), signing_secret("next")


@dataclass(frozen=True)
class App:
    """The app's address, its log, and calls with the right key."""

    url: str
    log: Path

    def call(self, method: str, path: str, body: Any = None, more_headers: Mapping[str, str] = {}) -> requests.Response:
        """Call the API with a body: bytes as they are, anything else as JSON."""
        headers = {"x-functions-key": KEY, **more_headers}
        if isinstance(body, bytes):
            headers = {"content-type": "application/json", **headers}
            return requests.request(method, f"{self.url}/api/{path}", data=body, headers=headers, timeout=30)
        return requests.request(method, f"{self.url}/api/{path}", json=body, headers=headers, timeout=30)

    def post_events(self, events: Any, more_headers: Mapping[str, str] = {}) -> requests.Response:
        """Post a batch as the relay does; `events` is JSON, or bytes to be sent as they are."""
        headers = {"x-functions-key": KEY, "content-type": "application/cloudevents-batch+json", **more_headers}
        url = f"{self.url}/api/ledger-events"
        if isinstance(events, bytes):
            return requests.post(url, data=events, headers=headers, timeout=30)
        return requests.post(url, json=events, headers=headers, timeout=30)

    def outcomes(self, events: list[dict[str, Any]]) -> list[str]:
        """The outcomes of a batch, in order."""
        answer = self.post_events(events)
        assert answer.status_code == 200, answer.text
        return [result["outcome"] for result in answer.json()["results"]]


@pytest.fixture(scope="module")
def app(tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The Function app, following the ledger `local` and trusting one lessor."""
    with serving(tables, tmp_path_factory.mktemp("app")) as served:
        yield served


@pytest.fixture(scope="module")
def signed_app(tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The same, taking the relay's requests only when they are signed with one of two secrets."""
    secrets = {"WEBHOOK_SECRETS": f"{CURRENT_SECRET},{NEXT_SECRET}"}
    with serving(tables, tmp_path_factory.mktemp("signed-app"), secrets) as served:
        yield served


@contextmanager
def serving(tables: str, folder: Path, more_settings: Mapping[str, str] = {}) -> Iterator[App]:
    """The Function app in a process of its own, for the length of a with block."""
    settings = {
        "LEDGER_NAME": "local",
        "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
        "TABLES_CONNECTION_STRING": tables,
        "LOCAL_FUNCTIONS_KEY": KEY,
        **more_settings,
    }
    argv = [sys.executable, "-m", "local.functions_host", str(ROOT), "--with-parent"]
    log = folder / "functions.log"
    with running("the Functions host", argv, log=log, env=settings) as child:
        yield App(child.announced["http"], log)
