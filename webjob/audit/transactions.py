"""What the audit sees of one transaction: what it spends, who owns its outputs, and whether a lessor registered a car.

Pure. Signatures are not verified again: the ledger has done so before it committed them.
"""

import base64
import binascii
from collections.abc import Collection, Iterator
from typing import Any

import base58
import msgspec

SIGNED = 102
"""Bytes of an Ed25519-SHA-256 fulfillment in DER: key and signature, and what goes before them
(draft-thomas-crypto-conditions-03)."""
KEY_MARK = b"\xa4\x64\x80\x20"
SIGNATURE_MARK = b"\x81\x40"
ALL_OF = 0xA2
FULFILLED = 0xA0
NOTHING_ELSE = b"\xa1\x00"


class UnreadableError(ValueError):
    """A transaction is not written as BigchainDB writes them."""


class Output(msgspec.Struct, frozen=True):
    """One output: the public keys (base58) that its condition names, in order, and its amount."""

    owners: tuple[str, ...]
    amount: int


class Movement(msgspec.Struct, frozen=True):
    """What a transaction moves: the outputs it spends, by transaction id and index there, and those it makes."""

    spends: tuple[tuple[str, int], ...]
    outputs: tuple[Output, ...]


class _Spent(msgspec.Struct):
    transaction_id: str
    output_index: int


class _Input(msgspec.Struct):
    fulfills: _Spent | None = None


class _Condition(msgspec.Struct):
    details: Any


class _Output(msgspec.Struct):
    amount: str
    condition: _Condition


class _Body(msgspec.Struct):
    inputs: list[_Input]
    outputs: list[_Output]


class _SignedInput(_Input):
    fulfillment: str = ""
    owners_before: list[str] = []


class _Registration(msgspec.Struct):
    inputs: list[_SignedInput]


_body = msgspec.json.Decoder(_Body)
_registration = msgspec.json.Decoder(_Registration)


def read_movement(raw: bytes) -> Movement:
    """What a transaction, as JSON, moves. Raises UnreadableError."""
    try:
        body = _body.decode(raw)
        spends = tuple((one.fulfills.transaction_id, one.fulfills.output_index) for one in body.inputs if one.fulfills)
        outputs = tuple(
            Output(tuple(sorted(set(_keys(one.condition.details)))), int(one.amount)) for one in body.outputs
        )
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"{type(error).__name__}: {error}") from error
    return Movement(spends, outputs)


def is_registration(raw: bytes, lessors: Collection[str]) -> bool:
    """Whether a CREATE, as JSON, registers a car: one of the lessors is among those who sign it, all of whom it names.

    Only the canonical writing of their signatures counts. Anybody can write those of a genuine registration in another
    way, and so make a second transaction that the ledger takes.
    """
    try:
        inputs = _registration.decode(raw).inputs
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    if len(inputs) != 1 or inputs[0].fulfills is not None:
        return False
    named = inputs[0].owners_before
    if not any(owner in lessors for owner in named):
        return False
    # The ledger takes white space after a key, but who is named so is not known as a lessor: nor is it by the Function.
    owners = [owner.strip() for owner in named]
    return sorted(_signers(inputs[0].fulfillment)) == sorted(owners)


def _keys(details: Any) -> Iterator[str]:
    """The public keys that a condition names: those, and not the output's public_keys, are who can spend it."""
    if "public_key" in details:
        # The ledger takes white space after a key: it is the same key.
        yield details["public_key"].strip()
        return
    for part in details["subconditions"]:
        yield from _keys(part)


def _signers(fulfillment: str) -> list[str]:
    """The public keys of all who signed, of one or of several of whom all must; none where it is written otherwise."""
    try:
        der = base64.b64decode(fulfillment + "=" * (-len(fulfillment) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return []
    if der.startswith(KEY_MARK):
        signed = [der]
    else:
        start = len(der) - len(NOTHING_ELSE) - (len(der) - len(NOTHING_ELSE)) // SIGNED * SIGNED
        signed = [der[at : at + SIGNED] for at in range(start, len(der) - len(NOTHING_ELSE), SIGNED)]
    if _canonical(signed) != fulfillment or not all(map(_is_signed, signed)):
        return []
    return [base58.b58encode(one[len(KEY_MARK) : len(KEY_MARK) + 32]).decode() for one in signed]


def _is_signed(der: bytes) -> bool:
    return len(der) == SIGNED and der.startswith(KEY_MARK) and der[36:38] == SIGNATURE_MARK


def _canonical(signed: list[bytes]) -> str:
    if len(signed) == 1:
        der = signed[0]
    else:
        der = _element(ALL_OF, _element(FULFILLED, b"".join(sorted(signed))) + NOTHING_ELSE)
    return base64.urlsafe_b64encode(der).rstrip(b"=").decode()


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag]) + (length if size < 0x80 else bytes([0x80 | len(length)]) + length) + content
