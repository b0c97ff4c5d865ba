"""Whether a transaction is genuine: its id is that of its content, and the owners of what it spends have signed it.

It reads crypto-conditions (draft-thomas-crypto-conditions-03: Ed25519-SHA-256 and THRESHOLD-SHA-256, the two that
BigchainDB uses) and leaves the arithmetic to the cryptography package. It does not know what the transaction does.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from functions.leasing.transactions import Input, Transaction, computed_id, signed_digest

# Context-specific DER tags of the two fulfillments and of their fields (crypto-conditions, ASN.1 module).
_ED25519_FULFILLMENT = 0xA4
_THRESHOLD_FULFILLMENT = 0xA2
_FIELD_0_SET = 0xA0
_FIELD_0 = 0x80
_FIELD_1 = 0x81
_MAX_DEPTH = 8


class EvidenceError(ValueError):
    """The transaction proves nothing: forged, truncated, or signed by somebody else; the message says which."""


def check_id(body: dict[str, Any], transaction: Transaction) -> None:
    """Raise EvidenceError unless the transaction's id is the one its content has."""
    try:
        computed = computed_id(body)
    except (ValueError, TypeError, UnicodeEncodeError, RecursionError) as error:
        raise EvidenceError(f"transaction {transaction.id} cannot be written canonically: {error}") from error
    if computed != transaction.id:
        raise EvidenceError(f"transaction {transaction.id} is not genuine: its content has the id {computed}")


def signers(body: dict[str, Any], one_input: Input) -> frozenset[str]:
    """The public keys (base58) whose signatures in the input's fulfillment are valid for this transaction.

    Raises EvidenceError when the fulfillment cannot be read or holds a signature that is not valid.
    """
    digest = signed_digest(body, one_input.fulfills)
    keys = set()
    for key, signature in _signatures(_decoded(one_input.fulfillment), depth=0):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, digest)
        except (InvalidSignature, ValueError) as error:
            owner = base58.b58encode(key).decode()
            raise EvidenceError(f"the signature of {owner} is not valid for this transaction") from error
        keys.add(base58.b58encode(key).decode())
    return frozenset(keys)


def claimed_signers(one_input: Input) -> frozenset[str]:
    """The public keys (base58) in the input's fulfillment, their signatures unchecked.

    Raises EvidenceError when the fulfillment cannot be read.
    """
    keys = (key for key, _ in _signatures(_decoded(one_input.fulfillment), depth=0))
    return frozenset(base58.b58encode(key).decode() for key in keys)


def owners(details: dict[str, Any], depth: int = 0) -> frozenset[str]:
    """The public keys that a condition, given as BigchainDB's `condition.details`, lets spend an output.

    It is they who own it: an output's `public_keys` are a claim that the ledger does not hold against the condition.
    """
    match details:
        case {"type": "ed25519-sha-256", "public_key": str() as key}:
            return frozenset((key,))
        case {"type": "threshold-sha-256", "subconditions": list() as parts} if depth < _MAX_DEPTH:
            return frozenset().union(*(owners(part, depth + 1) for part in parts if isinstance(part, dict)))
    return frozenset()


def satisfied(details: dict[str, Any], signed_by: frozenset[str], depth: int = 0) -> bool:
    """Whether the keys that signed are enough for a condition, given as BigchainDB's `condition.details`."""
    match details:
        case {"type": "ed25519-sha-256", "public_key": str() as key}:
            return key in signed_by
        case {"type": "threshold-sha-256", "threshold": int() as threshold, "subconditions": list() as parts}:
            return (
                depth < _MAX_DEPTH
                and threshold > 0
                and sum(isinstance(part, dict) and satisfied(part, signed_by, depth + 1) for part in parts) >= threshold
            )
        case _:
            return False


def _decoded(fulfillment: str) -> bytes:
    try:
        return base64.b64decode(fulfillment + "=" * (-len(fulfillment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError("a fulfillment is not base64url") from error


def _signatures(fulfillment: bytes, depth: int) -> Iterator[tuple[bytes, bytes]]:
    """(public key, signature) of every Ed25519 fulfillment in a tree of fulfillments."""
    if depth > _MAX_DEPTH:
        raise EvidenceError("a fulfillment is nested too deeply")
    for tag, content in _elements(fulfillment):
        fields = dict(_elements(content))
        if tag == _ED25519_FULFILLMENT:
            key, signature = fields.get(_FIELD_0, b""), fields.get(_FIELD_1, b"")
            if len(key) != 32 or len(signature) != 64:
                raise EvidenceError("an Ed25519 fulfillment lacks its 32-byte key or its 64-byte signature")
            yield key, signature
        elif tag == _THRESHOLD_FULFILLMENT:
            yield from _signatures(fields.get(_FIELD_0_SET, b""), depth + 1)
        else:
            raise EvidenceError(f"a fulfillment is neither Ed25519 nor threshold (DER tag {tag:#x})")


def _elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of the DER elements that stand one after the other in `der`."""
    position = 0
    while position < len(der):
        try:
            tag, length, start = der[position], der[position + 1], position + 2
            if length & 0x80:
                size = length & 0x7F
                length, start = int.from_bytes(der[start : start + size]), start + size
        except IndexError as error:
            raise EvidenceError("a fulfillment is truncated") from error
        if start + length > len(der):
            raise EvidenceError("a fulfillment is truncated")
        yield tag, der[start : start + length]
        position = start + length
