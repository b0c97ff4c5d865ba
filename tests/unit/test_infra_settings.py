"""infra/ gives the two apps the settings that the code reads, with its defaults; and what else must agree."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from functions.api.relay import LINE
from functions.following import Following
from local.infra import modules
from local.infra.__main__ import FOLDER, check_symbols, read_folder
from local.infra.parsing import Document, Resource, entries, syntax
from local.infra.values import Fields, Items, Literal, Scope, Value, possible
from relay.settings import read_settings

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SITES = "Microsoft.Web/sites"
THE_PLATFORMS_OWN = re.compile(
    "AzureWebJobsDisableHomepage|AzureWebJobsStorage__(accountName|credential|clientId)|"
    "APPLICATIONINSIGHTS_(CONNECTION|AUTHENTICATION)_STRING|"
    "AZURE_CLIENT_ID|AZURE_TOKEN_CREDENTIALS|WEBSITE_[A-Z_]+|WEBJOBS_IDLE_TIMEOUT|SCM_[A-Z_]+"
)
"""What Azure reads, not our code; AZURE_* is read by the identity library."""
NOT_IN_AZURE = {"TABLES_CONNECTION_STRING"}
SET_BY_KUDU = {"WEBJOBS_SHUTDOWN_FILE"}
READ_BY_REQUESTS = {"REQUESTS_CA_BUNDLE"}
ON_PURPOSE_NOT_THE_DEFAULT = {"RELAY_LOG_FORMAT": "json", "RELAY_LOG_FILE": "/home/LogFiles/ledger-relay.log"}
"""In Azure the log is read by machines, and Kudu does not keep what is printed."""


@pytest.fixture(scope="module")
def templates() -> Mapping[Path, Document]:
    """The documents of infra/ without the files of parameters, so that a parameter's value is its default."""
    return {path: one for path, one in read_folder(ROOT, FOLDER).items() if path.suffix == ".bicep"}


def test_infra_is_right_as_far_as_names_and_syntax_go() -> None:
    documents = read_folder(ROOT, FOLDER)
    assert {"main.bicep", "dev.bicepparam", "prod.bicepparam"} <= {path.name for path in documents}
    found = [one for document in documents.values() for one in syntax(document)] or check_symbols(documents)
    assert [str(finding) for finding in found] == []


def test_the_function_app_gets_every_setting_that_it_reads(templates: Mapping[Path, Document]) -> None:
    read = settings_read_by("functions", "function_app.py") - NOT_IN_AZURE
    assert {"LEDGER_NAME", "WEBHOOK_SECRETS", "TABLES_ENDPOINT"} <= read
    assert sorted(read - app_settings(templates, "functionapp,linux").keys()) == []


def test_relay_and_audit_get_every_setting_that_they_read(templates: Mapping[Path, Document]) -> None:
    read = settings_read_by("webjob/relay", "webjob/audit") - NOT_IN_AZURE - SET_BY_KUDU | READ_BY_REQUESTS
    assert {"LEDGER_URLS", "FUNCTION_KEY", "RELAY_LANES"} <= read
    assert sorted(read - app_settings(templates, "app,linux").keys()) == []


def test_no_app_gets_a_setting_that_nobody_reads(templates: Mapping[Path, Document]) -> None:
    read = {
        "functionapp,linux": settings_read_by("functions", "function_app.py"),
        "app,linux": settings_read_by("webjob/relay", "webjob/audit") | READ_BY_REQUESTS,
    }
    for kind, known in read.items():
        given = {name for name in app_settings(templates, kind) if not THE_PLATFORMS_OWN.fullmatch(name)}
        assert sorted(given - known) == []


def test_no_app_gets_a_connection_string_of_the_tables(templates: Mapping[Path, Document]) -> None:
    for kind in ("functionapp,linux", "app,linux"):
        assert "TABLES_CONNECTION_STRING" not in app_settings(templates, kind)


