"""Blocks of the ledger as values, and the order of the transactions in one. Pure: it reads no node.

A node returns the transactions of a block in the order of their ids, not in that in which they were committed. Order
is therefore rebuilt from what they spend, which gives the same result on every reading.
"""

import heapq
from collections.abc import Sequence
from typing import Any

import msgspec

CREATE = "CREATE"
TRANSFER = "TRANSFER"

TransactionBody = dict[str, Any]
"""A transaction as the node's JSON gives it."""


class MalformedBlockError(ValueError):
    """What a node returned cannot be the block that was asked for."""


class Block(msgspec.Struct, frozen=True):
    """One block: its transactions in an order in which each comes after those it spends."""

    height: int
    transactions: tuple[TransactionBody, ...]


def read_block(height: int, answer: Any) -> Block:
    """The block in a node's answer. Raises MalformedBlockError when it is not the block `height`, whole."""
    if not isinstance(answer, dict) or answer.get("height") != height:
        raise MalformedBlockError(f"block {height}: the answer is not this block")
    return Block(height, tuple(in_spending_order(read_transactions(answer.get("transactions"), f"block {height}"))))


def read_transactions(answer: Any, where: str) -> list[TransactionBody]:
    """The transactions in a node's answer. Raises MalformedBlockError, naming `where`, when one lacks a part."""
    if not isinstance(answer, list):
        raise MalformedBlockError(f"{where}: there is no list of transactions")
    for transaction in answer:
        if not _is_whole(transaction):
            raise MalformedBlockError(f"{where}: a transaction lacks its id, operation, asset, inputs or outputs")
    return answer


def in_spending_order(transactions: Sequence[TransactionBody]) -> list[TransactionBody]:
    """The transactions so that each stands after those whose outputs it spends; otherwise by id."""
    by_id = {transaction["id"]: transaction for transaction in transactions}
    waits_for = {one: {spent for spent in spends(body) if spent in by_id} for one, body in by_id.items()}
    spenders: dict[str, list[str]] = {}
    for one, needed in waits_for.items():
        for spent in needed:
            spenders.setdefault(spent, []).append(one)
    ready = [one for one, needed in waits_for.items() if not needed]
    heapq.heapify(ready)
    ordered = []
    while ready:
        one = heapq.heappop(ready)
        ordered.append(by_id[one])
        for spender in spenders.get(one, ()):
            waits_for[spender].discard(one)
            if not waits_for[spender]:
                heapq.heappush(ready, spender)
    if len(ordered) != len(by_id):
        raise MalformedBlockError("transactions spend each other in a circle")
    return ordered


def spends(transaction: TransactionBody) -> list[str]:
    """Ids of the transactions whose outputs this one spends."""
    return [one["fulfills"]["transaction_id"] for one in transaction["inputs"] if one["fulfills"]]


def asset_id(transaction: TransactionBody) -> str:
    """Id of the asset that a CREATE makes or a TRANSFER moves."""
    found: str = transaction["id"] if transaction["operation"] == CREATE else transaction["asset"]["id"]
    return found


def sequence(height: int, position: int) -> str:
    """A transaction's place on the ledger, such that text order is ledger order. `position` counts from 0."""
    return f"{height:012d}-{position:06d}"


def _is_whole(transaction: Any) -> bool:
    match transaction:
        case {"id": str(), "operation": str() as operation, "inputs": list() as inputs, "outputs": list(), **rest}:
            asset = rest.get("asset")
            has_asset = operation != TRANSFER or (isinstance(asset, dict) and isinstance(asset.get("id"), str))
            return has_asset and all(_is_input(one) for one in inputs)
    return False


def _is_input(one: Any) -> bool:
    match one:
        case {"fulfills": None}:
            return True
        case {"fulfills": {"transaction_id": str(), "output_index": int()}}:
            return True
    return False
