"""Crypto-conditions: what it takes to spend an output, and the one way to write down that it was given.

Ed25519-SHA-256 and THRESHOLD-SHA-256 of draft-thomas-crypto-conditions-03, the two that BigchainDB uses, in DER. A
signature does not cover the fulfillment that carries it, while a transaction's id does: whoever may write a fulfillment
in another way can make a second transaction from a genuine one. So only the canonical writing counts. Pure: nothing
here verifies a signature or knows a transaction.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import base58
import msgspec

MAX_DEPTH = 100
"""Levels of conditions within conditions that are read."""
ED25519_COST = 131_072
THRESHOLD_COST_OF_PART = 1_024

# Context-specific DER tags: the two kinds of condition or fulfillment, and the fields of each.
_ED25519 = 0xA4
_THRESHOLD = 0xA2
_FIELD_0 = 0x80
_FIELD_1 = 0x81
_FIELD_2 = 0x82
_FIELD_0_SET = 0xA0
_FIELD_1_SET = 0xA1
_SEQUENCE = 0x30
# BIT STRING of the subtypes of a threshold: bit 4, ed25519; three bits unused.
_SUBTYPES_ED25519 = b"\x03\x08"


class ConditionError(ValueError):
    """What should be a condition or a fulfillment cannot be read; the message says why."""


class Key(msgspec.Struct, frozen=True):
    """The condition that the owner of `public`, 32 bytes, signs."""

    public: bytes


class Threshold(msgspec.Struct, frozen=True):
    """The condition that at least `least` of `parts` are fulfilled."""

    least: int
    parts: tuple["Condition", ...]


Condition = Key | Threshold


def read_condition(details: Any, depth: int = 0) -> Condition:
    """The condition in BigchainDB's `condition.details`.

    Raises ConditionError when any part of it is unknown: who can spend the output would not be known either.
    """
    if depth > MAX_DEPTH:
        raise ConditionError("a condition is nested too deeply")
    match details:
        case {"type": "ed25519-sha-256", "public_key": str() as key}:
            return Key(_public_bytes(key))
        case {"type": "threshold-sha-256", "threshold": int() as least, "subconditions": list() as parts}:
            if not 0 < least <= len(parts):
                raise ConditionError(f"a condition asks for {least} of {len(parts)} parts")
            return Threshold(least, tuple(read_condition(part, depth + 1) for part in parts))
        case _:
            raise ConditionError("a condition is neither ed25519-sha-256 nor threshold-sha-256")


def condition_of_owners(public_keys: tuple[str, ...]) -> Condition:
    """The condition that BigchainDB makes of several owners: all must sign; of one owner: they must.

    Raises ConditionError when one is no public key, or there is none.
    """
    if not public_keys:
        raise ConditionError("there are no owners")
    keys = tuple(Key(_public_bytes(key)) for key in public_keys)
    return keys[0] if len(keys) == 1 else Threshold(len(keys), keys)


def owners(condition: Condition) -> frozenset[str]:
    """The public keys (base58) that a condition names. It is they who own the output."""
    if isinstance(condition, Key):
        return frozenset((base58.b58encode(condition.public).decode(),))
    return frozenset().union(*(owners(part) for part in condition.parts))


def canonical_fulfillment(condition: Condition, signatures: Mapping[bytes, bytes]) -> str | None:
    """The one fulfillment, as base64url text, that these signatures (by public key) make of a condition.

    None where they do not fulfil it, or more parts of it are fulfilled than it asks for.
    """
    der = _fulfillment(condition, signatures)
    return None if der is None else base64.urlsafe_b64encode(der).rstrip(b"=").decode()


def signatures_in(fulfillment: str) -> dict[bytes, bytes]:
    """The signatures (64 bytes) in a fulfillment, by public key (32 bytes), however it is written.

    Raises ConditionError when it cannot be read.
    """
    try:
        der = base64.b64decode(fulfillment + "=" * (-len(fulfillment) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ConditionError("a fulfillment is not base64url") from error
    return dict(_signatures(der, depth=0))


def _fulfillment(condition: Condition, signatures: Mapping[bytes, bytes]) -> bytes | None:
    if isinstance(condition, Key):
        signature = signatures.get(condition.public)
        if signature is None:
            return None
        return _element(_ED25519, _element(_FIELD_0, condition.public) + _element(_FIELD_1, signature))
    fulfilled = [(part, _fulfillment(part, signatures)) for part in condition.parts]
    given = [der for _, der in fulfilled if der is not None]
    if len(given) != condition.least:
        return None
    left = [_condition(part) for part, der in fulfilled if der is None]
    return _element(_THRESHOLD, _set(_FIELD_0_SET, given) + _set(_FIELD_1_SET, left))


def _condition(condition: Condition) -> bytes:
    """A condition as it stands in a fulfillment that leaves it unfulfilled, and in its parent's fingerprint."""
    cost = _element(_FIELD_1, _integer(_cost(condition)))
    if isinstance(condition, Key):
        fingerprint = hashlib.sha256(_element(_SEQUENCE, _element(_FIELD_0, condition.public))).digest()
        return _element(_ED25519, _element(_FIELD_0, fingerprint) + cost)
    parts = _set(_FIELD_1_SET, [_condition(part) for part in condition.parts])
    least = _element(_FIELD_0, _integer(condition.least))
    fingerprint = hashlib.sha256(_element(_SEQUENCE, least + parts)).digest()
    return _element(_THRESHOLD, _element(_FIELD_0, fingerprint) + cost + _element(_FIELD_2, _SUBTYPES_ED25519))


def _cost(condition: Condition) -> int:
    if isinstance(condition, Key):
        return ED25519_COST
    dearest = sorted((_cost(part) for part in condition.parts), reverse=True)[: condition.least]
    return sum(dearest) + THRESHOLD_COST_OF_PART * len(condition.parts)


def _signatures(der: bytes, depth: int) -> Iterator[tuple[bytes, bytes]]:
    if depth > MAX_DEPTH:
        raise ConditionError("a fulfillment is nested too deeply")
    for tag, content in elements(der):
        fields = dict(elements(content))
        if tag == _ED25519:
            key, signature = fields.get(_FIELD_0, b""), fields.get(_FIELD_1, b"")
            if len(key) != 32 or len(signature) != 64:
                raise ConditionError("an Ed25519 fulfillment lacks its 32-byte key or its 64-byte signature")
            yield key, signature
        elif tag == _THRESHOLD:
            yield from _signatures(fields.get(_FIELD_0_SET, b""), depth + 1)
        else:
            raise ConditionError(f"a fulfillment is neither Ed25519 nor threshold (DER tag {tag:#x})")


def elements(der: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of the DER elements that follow each other. Raises ConditionError where one is cut short."""
    position = 0
    while position < len(der):
        try:
            tag, length, start = der[position], der[position + 1], position + 2
        except IndexError as error:
            raise ConditionError("a fulfillment is truncated") from error
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(der[start : start + size]), start + size
        if start + length > len(der):
            raise ConditionError("a fulfillment is truncated")
        yield tag, der[start : start + length]
        position = start + length


def _public_bytes(key: str) -> bytes:
    """The 32 bytes of a public key. The ledger takes white space after one; it names the same owner."""
    try:
        public = base58.b58decode(key.strip())
    except ValueError as error:
        raise ConditionError("an owner is no base58 public key") from error
    if len(public) != 32:
        raise ConditionError("an owner is no Ed25519 public key of 32 bytes")
    return public


def _element(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size) + content


def _set(tag: int, members: list[bytes]) -> bytes:
    return _element(tag, b"".join(sorted(members)))


def _integer(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)