def test_both_apps_get_the_same_value_where_both_sides_must_agree(templates: Mapping[Path, Document]) -> None:
    functions, relay = app_settings(templates, "functionapp,linux"), app_settings(templates, "app,linux")
    shared = {"LEDGER_NAME", "LESSOR_PUBLIC_KEYS", "TABLES_ENDPOINT"}
    assert shared <= functions.keys() & relay.keys()
    main = next(document for path, document in templates.items() if path.name == "main.bicep")
    given = {module.name: entries(entries(module.body).get("params")) for module in main.modules}
    callers = [one for one in given.values() if {"ledgerName", "lessorPublicKeys", "tablesEndpoint"} <= one.keys()]
    assert len(callers) == 2
    for name in ("ledgerName", "lessorPublicKeys", "tablesEndpoint"):
        assert callers[0][name].text == callers[1][name].text


def test_the_relays_defaults_in_bicep_are_the_codes(templates: Mapping[Path, Document]) -> None:
    settings = read_settings(
        {
            "LEDGER_NAME": "cars",
            "LEDGER_URLS": "https://node.example",
            "LESSOR_PUBLIC_KEYS": "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi",
            "FUNCTION_URL": "https://app.example/api/ledger-events",
            "FUNCTION_KEY": "k",
            "TABLES_ENDPOINT": "https://account.table.core.windows.net",
        }
    )
    given = {name: value for name, value in app_settings(templates, "app,linux").items() if name.startswith("RELAY_")}
    assert len(given) > 7
    for name, values in given.items():
        code = ON_PURPOSE_NOT_THE_DEFAULT.get(name) or getattr(settings, name.removeprefix("RELAY_").lower())
        literals = [value.value for value in values if isinstance(value, Literal)]
        assert [plain(literal) for literal in literals] == [plain(code)], name


def test_secrets_reach_the_apps_by_key_vault_alone_and_without_a_version(templates: Mapping[Path, Document]) -> None:
    secrets = {"functionapp,linux": {"WEBHOOK_SECRETS"}, "app,linux": {"WEBHOOK_SECRETS", "FUNCTION_KEY"}}
    sources = "".join(str(document.root.text or b"", "utf-8") for document in templates.values())
    for kind, names in secrets.items():
        for name in names:
            assert name in app_settings(templates, kind)
            references = re.findall(rf"name: '{name}'[,\s]+value: '(.*?)'", sources)
            assert references
            for reference in references:
                assert re.fullmatch(r"@Microsoft\.KeyVault\(VaultName=\$\{\w+\};SecretName=[a-z-]+\)", reference), (
                    f"{name} is given {reference}"
                )


def test_the_secrets_in_bicep_are_those_that_the_deployment_puts_into_the_vault(
    templates: Mapping[Path, Document],
) -> None:
    sources = "".join(str(document.root.text or b"", "utf-8") for document in templates.values())
    referred = set(re.findall(r"SecretName=([A-Za-z0-9-]+)", sources))
    commands = re.findall(
        r"az keyvault secret set(?:[^\n\\]|\\\n)*?--name (\S+)", (DOCS / "deploy.md").read_text().replace("\\\n", " ")
    )
    assert referred == {"function-key", "webhook-secrets"}
    assert set(commands) == referred


def test_the_tables_in_bicep_are_those_that_the_code_uses(templates: Mapping[Path, Document]) -> None:
    functions = (ROOT / "functions" / "records" / "record.py").read_text()
    relay = (ROOT / "webjob" / "relay" / "tables.py").read_text()
    used = set(re.findall(r'^(?:DRIVERS|CARS|RELAY) = "(\w+)"', functions, re.MULTILINE))
    used |= set(re.findall(r'^TABLE = "(\w+)"', relay, re.MULTILINE))
    assert used == {"Drivers", "Cars", "Relay"}
    assert names_of(templates, "Microsoft.Storage/storageAccounts/tableServices/tables") == used


