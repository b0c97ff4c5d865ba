"""How far the record follows the ledger: what the relay and the audit left in table Relay, as one value.

It reads rows that others write (docs/record.md has them); it knows neither where they come from nor who asks.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from functions.records.errors import DamagedError

CHECKPOINT = "checkpoint-"
PARKED = "parked-"
AUDIT = "audit-"

PROPERTIES = (
    "RowKey", "Height", "Tip", "State", "LevelAt", "Stream", "Generation", "LastError", "LastErrorAt", "Differences",
)  # fmt: skip
"""What is read of each row, and when it was last written."""

State = Literal["none", "level", "delivering", "paused"]


class Following(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Where the relay of one ledger stands, as it said itself with its last heartbeat; ages and lags in seconds.

    `state` is none where no relay has run yet; then all that it would have said is None. `lag_s` is how long ago
    everything on the ledger was last settled, 0 where it is: blocks carry no time of their own. `last_error` is the
    last one it met, which may be long over. `audit_...` is what the last audit found, None where there was none.
    """

    ledger: str
    state: State
    checkpoint: int | None = None
    tip: int | None = None
    lag_blocks: int | None = None
    lag_s: float | None = None
    stream: str | None = None
    heartbeat_age_s: float | None = None
    parked_cars: int
    generation: int | None = None
    last_error: str | None = None
    last_error_age_s: float | None = None
    audit_age_s: float | None = None
    audit_height: int | None = None
    audit_differences: int | None = None


def following(ledger: str, rows: Iterable[Mapping[str, Any]], now: dt.datetime) -> Following:
    """The value for the rows of the ledger's partition. Raises DamagedError for one that no relay or audit leaves."""
    by_key = {row["RowKey"]: row for row in rows}
    try:
        return Following(
            ledger=ledger,
            parked_cars=sum(key.startswith(PARKED) for key in by_key),
            **_said_by_relay(by_key.get(CHECKPOINT + ledger), now),
            **_found_by_audit(by_key.get(AUDIT + ledger), now),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedError(f"a row of {ledger} in table Relay cannot be read: {type(error).__name__}") from error


def _said_by_relay(row: Mapping[str, Any] | None, now: dt.datetime) -> dict[str, Any]:
    if row is None:
        return {"state": "none"}
    height, tip = _whole_number(row["Height"]), _whole_number(row.get("Tip", 0))
    # A relay that has only just claimed the checkpoint has said nothing yet.
    state = row.get("State") or "delivering"
    return {
        "state": state,
        "checkpoint": height,
        "tip": tip,
        "lag_blocks": max(0, tip - height),
        "lag_s": 0.0 if state == "level" and height >= tip else _age(row.get("LevelAt"), now),
        "stream": row.get("Stream") or None,
        # By the clock of Table Storage: the relay's own may be ahead, and hide for as long that it is gone.
        "heartbeat_age_s": _age(row["Timestamp"], now),
        "generation": _whole_number(row["Generation"]),
        "last_error": row.get("LastError") or None,
        "last_error_age_s": _age(row.get("LastErrorAt"), now),
    }


def _found_by_audit(row: Mapping[str, Any] | None, now: dt.datetime) -> dict[str, Any]:
    if row is None:
        return {}
    return {
        "audit_age_s": _age(row["Timestamp"], now),
        "audit_height": _whole_number(row["Height"]),
        "audit_differences": _whole_number(row["Differences"]),
    }


def _age(since: dt.datetime | None, now: dt.datetime) -> float | None:
    """Seconds since then; 0 where that clock is ahead of this one."""
    return None if since is None else round(max(0.0, (now - since).total_seconds()), 1)


def _whole_number(value: Any) -> int:
    """An Int32, or an Int64, which the SDK wraps."""
    return int(getattr(value, "value", value))
