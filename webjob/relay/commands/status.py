"""`status`: where the relay stands, as it said itself with its last heartbeat."""

import datetime as dt

from relay.checkpoint import Checkpoint, CheckpointTable
from relay.commands.output import complain, show
from relay.commands.park import described
from relay.control import ControlTable
from relay.exits import Exit
from relay.parked import ParkedTable
from relay.settings import TablesSettings


def status(settings: TablesSettings, *, as_json: bool) -> Exit:
    """Print where the relay of this ledger stands. Raises TablesError."""
    table, parked_table, control = CheckpointTable(settings), ParkedTable(settings), ControlTable(settings)
    try:
        checkpoint, parked, paused_since = table.read(), parked_table.all(), control.paused_since()
    finally:
        for one in (table, parked_table, control):
            one.close()
    if checkpoint is None:
        complain("no relay has run here yet: there is no checkpoint")
        return Exit.FAULT
    values = summary(checkpoint, dt.datetime.now(dt.UTC)) | {
        "paused_since": paused_since.isoformat() if paused_since else None,
        "parked_cars": len(parked),
        "parked": [described(car) for car in parked],
    }
    show(values, [f"  parked {car.asset_id} at {car.sequence}: {car.reason}" for car in parked], as_json=as_json)
    return Exit.DONE


def summary(checkpoint: Checkpoint, now: dt.datetime) -> dict[str, object]:
    """The checkpoint and what its owner reported, by name; ages and lags in seconds.

    `lag_s`: how long ago everything on the ledger was last settled; 0 where it is. Blocks carry no time of their own.
    """
    report, height = checkpoint.report, checkpoint.mark.height
    is_level = report.state == "level" and height >= report.tip
    return {
        "checkpoint": height,
        "settled": report.settled,
        "tip": report.tip,
        "lag_blocks": max(0, report.tip - height),
        "lag_s": 0.0 if is_level else _seconds(report.level_at, now),
        "state": report.state,
        "stream": report.stream,
        "heartbeat_age_s": _seconds(checkpoint.heartbeat, now),
        "generation": checkpoint.generation,
        "owner": checkpoint.owner,
        "last_error": report.last_error,
        "last_error_age_s": _seconds(report.last_error_at, now),
    }


def _seconds(since: dt.datetime | None, now: dt.datetime) -> float | None:
    return None if since is None else round(max(0.0, (now - since).total_seconds()), 1)
