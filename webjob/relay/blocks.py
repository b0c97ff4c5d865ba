"""Blocks of the ledger as values, and the order of the transactions in one. Pure: it reads no node.

A node returns the transactions of a block in the order of their ids, not in that in which they were committed. Order
is therefore rebuilt from what they spend, which gives the same result on every reading. A transaction is looked into
only as far as the relay needs; what is forwarded is its text as the node wrote it, byte for byte (in a block in
which one transaction is no JSON, all are written anew).
"""

import hashlib
import heapq
import json
from collections.abc import Sequence
from typing import Any

import msgspec

CREATE = "CREATE"
TRANSFER = "TRANSFER"
LARGE_BYTES = 4 * 1024 * 1024
"""In an answer that is larger, what it claims to hold is counted before it is read."""
MAX_TRANSACTIONS = 100_000
"""Of one answer that is large. No transaction has less than 700 bytes: the largest block has some 30,000."""
MAX_LENIENT_VALUES = 22_000_000
"""Of what is read by the standard library, which makes some 60 bytes of each. The largest block has fewer bytes."""


class MalformedBlockError(ValueError):
    """What a node returned cannot be what was asked for."""


class Transaction(msgspec.Struct, frozen=True):
    """One transaction. `raw` is the whole of it as JSON.

    `spends` are the ids of the transactions whose outputs it spends; `fulfillments`, the texts that sign for it, are
    kept of a CREATE. `unsendable` says why JSON has no words for it (NaN, say); `raw` is empty then.
    """

    id: str
    operation: str
    asset_id: str
    spends: tuple[str, ...]
    fulfillments: tuple[str, ...]
    raw: bytes
    unsendable: str = ""


class Block(msgspec.Struct, frozen=True):
    """One block: its transactions in an order in which each comes after those it spends."""

    height: int
    transactions: tuple[Transaction, ...]

    @property
    def fingerprint(self) -> str:
        """What tells this block from one of the same height on another ledger; empty where it has no transactions."""
        ids = sorted(one.id for one in self.transactions)
        return hashlib.sha256("\n".join(ids).encode(errors="surrogatepass")).hexdigest()[:32] if ids else ""


class _Spent(msgspec.Struct):
    transaction_id: str
    output_index: int


class _Input[F](msgspec.Struct):
    fulfills: _Spent | None
    fulfillment: F = None  # type: ignore[assignment]  # F | None would not do: msgspec.Raw stands alone


class _Asset(msgspec.Struct):
    id: str | None = None


class _Seen[F](msgspec.Struct):
    """The parts of a transaction that the relay looks at; what is F is passed over, or looked into later."""

    id: str
    operation: str
    inputs: list[_Input[F]]
    outputs: list[F]
    asset: _Asset | None = None


class _Height(msgspec.Struct):
    height: int


class _BlockAnswer(_Height):
    transactions: list[msgspec.Raw]


class _Claim(msgspec.Struct, gc=False):
    id: str
    operation: str


class _ClaimedBlock(msgspec.Struct):
    transactions: list[_Claim]


_height = msgspec.json.Decoder(_Height)
_block_answer = msgspec.json.Decoder(_BlockAnswer)
_transaction_list = msgspec.json.Decoder(list[msgspec.Raw])
_claimed_block = msgspec.json.Decoder(_ClaimedBlock)
_claimed_list = msgspec.json.Decoder(list[_Claim])
_seen = msgspec.json.Decoder(_Seen[msgspec.Raw])


def read_block(height: int, answer: bytes) -> Block:
    """The block in a node's answer. Raises MalformedBlockError when it is not the block `height`, whole."""
    where = f"block {height}"
    try:
        if len(answer) > LARGE_BYTES:
            _check_number(_claimed_block.decode(answer).transactions, where)
        found = _block_answer.decode(answer)
    except msgspec.ValidationError as error:
        raise MalformedBlockError(f"{where}: {error}") from error
    except MalformedBlockError:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _read_lenient_block(height, _lenient(answer, where), where)
    if found.height != height:
        raise MalformedBlockError(f"{where}: the answer is not this block")
    return Block(height, tuple(in_spending_order([_transaction(bytes(raw), where) for raw in found.transactions])))


def check_height(height: int, answer: bytes) -> None:
    """Raise MalformedBlockError unless this is the block `height`; its transactions are not looked into."""
    try:
        found = _height.decode(answer).height
    except (msgspec.DecodeError, ValueError, RecursionError):
        found = read_block(height, answer).height
    if found != height:
        raise MalformedBlockError(f"block {height}: the answer is not this block")


