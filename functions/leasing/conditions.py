"""Crypto-conditions: what it takes to spend an output, and the one way to write down that it was given.

Ed25519-SHA-256 and THRESHOLD-SHA-256 of draft-thomas-crypto-conditions-03, the two that BigchainDB uses, in DER. A
signature does not cover the fulfillment that carries it, while a transaction's id does: whoever may write a fulfillment
in another way can make a second transaction from a genuine one. So only the canonical writing counts. Pure: nothing
here verifies a signature or knows a transaction.
"""

import base64
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import base58
import msgspec

MAX_DEPTH = 100
"""Levels of conditions within conditions that are read."""
REMEMBERED_KEYS = 4_096
"""Public keys of which bytes and text are kept: base58 in Python costs as much as a signature's verification."""
MAX_KEY_TEXT = 44
"""Characters of 32 bytes in base58, at most. To decode more takes time that grows with the square of their number."""
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
    return frozenset(map(_text_of, _keys(condition)))


def canonical_fulfillment(condition: Condition, signatures: Mapping[bytes, bytes]) -> str | None:
    """The one fulfillment, as base64url text, that these signatures (by public key) make of a condition.

    None where they do not fulfil it, or it takes fewer of its owners' signatures than there are.
    """
    der = _written(condition, signatures).fulfillment
    if der is None:
        return None
    given = {key for key in _keys(condition) if key in signatures}
    if given != dict(_signatures(der, depth=0)).keys():
        return None
    return base64.urlsafe_b64encode(der).rstrip(b"=").decode()


def signatures_in(fulfillment: str) -> dict[bytes, bytes]:
    """The signatures (64 bytes) in a fulfillment, by public key (32 bytes), however it is written.

    Raises ConditionError when it cannot be read.
    """
    try:
        der = base64.b64decode(fulfillment + "=" * (-len(fulfillment) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ConditionError("a fulfillment is not base64url") from error
    return dict(_signatures(der, depth=0))


def _keys(condition: Condition) -> Iterator[bytes]:
    """The public keys (32 bytes) that a condition names, as often as it does."""
    if isinstance(condition, Key):
        yield condition.public
    else:
        for part in condition.parts:
            yield from _keys(part)


class _Written(msgspec.Struct, frozen=True):
    """A part in DER: its fulfillment, None where it is not fulfilled, and its condition, which stands for it then."""

    fulfillment: bytes | None
    condition: bytes
    cost: int


def _written(condition: Condition, signatures: Mapping[bytes, bytes]) -> _Written:
    if isinstance(condition, Key):
        public, signature = _element(_FIELD_0, condition.public), signatures.get(condition.public)
        signed = None if signature is None else _element(_ED25519, public + _element(_FIELD_1, signature))
        return _Written(signed, _unfulfilled(_ED25519, public, ED25519_COST), ED25519_COST)
    parts = [_written(part, signatures) for part in condition.parts]
    dearest = sorted((part.cost for part in parts), reverse=True)[: condition.least]
    cost = sum(dearest) + THRESHOLD_COST_OF_PART * len(parts)
    fingerprint = _element(_FIELD_0, _integer(condition.least)) + _set(_FIELD_1_SET, [part.condition for part in parts])
    unfulfilled = _unfulfilled(_THRESHOLD, fingerprint, cost, _element(_FIELD_2, _SUBTYPES_ED25519))
    # One signature can fulfil several parts. The cheapest count, the first of equals: so the driver writes it.
    fulfilled = sorted((part for part in parts if part.fulfillment is not None), key=lambda part: part.cost)
    given = [part.fulfillment for part in fulfilled[: condition.least] if part.fulfillment is not None]
    if len(given) < condition.least:
        return _Written(None, unfulfilled, cost)
    left = [part.condition for part in parts if part.fulfillment is None]
    left += [part.condition for part in fulfilled[condition.least :]]
    written = _element(_THRESHOLD, _set(_FIELD_0_SET, given) + _set(_FIELD_1_SET, left))
    return _Written(written, unfulfilled, cost)


def _unfulfilled(tag: int, fingerprint: bytes, cost: int, subtypes: bytes = b"") -> bytes:
    """A condition as it stands in a fulfillment that leaves it unfulfilled, and in its parent's fingerprint."""
    digest = hashlib.sha256(_element(_SEQUENCE, fingerprint)).digest()
    return _element(tag, _element(_FIELD_0, digest) + _element(_FIELD_1, _integer(cost)) + subtypes)


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
    text = key.strip()
    if len(text) > MAX_KEY_TEXT:
        raise ConditionError("an owner is no Ed25519 public key of 32 bytes")
    try:
        public = _bytes_of(text)
    except ValueError as error:
        raise ConditionError("an owner is no base58 public key") from error
    if len(public) != 32:
        raise ConditionError("an owner is no Ed25519 public key of 32 bytes")
    return public


@functools.lru_cache(REMEMBERED_KEYS)
def _bytes_of(text: str) -> bytes:
    return bytes(base58.b58decode(text))


@functools.lru_cache(REMEMBERED_KEYS)
def _text_of(public: bytes) -> str:
    return str(base58.b58encode(public).decode())


def _element(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size) + content


def _set(tag: int, members: list[bytes]) -> bytes:
    return _element(tag, b"".join(sorted(members)))


def _integer(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1)
