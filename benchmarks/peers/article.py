"""The way of an article: run_forever, and an on_message that fetches the transaction and posts it to the Function.

It reconnects when the socket closes, and logs a POST that failed. It keeps no checkpoint, does not retry, and handles
one event at a time, on the thread that reads the socket.
`python -m benchmarks.peers.article`; settings: event.Settings.
"""

import json
import logging
import sys
import time
from functools import partial

import requests
import websocket

from benchmarks.peers.event import Settings, batch_of

RECONNECT_S = 1.0
TIMEOUT_S = 10.0

log = logging.getLogger("article")


def on_message(settings: Settings, session: requests.Session, _: websocket.WebSocketApp, message: str) -> None:
    """Forward the transaction that an event names; a failure is logged, and that is all."""
    event = json.loads(message)
    try:
        found = session.get(settings.transaction_url(event), timeout=TIMEOUT_S)
        found.raise_for_status()
        batch = batch_of(found.json(), event["height"], settings.ledger)
        answer = session.post(settings.function_url, data=batch, headers=settings.headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
    except requests.RequestException as error:
        log.warning("transaction %s was not forwarded: %s", event["transaction_id"], type(error).__name__)


def main() -> int:
    """Run until killed."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
    settings, session = Settings.from_environment(), requests.Session()
    while True:
        websocket.WebSocketApp(settings.stream_url, on_message=partial(on_message, settings, session)).run_forever()
        time.sleep(RECONNECT_S)


if __name__ == "__main__":
    sys.exit(main())
