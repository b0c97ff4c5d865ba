"""How many bytes Azure bills for a row of a table. Pure.

Source: Microsoft, "Understanding Windows Azure Storage Billing - Bandwidth, Transactions, and Capacity" (2010), the
formula for entities: 4 bytes, two for each character of PartitionKey and RowKey, and for each property 8 bytes, two for
each character of its name, and its value. The timestamp, which every row has, is counted as a property.
"""

from collections.abc import Mapping

ENTITY = 4
PROPERTY = 8
CHARACTER = 2
TEXT_LENGTH = 4
TIMESTAMP = PROPERTY + CHARACTER * len("Timestamp") + 8
KEYS = {"PartitionKey", "RowKey"}


def entity_bytes(row: Mapping[str, object]) -> int:
    """The bytes of a row as plain JSON has it, without its Timestamp.

    Raises TypeError for a value of another kind than the record's rows have.
    """
    keys = sum(CHARACTER * utf16_units(str(row[key])) for key in KEYS)
    properties = sum(
        PROPERTY + CHARACTER * len(name) + _value_bytes(value) for name, value in row.items() if name not in KEYS
    )
    return ENTITY + keys + TIMESTAMP + properties


def utf16_units(text: str) -> int:
    """The characters of a text, as Azure counts them."""
    return len(text.encode("utf-16-le")) // 2


def _value_bytes(value: object) -> int:
    match value:
        case bool():
            return 1
        case int():
            return 4
        case float():
            return 8
        case str():
            return TEXT_LENGTH + CHARACTER * utf16_units(value)
    raise TypeError(f"a {type(value).__name__} is no value of a row of the record")