def test_every_alert_has_its_section_in_the_operations_page(templates: Mapping[Path, Document]) -> None:
    alerts = names_of(templates, "Microsoft.Insights/scheduledQueryRules")
    assert alerts == {
        "relay-heartbeat-missing",
        "relay-lag",
        "stream-silent",
        "cars-parked",
        "function-5xx",
        "record-differs",
    }
    sections = set(re.findall(r"^###? `?([a-z0-9-]+)`?$", (DOCS / "operations.md").read_text(), re.MULTILINE))
    assert sorted(alerts - sections) == []


def test_the_alerts_ask_for_what_the_line_of_the_function_app_says(templates: Mapping[Path, Document]) -> None:
    alerts = next(str(one.root.text or b"", "utf-8") for path, one in templates.items() if path.name == "alerts.bicep")
    asked = set(re.findall(r"\brelay\.([a-z_]+)", alerts))
    assert {"heartbeat_age_s", "lag_s", "stream", "parked_cars", "audit_differences"} <= asked
    assert sorted(asked - set(Following.__struct_fields__)) == []
    assert f'where Message startswith "{LINE}"' in alerts
    assert f"parse_json(substring(Message, {len(LINE)}))" in alerts


def test_the_checker_sees_the_settings_of_a_template_as_they_are() -> None:
    """What the tests above read by is held against a template whose settings are known."""
    documents = read_folder(ROOT, FOLDER)
    functions = app_settings(documents, "functionapp,linux")
    assert functions.keys() >= {"LEDGER_NAME", "AzureWebJobsStorage__credential"}
    assert [value.value for value in functions["AZURE_TOKEN_CREDENTIALS"] if isinstance(value, Literal)] == [
        "ManagedIdentityCredential"
    ]


def settings_read_by(*places: str) -> set[str]:
    """Names of the environment variables that the code of these folders and files names."""
    files = [
        path for place in places for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    sources = "".join(path.read_text() for path in files)
    return set(re.findall(r'"((?:LEDGER|LESSOR|TABLES|FUNCTION|RELAY|WEBHOOK|WEBJOBS_SHUTDOWN)_[A-Z_]+)"', sources))


def app_settings(documents: Mapping[Path, Document], kind: str) -> dict[str, tuple[Value, ...]]:
    """What the app of this kind may get for each of its settings, by the setting's name."""
    found: dict[str, tuple[Value, ...]] = {}
    for resource, scope in resources(documents, SITES):
        body = entries(resource.body)
        if [one.value for one in possible(body["kind"], scope) if isinstance(one, Literal)] != [kind]:
            continue
        for properties in fields(possible(body["properties"], scope)):
            for config in fields(possible(properties.entries["siteConfig"][1], properties.scope)):
                for settings in possible(config.entries["appSettings"][1], config.scope):
                    assert isinstance(settings, Items), "an app's settings are not written out"
                    for node, inner in settings.items:
                        for one in fields(possible(node, inner)):
                            for name in possible(one.entries["name"][1], one.scope):
                                assert isinstance(name, Literal), "the name of a setting is not written out"
                                found[str(name.value)] = possible(one.entries["value"][1], one.scope)
    assert found, f"infra/ has no app of kind {kind} with settings"
    return found


def names_of(documents: Mapping[Path, Document], kind: str) -> set[str]:
    """The names of all resources of a type; each must be written out."""
    found = set()
    for resource, scope in resources(documents, kind):
        for value in possible(entries(resource.body)["name"], scope):
            assert isinstance(value, Literal), f"the name of {resource.name} is not written out"
            found.add(str(value.value))
    return found


def resources(documents: Mapping[Path, Document], kind: str) -> Iterator[tuple[Resource, Scope]]:
    """The resources of a type that are deployed, each with the scope of its body."""
    scopes = modules.scopes(documents)
    for path, document in documents.items():
        for resource in document.resources:
            if resource.type == kind and not resource.is_existing:
                yield resource, scopes[path].within(resource.loops)


def fields(values: tuple[Value, ...]) -> Iterator[Fields]:
    """Those of the values that are objects written out."""
    for value in values:
        if isinstance(value, Fields):
            yield value


def plain(value: object) -> object:
    """A number as a number, whether it is a text or not; anything else as a text."""
    try:
        return float(str(value))
    except ValueError:
        return str(value)
