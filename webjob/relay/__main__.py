"""The command line: `python -m relay run` and `python -m relay status [--json]`.

Exit codes: 0 stopped as asked, or status shown; 1 a fault of the relay's own, or no checkpoint yet; 2 a setting is
wrong; 3 another relay has taken over; 4 the checkpoint is not of this ledger; 5 Table Storage does not answer.
"""

import argparse
import datetime as dt
import json
import os
import sys

from relay.checkpoint import CheckpointTable
from relay.errors import LedgerMismatchError, SettingsError, SupersededError, TablesError
from relay.logs import log, write_logs
from relay.loop import run
from relay.settings import read_settings, read_tables_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m relay", description="Relays a ledger's cars to the insurer.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="relay until stopped")
    status = commands.add_parser("status", help="where the relay stands")
    status.add_argument("--json", action="store_true", help="as JSON")
    asked = parser.parse_args(arguments)
    try:
        return _run() if asked.command == "run" else _status(as_json=asked.json)
    except SettingsError as error:
        print(f"leasehook relay: {error}", file=sys.stderr)
        return 2


def _run() -> int:
    settings = read_settings(os.environ)
    write_logs(settings.log_format)
    try:
        run(settings)
    except SupersededError as error:
        log.error("another relay has taken over; this one stops: %s", error)
        return 3
    except LedgerMismatchError as error:
        log.error("STOPPED: %s", error)
        return 4
    return 0


def _status(*, as_json: bool) -> int:
    table = CheckpointTable(read_tables_settings(os.environ))
    try:
        checkpoint, parked = table.read(), table.parked()
    except TablesError as error:
        print(f"leasehook relay: {error}", file=sys.stderr)
        return 5
    finally:
        table.close()
    if checkpoint is None:
        print("leasehook relay: no relay has run here yet: there is no checkpoint", file=sys.stderr)
        return 1
    age = (dt.datetime.now(dt.UTC) - checkpoint.heartbeat).total_seconds() if checkpoint.heartbeat else None
    state = {
        "checkpoint": checkpoint.height,
        "generation": checkpoint.generation,
        "owner": checkpoint.owner,
        "heartbeat_age_s": None if age is None else round(age, 1),
        "stream": checkpoint.stream,
        "parked": [
            {"car": car.asset_id, "transaction": car.transaction_id, "sequence": car.sequence, "reason": car.reason}
            for car in parked
        ],
    }
    if as_json:
        print(json.dumps(state))
    else:
        for name, value in state.items():
            print(f"{name:16} {len(parked) if name == 'parked' else value}")
        for car in parked:
            print(f"  parked {car.asset_id} at {car.sequence}: {car.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