def read_transactions(answer: bytes, where: str) -> list[Transaction]:
    """The list of transactions in a node's answer, as it has them. Raises MalformedBlockError, naming `where`."""
    try:
        if len(answer) > LARGE_BYTES:
            _check_number(_claimed_list.decode(answer), where)
        found = _transaction_list.decode(answer)
    except msgspec.ValidationError as error:
        raise MalformedBlockError(f"{where}: {error}") from error
    except MalformedBlockError:
        raise
    except (msgspec.DecodeError, ValueError, RecursionError):
        return [_lenient_transaction(body, where) for body in _listed(_lenient(answer, where), where)]
    return [_transaction(bytes(raw), where) for raw in found]


def read_transaction(answer: bytes, where: str) -> Transaction:
    """The one transaction in a node's answer. Raises MalformedBlockError, naming `where`."""
    return _transaction(answer, where)


def in_spending_order(transactions: Sequence[Transaction]) -> list[Transaction]:
    """The transactions so that each stands after those whose outputs it spends; otherwise by id."""
    by_id = {one.id: one for one in transactions}
    waits_for = {one.id: {spent for spent in one.spends if spent in by_id} for one in by_id.values()}
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


def sequence(height: int, position: int) -> str:
    """A transaction's place on the ledger, such that text order is ledger order. `position` counts from 0."""
    return f"{height:012d}-{position:06d}"


def _check_number(claimed: Sequence[_Claim], where: str) -> None:
    if len(claimed) > MAX_TRANSACTIONS:
        raise MalformedBlockError(
            f"{where}: it claims {len(claimed)} transactions; no block has more than {MAX_TRANSACTIONS}"
        )


def _transaction(raw: bytes, where: str) -> Transaction:
    try:
        seen = _seen.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _lenient_transaction(_lenient(raw, where), where)
    texts = () if seen.operation == TRANSFER else tuple(_text(one.fulfillment) for one in seen.inputs)
    return _looked_at(seen, texts, raw, where)


def _text(raw: msgspec.Raw | None) -> str:
    """The text in a piece of JSON; empty where it is none."""
    try:
        return msgspec.json.decode(raw or b'""', type=str)
    except (msgspec.DecodeError, ValueError):
        return ""


def _looked_at[F](
    seen: _Seen[F], fulfillments: tuple[str, ...], raw: bytes, where: str, unsendable: str = ""
) -> Transaction:
    moved = seen.asset.id if seen.asset is not None and seen.operation == TRANSFER else None
    if seen.operation == TRANSFER and moved is None:
        raise MalformedBlockError(f"{where}: transaction {seen.id} moves no asset")
    return Transaction(
        id=seen.id,
        operation=seen.operation,
        asset_id=seen.id if moved is None else moved,
        spends=tuple([one.fulfills.transaction_id for one in seen.inputs if one.fulfills]),
        fulfillments=fulfillments,
        raw=raw,
        unsendable=unsendable,
    )


# BigchainDB writes what JSON does not have (NaN, halves of surrogate pairs). One such transaction must not hide the
# others of its block, so that what msgspec refuses is read again by the standard library, which is laxer and slower.


def _lenient(answer: bytes, where: str) -> Any:
    if sum(answer.count(mark) for mark in (b"[", b"{", b",")) > MAX_LENIENT_VALUES:
        raise MalformedBlockError(f"{where}: more than {MAX_LENIENT_VALUES} values, and not JSON as others write it")
    try:
        return json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise MalformedBlockError(f"{where}: the answer is not JSON ({type(error).__name__})") from error


def _read_lenient_block(height: int, body: Any, where: str) -> Block:
    if not isinstance(body, dict) or body.get("height") != height:
        raise MalformedBlockError(f"{where}: the answer is not this block")
    found = [_lenient_transaction(one, where) for one in _listed(body.get("transactions"), where)]
    return Block(height, tuple(in_spending_order(found)))


def _listed(body: Any, where: str) -> list[Any]:
    if not isinstance(body, list):
        raise MalformedBlockError(f"{where}: there is no list of transactions")
    return body


def _lenient_transaction(body: Any, where: str) -> Transaction:
    try:
        seen = msgspec.convert(body, _Seen[Any])
        f"{seen.id} {seen.asset.id if seen.asset else ''}".encode()
    except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise MalformedBlockError(f"{where}: a transaction is not whole: {error}") from error
    texts = tuple(one.fulfillment for one in seen.inputs if isinstance(one.fulfillment, str))
    try:
        raw = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        return _looked_at(seen, texts, b"", where, f"it cannot be written as JSON: {error}")
    return _looked_at(seen, texts, raw, where)
