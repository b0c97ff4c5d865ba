"""What a node answers, read as a block, as a list of transactions and as one: read, or refused as malformed."""

import json
from collections.abc import Callable

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
from relay.cars import Cars
from relay.errors import LedgerError
from tests.unit.ledger_writing import LESSORS

HEIGHT = 7


def check(data: bytes) -> None:
    """Hold every reading of a node's answer to what the relay builds on."""
    block = _read(lambda: read_block(HEIGHT, data))
    listed = _read(lambda: read_transactions(data, "the fuzzer's list"))
    single = _read(lambda: read_transaction(data, "the fuzzer's transaction"))
    if block is not None:
        check_height(HEIGHT, data)
        _check_order(block)
    for one in (*(block.transactions if block else ()), *(listed or ()), *([single] if single else ())):
        _check_transaction(one)


def _read[T](read: Callable[[], T]) -> T | None:
    try:
        return read()
    except MalformedBlockError:
        return None


def _check_order(block: Block) -> None:
    """However the node shuffles them, the transactions are in one order, each after those that it spends."""
    assert tuple(in_spending_order(block.transactions[::-1])) == block.transactions
    place = {one.id: index for index, one in enumerate(block.transactions)}
    assert all(place.get(spent, -1) < place[one.id] for one in block.transactions for spent in one.spends)
    assert bool(block.fingerprint) == bool(block.transactions)


def _check_transaction(one: Transaction) -> None:
    """What is forwarded is the transaction, or it is said why it cannot be."""
    assert bool(one.raw) != bool(one.unsendable)
    if one.raw:
        # Bytes that are no UTF-8 are forwarded as they came: the Function refuses them for their car alone.
        assert json.loads(one.raw.decode(errors="replace"), parse_int=str)["id"] == one.id
    try:
        assert Cars(LESSORS, lambda _: None).moves_car(one) in {True, False}
    except LedgerError:
        assert one.operation == "TRANSFER"
