"""The events that the relay sends: CloudEvents 1.0, one a transaction. Pure. The contract is docs/contract.md."""

import json
from collections.abc import Iterator, Sequence

import msgspec

from relay.blocks import TransactionBody, asset_id

CONTENT_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "bigchaindb.transaction.committed"
MAX_BATCH_BYTES = 1_000_000


class UnsendableError(ValueError):
    """A transaction that JSON cannot carry."""


class CarEvent(msgspec.Struct, frozen=True):
    """One transaction of a car, ready to send. `encoded` is its CloudEvent as JSON."""

    transaction_id: str
    asset_id: str
    sequence: str
    encoded: bytes


def make_event(transaction: TransactionBody, sequence: str, source: str) -> CarEvent:
    """The event of a transaction. Raises UnsendableError for what JSON has no words for (NaN, endless nesting)."""
    asset = asset_id(transaction)
    event = {
        "specversion": "1.0",
        "id": transaction["id"],
        "source": source,
        "type": EVENT_TYPE,
        "subject": asset,
        "partitionkey": asset,
        "sequence": sequence,
        "datacontenttype": "application/json",
        "data": transaction,
    }
    try:
        # The standard library, not msgspec: the ledger allows integers beyond 64 bits.
        encoded = json.dumps(event, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise UnsendableError(f"transaction {transaction['id']} cannot be written as JSON: {error}") from error
    return CarEvent(transaction["id"], asset, sequence, encoded)


def batches(events: Sequence[CarEvent], most: int) -> Iterator[list[CarEvent]]:
    """The events in order, in batches of at most `most` events and MAX_BATCH_BYTES; one that is larger goes alone."""
    batch: list[CarEvent] = []
    size = 1
    for event in events:
        if batch and (len(batch) == most or size + len(event.encoded) + 1 > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 1
        batch.append(event)
        size += len(event.encoded) + 1
    if batch:
        yield batch


def encode_batch(batch: Sequence[CarEvent]) -> bytes:
    """The body of a request."""
    return b"[" + b",".join(event.encoded for event in batch) + b"]"
