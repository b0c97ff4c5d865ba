"""Whether a transaction is genuine: its id is that of its content, and the owners of what it spends have signed it.

Signatures are verified by libsodium, as BigchainDB does it. What the transaction does is not known here.
"""

import hashlib
from collections.abc import Collection
from typing import Any

import base58
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey

from functions.leasing.conditions import (
    Condition,
    ConditionError,
    canonical_fulfillment,
    condition_of_owners,
    signatures_in,
)
from functions.leasing.transactions import Input, OutputReference, Transaction, canonical, computed_id


class EvidenceError(ValueError):
    """The transaction proves nothing: forged, truncated, or signed by somebody else; the message says which."""


class Message:
    """What the owners of a transaction's inputs sign. It is hashed once, however many inputs there are."""

    def __init__(self, body: dict[str, Any]) -> None:
        unsigned = {**body, "id": None, "inputs": [{**one, "fulfillment": None} for one in body["inputs"]]}
        self._hash = hashlib.sha3_256(canonical(unsigned))

    def digest(self, spent: OutputReference | None) -> bytes:
        """The 32 bytes to sign for an input that spends `spent` (None in a CREATE)."""
        digest = self._hash.copy()
        if spent is not None:
            digest.update(f"{spent.transaction_id}{spent.output_index}".encode())
        return digest.digest()


def check_id(body: dict[str, Any], transaction: Transaction) -> None:
    """Raise EvidenceError unless the transaction's id is the one its content has."""
    try:
        computed = computed_id(body)
    except (ValueError, TypeError, UnicodeEncodeError, RecursionError) as error:
        raise EvidenceError(f"transaction {transaction.id} cannot be written canonically: {error}") from error
    if computed != transaction.id:
        raise EvidenceError(f"transaction {transaction.id} is not genuine: its content has the id {computed}")


def check_signatures(message: Message, one_input: Input, condition: Condition) -> None:
    """Raise EvidenceError unless an input fulfils the condition of what it spends, in the canonical writing."""
    digest = message.digest(one_input.fulfills)
    for key, signature in _canonical_signatures(one_input, condition).items():
        try:
            VerifyKey(key).verify(digest, signature)
        except (CryptoError, ValueError) as error:
            owner = base58.b58encode(key).decode()
            raise EvidenceError(f"the signature of {owner} is not valid for this transaction") from error


def registering_lessor(transaction: Transaction, lessors: Collection[str]) -> str | None:
    """The trusted lessor whose signature a CREATE carries, still to be verified; None where it carries none.

    The signed content names the owners before, and a signature that is theirs has one writing: what anybody else can
    make, from the lessor's name or even from a genuine registration, is no registration by the lessor.
    """
    one_input = transaction.inputs[0]
    lessor = min((key for key in one_input.owners_before or () if key in lessors), default=None)
    if lessor is None or len(transaction.inputs) > 1 or one_input.fulfills is not None:
        return None
    try:
        _canonical_signatures(one_input, condition_of_owners(one_input.owners_before or ()))
    except (EvidenceError, ConditionError):
        return None
    return lessor


def _canonical_signatures(one_input: Input, condition: Condition) -> dict[bytes, bytes]:
    """The signatures, by key, of an input whose fulfillment is the canonical one of a condition."""
    try:
        signatures = signatures_in(one_input.fulfillment)
    except ConditionError as error:
        raise EvidenceError(str(error)) from error
    expected = canonical_fulfillment(condition, signatures)
    if expected is None:
        raise EvidenceError("it is not signed by the owners of what it spends")
    if expected != one_input.fulfillment:
        raise EvidenceError("its fulfillment is not written canonically: anybody can make such a copy of a genuine one")
    return signatures
