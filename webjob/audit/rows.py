"""What the raw rows of tables Cars and Drivers say, in the words of audit.facts. Pure. See docs/record.md."""

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from audit.facts import LEASE, RECORD, TRANSACTION, Parts, car_parts, lease_parts, mark_parts

CLAIM = "claim-"
PIECE_CHARACTERS = 16_000
"""Of a long text; where that is full, it goes on in a property of the same name with 2, 3, ... behind it."""
MOST_PIECES = 33
"""No row holds more: 1 MiB, at two bytes a character."""
CAR_COLUMNS = ["PartitionKey", "RowKey", "Leased", "Holders", "UnspentOutputs", "LastTransaction", "Started", "Ended"]
DRIVER_COLUMNS = [
    "PartitionKey",
    "RowKey",
    "AssetId",
    "EndTransaction",
    "AnnualPremium",
    "Remarks",
    "Provisional",
    "Leasing",
    "Flagged",
    "OpenLeases",
    *(f"OpenLeases{number}" for number in range(2, MOST_PIECES + 1)),
]

UNKNOWN: Parts = ("a row of no kind that is known",)

Row = Mapping[str, Any]


def car_row(row: Row) -> Parts:
    """What a row of table Cars says."""
    key = row["RowKey"]
    if key.startswith(TRANSACTION):
        return _readable(_mark, row)
    return _readable(_car_record, row) if key.startswith(RECORD) else UNKNOWN


def lease_row(row: Row) -> Parts:
    """What the row of a lease says."""
    return _readable(_lease, row) if row["RowKey"].startswith(LEASE) else UNKNOWN


def driver_record(rows: Sequence[Row]) -> tuple[Parts, Parts]:
    """What the record of a driver should say by the leases in the partition `rows`, and what it says.

    It should name those that are open, each with its premium and whether a person should look at it, and their sum.
    """
    record = next((row for row in rows if row["RowKey"].startswith(RECORD)), None)
    leases = [row for row in rows if row["RowKey"].startswith(LEASE)]
    return _readable(_sum_of, leases), _readable(_driver_record, record) if record else ()


def is_of_the_insurer(rows: Sequence[Row]) -> bool:
    """Whether the insurer has entered something about the driver whose partition this is."""
    return any(row["RowKey"].startswith(CLAIM) for row in rows) or any(
        row["RowKey"].startswith(RECORD) and not row.get("Provisional") for row in rows
    )


def _car_record(row: Row) -> Parts:
    holders = [(one["driver"], one["lease"]) for one in json.loads(row["Holders"])]
    unspent = [
        (
            one["reference"]["transaction_id"],
            one["reference"]["output_index"],
            tuple(sorted(one["owners"])),
            one["amount"],
        )
        for one in json.loads(row["UnspentOutputs"])
    ]
    parts = car_parts(holders, unspent, row["LastTransaction"])
    return parts + _contradicted(row, Leased=bool(holders))


def _mark(row: Row) -> Parts:
    return mark_parts(json.loads(row["Started"]), [(driver, lease) for driver, lease in json.loads(row["Ended"])])


def _lease(row: Row) -> Parts:
    return lease_parts(row["AssetId"], row["EndTransaction"])


def _driver_record(row: Row) -> Parts:
    named = json.loads(_whole(row, "OpenLeases"))
    leases = {lease: (Decimal(premium), bool(flagged)) for lease, (premium, flagged) in named.items()}
    is_flagged = any(flagged for _, flagged in leases.values())
    parts = _driver_parts(leases, Decimal(row["AnnualPremium"]))
    return parts + _contradicted(row, Leasing=bool(leases), Flagged=is_flagged)


def _sum_of(rows: Sequence[Row]) -> Parts:
    leases = {
        row["RowKey"].removeprefix(LEASE): (Decimal(row["AnnualPremium"]), bool(json.loads(row["Remarks"])))
        for row in rows
        if not row["EndTransaction"]
    }
    return _driver_parts(leases, sum((premium for premium, _ in leases.values()), Decimal(0)))


def _driver_parts(leases: Mapping[str, tuple[Decimal, bool]], premium: Decimal) -> Parts:
    """The open leases, each by its id with its premium and whether a person should look at it, and their sum."""
    named = ", ".join(
        f"{lease} at {_plain(each)}{', flagged' if flagged else ''}"
        for lease, (each, flagged) in sorted(leases.items())
    )
    return f"open leases {named or 'none'}", f"premium {_plain(premium)}"


def _plain(premium: Decimal) -> str:
    return f"{premium.normalize():f}"


def _contradicted(row: Row, **expected: bool) -> Parts:
    """Those properties, for which lists can be filtered, that do not say what the rest of the row does."""
    return tuple(f"{name} is {row[name]}" for name, value in expected.items() if row[name] is not value)


def _whole(row: Row, name: str) -> str:
    """The text that stands in a property and in those in which it goes on."""
    pieces = [str(row[name])]
    while len(pieces[-1]) == PIECE_CHARACTERS:
        pieces.append(str(row[f"{name}{len(pieces) + 1}"]))
    return "".join(pieces)


def _readable[R](read: Callable[[R], Parts], row: R) -> Parts:
    """What `read` makes of a row; for one that no write of the Function app leaves, that it cannot be read."""
    try:
        return read(row)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
        return (f"a row that cannot be read ({type(error).__name__})",)
