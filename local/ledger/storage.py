"""BigchainDB's storage queries over dictionaries, registered at the server's own dispatch points in MongoDB's place.

It knows the server's documents and what its MongoDB backend answers (bigchaindb/backend/localmongodb/query.py), and
nothing about validation, consensus, HTTP or events. Queries of elections, of crash recovery and of the unspent output
set are missing: an election needs a validator's key, which nobody has here, and the rest the server never calls in this
setting; called all the same, the server's own base query raises NotImplementedError.

Documents are kept as they are stored and handed out as shallow copies. That is enough: the server adds and removes keys
of a transaction and of an asset it has read (`Transaction.from_db`, `BigchainDB.get_transaction`), and never changes
what is nested in them.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Concatenate

from bigchaindb.backend import query
from bigchaindb.backend.connection import Connection

type Document = dict[str, Any]


class MemoryConnection(Connection):  # type: ignore[misc]  # the server has no types
    """One empty store. It takes the place of a connection to MongoDB; all users of one store share one object."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.transactions: dict[str, Document] = {}  # by id; without what is in assets and metadata
        self.assets: dict[str, Document] = {}  # by id of the transaction that created it
        self.metadata: dict[str, Document] = {}  # by id of the transaction
        self.blocks: dict[int, Document] = {}  # by height
        self.latest_block: Document | None = None
        self.validators: dict[int, Document] = {}  # by the height from which the set is in force
        self.chain: Document | None = None
        # Indexes: ids of transactions in commit order, as MongoDB's natural order has them.
        self.ids_spending: defaultdict[tuple[str, int], list[str]] = defaultdict(list)  # by output: (id, index)
        self.ids_paying: defaultdict[str, list[str]] = defaultdict(list)  # by public key in an output
        self.ids_of_asset: defaultdict[str, list[str]] = defaultdict(list)
        self.heights_of: defaultdict[str, list[int]] = defaultdict(list)  # by id


