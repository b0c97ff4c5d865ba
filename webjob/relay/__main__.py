"""The command line of the relay: `python -m relay COMMAND`; each command takes --json. Exit codes: see relay.exits."""

import argparse
import logging
import os
import sys

from relay.commands.doctor import doctor
from relay.commands.output import complain
from relay.commands.park import list_parked, redrive
from relay.commands.pausing import pause, resume
from relay.commands.replay import replay
from relay.commands.status import status
from relay.errors import LedgerMismatchError, SettingsError, StopRequestedError, SupersededError, TablesError
from relay.exits import Exit
from relay.logfile import LogFile
from relay.logs import fields, formatter, log, write_logs
from relay.loop import run
from relay.settings import Settings, read_settings, read_tables_settings

LAST_LINES_S = 0.5
"""How long the end of the process waits for the log's file."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    asked = _parser().parse_args(arguments)
    try:
        return _run() if asked.command == "run" else _command(asked)
    except SettingsError as error:
        complain(str(error))
        return Exit.SETTINGS
    except TablesError as error:
        complain(str(error))
        return Exit.NO_TABLES
    except StopRequestedError:
        return Exit.DONE


def _command(asked: argparse.Namespace) -> Exit:
    write_logs("text", sys.stderr, logging.WARNING)
    if asked.command == "doctor":
        return doctor(os.environ, asked.listen, is_probing=asked.probe, as_json=asked.json)
    tables, as_json = read_tables_settings(os.environ), bool(asked.json)
    match asked.command, getattr(asked, "what", ""):
        case "status", _:
            return status(tables, as_json=as_json)
        case "park", "list":
            return list_parked(tables, as_json=as_json)
        case "pause", _:
            return pause(tables, as_json=as_json)
        case "resume", _:
            return resume(tables, as_json=as_json)
        case ("redrive", _) | ("park", "redrive"):
            return redrive(tables, asked.car, as_json=as_json)
        case _:
            return replay(read_settings(os.environ), asked.first, asked.last, as_json=as_json)


def _run() -> Exit:
    settings = read_settings(os.environ)
    write_logs(settings.log_format)
    log_file = _open_log_file(settings)
    try:
        return _relay(settings)
    finally:
        if log_file:
            log_file.wait(LAST_LINES_S)


def _relay(settings: Settings) -> Exit:
    try:
        run(settings)
    except SupersededError as error:
        log.error("another relay has taken over; this one stops: %s", error)
        return Exit.SUPERSEDED
    except LedgerMismatchError as error:
        log.error("STOPPED: %s", error)
        return Exit.OTHER_LEDGER
    except (SettingsError, TablesError, StopRequestedError):
        raise
    except Exception:  # noqa: BLE001  it is logged, with its traceback, also where only the log's file is kept
        log.exception("the relay itself is at fault, and ends")
        return Exit.FAULT
    return Exit.DONE


def _open_log_file(settings: Settings) -> LogFile | None:
    if not settings.log_file:
        return None
    try:
        log_file = LogFile(settings.log_file, formatter(settings.log_format))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        log.warning("the log file cannot be opened", extra=fields(file=settings.log_file, reason=reason))
        return None
    log.addHandler(log_file)
    return log_file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m relay", description="Relays a ledger's cars to the insurer.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one line of JSON")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(
        where: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str
    ) -> argparse.ArgumentParser:
        return where.add_parser(name, help=text, description=text, parents=[common], allow_abbrev=False)

    command(commands, "run", "relay until stopped (RELAY_LOG_FORMAT says how it logs)")
    command(commands, "status", "where the relay stands: checkpoint, lag, stream, parked cars, last error")
    parked = command(commands, "park", "the cars that are left out").add_subparsers(dest="what", required=True)
    command(parked, "list", "the parked cars, each with its reason")
    for where in (commands, parked):
        again = command(where, "redrive", "have the relay try parked cars again, from their first transaction")
        which = again.add_mutually_exclusive_group(required=True)
        which.add_argument("car", nargs="?", help="the car's asset id")
        which.add_argument("--all", action="store_true", help="every parked car")
    replaying = command(commands, "replay", "send blocks once more, and tell what that changed; the checkpoint stays")
    replaying.add_argument(
        "--from", dest="first", type=_height, required=True, metavar="HEIGHT", help="the first block"
    )
    replaying.add_argument(
        "--to", dest="last", type=_height, metavar="HEIGHT", help="the last block (default: the tip)"
    )
    command(commands, "pause", "deliver nothing until `resume`, over restarts too")
    command(commands, "resume", "go on after `pause`")
    checking = command(
        commands, "doctor", "check nodes, stream, Function, tables, clock and WebJob, and say what to do"
    )
    checking.add_argument(
        "--listen",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="how long to listen to the stream (%(default)s)",
    )
    checking.add_argument(
        "--probe",
        action="store_true",
        help="commit an asset of no car to the ledger, so that the stream has something to announce",
    )
    return parser


def _height(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a block height (1 or more)")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 600")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
