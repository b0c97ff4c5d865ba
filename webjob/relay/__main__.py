"""The command line: `python -m relay run`, `status [--json]`, and `redrive CAR` or `redrive --all`.

Exit codes: 0 stopped, or done as asked; 1 a fault of the relay's own, no checkpoint, or no such car; 2 a setting is
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
    redrive = commands.add_parser("redrive", help="have the relay try parked cars again")
    which = redrive.add_mutually_exclusive_group(required=True)
    which.add_argument("car", nargs="?", help="the car's asset id")
    which.add_argument("--all", action="store_true", help="every parked car")
    asked = parser.parse_args(arguments)
    try:
        match asked.command:
            case "run":
                return _run()
            case "status":
                return _status(as_json=asked.json)
            case _:
                return _redrive(asked.car)
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


def _redrive(asset_id: str | None) -> int:
    """Ask for one parked car, or for all where it is None; the running relay, or the next one, does the rest."""
    table = CheckpointTable(read_tables_settings(os.environ))
    try:
        wanted = [asset_id] if asset_id else [car.asset_id for car in table.parked()]
        asked = [car for car in wanted if table.ask_redrive(car)]
    except TablesError as error:
        print(f"leasehook relay: {error}", file=sys.stderr)
        return 5
    finally:
        table.close()
    if asset_id and not asked:
        print(f"leasehook relay: car {asset_id} is not parked", file=sys.stderr)
        return 1
    for car in asked:
        print(f"{car} will be redriven by the relay within seconds; `status` shows when it is no longer parked")
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
