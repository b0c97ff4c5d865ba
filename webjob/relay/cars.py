"""Which transactions concern a car of a trusted lessor.

A car is an asset whose CREATE carries a trusted lessor's key in its signature; owners_before is a claim that the ledger
does not check. This is a first sieve: the Function verifies the signature. A TRANSFER's car is looked up once and
remembered, the most recent ones.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Collection

import base58

from relay.blocks import CREATE, TRANSFER, TransactionBody, asset_id
from relay.errors import LedgerError

REMEMBERED_ASSETS = 50_000


class Cars:
    """Answers whether an asset is a car. `find` returns the transaction with an id, or None."""

    def __init__(self, lessors: Collection[str], find: Callable[[str], TransactionBody | None]) -> None:
        self._lessors = [base58.b58decode(key) for key in lessors]
        self._find = find
        self._known: OrderedDict[str, bool] = OrderedDict()

    def moves_car(self, transaction: TransactionBody) -> bool:
        """Whether a transaction registers or moves a car. Raises LedgerError when its asset cannot be looked up."""
        if transaction["operation"] == CREATE:
            return self._remember(transaction["id"], self._is_by_lessor(transaction))
        if transaction["operation"] != TRANSFER:
            return False
        asset = asset_id(transaction)
        if asset in self._known:
            self._known.move_to_end(asset)
            return self._known[asset]
        create = self._find(asset)
        if create is None:
            raise LedgerError(
                f"transaction {transaction['id']} moves asset {asset}, whose CREATE the node does not find"
            )
        return self._remember(asset, self._is_by_lessor(create))

    def forget(self, asset: str) -> None:
        """Take an asset for no car from now on: the Function found that no trusted lessor signed for it."""
        self._remember(asset, is_car=False)

    def is_no_car(self, asset: str) -> bool:
        """Whether an asset is remembered as no car."""
        return self._known.get(asset) is False

    def _is_by_lessor(self, create: TransactionBody) -> bool:
        """Whether a lessor's 32 key bytes stand in a fulfillment, whose DER carries the key of each who signed."""
        fulfillments = [_decoded(one.get("fulfillment")) for one in create["inputs"]]
        return any(key in fulfillment for fulfillment in fulfillments for key in self._lessors)

    def _remember(self, asset: str, is_car: bool) -> bool:  # noqa: FBT001  a fact about the asset, not a switch
        self._known[asset] = is_car
        self._known.move_to_end(asset)
        if len(self._known) > REMEMBERED_ASSETS:
            self._known.popitem(last=False)
        return is_car


def _decoded(fulfillment: object) -> bytes:
    if not isinstance(fulfillment, str):
        return b""
    try:
        return base64.urlsafe_b64decode(fulfillment + "=" * (-len(fulfillment) % 4))
    except (binascii.Error, ValueError):
        return b""
