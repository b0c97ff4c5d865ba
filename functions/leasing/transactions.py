"""A BigchainDB transaction as this project reads it, its canonical form, and its id. It knows nothing about cars.

Format: BigchainDB Transactions Spec v2.
"""

import hashlib
import re
from typing import Annotated, Any, Literal

import msgspec
import rapidjson

from functions.wording import shortened

CREATE = "CREATE"
TRANSFER = "TRANSFER"
MAX_AMOUNT = 9 * 10**18
"""The most shares of an asset that BigchainDB takes."""
MAX_INDEX = 2**31
"""The highest place of an output that is taken: no transaction has so many."""
HASH = re.compile("[0-9a-f]{64}")

TransactionId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""Ids become keys of the record: nothing else may."""


class MalformedTransactionError(ValueError):
    """What was sent as a transaction does not have the shape of one; the message names the place."""


class OutputReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names one output of one transaction; `output_index` counts from 0."""

    transaction_id: TransactionId
    output_index: Annotated[int, msgspec.Meta(ge=0, le=MAX_INDEX)]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a transaction spends (`fulfills`, None in a CREATE) and the proof that it may (base64url DER)."""

    owners_before: tuple[str, ...] | None
    fulfills: OutputReference | None
    fulfillment: str


class OutputCondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a later transaction must fulfil to spend an output: `details` is the tree of keys and thresholds."""

    details: dict[str, Any]
    uri: str = ""


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """New ownership of `amount` shares (a decimal string); `public_keys` claims whose, and `condition` decides."""

    public_keys: tuple[str, ...] | None
    amount: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,19}\Z")]
    condition: OutputCondition


class Transaction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One transaction of the ledger. `asset` is `{"data": ...}` in a CREATE and `{"id": ...}` in a TRANSFER."""

    id: TransactionId
    operation: str
    asset: dict[str, Any]
    inputs: Annotated[tuple[Input, ...], msgspec.Meta(min_length=1)]
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(min_length=1)]
    metadata: dict[str, Any] | None
    version: Literal["2.0"]

    @property
    def asset_id(self) -> str:
        """Id of the asset: that of its CREATE transaction, for ever."""
        return self.id if self.operation == CREATE else str(self.asset["id"])


def parse(body: dict[str, Any]) -> Transaction:
    """The transaction that a JSON object describes.

    Raises MalformedTransactionError when a part is missing, of the wrong type, or out of the ledger's bounds.
    """
    try:
        transaction = msgspec.convert(body, Transaction)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MalformedTransactionError(f"not a transaction: {shortened(str(error))}") from error
    if transaction.operation == TRANSFER:
        asset = transaction.asset.get("id")
        if not (isinstance(asset, str) and HASH.fullmatch(asset)):
            raise MalformedTransactionError(
                "not a transaction: a TRANSFER names its asset, 64 hex digits, in $.asset.id"
            )
    for index, output in enumerate(transaction.outputs):
        if not 0 < int(output.amount) <= MAX_AMOUNT:
            raise MalformedTransactionError(
                f"not a transaction: $.outputs[{index}].amount is not from 1 to {MAX_AMOUNT} shares"
            )
    return transaction


def computed_id(body: dict[str, Any]) -> str:
    """The id that the content of a transaction has: SHA3-256, in hex, of its canonical form with `id` null."""
    return hashlib.sha3_256(canonical({**body, "id": None})).hexdigest()


def canonical(body: dict[str, Any]) -> bytes:
    """The bytes that BigchainDB hashes: keys sorted, no spaces, not ASCII-escaped.

    python-rapidjson writes them, as it does in BigchainDB itself: the standard library escapes control characters
    differently.
    """
    text: str = rapidjson.dumps(body, ensure_ascii=False, sort_keys=True)
    return text.encode()
