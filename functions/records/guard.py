"""Refuses, before anything is sent, what Azure Table Storage would refuse and Azurite accepts.

Sources: Microsoft, "Understanding the Table service data model" (properties, keys), "Performing entity group
transactions" (groups), and "How the size of an entity is calculated in Windows Azure table storage" (bytes).
Messages name the row and the property, never a property's value.
"""

import re
from collections.abc import Sequence
from typing import Any

from functions.records.changeset import Delete, Insert, Operation
from functions.records.errors import RefusedError, RowTooLargeError
from functions.records.rows import Entity

MAX_OPERATIONS = 100
"""Operations in one entity group transaction ("Performing entity group transactions")."""
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Bytes of the body of one entity group transaction ("Performing entity group transactions")."""
MAX_ENTITY_BYTES = 1024 * 1024
MAX_PROPERTIES = 252
"""Properties of one entity besides PartitionKey, RowKey and Timestamp."""
MAX_NAME_CHARACTERS = 255
MAX_TEXT_UNITS = 32 * 1024
"""UTF-16 units of one text property: 64 KiB."""
MAX_KEY_BYTES = 1024
"""Bytes of a PartitionKey or RowKey in UTF-16."""

_SYSTEM_PROPERTIES = frozenset({"PartitionKey", "RowKey", "Timestamp"})
_NOT_IN_KEYS = re.compile(r"[/\\#?\x00-\x1f\x7f-\x9f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN_CHARACTERS = 16
"""Of a name in a message: enough to find the row, too little to give away a driver's key."""


def check(operations: Sequence[Operation]) -> None:
    """Check one entity group transaction.

    Raises RowTooLargeError where something is too large or too many, RefusedError for what is wrong otherwise.
    """
    if not operations:
        raise RefusedError("an entity group transaction has 0 operations, and takes at least 1")
    if len(operations) > MAX_OPERATIONS:
        raise RowTooLargeError(
            f"an entity group transaction has {len(operations)} operations, and takes at most {MAX_OPERATIONS}"
        )
    group = _keys(operations[0])[0]
    seen = set()
    for operation in operations:
        partition, row = _keys(operation)
        check_keys(partition, row)
        if partition != group:
            raise RefusedError(f"row {_shown(row)}: its PartitionKey is not that of the first row of its transaction")
        if row in seen:
            raise RefusedError(f"row {_shown(row)}: it is changed 2 times in one transaction, which takes 1")
        seen.add(row)
        if not isinstance(operation, Delete):
            check_entity(operation.entity)
        if not isinstance(operation, Insert):
            _check_etag(row, operation.etag)


def check_keys(partition: Any, row: Any) -> None:
    """Check the keys of one row. Raises RowTooLargeError or RefusedError."""
    for name, key in (("PartitionKey", partition), ("RowKey", row)):
        if type(key) is not str:
            raise RefusedError(f"row {_shown(row)}: its {name} is of type {type(key).__name__}, and must be a str")
        size = 2 * _units(row, name, key)
        if size > MAX_KEY_BYTES:
            raise RowTooLargeError(
                f"row {_shown(row)}: its {name} has {size} bytes in UTF-16, and may have {MAX_KEY_BYTES}"
            )
        if found := _NOT_IN_KEYS.search(key):
            raise RefusedError(f"row {_shown(row)}: its {name} holds {found[0]!r}, and may not")


def check_length(length: int) -> None:
    """Check the bytes of an encoded entity group transaction. Raises RowTooLargeError."""
    if length > MAX_BODY_BYTES:
        raise RowTooLargeError(f"an entity group transaction has {length} bytes, and may have {MAX_BODY_BYTES}")


def check_entity(entity: Entity) -> None:
    """Check the properties of one row. Raises RowTooLargeError or RefusedError."""
    row = entity["RowKey"]
    size = 4 + 2 * (_units(row, "PartitionKey", entity["PartitionKey"]) + _units(row, "RowKey", row))
    count = 0
    for name, value in entity.items():
        # None is not written, and so neither counted nor measured.
        if name in _SYSTEM_PROPERTIES or value is None:
            continue
        count += 1
        size += 8 + 2 * _name_units(row, name) + _value_bytes(row, name, value)
    if count > MAX_PROPERTIES:
        raise RowTooLargeError(
            f"row {_shown(row)}: it has {count} properties besides the system's own, and may have {MAX_PROPERTIES}"
        )
    if size > MAX_ENTITY_BYTES:
        raise RowTooLargeError(f"row {_shown(row)}: it has {size} bytes, and may have {MAX_ENTITY_BYTES}")


def _name_units(row: str, name: str) -> int:
    if name.isascii() and name.isidentifier() and len(name) <= MAX_NAME_CHARACTERS:
        return len(name)
    units = _units(row, name, name)
    if units > MAX_NAME_CHARACTERS:
        raise RowTooLargeError(
            f"row {_shown(row)}: the name of property {_shown(name)} has {units} characters, "
            f"and may have {MAX_NAME_CHARACTERS}"
        )
    # Azure asks for an identifier of C#. Python's are the same but for formatting characters, which C# allows.
    if not name.isidentifier():
        raise RefusedError(f"row {_shown(row)}: the name of property {_shown(name)} is no identifier")
    return units


def _value_bytes(row: str, name: str, value: Any) -> int:
    """The bytes of a value as Azure counts them."""
    kind = type(value)
    if kind is str:
        units = _units(row, name, value)
        if units > MAX_TEXT_UNITS:
            raise RowTooLargeError(
                f"row {_shown(row)}: property {_shown(name)} has {units} UTF-16 units, and may have {MAX_TEXT_UNITS}"
            )
        return 4 + 2 * units
    if kind is bool:
        return 1
    if kind is not int:
        raise RefusedError(
            f"row {_shown(row)}: property {_shown(name)} is of type {kind.__name__}, and must be str, bool, int or None"
        )
    if not -(2**31) <= value < 2**31:
        raise RefusedError(
            f"row {_shown(row)}: property {_shown(name)} needs {value.bit_length() + 1} bits, and may have 32"
        )
    return 4


def _check_etag(row: str, etag: str) -> None:
    """A line break in an ETag would end the header that it stands in."""
    if not (etag and etag.isascii() and etag.isprintable()):
        raise RefusedError(f"row {_shown(row)}: an ETag of {len(etag)} characters is empty or holds what it may not")


def _units(row: Any, name: str, text: str) -> int:
    """How many UTF-16 units a text has. Raises RefusedError for half a surrogate pair, which no encoding can write."""
    if text.isascii():
        return len(text)
    if _LONE_SURROGATE.search(text):
        raise RefusedError(f"row {_shown(row)}: {_shown(name)} holds half a surrogate pair, which cannot be written")
    return len(text.encode("utf-16-le")) // 2


def _keys(operation: Operation) -> tuple[Any, Any]:
    """The keys as they were given: an entity may lack them, or have them of any type."""
    if isinstance(operation, Delete):
        return operation.partition, operation.row
    return operation.entity.get("PartitionKey"), operation.entity.get("RowKey")


def _shown(name: Any) -> str:
    """A RowKey or a property's name as a message may show it."""
    return ascii(name[:_SHOWN_CHARACTERS]) if isinstance(name, str) else f"<{type(name).__name__}>"
