"""Posts batches to the Function with requests. It returns a verdict on every answer and every lack of one."""

import time
from collections.abc import Sequence

import requests
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError

from relay.events import CONTENT_TYPE, CarEvent, encode_batch
from relay.http import Server, read_bounded, refused_certificate, why
from relay.settings import Secret
from relay.signing import batch_id, signature_headers
from relay.verdict import Answer, NoAnswer, Verdict, judge

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
"""How long the Function may keep silent; it works on a batch of 500 for seconds, and Azure ends a request at 230 s."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024


class Post:
    """The way to POST /api/ledger-events; its connection is kept. For one thread."""

    def __init__(self, url: str, key: Secret, secrets: Sequence[Secret] = ()) -> None:
        self._secrets = [secret.decoded() for secret in secrets]
        self._function = Server(url, 1, {"content-type": CONTENT_TYPE, "x-functions-key": key.reveal()})

    def close(self) -> None:
        """Close the connection."""
        self._function.close()

    def send(self, batch: Sequence[CarEvent], timeout: float = ANSWER_TIMEOUT_S) -> Verdict:
        """Send a batch once. The answer must begin, and be complete, within `timeout` seconds each."""
        sent = [event.transaction_id for event in batch]
        return judge(self._answer(sent, encode_batch(batch), timeout), sent)

    def _answer(self, sent: Sequence[str], body: bytes, timeout: float) -> Answer | NoAnswer:
        headers = signature_headers(self._secrets, batch_id(sent), int(time.time()), body)
        try:
            # A redirect is not followed: it would take the key to another host.
            with self._function.ask("POST", "", (CONNECT_TIMEOUT_S, timeout), headers, body) as answer:
                found = read_bounded(answer, MAX_ANSWER_BYTES, timeout)
                named = {name.lower(): value for name, value in answer.headers.items()}
                return Answer(answer.status, named, found)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            return NoAnswer(f"no answer ({why(error)})", was_sent=not _is_refused(error))


def _is_refused(error: Exception) -> bool:
    """Whether no connection came about, so that nothing was sent."""
    is_early = isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ProxyError)
    if is_early or refused_certificate(error) is not None:
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | NameResolutionError)
