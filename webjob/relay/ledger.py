"""Reads blocks and transactions from BigchainDB nodes with bigchaindb-driver. It does not know what they are for.

Each question is put once to one node. Whatever is not a clear answer is a LedgerError, to be tried again, and the next
question goes to the next node. An HTML 404 (a wrong URL, a proxy) is not the JSON 404 of a height above the tip.
"""

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
import requests
from bigchaindb_driver import BigchainDB
from bigchaindb_driver.transport import Transport
from urllib3.exceptions import HTTPError

from relay.backoff import retry_after
from relay.blocks import (
    Block,
    MalformedBlockError,
    Transaction,
    check_height,
    in_spending_order,
    read_block,
    read_transaction,
    read_transactions,
)
from relay.errors import LedgerError
from relay.http import prepare, read_bounded
from relay.tip import find_tip

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 20.0
"""How long a node may keep silent within an answer."""
ANSWER_TIMEOUT_S = 60.0
"""How long an answer may take."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Well above the largest block of Tendermint, 21 MiB by default."""
CONNECTIONS = 20
SURELY_COMMITTED = 10
"""So many blocks below the highest that a node has shown, an empty block is believed at once."""
BUSY_WAIT_S = 1.0
"""How long a node that answers 429 is left alone when it does not say itself."""


