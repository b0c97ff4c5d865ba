"""POST /api/ledger-events in this process: Microsoft's library runs the app's own route, on real tables.

An input is an HTTP message without its first line. What it says nothing of is as the relay has it: content type,
signature. Left out are the socket, routing and the function key, which are the host's.
"""

import asyncio
import functools
import json
import logging
import os
import time
from collections.abc import Mapping

from local.functions_host import worker
from local.functions_host.bindings import HttpFunction
from local.functions_host.reply import Reply
from local.functions_host.request import FunctionRequest
from local.processes import ROOT
from relay.events import CONTENT_TYPE
from relay.verdict import Answer, Misconfigured, Refused, Settled, judge
from tests.contract.conftest import LESSOR as CONTRACT_LESSOR
from tests.fuzz.messages import headers, parts
from tests.signing import signed, signing_secret
from tests.unit.ledger_writing import LESSORS

TABLES = "FUZZED_TABLES"
"""Environment variable that holds the connection string of the tables."""
SIGNING_SECRET = signing_secret("the fuzzer's")
STATUSES = {200, 400, 401, 413, 415, 421}
"""All that the route answers by its contract while storage is there."""


def check(data: bytes) -> None:
    """Send a request, and hold the answer and the log to the contract."""
    lines, body = parts(data)
    given = headers(lines)
    reply = _app().post(body, {"content-type": CONTENT_TYPE, **_signature(given, body), **given})
    assert reply.status in STATUSES
    if reply.status == 200:
        _check_results(reply, body)
    else:
        verdict = judge(_as_the_relay_sees_it(reply), ["any"])
        assert isinstance(verdict, Refused | Misconfigured), verdict
    assert _leaked(reply.body.decode()) == []


def _signature(given: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers of a signed request, unless the input brings such headers itself."""
    if any(name.startswith("webhook-") for name in given):
        return {}
    return signed("batch-of-the-fuzzer", int(time.time()), body, SIGNING_SECRET)


def _check_results(reply: Reply, body: bytes) -> None:
    """Every event has its outcome, in the order sent, and none is a fault of the app."""
    results = json.loads(reply.body)["results"]
    sent = [one["id"] for one in json.loads(body.decode(errors="replace"), parse_int=str)]
    assert [one["id"] for one in results] == sent
    assert [one for one in results if "error in the Function" in one["detail"]] == []
    if len(set(sent)) == len(sent):  # the relay sends no transaction twice at once
        assert isinstance(judge(_as_the_relay_sees_it(reply), sent), Settled)


def _as_the_relay_sees_it(reply: Reply) -> Answer:
    return Answer(reply.status, {name.lower(): value for name, value in reply.headers}, reply.body)


def _leaked(text: str) -> list[str]:
    """The secrets of the app's settings that stand in a text, by the name of their setting."""
    account_key = os.environ[TABLES].partition("AccountKey=")[2].partition(";")[0]
    secrets = {"WEBHOOK_SECRETS": SIGNING_SECRET.removeprefix("whsec_"), "TABLES_CONNECTION_STRING": account_key}
    return [name for name, secret in secrets.items() if secret in text]


class _App:
    """The app as the library has indexed it; one for a process, which the library moves into the app's folder."""

    def __init__(self) -> None:
        os.environ |= {
            "LEDGER_NAME": "local",
            "LESSOR_PUBLIC_KEYS": ",".join([*LESSORS, CONTRACT_LESSOR.public_key]),
            "TABLES_CONNECTION_STRING": os.environ[TABLES],
            "WEBHOOK_SECRETS": SIGNING_SECRET,
        }
        self._runner = asyncio.Runner()
        indexed = self._runner.run(worker.index(ROOT))
        self._route = next(one for one in indexed if isinstance(one, HttpFunction) and one.name == "ledger_events")

    def post(self, body: bytes, given: Mapping[str, str]) -> Reply:
        """The reply to a request with this body and these headers."""
        url = "http://127.0.0.1/api/ledger-events"
        request = FunctionRequest("POST", url, {**given, "content-length": str(len(body))}, {}, {}, body)
        return self._runner.run(worker.invoke(self._route, request))


class _NoFault(logging.Handler):
    """Raises at a line of the log that tells of a fault of the app, or shows a secret."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        assert _leaked(text) == []
        assert record.exc_info is None, text


@functools.cache
def _app() -> _App:
    logging.basicConfig(level=logging.INFO, handlers=[_NoFault()])
    # The library tells of every invocation, and of failures that it hands on anyway.
    logging.getLogger("azure.functions").setLevel(logging.CRITICAL)
    return _App()
