"""Reads blocks and transactions from BigchainDB nodes with bigchaindb-driver. It does not know what they are for.

The driver turns to the next node when one refuses a connection. Whatever is not a clear answer is a LedgerError, to be
tried again: an HTML 404 (a wrong URL, a proxy) is not the JSON 404 of a height above the tip.
"""

from collections.abc import Callable
from typing import Any

import requests
from bigchaindb_driver import BigchainDB
from bigchaindb_driver.exceptions import BigchaindbException, NotFoundError, TransportError

from relay.blocks import Block, MalformedBlockError, TransactionBody, in_spending_order, read_block, read_transactions
from relay.errors import LedgerError

TIMEOUT_S = 20


class Ledger:
    """The ledger as one or more nodes show it."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._driver = BigchainDB(*urls, timeout=TIMEOUT_S)

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
        answer = self._ask(f"block {height}", lambda: self._driver.blocks.retrieve(str(height)))
        return None if answer is None else _checked(f"block {height}", lambda: read_block(height, answer))

    def transaction(self, transaction_id: str) -> TransactionBody | None:
        """The transaction with this id, or None where the ledger has none."""
        name = f"transaction {transaction_id}"
        answer = self._ask(name, lambda: self._driver.transactions.retrieve(transaction_id))
        return None if answer is None else _checked(name, lambda: read_transactions([answer], name)[0])

    def chain(self, asset_id: str) -> list[TransactionBody]:
        """All transactions of an asset, each after those it spends."""
        name = f"the transactions of asset {asset_id}"
        answer = self._ask(name, lambda: self._driver.transactions.get(asset_id=asset_id))
        return _checked(name, lambda: in_spending_order(read_transactions(answer or [], name)))

    def height_of(self, transaction_id: str) -> int:
        """Height of the block that holds a transaction."""
        name = f"the block of transaction {transaction_id}"
        height = self._ask(name, lambda: self._driver.blocks.get(txid=transaction_id))
        if not isinstance(height, int):
            raise LedgerError(f"{name}: the node names no height")
        return height

    def stream_url(self) -> str:
        """The event stream's URL, as the node advertises it."""
        answer = self._ask("the node's description", self._driver.api_info)
        if not isinstance(answer, dict) or not isinstance(answer.get("streams"), str):
            raise LedgerError("the node's description: it names no event stream; set LEDGER_STREAM_URL")
        return str(answer["streams"])

    def _ask(self, name: str, question: Callable[[], Any]) -> Any:
        """The node's answer; None where it says in JSON that there is no such thing."""
        try:
            return question()
        except NotFoundError as error:
            if isinstance(error.info, dict):
                return None
            raise LedgerError(f"{name}: an HTML 404, not BigchainDB's; is LEDGER_URLS right?") from error
        except TransportError as error:
            raise LedgerError(f"{name}: the node answered {error.status_code}") from error
        except (BigchaindbException, requests.RequestException, OSError) as error:
            raise LedgerError(f"{name}: no answer from the node ({type(error).__name__})") from error


def _checked[T](name: str, read: Callable[[], T]) -> T:
    try:
        return read()
    except MalformedBlockError as error:
        raise LedgerError(f"{name}: the node's answer is malformed: {error}") from error