class _Node:
    """One node: the driver for it, the highest block that it has shown, and until when it asked to be left alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = urlsplit(url).netloc
        self.driver = BigchainDB(url, transport_class=_PlainTransport)
        self.shown = 0
        self.busy_until = 0.0

    def get(self, path: str, **parameters: str) -> bytes | None:
        """The JSON text that the node answers, or None when it says, in JSON, that there is no such thing."""
        found: bytes | None = self.driver.transport.get(path, parameters)
        return found


class Ledger:
    """The ledger as one or more nodes show it, for several threads. Every call may raise LedgerError."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._nodes = [_Node(url) for url in urls]
        self._current = 0
        self._lock = threading.Lock()

    def block(self, height: int) -> Block | None:
        """The block at `height`, or None while the ledger has not got there.

        The server looks for the block first and for its tip afterwards: a block that is committed in between is shown
        as an empty one. So an empty block is asked for again, of the same node, unless that node had shown blocks well
        above it before.
        """
        node = self._node()
        is_old = height <= node.shown - SURELY_COMMITTED
        block = self._block_of(node, height)
        if block is not None and not block.transactions and not is_old:
            return self._block_of(node, height)
        return block

    def has_block(self, height: int) -> bool:
        """Whether a node has the block at `height`; its transactions are not looked into."""
        name = f"block {height}"
        node = self._node()
        answer = self._ask(node, name, lambda: node.get(f"{node.driver.blocks.path}{height}"))
        if answer is None:
            return False
        self._read(node, name, lambda: check_height(height, answer))
        node.shown = max(node.shown, height)
        return True

    def transaction(self, transaction_id: str) -> Transaction | None:
        """The transaction with this id, or None where the ledger has none."""
        name = f"transaction {transaction_id}"
        node = self._node()
        answer = self._ask(node, name, lambda: node.get(node.driver.transactions.path + quote(transaction_id, safe="")))
        return None if answer is None else self._read(node, name, lambda: read_transaction(answer, name))

    def chain(self, asset_id: str) -> list[Transaction]:
        """All transactions of an asset, each after those it spends."""
        name = f"the transactions of asset {asset_id}"
        node = self._node()
        answer = self._ask(node, name, lambda: node.get(node.driver.transactions.path, asset_id=asset_id))
        found = b"[]" if answer is None else answer
        return self._read(node, name, lambda: in_spending_order(read_transactions(found, name)))

    def height_of(self, transaction_id: str) -> int:
        """Height of the block that holds a transaction."""
        name = f"the block of transaction {transaction_id}"
        node = self._node()
        answer = self._ask(node, name, lambda: node.get(node.driver.blocks.path, transaction_id=transaction_id))
        heights = self._read(node, name, lambda: _decoded(answer, list[int]))
        if not heights:
            raise self._fault(node, f"{name}: the node names no height")
        return heights[0]

    def stream_url(self) -> str:
        """The event stream's URL, as the node advertises it."""
        name = "the node's description"
        node = self._node()
        answer = self._ask(node, name, lambda: node.get(node.driver.api_prefix))
        described = self._read(node, name, lambda: _decoded(answer, dict[str, Any]))
        if not isinstance(described.get("streams"), str):
            raise self._fault(node, f"{name}: it names no event stream; set LEDGER_STREAM_URL")
        return str(described["streams"])

    def tip(self, known: int = 0) -> int:
        """The ledger's highest block, found from the height `known`, which is there."""
        return find_tip(self.has_block, known)

    def nodes(self) -> list["Ledger"]:
        """A ledger for each node alone."""
        return [Ledger((node.url,)) for node in self._nodes]

    def turn_to_next(self) -> None:
        """Put the next questions to the next node, since this one shows nothing new."""
        with self._lock:
            self._current = (self._current + 1) % len(self._nodes)

    @property
    def name(self) -> str:
        """Host and port of the node that is asked at present."""
        return self._nodes[self._current].name

    @property
    def has_several_nodes(self) -> bool:
        """Whether there is another node to turn to."""
        return len(self._nodes) > 1

    def _node(self) -> _Node:
        """The node to ask: the present one, or the next that has not asked to be left alone."""
        now = time.monotonic()
        with self._lock:
            for ahead in range(len(self._nodes)):
                index = (self._current + ahead) % len(self._nodes)
                if self._nodes[index].busy_until <= now:
                    self._current = index
                    return self._nodes[index]
        wait = min(node.busy_until for node in self._nodes) - now
        raise LedgerError("every node asked to be left alone for a while (429)", wait)

    def _block_of(self, node: _Node, height: int) -> Block | None:
        name = f"block {height}"
        answer = self._ask(node, name, lambda: node.get(f"{node.driver.blocks.path}{height}"))
        if answer is None:
            return None
        block = self._read(node, name, lambda: read_block(height, answer))
        node.shown = max(node.shown, height)
        return block

    def _ask(self, node: _Node, name: str, question: Callable[[], bytes | None]) -> bytes | None:
        try:
            return question()
        except _StatusError as error:
            if error.status in {429, 503}:
                least = BUSY_WAIT_S if error.status == 429 else 0.0
                node.busy_until = time.monotonic() + (error.retry_after or least)
            told = "an HTML 404, not BigchainDB's; is LEDGER_URLS right?" if error.status == 404 else f"{error.status}"
            raise self._fault(node, f"{name}: {node.name} answered {told}") from error
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise self._fault(node, f"{name}: no answer from {node.name} ({type(error).__name__})") from error

    def _read[T](self, node: _Node, name: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except (MalformedBlockError, msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise self._fault(node, f"{name}: {node.name}'s answer is malformed: {error}") from error

    def _fault(self, node: _Node, what: str) -> LedgerError:
        """The error to raise; the next question goes to the next node, if this one is still the present one."""
        with self._lock:
            if self._nodes[self._current] is node:
                self._current = (self._current + 1) % len(self._nodes)
        return LedgerError(what)


class _StatusError(Exception):
    """A node's answer with a status that is neither 2xx nor BigchainDB's own 404."""

    def __init__(self, status: int, retry_after_s: float) -> None:
        super().__init__(str(status))
        self.status = status
        self.retry_after = retry_after_s


class _PlainTransport(Transport):  # type: ignore[misc]  # the driver has no types
    """Asks one node once. The driver's own transport retries by itself, sleeps while it does, and follows redirects."""

    def __init__(self, *nodes: Any, timeout: float | None = None) -> None:
        super().__init__(*nodes, timeout=timeout)
        node = self.connection_pool.get_connection()
        self._url = node.node_url
        self._session = node.session
        prepare(self._session, self._url, CONNECTIONS)

    def get(self, path: str, parameters: dict[str, str]) -> bytes | None:
        """The JSON text in the node's answer, or None for its own 404. Raises _StatusError or what requests raises."""
        with self._session.get(
            self._url + path,
            params=parameters,
            timeout=(CONNECT_TIMEOUT_S, TIMEOUT_S),
            allow_redirects=False,
            stream=True,
        ) as answer:
            body = read_bounded(answer, MAX_ANSWER_BYTES, ANSWER_TIMEOUT_S)
            if 200 <= answer.status_code < 300:
                return body
            if answer.status_code == 404 and _is_json_object(body):
                return None
            raise _StatusError(answer.status_code, retry_after(answer.headers.get("retry-after", "")))


def _decoded[T](answer: bytes | None, kind: type[T]) -> T:
    if answer is None:
        raise MalformedBlockError("it is not there")
    return msgspec.json.decode(answer, type=kind)


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
