"""The events that the relay sends: CloudEvents 1.0, one a transaction. Pure. The contract is docs/contract.md."""

from collections.abc import Sequence

import msgspec

from relay.blocks import Transaction

CONTENT_TYPE = "application/cloudevents-batch+json"
EVENT_TYPE = "bigchaindb.transaction.committed"
MAX_BATCH_BYTES = 1_000_000


class CarEvent(msgspec.Struct, frozen=True):
    """One transaction of a car, ready to send.

    `height` is that of its block. `encoded` is its CloudEvent as JSON, empty where it cannot be sent; `unsendable` then
    says why.
    """

    transaction_id: str
    asset_id: str
    sequence: str
    height: int
    encoded: bytes
    unsendable: str = ""

    @property
    def size(self) -> int:
        """Bytes that it takes in a batch."""
        return len(self.encoded) + 1


def make_event(transaction: Transaction, height: int, sequence: str, source: str) -> CarEvent:
    """The event of a transaction. Its `data` are the transaction as the node wrote it."""
    if transaction.unsendable:
        return CarEvent(transaction.id, transaction.asset_id, sequence, height, b"", transaction.unsendable)
    asset = msgspec.json.encode(transaction.asset_id)
    encoded = b"".join(
        (
            b'{"specversion":"1.0","id":',
            msgspec.json.encode(transaction.id),
            b',"source":',
            msgspec.json.encode(source),
            b',"type":"' + EVENT_TYPE.encode() + b'","subject":',
            asset,
            b',"partitionkey":',
            asset,
            b',"sequence":"',
            sequence.encode(),
            b'","datacontenttype":"application/json","data":',
            transaction.raw,
            b"}",
        )
    )
    return CarEvent(transaction.id, transaction.asset_id, sequence, height, encoded)


def following(event: CarEvent, predecessor: str) -> CarEvent:
    """The event, saying which transaction of its car came before it on the ledger. Its transaction is not touched."""
    if not event.encoded:
        return event
    told = b',"predecessor":' + msgspec.json.encode(predecessor) + b"}"
    return msgspec.structs.replace(event, encoded=event.encoded[:-1] + told)


def encode_batch(batch: Sequence[CarEvent]) -> bytes:
    """The body of a request."""
    return b"[" + b",".join([event.encoded for event in batch]) + b"]"


def how_many_fit(events: Sequence[CarEvent], most: int, most_bytes: int) -> int:
    """How many of the first of these events go into one batch: at least one, however large it is."""
    size = 1
    for count, event in enumerate(events):
        size += event.size
        if count == most or (count and size > most_bytes):
            return count
    return len(events)


def by_car(events: Sequence[CarEvent]) -> dict[str, list[CarEvent]]:
    """The events of each car, in order."""
    cars: dict[str, list[CarEvent]] = {}
    for event in events:
        cars.setdefault(event.asset_id, []).append(event)
    return cars
