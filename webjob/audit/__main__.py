"""The command line of the audit: `python -m audit`. Exit codes: see audit.exits."""

import argparse
import json
import os
import sys

from audit.course import Audit
from audit.errors import NothingToAuditError, UnfoldableError
from audit.exits import Exit
from audit.progress import Stage
from audit.result import Result, described
from relay.bell import Bell
from relay.errors import LedgerError, LedgerMismatchError, SettingsError, StopRequestedError, TablesError
from relay.logs import fields, log, printable, short, write_logs
from relay.loop import stop_on_file, stop_on_signals
from relay.settings import ReadingSettings, read_reading_settings

PATIENCE_S = 300.0
MOST_NAMED = 50
"""Differences that are named; of the others only the number is told."""


def main(arguments: list[str] | None = None) -> int:
    """Audit the record once; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        settings = read_reading_settings(os.environ)
        write_logs(settings.log_format, sys.stderr if asked.json else sys.stdout)
        result = _audit(settings, asked.patience)
    except SettingsError as error:
        print(f"leasehook audit: {printable(str(error))}", file=sys.stderr)
        return Exit.SETTINGS
    except NothingToAuditError as error:
        return _incomplete(error, Exit.FAULT)
    except LedgerMismatchError as error:
        return _incomplete(error, Exit.OTHER_LEDGER)
    except TablesError as error:
        return _incomplete(error, Exit.NO_TABLES)
    except (LedgerError, UnfoldableError) as error:
        return _incomplete(error, Exit.INCOMPLETE)
    except StopRequestedError:
        return _incomplete("it was asked to stop", Exit.INCOMPLETE)
    _tell(result)
    if asked.json:
        print(json.dumps(_values(result)))
    return Exit.DIFFERS if result.count else Exit.DONE


def _audit(settings: ReadingSettings, patience_s: float) -> Result:
    bell, stage = Bell(), Stage()
    stop_on_signals(bell, Exit.INCOMPLETE)
    stop_on_file(bell, settings.shutdown_file, Exit.INCOMPLETE)
    audit = Audit(settings, bell, patience_s, stage)
    stage.start()
    try:
        return audit.run()
    finally:
        stage.stop()
        audit.close()


def _incomplete(reason: object, exit_code: Exit) -> Exit:
    log.error("the audit did not come to its end", extra=fields(reason=short(str(reason))))
    return exit_code


def _tell(result: Result) -> None:
    """Say what was found, one line for each difference."""
    for one in result.differences[:MOST_NAMED]:
        named = fields(
            table=one.place.table,
            partition=short(one.place.partition),
            row=short(one.place.key),
            car=one.car,
            ledger=short(one.on_ledger),
            record=short(one.in_record),
        )
        log.error("DIFFERS", extra=named)
    if result.count > MOST_NAMED:
        log.error("more rows differ than are named", extra=fields(differences=result.count))
    if result.parked:
        log.warning("parked cars are left out", extra=fields(parked=len(result.parked), first=result.parked[0]))
    if result.not_judged:
        facts = fields(cars=result.not_judged, since=result.start)
        log.info("cars that have not moved since the relay began are left out", extra=facts)
    if result.count:
        log.error("record differs from the ledger in %s", _count(result.count, "place"))
        return
    log.info(
        "record equals ledger: %s, %s, up to block %d, in %.1f s",
        _count(result.drivers, "driver"),
        _count(result.cars, "car"),
        result.height,
        result.seconds,
    )


def _values(result: Result) -> dict[str, object]:
    return {
        "equal": not result.count,
        "height": result.height,
        "drivers": result.drivers,
        "cars": result.cars,
        "rows": result.rows,
        "differences": result.count,
        "named": [described(one) for one in result.differences[:MOST_NAMED]],
        "parked": list(result.parked),
        "not_judged": result.not_judged,
        "seconds": round(result.seconds, 1),
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m audit",
        description="Holds the insurer's record against the ledger, row by row. It changes nothing but its own row.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON; the log goes to standard error")
    parser.add_argument(
        "--patience",
        type=_seconds,
        default=PATIENCE_S,
        metavar="SECONDS",
        help="how long a node or Table Storage may be away before the audit gives up (%(default)g)",
    )
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 86_400.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
