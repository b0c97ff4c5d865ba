"""Which transactions concern a car of a trusted lessor.

A car is an asset whose CREATE carries a trusted lessor's key in its signature; owners_before is a claim that the ledger
does not check. This is a first sieve: the Function verifies the signature. A TRANSFER's car is looked up once and
remembered, the most recent ones.
"""

import base64
import binascii
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection

import base58

from relay.blocks import CREATE, TRANSFER, Transaction
from relay.errors import LedgerError

REMEMBERED_ASSETS = 20_000
"""Some 5 MB. An asset that was forgotten costs one request when it moves again."""


class Recent[V]:
    """The values of the keys that were looked at last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> V | None:
        """The value of a key, or None where it is not remembered."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: str, value: V) -> V:
        """Remember a value, and forget the one that was not looked at for the longest time if there are too many."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value


class Cars:
    """Answers whether an asset is a car, to several threads. `find` returns the transaction with an id, or None."""

    def __init__(self, lessors: Collection[str], find: Callable[[str], Transaction | None]) -> None:
        self._lessors = [base58.b58decode(key) for key in lessors]
        self._find = find
        self._known: Recent[bool] = Recent(REMEMBERED_ASSETS)

    def moves_car(self, transaction: Transaction) -> bool:
        """Whether a transaction registers or moves a car. Raises LedgerError when its asset cannot be looked up."""
        if transaction.operation == CREATE:
            return self._known.put(transaction.id, self._is_by_lessor(transaction))
        if transaction.operation != TRANSFER:
            return False
        known = self._known.get(transaction.asset_id)
        if known is not None:
            return known
        create = self._find(transaction.asset_id)
        if create is None:
            raise LedgerError(
                f"transaction {transaction.id} moves asset {transaction.asset_id}, whose CREATE the node does not find"
            )
        return self._known.put(transaction.asset_id, self._is_by_lessor(create))

    def _is_by_lessor(self, create: Transaction) -> bool:
        """Whether a lessor's 32 key bytes stand in a fulfillment, whose DER carries the key of each who signed."""
        fulfillments = [_decoded(one) for one in create.fulfillments]
        return any(key in fulfillment for fulfillment in fulfillments for key in self._lessors)


def _decoded(fulfillment: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(fulfillment + "=" * (-len(fulfillment) % 4))
    except (binascii.Error, ValueError):
        return b""
