"""A BigchainDB transaction as this project reads it, its canonical form, and its id. It knows nothing about cars.

Format: BigchainDB Transactions Spec v2.
"""

import hashlib
import re
from typing import Any

import msgspec
import rapidjson

CREATE = "CREATE"
TRANSFER = "TRANSFER"
AMOUNT = re.compile(r"[0-9]{1,20}")


class MalformedTransactionError(ValueError):
    """What was sent as a transaction does not have the shape of one; the message names the place."""


class OutputReference(msgspec.Struct, frozen=True):
    """Names one output of one transaction; `output_index` counts from 0."""

    transaction_id: str
    output_index: int


class Input(msgspec.Struct, frozen=True):
    """What a transaction spends (`fulfills`, None in a CREATE) and the proof that it may (base64url DER)."""

    owners_before: tuple[str, ...]
    fulfills: OutputReference | None
    fulfillment: str


class Condition(msgspec.Struct, frozen=True):
    """What a later transaction must fulfil to spend an output: `details` is the tree of keys and thresholds."""

    details: dict[str, Any]


class Output(msgspec.Struct, frozen=True):
    """New ownership of `amount` shares (a decimal string); `public_keys` claims whose, and `condition` decides."""

    public_keys: tuple[str, ...]
    amount: str
    condition: Condition


class Transaction(msgspec.Struct, frozen=True):
    """One transaction of the ledger. `asset` is `{"data": ...}` in a CREATE and `{"id": ...}` in a TRANSFER."""

    id: str
    operation: str
    asset: dict[str, Any]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    metadata: dict[str, Any] | None
    version: str

    @property
    def asset_id(self) -> str:
        """Id of the asset: that of its CREATE transaction, for ever."""
        return self.id if self.operation == CREATE else str(self.asset["id"])


def parse(body: dict[str, Any]) -> Transaction:
    """The transaction that a JSON object describes.

    Raises MalformedTransactionError when a part is missing or of the wrong type.
    """
    try:
        transaction = msgspec.convert(body, Transaction)
    except msgspec.ValidationError as error:
        raise MalformedTransactionError(f"not a transaction: {error}") from error
    if transaction.operation == TRANSFER and not isinstance(transaction.asset.get("id"), str):
        raise MalformedTransactionError("not a transaction: a TRANSFER names its asset in $.asset.id")
    if not transaction.inputs or not transaction.outputs:
        raise MalformedTransactionError("not a transaction: it has no inputs or no outputs")
    for index, output in enumerate(transaction.outputs):
        if not AMOUNT.fullmatch(output.amount):
            raise MalformedTransactionError(f"not a transaction: $.outputs[{index}].amount is not a number of shares")
    return transaction


def computed_id(body: dict[str, Any]) -> str:
    """The id that the content of a transaction has: SHA3-256, in hex, of its canonical form with `id` null."""
    return hashlib.sha3_256(canonical({**body, "id": None})).hexdigest()


def signed_digest(body: dict[str, Any], spent: OutputReference | None) -> bytes:
    """The 32 bytes that the owners sign for an input that spends `spent` (None in a CREATE)."""
    unsigned = {**body, "id": None, "inputs": [{**one, "fulfillment": None} for one in body["inputs"]]}
    digest = hashlib.sha3_256(canonical(unsigned))
    if spent is not None:
        digest.update(f"{spent.transaction_id}{spent.output_index}".encode())
    return digest.digest()


def canonical(body: dict[str, Any]) -> bytes:
    """The bytes that BigchainDB hashes: keys sorted, no spaces, not ASCII-escaped.

    python-rapidjson writes them, as it does in BigchainDB itself: the standard library escapes control characters
    differently.
    """
    text: str = rapidjson.dumps(body, ensure_ascii=False, sort_keys=True)
    return text.encode()
