"""Which transactions concern a car of a trusted lessor.

A car is an asset whose CREATE names a trusted lessor as its owner before. That is a first sieve only: the Function
holds the name against the signature. A TRANSFER's car is looked up once and remembered, the most recent ones.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection

from relay.blocks import CREATE, TRANSFER, TransactionBody, asset_id
from relay.errors import LedgerError

REMEMBERED_ASSETS = 50_000


class Cars:
    """Answers whether an asset is a car. `find` returns the transaction with an id, or None."""

    def __init__(self, lessors: Collection[str], find: Callable[[str], TransactionBody | None]) -> None:
        self._lessors = lessors
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

    def _is_by_lessor(self, create: TransactionBody) -> bool:
        return any(key in self._lessors for one in create["inputs"] for key in one.get("owners_before") or ())

    def _remember(self, asset: str, is_car: bool) -> bool:  # noqa: FBT001  a fact about the asset, not a switch
        self._known[asset] = is_car
        self._known.move_to_end(asset)
        if len(self._known) > REMEMBERED_ASSETS:
            self._known.popitem(last=False)
        return is_car
