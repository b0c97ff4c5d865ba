"""What the code knows, the documentation says: settings, outcomes, exit codes, rows, log lines."""

import datetime as dt
import re
from decimal import Decimal
from pathlib import Path

import pytest

from functions.leasing.car import Car, Mark
from functions.leasing.driver import Claim, Driver, Lease
from functions.leasing.outcomes import Outcome
from functions.leasing.terms import CarDescription, LeaseTerms
from functions.rating.premium import LeasedCar, PastHistory, rate
from functions.rating.tariff import read_tariff
from functions.records import rows
from relay import checkpoint, control, errors, parked
from relay.exits import Exit
from relay.silence import StreamState
from relay.verdict import Outcome as RelayOutcome

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


def settings_read_by(*folders: str) -> set[str]:
    """Names of the environment variables that the code of these folders names."""
    sources = "".join(path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return set(
        re.findall(r'"((?:LEDGER|LESSOR|TABLES|FUNCTION|RELAY|LOCAL|WEBHOOK|WEBJOBS_SHUTDOWN)_[A-Z_]+)"', sources)
    )


def test_every_setting_has_its_line() -> None:
    text = (DOCS / "settings.md").read_text()
    named = settings_read_by("functions", "webjob/relay", "local/functions_host")
    assert {"LEDGER_NAME", "FUNCTION_KEY", "RELAY_POLL_SECONDS", "WEBHOOK_SECRETS"} <= named
    assert [name for name in sorted(named) if f"| `{name}` |" not in text] == []


def test_no_setting_is_documented_that_nobody_reads() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE))
    assert documented <= settings_read_by("functions", "webjob/relay", "local/functions_host")


def test_every_outcome_has_its_line_and_both_sides_know_the_same() -> None:
    documented = set(re.findall(r"^\| `([a-z]+)` \|", (DOCS / "contract.md").read_text(), re.MULTILINE))
    outcomes = {str(outcome) for outcome in Outcome}
    assert outcomes <= documented
    assert outcomes == {str(outcome) for outcome in RelayOutcome}


def test_every_exit_code_has_its_line() -> None:
    text = (DOCS / "operations.md").read_text()
    assert [code for code in Exit if f"| {int(code)} |" not in text] == []
    assert set(re.findall(r"^\| (\d) \|", text, re.MULTILINE)) == {str(int(code)) for code in Exit}
    named = [Exit.SETTINGS, Exit.SUPERSEDED, Exit.OTHER_LEDGER, Exit.DONE]
    assert re.findall(r"exit code (\d)", errors.__doc__ or "") == [str(int(code)) for code in named]


def test_every_command_has_its_line() -> None:
    text = (DOCS / "operations.md").read_text()
    source = (ROOT / "webjob" / "relay" / "__main__.py").read_text()
    commands = set(re.findall(r'command\(\s*(?:commands|where),\s*"([a-z]+)"', source)) - {"park"}
    assert {"run", "status", "redrive", "replay", "pause", "resume", "doctor"} <= commands
    documented = " ".join(re.findall(r"^\| (`[a-z].*?) \|", text, re.MULTILINE))
    assert [command for command in commands if f"`{command}" not in documented] == []


def test_every_route_of_the_api_has_its_line() -> None:
    text = re.sub(r"\{[a-z_ ]+\}", "{}", (DOCS / "api.md").read_text())
    sources = "".join(path.read_text() for path in (ROOT / "functions" / "api").glob("*.py"))
    routes = re.findall(r'method="([A-Z]+)",\s+path="([^"]+)"', sources)
    assert ("POST", "ledger-events") in routes
    described = [f"`{method} /api/{re.sub(r'{[a-z_]+}', '{}', path)}`" for method, path in routes]
    assert [one for one in described if one not in text and "openapi.json" not in one] == []


def test_every_stream_state_has_its_word() -> None:
    text = (DOCS / "operations.md").read_text() + (DOCS / "record.md").read_text()
    assert [str(state) for state in StreamState if str(state) not in text] == []


def test_every_property_of_every_row_has_its_line() -> None:
    text = (DOCS / "record.md").read_text()
    car = Car("a" * 64, "lessor", "lessor", CarDescription(), (), (), "t", "s")
    premium = rate(read_tariff(), PastHistory(), LeasedCar("", "", None))
    lease = Lease("driver", "t", "s", "a" * 64, "lessor", CarDescription(), LeaseTerms(annual_mileage=1), premium)
    written = [
        rows.car_row(car),
        rows.transaction_row("a", Mark("t", "CREATE", "s", ())),
        rows.driver_row(Driver("driver", bonus_malus_class=14)),
        rows.lease_row(lease),
        rows.claim_row("driver", Claim("1", dt.date(2026, 1, 1), at_fault=True, amount=Decimal(1))),
    ]
    properties = {name for row in written for name in row} - {"PartitionKey", "RowKey"}
    source = "".join(Path(str(one.__file__)).read_text() for one in (checkpoint, parked, control))
    properties |= set(re.findall(r'^ +"([A-Z][A-Za-z]+)": ', source, re.MULTILINE)) - {"PartitionKey", "RowKey"}
    assert [name for name in sorted(properties) if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    text = (ROOT / page).read_text()
    targets = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_every_line_of_the_relays_log_has_its_meaning() -> None:
    text = (DOCS / "operations.md").read_text()
    sources = "".join(path.read_text() for path in (ROOT / "webjob" / "relay").rglob("*.py"))
    messages = set(re.findall(r'log\.(?:info|warning|error)\(\s*"([^"%:;,]+)', sources))
    assert {"delivered", "CAR PARKED", "REFUSED"} <= messages
    assert [message for message in sorted(messages) if f"`{message.strip()}" not in text] == []
