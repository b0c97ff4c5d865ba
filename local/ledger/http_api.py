"""The server's own HTTP API, served by threads of this process over a node that is reached by a call.

It knows what the server's Flask application needs to run on a current Flask; routes, answers and refusals are the
server's.
"""

import base64
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import flask
from bigchaindb.lib import BigchainDB
from bigchaindb.tendermint_utils import encode_transaction
from bigchaindb.web import server
from werkzeug.serving import WSGIRequestHandler, make_server

from local.ledger.storage import MemoryConnection

type Broadcast = Callable[[str, bytes], dict[str, Any]]

STOP_POLL = 0.1  # seconds between two looks at whether the server has been asked to stop


class ApiBigchainDB(BigchainDB):  # type: ignore[misc]  # the server has no types
    """The server's ledger object, as the HTTP API uses it: what is posted goes to `broadcast`, not to a Tendermint."""

    def __init__(self, connection: MemoryConnection, broadcast: Broadcast) -> None:
        super().__init__(connection)
        self._broadcast = broadcast
        self._blocks: dict[int, str] = {}  # JSON by height

    def post_transaction(self, transaction: Any, mode: str) -> Any:
        """Send a transaction to the node; returns what has the one method of an HTTP response that the server uses."""
        raw = base64.b64decode(encode_transaction(transaction.tx_dict or transaction.to_dict()))
        answer = self._broadcast(mode, raw)
        return SimpleNamespace(json=lambda: answer)

    def get_block(self, block_id: int) -> dict[str, Any] | None:
        """A block, worked out once by the server's code: it never changes.

        The server builds every transaction anew from its document, at 0.7 ms each, unless it is among the last 16,384
        that `Transaction.from_dict` memoises. Empty answers are not kept: read while it is being committed, a block
        that will have transactions can look empty (the server asks for the block first and for the tip after).
        """
        if text := self._blocks.get(block_id):
            return cast("dict[str, Any]", json.loads(text))
        block = cast("dict[str, Any] | None", super().get_block(block_id))
        if block and block["transactions"]:
            self._blocks[block_id] = json.dumps(block)
        return block


class JsonOptionalRequest(flask.Request):
    """A request whose `json` is None when it has no JSON body: Flask 1.1 did so, 2.1 and later answer 415.

    The server's argument parser looks into the body first, even of a GET with a query string.
    """

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        return None if e is None else super().on_json_loading_failed(e)


class QuietConnection(WSGIRequestHandler):
    """One HTTP connection: no line in the log for each request, and no wait for a full packet before it is sent."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class HttpApi:
    """The HTTP API on a socket that listens already."""

    def __init__(self, connection: MemoryConnection, broadcast: Broadcast, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        self._bigchain = ApiBigchainDB(connection, broadcast)
        app = create_app(self._bigchain)
        self._server = make_server(
            host, port, app, threaded=True, request_handler=QuietConnection, fd=listener.fileno()
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL,), daemon=True, name="http-api"
        )

    def start(self) -> None:
        """Answer requests from now on, each in a daemon thread."""
        self._thread.start()

    def prepare(self, height: int) -> None:
        """Work out the answer for a block just committed, whose transactions the server still has in its memo."""
        self._bigchain.get_block(height)

    def stop(self) -> None:
        """Accept no further request. Those being answered go on until they are done or the process ends."""
        self._server.shutdown()


def create_app(bigchain: ApiBigchainDB) -> flask.Flask:
    """The server's Flask application over `bigchain`."""
    app: flask.Flask = server.create_app()
    app.request_class = JsonOptionalRequest
    # The server's pool loses an object with each unhandled exception, and once it is empty requests wait for ever. The
    # objects keep nothing from one request to the next, so one serves all.
    app.config["bigchain_pool"] = lambda: contextlib.nullcontext(bigchain)
    logging.getLogger("bigchaindb.web.views.base").addFilter(_is_worth_logging)
    return app


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether a refusal of the API belongs in the log. A 404 does not: asking above the tip is how a tip is found."""
    return not (isinstance(record.args, dict) and record.args.get("status") == 404)
