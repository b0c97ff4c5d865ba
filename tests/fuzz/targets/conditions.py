"""A condition and a fulfillment, `{"details": ..., "fulfillment": "..."}`: read or refused, and written in one way."""

from typing import Any

from functions.api.answers import RequestError, decoded
from functions.leasing.conditions import (
    Condition,
    ConditionError,
    Key,
    canonical_fulfillment,
    owners,
    read_condition,
    signatures_in,
)
from functions.settings import is_public_key


def check(data: bytes) -> None:
    """Hold both readers, and the writer, to each other."""
    try:
        given = decoded(data, dict[str, Any])
    except RequestError:
        return
    signatures = _signatures(given.get("fulfillment"))
    try:
        condition = read_condition(given.get("details"))
    except ConditionError:
        return
    assert owners(condition)
    assert all(is_public_key(owner) for owner in owners(condition))
    _check_written(condition, signatures)
    _check_written(condition, dict.fromkeys(_public_keys(condition), bytes(64)))


def _signatures(fulfillment: Any) -> dict[bytes, bytes]:
    try:
        found = signatures_in(fulfillment) if isinstance(fulfillment, str) else {}
    except ConditionError:
        return {}
    assert all((len(key), len(signature)) == (32, 64) for key, signature in found.items())
    return found


def _check_written(condition: Condition, signatures: dict[bytes, bytes]) -> None:
    """What is written canonically is read again as signatures that write the same."""
    written = canonical_fulfillment(condition, signatures)
    if written is not None:
        again = signatures_in(written)
        assert again.items() <= signatures.items()
        assert canonical_fulfillment(condition, again) == written


def _public_keys(condition: Condition) -> set[bytes]:
    if isinstance(condition, Key):
        return {condition.public}
    return {key for part in condition.parts for key in _public_keys(part)}
