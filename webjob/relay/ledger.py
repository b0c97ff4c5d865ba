"""Reads blocks and transactions from BigchainDB nodes with bigchaindb-driver. It does not know what they are for.

Each question is put once to one node. Whatever is not a clear answer is a LedgerError, to be tried again, and the next
question goes to the next node. An HTML 404 (a wrong URL, a proxy) is not the JSON 404 of a height above the tip.
"""

import re
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

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
from relay.http import Server, TooLargeError, read_bounded, why
from relay.tip import find_tip

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 20.0
"""How long a node may keep silent within an answer."""
ANSWER_TIMEOUT_S = 60.0
"""How long an answer may take."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""Of blocks, transactions and chains. Tendermint's blocks have 21 MiB at most; escaped, as JSON, three times that."""
AT_ONCE_BYTES = 4 * 1024 * 1024
"""Of answers that may be read side by side. A larger one is asked for again when it is the only one, up to the end of
its reading, so that memory stays bounded however many threads there are."""
MAX_WORD_BYTES = 64 * 1024
"""Of anything else, as errors, heights, and the node's description: JSON takes many times its size when it is read."""
MAX_HEIGHT = 10**12
"""A height from there on is none: `relay.blocks.sequence` has no room for it."""
ID = re.compile(r"[^/\\#?\x00-\x1f\x7f-\x9f]{1,128}")
"""What may stand for an id, which has 64 hexadecimal digits on a real ledger: no other text can name a table's row."""
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

    def get(self, path: str, most: int, **parameters: str) -> bytes | None:
        """The JSON text that the node answers, or None when it says, in JSON, that there is no such thing."""
        found: bytes | None = self.driver.transport.get(path, parameters, most)
        return found


class Ledger:
    """The ledger as one or more nodes show it, for several threads. Every call may raise LedgerError."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._nodes = [_Node(url) for url in urls]
        self._current = 0
        self._lock = threading.Lock()
        self._large = threading.Lock()

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
        path = f"{node.driver.blocks.path}{height}"
        is_there = self._find(node, name, path, lambda answer: _is_block(height, answer)) is not None
        if is_there:
            node.shown = max(node.shown, height)
        return is_there

    def transaction(self, transaction_id: str) -> Transaction | None:
        """The transaction with this id, or None where the ledger has none."""
        name = f"transaction {transaction_id}"
        node = self._node()
        path = node.driver.transactions.path + quote(transaction_id, safe="")
        return self._find(node, name, path, lambda answer: _the_one(transaction_id, answer, name))

    def chain(self, asset_id: str) -> list[Transaction]:
        """All transactions of an asset, each after those it spends."""
        name = f"the transactions of asset {asset_id}"
        node = self._node()
        path = node.driver.transactions.path
        found = self._find(node, name, path, lambda answer: _chain_of(asset_id, answer, name), asset_id=asset_id)
        return found or []

    def height_of(self, transaction_id: str) -> int:
        """Height of the block that holds a transaction."""
        name = f"the block of transaction {transaction_id}"
        node = self._node()
        path = node.driver.blocks.path
        heights = self._find(node, name, path, _heights, MAX_WORD_BYTES, transaction_id=transaction_id)
        if not heights or not 0 < heights[0] < MAX_HEIGHT:
            raise self._fault(node, f"{name}: the node names no height")
        return heights[0]

    def stream_url(self) -> str:
        """The event stream's URL, as the node advertises it."""
        name = "the node's description"
        node = self._node()
        described = self._find(node, name, node.driver.api_prefix, _description, MAX_WORD_BYTES)
        if described is None or not isinstance(described.get("streams"), str):
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
        path = f"{node.driver.blocks.path}{height}"
        block = self._find(node, name, path, lambda answer: _block(height, answer))
        if block is not None:
            node.shown = max(node.shown, height)
        return block

    def _find[T](
        self,
        node: _Node,
        name: str,
        path: str,
        read: Callable[[bytes], T],
        most: int | None = None,
        **parameters: str,
    ) -> T | None:
        """What `read` makes of the answer, of at most `most` bytes; None where the node says that there is none."""
        most = MAX_ANSWER_BYTES if most is None else most

        def ask(most: int) -> T | None:
            answer = node.get(path, most, **parameters)
            return None if answer is None else read(answer)

        try:
            try:
                return ask(min(most, AT_ONCE_BYTES))
            except TooLargeError:
                if most <= AT_ONCE_BYTES:
                    raise
            with self._large:
                return ask(most)
        except _StatusError as error:
            if error.status in {429, 503}:
                least = BUSY_WAIT_S if error.status == 429 else 0.0
                node.busy_until = time.monotonic() + (error.retry_after or least)
            told = "an HTML 404, not BigchainDB's; is LEDGER_URLS right?" if error.status == 404 else f"{error.status}"
            what = f"{name}: {node.name} answered {told}"
        except (requests.RequestException, HTTPError, OSError) as error:
            what = f"{name}: no answer from {node.name} ({why(error)})"
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            what = f"{name}: {node.name}'s answer is malformed: {error}"
        # Raised here and not there: the error that it would go back to holds the answer, as long as it is held itself.
        raise self._fault(node, what)

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
        self._server = Server(self.connection_pool.get_connection().node_url, CONNECTIONS)

    def get(self, path: str, parameters: dict[str, str], most: int) -> bytes | None:
        """The JSON text in the node's answer, or None for its own 404. Raises _StatusError or what requests raises."""
        target = f"{path}?{urlencode(parameters)}" if parameters else path
        with self._server.ask("GET", target, (CONNECT_TIMEOUT_S, TIMEOUT_S)) as answer:
            is_found = 200 <= answer.status < 300
            body = read_bounded(answer, most if is_found else MAX_WORD_BYTES, ANSWER_TIMEOUT_S)
            if is_found:
                return body
            if answer.status == 404 and _is_json_object(body):
                return None
            raise _StatusError(answer.status, retry_after(answer.headers.get("retry-after", "")))


def _is_block(height: int, answer: bytes) -> bool:
    check_height(height, answer)
    return True


def _block(height: int, answer: bytes) -> Block:
    block = read_block(height, answer)
    for one in block.transactions:
        _check_ids(one, f"block {height}")
    return block


def _check_ids(transaction: Transaction, where: str) -> None:
    if not (ID.fullmatch(transaction.id) and ID.fullmatch(transaction.asset_id)):
        raise MalformedBlockError(f"{where}: a transaction, or its asset, has an id that is none")


def _the_one(transaction_id: str, answer: bytes, where: str) -> Transaction:
    found = read_transaction(answer, where)
    _check_ids(found, where)
    if found.id != transaction_id:
        raise MalformedBlockError(f"{where}: the answer is transaction {found.id}")
    return found


def _chain_of(asset_id: str, answer: bytes, where: str) -> list[Transaction]:
    found = read_transactions(answer, where)
    for one in found:
        _check_ids(one, where)
        if one.asset_id != asset_id:
            raise MalformedBlockError(f"{where}: the answer holds transaction {one.id}, of another asset")
    return in_spending_order(found)


def _heights(answer: bytes) -> list[int]:
    return msgspec.json.decode(answer, type=list[int])


def _description(answer: bytes) -> dict[str, Any]:
    return msgspec.json.decode(answer, type=dict[str, Any])


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(body), dict)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
