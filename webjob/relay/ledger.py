"""Reads blocks and transactions from BigchainDB nodes with bigchaindb-driver. It does not know what they are for.

Each question is put once to one node. Whatever is not a clear answer is a LedgerError, to be tried again, and the next
question goes to the next node. An HTML 404 (a wrong URL, a proxy) is not the JSON 404 of a height above the tip.
"""

from collections.abc import Callable
from typing import Any

import requests
from bigchaindb_driver import BigchainDB
from bigchaindb_driver.exceptions import HTTP_EXCEPTIONS, BigchaindbException, NotFoundError, TransportError
from bigchaindb_driver.transport import Transport

from relay.blocks import Block, MalformedBlockError, TransactionBody, in_spending_order, read_block, read_transactions
from relay.errors import LedgerError

CONNECT_TIMEOUT_S = 5.0
TIMEOUT_S = 20.0
"""How long a node may keep silent within an answer."""

_ABSENT = object()
"""The answer of a node that says, in JSON, that there is no such thing."""


class Ledger:
    """The ledger as one or more nodes show it. For one thread."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._nodes = [BigchainDB(url, transport_class=_PlainTransport) for url in urls]
        self._current = 0

    def block(self, height: int) -> Block | None:
        """The block at `height`, or None while the ledger has not got there.

        The server looks for the block first and for its tip afterwards: a block that is committed in between is shown
        as an empty one. So an empty block is asked for again, and believed the second time, when it was there before.
        """
        block = self._block(height)
        if block is not None and not block.transactions:
            return self._block(height)
        return block

    def _block(self, height: int) -> Block | None:
        name = f"block {height}"
        answer = self._ask(name, lambda node: node.blocks.retrieve(str(height)))
        return None if answer is _ABSENT else self._checked(name, lambda: read_block(height, answer))

    def transaction(self, transaction_id: str) -> TransactionBody | None:
        """The transaction with this id, or None where the ledger has none."""
        name = f"transaction {transaction_id}"
        answer = self._ask(name, lambda node: node.transactions.retrieve(transaction_id))
        return None if answer is _ABSENT else self._checked(name, lambda: read_transactions([answer], name)[0])

    def chain(self, asset_id: str) -> list[TransactionBody]:
        """All transactions of an asset, each after those it spends."""
        name = f"the transactions of asset {asset_id}"
        answer = self._ask(name, lambda node: node.transactions.get(asset_id=asset_id))
        found = [] if answer is _ABSENT else answer
        return self._checked(name, lambda: in_spending_order(read_transactions(found, name)))

    def height_of(self, transaction_id: str) -> int:
        """Height of the block that holds a transaction."""
        name = f"the block of transaction {transaction_id}"
        height = self._ask(name, lambda node: node.blocks.get(txid=transaction_id))
        if not isinstance(height, int) or isinstance(height, bool):
            raise self._fault(f"{name}: the node names no height")
        return height

    def stream_url(self) -> str:
        """The event stream's URL, as the node advertises it."""
        answer = self._ask("the node's description", lambda node: node.api_info())
        if not isinstance(answer, dict) or not isinstance(answer.get("streams"), str):
            raise self._fault("the node's description: it names no event stream; set LEDGER_STREAM_URL")
        return str(answer["streams"])

    def _ask(self, name: str, question: Callable[[BigchainDB], Any]) -> Any:
        """The node's answer, or _ABSENT."""
        try:
            return question(self._nodes[self._current])
        except NotFoundError as error:
            if isinstance(error.info, dict):
                return _ABSENT
            raise self._fault(f"{name}: an HTML 404, not BigchainDB's; is LEDGER_URLS right?") from error
        except TransportError as error:
            raise self._fault(f"{name}: the node answered {error.status_code}") from error
        except (BigchaindbException, requests.RequestException, OSError) as error:
            raise self._fault(f"{name}: no answer from the node ({type(error).__name__})") from error
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            # The driver looks into answers, and takes them for what they should be.
            raise self._fault(f"{name}: the node's answer is malformed ({type(error).__name__})") from error

    def _checked[T](self, name: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except MalformedBlockError as error:
            raise self._fault(f"{name}: the node's answer is malformed: {error}") from error

    def _fault(self, what: str) -> LedgerError:
        """The error to raise; the next question goes to the next node."""
        self._current = (self._current + 1) % len(self._nodes)
        return LedgerError(what)


class _PlainTransport(Transport):  # type: ignore[misc]  # the driver has no types
    """Asks one node once. The driver's own transport retries by itself, sleeps while it does, and follows redirects."""

    def forward_request(
        self, method: str, path: str | None = None, json: Any = None, params: Any = None, headers: Any = None
    ) -> Any:
        """The JSON in a node's answer. Raises the driver's exceptions for a status that is not 2xx."""
        node = self.connection_pool.get_connection()
        url = node.node_url + (path or "")
        answer = node.session.request(
            method,
            url,
            json=json,
            params=params,
            headers=headers,
            timeout=(CONNECT_TIMEOUT_S, TIMEOUT_S),
            allow_redirects=False,
        )
        if not 200 <= answer.status_code < 300:
            kind = HTTP_EXCEPTIONS.get(answer.status_code, TransportError)
            raise kind(answer.status_code, answer.text, _json_or_none(answer), url)
        return answer.json()


def _json_or_none(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except (ValueError, RecursionError):
        return None
