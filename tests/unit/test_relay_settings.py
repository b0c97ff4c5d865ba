"""The relay's settings: what is accepted, and the one line that says what is wrong with the rest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.processes import ROOT
from relay.errors import SettingsError
from relay.events import MAX_BATCH_BYTES
from relay.settings import Secret, Settings, TablesSettings, read_settings, read_tables_settings
from relay.tables import open_service
from tests.secret_texts import secret_texts, shows
from tests.signing import signing_secret
from tests.writing import new_keys

KEY = "S3cretFunctionKey=="
ACCOUNT_KEY = "U2VjcmV0QWNjb3VudEtleQ=="
LESSOR = "4K9sWUMFwTgaDGPfdynrbxWqWS6sWmKbZoTjxLtVUibD"
SIGNING = signing_secret("old")
SIGNING_TOO = signing_secret("new")
SECRETS = (KEY, ACCOUNT_KEY, "S3cret", "hunter2", SIGNING.removeprefix("whsec_"), SIGNING_TOO.removeprefix("whsec_"))

RIGHT = {
    "LEDGER_NAME": "leasing-1",
    "LEDGER_URLS": "http://127.0.0.1:9984",
    "LESSOR_PUBLIC_KEYS": LESSOR,
    "FUNCTION_URL": "https://insurer.example/api/ledger-events",
    "FUNCTION_KEY": KEY,
    "TABLES_CONNECTION_STRING": f"AccountName=account;AccountKey={ACCOUNT_KEY}",
}

EVERY_SETTING = re.findall(r"^\| `((?!LOCAL_)[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)


def read(**changed: str) -> Settings:
    return read_settings({**RIGHT, **changed})


def refusal(**changed: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**changed)
    return str(caught.value)


def test_the_least_that_must_be_set_is_enough() -> None:
    settings = read()
    assert settings.ledger_urls == ("http://127.0.0.1:9984",)
    assert settings.lessors == {LESSOR}
    assert settings.event_source == "urn:bigchaindb:leasing-1"
    assert settings.function_key.reveal() == KEY
    assert (settings.stream_url, settings.poll_seconds, settings.batch_events, settings.log_format) == (
        "",
        2.0,
        100,
        "text",
    )
    assert (settings.webhook_secrets, settings.start_from, settings.poll_trusted_seconds) == ((), "beginning", 10.0)
    assert (settings.lanes, settings.batch_bytes, settings.linger_ms, settings.prefetch_blocks) == (
        4,
        MAX_BATCH_BYTES,
        100,
        4,
    )


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("RELAY_POLL_SECONDS", "0.1", "poll_seconds", 0.1),
        ("RELAY_POLL_TRUSTED_SECONDS", "300", "poll_trusted_seconds", 300.0),
        ("RELAY_LANES", "1", "lanes", 1),
        ("RELAY_LANES", "64", "lanes", 64),
        ("RELAY_BATCH_EVENTS", " 500 ", "batch_events", 500),
        ("RELAY_BATCH_BYTES", "10000", "batch_bytes", 10_000),
        ("RELAY_BATCH_BYTES", "1000000", "batch_bytes", 1_000_000),
        ("RELAY_LINGER_MS", "0", "linger_ms", 0),
        ("RELAY_LINGER_MS", "10000", "linger_ms", 10_000),
        ("RELAY_PREFETCH_BLOCKS", "1", "prefetch_blocks", 1),
        ("RELAY_PREFETCH_BLOCKS", "16", "prefetch_blocks", 16),
        ("RELAY_START_FROM", "beginning", "start_from", "beginning"),
        ("RELAY_START_FROM", " tip ", "start_from", "tip"),
        ("RELAY_START_FROM", "1", "start_from", "1"),
        ("RELAY_START_FROM", "999999999999999", "start_from", "9" * 15),
        ("RELAY_LOG_FORMAT", "json", "log_format", "json"),
        ("RELAY_LOG_FILE", " /home/LogFiles/relay.log ", "log_file", "/home/LogFiles/relay.log"),
        ("RELAY_LOG_FILE", "", "log_file", ""),
        ("LEDGER_STREAM_URL", "wss://node/streams", "stream_url", "wss://node/streams"),
        ("WEBJOBS_SHUTDOWN_FILE", "/tmp/x", "shutdown_file", "/tmp/x"),  # noqa: S108
    ],
)
def test_each_setting_reaches_as_far_as_it_is_allowed(variable: str, text: str, name: str, value: object) -> None:
    assert getattr(read(**{variable: text}), name) == value


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" ", 0),
        (SIGNING, 1),
        (f" {SIGNING} , {SIGNING_TOO} ", 2),
        (signing_secret("shortest", 24), 1),
        (signing_secret("longest", 64), 1),
    ],
    ids=["nothing", "blanks", "one", "two", "the shortest", "the longest"],
)
def test_one_or_two_secrets_may_sign(text: str, count: int) -> None:
    secrets = read(WEBHOOK_SECRETS=text).webhook_secrets
    assert len(secrets) == count
    assert [secret.reveal() for secret in secrets] == [part.strip() for part in text.split(",") if part.strip()]


def test_a_signing_secret_is_the_bytes_that_its_base64_stands_for() -> None:
    assert Secret("whsec_AAEC").decoded() == b"\x00\x01\x02"


def test_several_nodes_and_lessors_are_separated_by_commas() -> None:
    second = new_keys().public_key
    settings = read(LEDGER_URLS=" https://one/ ,, http://two:9984", LESSOR_PUBLIC_KEYS=f"{LESSOR}, {second},")
    assert settings.ledger_urls == ("https://one", "http://two:9984")
    assert settings.lessors == {LESSOR, second}


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7071/api/ledger-events", "http://localhost/x", "http://[::1]:80/x", "https://host/x"]
)
def test_the_function_may_be_anywhere_over_https_and_on_this_machine_over_http(url: str) -> None:
    assert read(FUNCTION_URL=url).function_url == url


def test_a_table_endpoint_may_stand_in_place_of_the_connection_string() -> None:
    tables = read(TABLES_CONNECTION_STRING="", TABLES_ENDPOINT="https://account.table.core.windows.net").tables
    assert (tables.connection_string, tables.endpoint) == (None, "https://account.table.core.windows.net")


WRONG = [
    ("LEDGER_NAME", "", "nothing", "a-z, 0-9 and -"),
    ("LEDGER_NAME", "Leasing", "'Leasing'", "a-z, 0-9 and -"),
    ("LEDGER_NAME", "a/b", "'a/b'", "a-z, 0-9 and -"),
    ("LEDGER_NAME", "a" * 64, "aaaa", "1 to 63"),
    ("LEDGER_NAME", "a\nb", r"'a\nb'", "a-z, 0-9 and -"),
    ("LEDGER_URLS", "", "nothing", "http://"),
    ("LEDGER_URLS", " , ", "nothing", "http://"),
    ("LEDGER_URLS", "127.0.0.1:9984", "'127.0.0.1:9984'", "http://"),
    ("LEDGER_URLS", "http://good,ftp://bad", "'ftp://bad'", "http://"),
    ("LEDGER_URLS", "http://", "'http:", "http://"),
    ("LEDGER_URLS", "http://host:99999", "99999", "http://"),
    ("LEDGER_URLS", "http://[::1", "'http://[::1'", "http://"),
    ("LEDGER_URLS", "http://user:hunter2@host", "not shown", "http://"),
    ("LEDGER_STREAM_URL", "http://host/", "'http://host/'", "ws://"),
    ("LEDGER_STREAM_URL", "ws://user:hunter2@host/", "not shown", "ws://"),
    ("LESSOR_PUBLIC_KEYS", "", "nothing", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", " , ", "nothing", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", f"{LESSOR},{LESSOR[:-1]}", "(not shown), number 2 of 2", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", "0OIl", "'0OIl'", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", "é", "'é'", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", "1" * 100_000, "1111", "base58 Ed25519"),
    ("LESSOR_PUBLIC_KEYS", "a\nb", r"'a\nb'", "base58 Ed25519"),
    ("FUNCTION_URL", "", "nothing", "https://"),
    ("FUNCTION_URL", "insurer.example", "'insurer.example'", "https://"),
    ("FUNCTION_URL", "http://insurer.example/x", "'http://insurer.example/x'", "https://"),
    ("FUNCTION_URL", "http://127.0.0.1.evil.example/x", "evil", "https://"),
    ("FUNCTION_URL", "https://u:hunter2@host/", "not shown", "without credentials"),
    ("FUNCTION_URL", "https://host/?code=S3cret", "not shown", "FUNCTION_KEY"),
    ("FUNCTION_KEY", "", "nothing", "function key"),
    ("FUNCTION_KEY", "S3cret\nkey", "not shown", "function key"),
    ("FUNCTION_KEY", "S3cretké", "not shown", "function key"),
    ("TABLES_CONNECTION_STRING", "", "neither", "table endpoint"),
    ("TABLES_CONNECTION_STRING", "S3cret", "not shown", "AccountName"),
    ("TABLES_ENDPOINT", "https://account.table.core.windows.net", "both", "set one"),
    ("RELAY_POLL_SECONDS", "0", "'0'", "0.1 to 300"),
    ("RELAY_POLL_SECONDS", "301", "'301'", "0.1 to 300"),
    ("RELAY_POLL_SECONDS", "two", "'two'", "0.1 to 300"),
    ("RELAY_POLL_SECONDS", "nan", "'nan'", "0.1 to 300"),
    ("RELAY_POLL_SECONDS", "inf", "'inf'", "0.1 to 300"),
    ("RELAY_BATCH_EVENTS", "0", "'0'", "1 to 500"),
    ("RELAY_BATCH_EVENTS", "501", "'501'", "1 to 500"),
    ("RELAY_BATCH_EVENTS", "many", "'many'", "1 to 500"),
    ("RELAY_BATCH_EVENTS", "9.5", "'9.5'", "1 to 500"),
    ("RELAY_POLL_TRUSTED_SECONDS", "0", "'0'", "0.1 to 300"),
    ("RELAY_POLL_TRUSTED_SECONDS", "nan", "'nan'", "0.1 to 300"),
    ("RELAY_LANES", "0", "'0'", "1 to 64"),
    ("RELAY_LANES", "65", "'65'", "1 to 64"),
    ("RELAY_LANES", "-1", "'-1'", "1 to 64"),
    ("RELAY_LANES", "٤", "'٤'", "1 to 64"),
    ("RELAY_BATCH_BYTES", "9999", "'9999'", "10000 to 1000000"),
    ("RELAY_BATCH_BYTES", "1000001", "'1000001'", "10000 to 1000000"),
    ("RELAY_BATCH_BYTES", "1e5", "'1e5'", "10000 to 1000000"),
    ("RELAY_LINGER_MS", "-1", "'-1'", "0 to 10000"),
    ("RELAY_LINGER_MS", "10001", "'10001'", "0 to 10000"),
    ("RELAY_PREFETCH_BLOCKS", "0", "'0'", "1 to 16"),
    ("RELAY_PREFETCH_BLOCKS", "17", "'17'", "1 to 16"),
    ("RELAY_PREFETCH_BLOCKS", "9" * 5_000, "'9999", "1 to 16"),
    ("RELAY_START_FROM", "0", "'0'", "1 or more"),
    ("RELAY_START_FROM", "-1", "'-1'", "1 or more"),
    ("RELAY_START_FROM", "1.5", "'1.5'", "1 or more"),
    ("RELAY_START_FROM", "Tip", "'Tip'", "beginning, tip"),
    ("RELAY_START_FROM", "end", "'end'", "beginning, tip"),
    ("RELAY_START_FROM", "007", "'007'", "beginning, tip"),
    ("RELAY_START_FROM", "1" + "0" * 15, "'1000000000000000'", "beginning, tip"),
    ("RELAY_START_FROM", "a\nb", r"'a\nb'", "beginning, tip"),
    ("WEBHOOK_SECRETS", "S3cret", "not shown", "whsec_"),
    ("WEBHOOK_SECRETS", SIGNING.removeprefix("whsec_"), "not shown", "whsec_"),
    ("WEBHOOK_SECRETS", f"{SIGNING}%", "not shown", "base64"),
    ("WEBHOOK_SECRETS", f"{SIGNING[:-1]}", "not shown", "base64"),
    ("WEBHOOK_SECRETS", f"{SIGNING}é", "not shown", "base64"),
    ("WEBHOOK_SECRETS", f"{SIGNING},", "not shown", "one or two"),
    ("WEBHOOK_SECRETS", f"{SIGNING},S3cret", "not shown", "one or two"),
    ("WEBHOOK_SECRETS", f"{SIGNING},{SIGNING_TOO},{SIGNING}", "not shown", "one or two"),
    ("WEBHOOK_SECRETS", signing_secret("hunter2", 23), "not shown", "24 to 64 bytes"),
    ("WEBHOOK_SECRETS", signing_secret("hunter2", 65), "not shown", "24 to 64 bytes"),
    ("RELAY_LOG_FORMAT", "xml", "'xml'", "text or json"),
    ("RELAY_LOG_FORMAT", "a\nb", r"'a\nb'", "text or json"),
    ("RELAY_LOG_FILE", "relay.log", "'relay.log'", "absolute path"),
    ("RELAY_LOG_FILE", "/home/", "'/home/'", "absolute path"),
    ("RELAY_LOG_FILE", "/home/a\x1b[1m", r"'/home/a\x1b[1m'", "absolute path"),
]


@pytest.mark.parametrize(("variable", "value", "found", "allowed"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_setting_is_refused_in_one_line_with_its_name_what_was_found_and_what_is_allowed(
    variable: str, value: str, found: str, allowed: str
) -> None:
    message = refusal(**{variable: value})
    name, _, rest = message.partition(":")
    assert variable in name
    assert found in rest
    assert allowed in rest
    assert len(message.splitlines()) == 1
    assert len(message) < 400


@pytest.mark.parametrize("variable", RIGHT)
def test_each_setting_that_must_be_there_is_missed_by_name(variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read_settings({name: value for name, value in RIGHT.items() if name != variable})


def test_a_table_endpoint_must_be_https() -> None:
    message = refusal(TABLES_CONNECTION_STRING="", TABLES_ENDPOINT="http://account.table.core.windows.net")
    assert message.startswith("TABLES_ENDPOINT: found 'http://account.table.core.windows.net'")


@pytest.mark.parametrize(
    "connection_string",
    [
        "AccountName=account",
        "UseDevelopmentStorage=false",
        f"TableEndpoint=https://account.example;AccountKey={ACCOUNT_KEY}",
        f"TableEndpoint=;AccountKey={ACCOUNT_KEY}",
        f"AccountName=a;AccountKey={ACCOUNT_KEY};S3cret",
    ],
)
def test_a_connection_string_that_the_sdk_cannot_use_is_refused_at_start(connection_string: str) -> None:
    message = refusal(TABLES_CONNECTION_STRING=connection_string)
    assert message.startswith("TABLES_CONNECTION_STRING")
    assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize(
    ("variable", "value"), [(wrong[0], wrong[1]) for wrong in WRONG if any(secret in wrong[1] for secret in SECRETS)]
)
def test_no_refusal_shows_a_secret(variable: str, value: str) -> None:
    message = refusal(**{variable: value})
    assert not any(secret in message for secret in SECRETS)


@pytest.mark.parametrize("value", [wrong[1] for wrong in WRONG if wrong[0] == "WEBHOOK_SECRETS"])
def test_no_refusal_shows_a_part_of_a_signing_secret(value: str) -> None:
    message = refusal(WEBHOOK_SECRETS=value)
    parts = [part.removeprefix("whsec_") for part in value.split(",") if part]
    assert not any(part[:6] in message for part in parts)


@pytest.mark.parametrize(
    "url",
    [
        "http://f.example/api/ledger-events?code=S3cret",
        "htps://f.example/api/ledger-events?code=S3cret",
        "https://f.example:99999/api/ledger-events?code=S3cret",
        "f.example/api/ledger-events?code=S3cret",
    ],
)
def test_a_function_url_copied_with_its_key_never_shows_the_key_whatever_else_is_wrong_with_it(url: str) -> None:
    assert "S3cret" not in refusal(FUNCTION_URL=url)


def test_the_settings_as_a_whole_can_be_printed_without_a_secret() -> None:
    settings = read(WEBHOOK_SECRETS=f"{SIGNING},{SIGNING_TOO}")
    printed = f"{settings} {settings!r} {settings.function_key} {settings.webhook_secrets}"
    assert not any(secret in printed for secret in SECRETS)


def test_a_secret_shows_itself_only_when_asked() -> None:
    assert str(Secret("hunter2")) == repr(Secret("hunter2")) == f"{Secret('hunter2')}" == "Secret(hidden)"
    assert Secret("hunter2").reveal() == "hunter2"


def test_status_needs_the_ledgers_name_and_the_tables_alone() -> None:
    tables = {name: RIGHT[name] for name in ("LEDGER_NAME", "TABLES_CONNECTION_STRING")}
    assert read_tables_settings(tables).ledger_name == "leasing-1"


def test_a_connection_string_that_the_sdk_cannot_use_is_named_without_its_value() -> None:
    odd = TablesSettings("local", Secret("UseDevelopmentStorage=true;AccountName=of-this-test"), "")
    with pytest.raises(SettingsError, match="TABLES_CONNECTION_STRING") as caught:
        open_service(odd)
    assert "of-this-test" not in str(caught.value)


@pytest.mark.parametrize("variable", EVERY_SETTING)
@given(secret_texts(), st.sampled_from(["{}", " {} ", "{},{}", "x{}", "https://{}", "{};", "{}\n{}"]))
def test_a_secret_in_the_place_of_any_setting_is_not_shown(variable: str, secret: str, written: str) -> None:
    message = ""
    try:
        read(**{variable: written.replace("{}", secret)})
    except SettingsError as refused:
        message = str(refused)
    assert not shows(message, secret)


@pytest.mark.parametrize(
    "text",
    [
        f"DefaultEndpointsProtocol=http;AccountName=acme;AccountKey={ACCOUNT_KEY}",
        f"AccountName=acme;AccountKey={ACCOUNT_KEY};TableEndpoint=http://acme.table.core.windows.net",
        "TableEndpoint=HTTP://127.0.0.1.acme.example:10002/acme;SharedAccessSignature=sv=2019-02-02&sig=x",
    ],
)
def test_what_would_leave_this_machine_unencrypted_is_refused(text: str) -> None:
    message = refusal(TABLES_CONNECTION_STRING=text)
    assert "found http:// in it (its value is not shown), which is allowed on this machine only" in message
