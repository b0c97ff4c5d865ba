"""Posts batches to the Function with requests. It returns a verdict on every answer and every lack of one."""

from collections.abc import Sequence

import requests

from relay.events import CONTENT_TYPE, CarEvent, encode_batch
from relay.settings import Secret
from relay.verdict import Verdict, judge, judge_failure

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 60


class Post:
    """The way to POST /api/ledger-events; its connection is kept."""

    def __init__(self, url: str, key: Secret) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers.update({"content-type": CONTENT_TYPE, "x-functions-key": key.reveal()})

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def send(self, batch: Sequence[CarEvent]) -> Verdict:
        """Send a batch once."""
        try:
            # A redirect is not followed: it would take the key to another host.
            answer = self._session.post(
                self._url,
                data=encode_batch(batch),
                timeout=(CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S),
                allow_redirects=False,
            )
        except (requests.RequestException, OSError, ValueError) as error:
            return judge_failure(error)
        sent = [event.transaction_id for event in batch]
        return judge(answer.status_code, answer.headers, answer.content, sent)