def answers[**P, R](
    function: Callable[Concatenate[MemoryConnection, P], R],
) -> Callable[Concatenate[MemoryConnection, P], R]:
    """Register `function` as what the server's query of the same name does with a MemoryConnection.

    One lock makes each query atomic, as MongoDB does: HTTP threads read while the node writes.
    """

    @wraps(function)
    def atomic(connection: MemoryConnection, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with connection.lock:
            return function(connection, *args, **kwargs)

    getattr(query, function.__name__).register(MemoryConnection)(atomic)
    return atomic


@answers
def store_transactions(connection: MemoryConnection, signed_transactions: Iterable[Document]) -> None:
    for transaction in signed_transactions:
        transaction_id = transaction["id"]
        connection.transactions[transaction_id] = transaction
        for spent in (i["fulfills"] for i in transaction["inputs"] if i["fulfills"]):
            connection.ids_spending[spent["transaction_id"], spent["output_index"]].append(transaction_id)
        for key in {key for output in transaction["outputs"] for key in output["public_keys"]}:
            connection.ids_paying[key].append(transaction_id)
        # A TRANSFER carries its asset's id; a CREATE has had its asset taken out, whose id is its own.
        asset_id = transaction["asset"]["id"] if "asset" in transaction else transaction_id
        connection.ids_of_asset[asset_id].append(transaction_id)


@answers
def store_assets(connection: MemoryConnection, assets: Iterable[Document]) -> None:
    connection.assets.update({asset["id"]: asset for asset in assets})


@answers
def store_metadatas(connection: MemoryConnection, metadata: Iterable[Document]) -> None:
    connection.metadata.update({document["id"]: document for document in metadata})


@answers
def get_transaction(connection: MemoryConnection, transaction_id: str) -> Document | None:
    return next(_found(connection.transactions, [transaction_id]), None)


@answers
def get_transactions(connection: MemoryConnection, transaction_ids: Collection[str]) -> list[Document]:
    # MongoDB finds `{"id": {"$in": ids}}` by walking its index on id: a block's transactions come in id order.
    return list(_found(connection.transactions, sorted(transaction_ids)))


@answers
def get_asset(connection: MemoryConnection, asset_id: str) -> Document | None:
    asset = next(_found(connection.assets, [asset_id]), None)
    if asset is not None:
        del asset["id"]
    return asset


@answers
def get_assets(connection: MemoryConnection, asset_ids: Collection[str]) -> list[Document]:
    return list(_found(connection.assets, sorted(asset_ids)))


@answers
def get_metadata(connection: MemoryConnection, transaction_ids: Collection[str]) -> list[Document]:
    return list(_found(connection.metadata, sorted(transaction_ids)))


@answers
def get_spent(connection: MemoryConnection, transaction_id: str, output: int) -> list[Document]:
    return list(_found(connection.transactions, connection.ids_spending.get((transaction_id, output), ())))


@answers
def get_spending_transactions(connection: MemoryConnection, inputs: Iterable[Document]) -> list[Document]:
    outputs = [(i["transaction_id"], i["output_index"]) for i in inputs]
    ids = {spender: None for output in outputs for spender in connection.ids_spending.get(output, ())}
    return list(_found(connection.transactions, ids))


@answers
def get_owned_ids(connection: MemoryConnection, owner: str) -> list[Document]:
    # Transactions, in spite of the query's name: the server filters their outputs itself (bigchaindb/fastquery.py).
    return list(_found(connection.transactions, connection.ids_paying.get(owner, ())))


@answers
def get_txids_filtered(
    connection: MemoryConnection,
    asset_id: str,
    operation: str | None = None,
    last_tx: bool | None = None,  # noqa: FBT001
) -> list[str]:
    ids = [
        transaction_id
        for transaction_id in connection.ids_of_asset.get(asset_id, ())
        if operation is None or connection.transactions[transaction_id]["operation"] == operation
    ]
    return ids[-1:] if last_tx else ids


@answers
def text_search(
    connection: MemoryConnection, /, search: str, *, limit: int = 0, table: str = "assets", **_: Any
) -> list[Document]:
    """Documents with one of the words of `search` in a string; MongoDB's stemming, phrases and scores are not here."""
    wanted = set(search.lower().split())
    documents = {"assets": connection.assets, "metadata": connection.metadata}[table]
    matches = [id_ for id_, document in documents.items() if not wanted.isdisjoint(_words(document))]
    return list(_found(documents, matches[:limit] if limit else matches))


@answers
def store_block(connection: MemoryConnection, block: Document) -> None:
    connection.blocks[block["height"]] = connection.latest_block = block  # heights only ever grow
    for transaction_id in block["transactions"]:
        connection.heights_of[transaction_id].append(block["height"])


@answers
def get_block(connection: MemoryConnection, block_id: int) -> Document | None:
    return connection.blocks.get(block_id)


@answers
def get_latest_block(connection: MemoryConnection) -> Document | None:
    return connection.latest_block


@answers
def get_block_with_transaction(connection: MemoryConnection, txid: str) -> list[Document]:
    return [{"height": height} for height in connection.heights_of.get(txid, ())]


@answers
def store_pre_commit_state(connection: MemoryConnection, state: Document) -> None:
    """Nothing: the server reads it when it recovers from a crash, which nothing here survives."""


@answers
def store_validator_set(connection: MemoryConnection, validator_update: Document) -> None:
    connection.validators[validator_update["height"]] = validator_update


@answers
def get_validator_set(connection: MemoryConnection, height: int | None = None) -> Document | None:
    heights = [since for since in connection.validators if height is None or since <= height]
    return connection.validators[max(heights)] if heights else None


@answers
def store_abci_chain(connection: MemoryConnection, height: int, chain_id: str, is_synced: bool = True) -> None:  # noqa: FBT001, FBT002
    connection.chain = {"height": height, "chain_id": chain_id, "is_synced": is_synced}


@answers
def get_latest_abci_chain(connection: MemoryConnection) -> Document | None:
    return connection.chain


def _found(documents: Mapping[str, Document], ids: Iterable[str]) -> Iterator[Document]:
    """Copies of the documents that exist, in the order of `ids`."""
    return (dict(documents[id_]) for id_ in ids if id_ in documents)


def _words(value: Any) -> Iterator[str]:
    """The words of every string in a JSON value, in lower case."""
    if isinstance(value, str):
        yield from value.lower().split()
    elif isinstance(value, dict):
        for nested in value.values():
            yield from _words(nested)
    elif isinstance(value, list):
        for nested in value:
            yield from _words(nested)
