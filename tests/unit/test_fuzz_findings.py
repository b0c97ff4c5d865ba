"""What fuzzing found, each as the behaviour that it is now."""

import time

import pytest

from functions.records.record import open_record
from functions.settings import SettingsError as FunctionSettingsError
from functions.settings import read_settings as read_function_settings
from relay.errors import SettingsError as RelaySettingsError
from relay.settings import Secret, TablesSettings
from relay.settings import read_settings as read_relay_settings
from relay.tables import open_service
from tests.unit.ledger_writing import LESSOR

ACCOUNT_KEY = "UzNjcmV0QWNjb3VudEtleQ=="
CONNECTION = f"AccountName=acme;AccountKey={ACCOUNT_KEY}"
FUNCTION_APP = {"LEDGER_NAME": "acme", "LESSOR_PUBLIC_KEYS": LESSOR.public_key}
RELAY = FUNCTION_APP | {
    "LEDGER_URLS": "http://127.0.0.1:9984",
    "FUNCTION_URL": "https://insurer.example/api/ledger-events",
    "FUNCTION_KEY": "S3cretFunctionKey",
    "TABLES_CONNECTION_STRING": CONNECTION,
}


@pytest.mark.parametrize(
    "connection_string",
    [
        f"{CONNECTION};AccountKey={ACCOUNT_KEY}",
        f"{CONNECTION};ACCOUNTKEY={ACCOUNT_KEY}",
        f"{CONNECTION};;EndpointSuffix=core.windows.net",
        f"{CONNECTION};EndpointSuffix=",
        f"{CONNECTION};EndpointSuffix=core.windows.ne@",
        f"{CONNECTION};TableSecondaryEndpoint=https://acme-secondary.table.core.windows.net",
    ],
    ids=["a part twice", "twice in other letters", "no part", "an empty part", "no host", "the secondary alone"],
)
def test_a_connection_string_that_the_sdk_cannot_use_stops_the_function_app_with_one_line(
    connection_string: str,
) -> None:
    settings = read_function_settings(FUNCTION_APP | {"TABLES_CONNECTION_STRING": connection_string})

    with pytest.raises(FunctionSettingsError, match=r"^TABLES_CONNECTION_STRING: found .* cannot use") as refused:
        open_record(settings)

    assert ACCOUNT_KEY not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_connection_string_without_a_host_stops_the_relay_with_one_line() -> None:
    hostless = TablesSettings("acme", Secret(f"{CONNECTION};EndpointSuffix=core.windows.ne@"), "")

    with pytest.raises(RelaySettingsError, match=r"^TABLES_CONNECTION_STRING: the tables SDK cannot use it") as refused:
        open_service(hostless)

    assert ACCOUNT_KEY not in str(refused.value)


@pytest.mark.parametrize("more", ["/?sig=S3cretSignature", "/?S3cretSignature", "/#S3cretSignature"])
def test_an_endpoint_of_the_function_app_with_a_query_or_fragment_is_refused_and_not_shown(more: str) -> None:
    with pytest.raises(FunctionSettingsError, match="not shown") as refused:
        read_function_settings(FUNCTION_APP | {"TABLES_ENDPOINT": f"https://acme.table.core.windows.net{more}"})

    assert "S3cret" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://someone:S3cretPassword@acme.example", "http://someone:S3cretPassword@acme"])
def test_an_endpoint_of_the_function_app_with_a_password_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(FunctionSettingsError, match="not shown") as refused:
        read_function_settings(FUNCTION_APP | {"TABLES_ENDPOINT": url})

    assert "S3cret" not in str(refused.value)


ODD_HOSTS = ["ac\nme.example", "ac\tme.example", "acme .example", ".acme.example", "*", "\u00e9", "acme\x7f", "a%zz"]


@pytest.mark.parametrize("host", ODD_HOSTS, ids=repr)
@pytest.mark.parametrize("variable", ["LEDGER_URLS", "LEDGER_STREAM_URL", "FUNCTION_URL"])
def test_a_url_that_no_request_can_be_made_of_stops_the_relay_with_one_line(variable: str, host: str) -> None:
    scheme = "wss" if variable == "LEDGER_STREAM_URL" else "https"
    with pytest.raises(RelaySettingsError, match=f"^{variable}: found .*; allowed is"):
        read_relay_settings(RELAY | {variable: f"{scheme}://{host}/path"})


@pytest.mark.parametrize("host", ODD_HOSTS, ids=repr)
def test_an_endpoint_that_no_request_can_be_made_of_stops_both_sides_with_one_line(host: str) -> None:
    endpoint = {"TABLES_CONNECTION_STRING": "", "TABLES_ENDPOINT": f"https://{host}/path"}
    with pytest.raises(RelaySettingsError, match=r"^TABLES_ENDPOINT: found .*; allowed is"):
        read_relay_settings(RELAY | endpoint)
    with pytest.raises(FunctionSettingsError, match=r"^TABLES_ENDPOINT: found .*; allowed is"):
        read_function_settings(FUNCTION_APP | endpoint)


@pytest.mark.parametrize("url", ["https://node_1.example:9984/a-b/c%20d", "http://[::1]:9984", "http://10.0.0.1"])
def test_a_url_of_a_node_may_be_written_like_this(url: str) -> None:
    assert read_relay_settings(RELAY | {"LEDGER_URLS": url}).ledger_urls == (url,)


def test_a_text_as_long_as_an_environment_takes_is_no_lessors_key_and_is_not_decoded() -> None:
    """Base58 takes time that grows with the square of the text: this one took the relay ten seconds."""
    began = time.process_time()
    with pytest.raises(RelaySettingsError, match=r"^LESSOR_PUBLIC_KEYS: found 'zzz"):
        read_relay_settings(RELAY | {"LESSOR_PUBLIC_KEYS": "z" * 130_000})
    assert time.process_time() - began < 1.0
