"""What the audit's code knows, docs/audit.md says: exit codes, lines, arguments, and the row that it writes."""

import datetime as dt
import re
from pathlib import Path

from audit.__main__ import _parser
from audit.comparison import CARS, WHOLE, Difference, Place
from audit.exits import Exit
from audit.result import MAX_TEXT, Result, described, result_row
from audit.rows import CAR_COLUMNS, DRIVER_COLUMNS
from relay.exits import Exit as RelayExit
from tests.writing import new_keys

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "audit.md").read_text()
RECORD_TEXT = (ROOT / "docs" / "record.md").read_text()
SOURCES = "".join(path.read_text() for path in sorted((ROOT / "webjob" / "audit").glob("*.py")))


def result_with(*differences: Difference) -> Result:
    return Result(
        height=7,
        cars=2,
        drivers=1,
        rows=9,
        differences=differences,
        beyond=0,
        parked=["c" * 64],
        start=0,
        not_judged=0,
        seconds=1.26,
    )


def test_every_exit_code_has_its_line() -> None:
    assert re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE) == [str(int(code)) for code in Exit]


def test_an_exit_code_means_the_same_for_relay_and_audit() -> None:
    shared = {code.name: int(code) for code in Exit} | {code.name: int(code) for code in RelayExit}
    assert len(set(shared.values())) == len(shared)


def test_every_line_has_its_meaning() -> None:
    messages = set(re.findall(r'log\.(?:info|warning|error)\(\s*"([^"%:;,]+)', SOURCES))
    assert {"DIFFERS", "record equals ledger", "auditing"} <= messages
    assert [message for message in sorted(messages) if f"`{message.removesuffix(' in ').strip()}`" not in TEXT] == []


def test_every_argument_is_told() -> None:
    options = {option for action in _parser()._actions for option in action.option_strings} - {"-h", "--help"}
    assert options
    assert [option for option in options if option not in TEXT] == []


def test_every_property_of_its_row_has_its_line_and_the_ledger_names_the_row() -> None:
    row = result_row("ledger", result_with(), dt.datetime(2026, 11, 24, tzinfo=dt.UTC))
    assert (row["PartitionKey"], row["RowKey"]) == ("ledger", "audit-ledger")
    assert [name for name in row.keys() - {"PartitionKey", "RowKey"} if f"`{name}`" not in TEXT] == []
    assert (row["Differences"], row["Parked"], row["FirstDifference"], row["DurationSeconds"]) == (0, 1, "", 1.3)


def test_every_property_of_a_row_is_held_against_the_ledger_or_named_as_one_that_is_not() -> None:
    fields = RECORD_TEXT.partition("## Cars")[2].partition("## Relay")[0]
    properties = re.findall(r"^\| (`[^|]+) \|", fields, re.MULTILINE)
    written = {name for line in properties for name in re.findall(r"`(\w+)`", line)}
    assert {"Holders", "Ended", "OpenLeases", "EndSequence"} <= written
    _, _, after = TEXT.partition("Not held against anything: ")
    not_held = set(re.findall(r"`(\w+)`", after.partition("\n\n")[0]))
    # Provisional is read to tell whom the insurer has entered.
    held = {*CAR_COLUMNS, *DRIVER_COLUMNS} - {"Provisional"}
    assert written - held == not_held


def test_the_first_difference_is_short_and_names_no_driver_in_full() -> None:
    driver = new_keys().public_key
    place = Place(CARS, "a" * 64, WHOLE)
    long = Difference(place, "a" * 64, tuple(f"held by {driver} by lease {number}" for number in range(40)), ())
    text = result_row("ledger", result_with(long), dt.datetime(2026, 11, 24, tzinfo=dt.UTC))["FirstDifference"]
    assert len(text) <= MAX_TEXT + 1
    assert "a" * 64 in text
    assert driver[:8] in text
    assert driver not in described(long)


def test_the_audit_knows_nothing_of_the_function_app_and_of_what_is_never_deployed() -> None:
    assert re.findall(r"^\s*(?:from|import) (?:functions|local|tests|benchmarks)\b", SOURCES, re.MULTILINE) == []
