"""The Function app's settings: read whole, or refused with one line for the person who sets them."""

import base64
import re

import base58
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.settings import Secret, SettingsError, is_public_key, read_settings, shown, signing_key
from local.scenario import key_pair
from tests.secret_texts import secret_texts, shows
from tests.signing import signing_secret

LESSOR, OTHER = key_pair("lessor").public_key, key_pair("other lessor").public_key
ACCOUNT_KEY = "c2VjcmV0IG9mIHRoZSBhY2NvdW50"
CONNECTION = f"DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={ACCOUNT_KEY}"
ENDPOINT = "https://acme.table.core.windows.net"
GOOD = {"LEDGER_NAME": "acme", "LESSOR_PUBLIC_KEYS": LESSOR, "TABLES_CONNECTION_STRING": CONNECTION}
IN_AZURE = {"LEDGER_NAME": "acme", "LESSOR_PUBLIC_KEYS": LESSOR, "TABLES_ENDPOINT": ENDPOINT}


SIGNING_SECRET, ANOTHER_SIGNING_SECRET = signing_secret("one", 24), signing_secret("another", 64)


def refusal(**changes: str) -> str:
    """The message with which these settings are refused."""
    with pytest.raises(SettingsError) as refused:
        read_settings(GOOD | changes)
    return str(refused.value)


def test_good_settings_are_read() -> None:
    found = read_settings(GOOD)

    assert (found.ledger_name, found.lessors, found.tables_endpoint) == ("acme", frozenset({LESSOR}), "")
    assert found.tables_connection_string is not None
    assert found.tables_connection_string.reveal() == CONNECTION
    assert found.event_source == "urn:bigchaindb:acme"


def test_an_endpoint_takes_the_place_of_a_connection_string() -> None:
    found = read_settings(IN_AZURE)

    assert (found.tables_endpoint, found.tables_connection_string) == (ENDPOINT, None)


@pytest.mark.parametrize("text", [f"{LESSOR},{OTHER}", f" {LESSOR} ,, {OTHER},\n", f"{LESSOR},{OTHER},{LESSOR}"])
def test_several_lessors_are_separated_by_commas(text: str) -> None:
    assert read_settings(GOOD | {"LESSOR_PUBLIC_KEYS": text}).lessors == {LESSOR, OTHER}


@pytest.mark.parametrize(
    "text",
    [
        CONNECTION,
        "UseDevelopmentStorage=true",
        f"TableEndpoint=http://127.0.0.1:10002/acme;AccountName=acme;AccountKey={ACCOUNT_KEY};",
    ],
)
def test_any_kind_of_connection_string_is_taken(text: str) -> None:
    assert read_settings(GOOD | {"TABLES_CONNECTION_STRING": text}).tables_connection_string is not None


@pytest.mark.parametrize("text", ["", " ", None])
def test_without_a_signing_secret_there_is_none(text: str | None) -> None:
    environment = GOOD if text is None else GOOD | {"WEBHOOK_SECRETS": text}

    assert read_settings(environment).webhook_secrets == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SIGNING_SECRET, [SIGNING_SECRET]),
        (f"{SIGNING_SECRET},{ANOTHER_SIGNING_SECRET}", [SIGNING_SECRET, ANOTHER_SIGNING_SECRET]),
        (f" {ANOTHER_SIGNING_SECRET} , {SIGNING_SECRET}\n", [ANOTHER_SIGNING_SECRET, SIGNING_SECRET]),
    ],
    ids=["one", "two", "with spaces"],
)
def test_one_or_two_signing_secrets_are_read(text: str, expected: list[str]) -> None:
    found = read_settings(GOOD | {"WEBHOOK_SECRETS": text}).webhook_secrets

    assert [secret.reveal() for secret in found] == expected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (",", "number 1 of 2"),
        (f"{SIGNING_SECRET},", "number 2 of 2"),
        (f"{SIGNING_SECRET} {ANOTHER_SIGNING_SECRET}", "number 1 of 1"),
        (SIGNING_SECRET.removeprefix("whsec_"), "number 1 of 1"),
        (SIGNING_SECRET.upper(), "number 1 of 1"),
        (f"{SIGNING_SECRET},whsec_", "number 2 of 2"),
        (f"{SIGNING_SECRET},{SIGNING_SECRET}=", "number 2 of 2"),
        (f"{SIGNING_SECRET},{signing_secret('one', 25).rstrip('=')}", "number 2 of 2"),
        (f"{SIGNING_SECRET},{SIGNING_SECRET[:-2]}-_", "number 2 of 2"),
        (f"{SIGNING_SECRET},{SIGNING_SECRET}\u00e9", "number 2 of 2"),
        (f"{signing_secret('one', 23)},{SIGNING_SECRET}", "number 1 of 2"),
        (f"{signing_secret('one', 65)},{SIGNING_SECRET}", "number 1 of 2"),
        (",".join([SIGNING_SECRET, ANOTHER_SIGNING_SECRET, signing_secret("third")]), "3 secrets"),
        ("@Microsoft.KeyVault(SecretUri=https://acme.example/one)", "number 1 of 1"),
    ],
    ids=[
        "comma alone",
        "comma at the end",
        "no comma",
        "no prefix",
        "upper case",
        "prefix alone",
        "too much padding",
        "no padding",
        "URL alphabet",
        "not ASCII",
        "23 bytes",
        "65 bytes",
        "three",
        "unresolved reference",
    ],
)
def test_wrong_signing_secrets_are_refused_and_not_shown(text: str, found: str) -> None:
    message = refusal(WEBHOOK_SECRETS=text)

    assert message.startswith("WEBHOOK_SECRETS: found ")
    assert found in message
    assert "allowed are one or two, comma-separated, each whsec_ followed by the base64 of 24 to 64 bytes" in message
    assert len(message.splitlines()) == 1
    assert not [word for word in re.split("[ ,]", text) if len(word) > 9 and word[6:14] in message]


@pytest.mark.parametrize("size", [24, 25, 26, 32, 63, 64])
def test_a_signing_key_is_what_its_secret_encodes(size: int) -> None:
    key = bytes(range(size))

    assert signing_key("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63])
def test_a_ledger_may_have_this_name(name: str) -> None:
    assert read_settings(GOOD | {"LEDGER_NAME": name}).ledger_name == name


@pytest.mark.parametrize(
    ("changes", "variable", "found", "allowed"),
    [
        ({"LEDGER_NAME": ""}, "LEDGER_NAME", "nothing", "1 to 63 characters"),
        ({"LEDGER_NAME": "Acme"}, "LEDGER_NAME", "'Acme'", "a-z, 0-9 and -"),
        ({"LEDGER_NAME": "-a"}, "LEDGER_NAME", "'-a'", "a-z, 0-9 and -"),
        ({"LEDGER_NAME": "a\n"}, "LEDGER_NAME", r"'a\n'", "a-z, 0-9 and -"),
        ({"LEDGER_NAME": "a/b"}, "LEDGER_NAME", "'a/b'", "a-z, 0-9 and -"),
        ({"LEDGER_NAME": "a" * 64}, "LEDGER_NAME", "a" * 60 + "…", "1 to 63 characters"),
        ({"LESSOR_PUBLIC_KEYS": ""}, "LESSOR_PUBLIC_KEYS", "nothing", "base58 Ed25519 public keys"),
        ({"LESSOR_PUBLIC_KEYS": " , "}, "LESSOR_PUBLIC_KEYS", "nothing", "comma-separated"),
        ({"LESSOR_PUBLIC_KEYS": "0x12"}, "LESSOR_PUBLIC_KEYS", "'0x12'", "base58"),
        (
            {"LESSOR_PUBLIC_KEYS": f"{LESSOR},{OTHER[:-2]}"},
            "LESSOR_PUBLIC_KEYS",
            "(not shown), number 2 of 2",
            "base58",
        ),
        ({"LESSOR_PUBLIC_KEYS": f"{LESSOR};{OTHER}"}, "LESSOR_PUBLIC_KEYS", "number 1 of 1", "comma-separated"),
        ({"LESSOR_PUBLIC_KEYS": "\u00e9"}, "LESSOR_PUBLIC_KEYS", "'\u00e9'", "base58"),
        ({"TABLES_CONNECTION_STRING": ""}, "TABLES_CONNECTION_STRING, TABLES_ENDPOINT", "neither", "set one"),
        ({"TABLES_ENDPOINT": ENDPOINT}, "TABLES_CONNECTION_STRING, TABLES_ENDPOINT", "both", "set one"),
        ({"TABLES_CONNECTION_STRING": "acme"}, "TABLES_CONNECTION_STRING", "no connection string", "AccountName="),
        (
            {"TABLES_CONNECTION_STRING": "", "TABLES_ENDPOINT": "http://acme.table.core.windows.net"},
            "TABLES_ENDPOINT",
            "'http://acme.table.core.windows.net'",
            "https:// URL",
        ),
        ({"TABLES_CONNECTION_STRING": "", "TABLES_ENDPOINT": "acme"}, "TABLES_ENDPOINT", "'acme'", "https:// URL"),
        ({"TABLES_CONNECTION_STRING": "", "TABLES_ENDPOINT": "https://"}, "TABLES_ENDPOINT", "'https://'", "URL"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_what_is_allowed(
    changes: dict[str, str], variable: str, found: str, allowed: str
) -> None:
    message = refusal(**changes)

    assert message.startswith(f"{variable}: found ")
    assert found in message
    assert allowed in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("missing", ["LEDGER_NAME", "LESSOR_PUBLIC_KEYS", "TABLES_CONNECTION_STRING"])
def test_a_missing_setting_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing}.*: found (nothing|neither)"):
        read_settings({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    "changes",
    [
        {"TABLES_CONNECTION_STRING": f"AccountKey={ACCOUNT_KEY}"},
        {"TABLES_ENDPOINT": ENDPOINT},
        {"TABLES_CONNECTION_STRING": "", "TABLES_ENDPOINT": f"AccountKey={ACCOUNT_KEY};AccountName=acme"},
        {"LEDGER_NAME": "", "TABLES_CONNECTION_STRING": CONNECTION},
        {"LESSOR_PUBLIC_KEYS": "", "TABLES_CONNECTION_STRING": CONNECTION},
    ],
    ids=["no account", "both", "the string as the endpoint", "another is wrong", "and another"],
)
def test_a_secret_is_in_no_message(changes: dict[str, str]) -> None:
    message = refusal(**changes)

    assert ACCOUNT_KEY[:8] not in message


def test_a_secret_is_in_no_representation() -> None:
    found = read_settings(GOOD | {"WEBHOOK_SECRETS": SIGNING_SECRET})

    for text in (repr(found), str(found), f"{found.tables_connection_string}", repr(vars(Secret)), repr([found])):
        assert ACCOUNT_KEY not in text
        assert SIGNING_SECRET not in text
    assert repr(Secret("x")) == "Secret(hidden)"


@given(st.binary(min_size=32, max_size=32))
@example(bytes(32))
@example(b"\xff" * 32)
def test_any_32_bytes_in_base58_are_a_public_key(key: bytes) -> None:
    assert is_public_key(base58.b58encode(key).decode())


@given(st.binary(max_size=40).filter(lambda key: len(key) != 32))
def test_no_other_number_of_bytes_is_a_public_key(key: bytes) -> None:
    assert not is_public_key(base58.b58encode(key).decode())


SHORT = next(key for key in (key_pair(str(number)).public_key for number in range(999)) if len(key) == 43)


@pytest.mark.parametrize("text", ["", LESSOR[:-4], LESSOR + "1", "0" + LESSOR[1:], LESSOR.lower(), "l" * 44, "\ud800"])
def test_what_is_no_key_is_no_public_key(text: str) -> None:
    assert not is_public_key(text)


@pytest.mark.parametrize("text", [SHORT + "\n", SHORT + " ", SHORT + "\t", SHORT + "\u00a0", " " + SHORT], ids=repr)
def test_a_key_with_white_space_is_no_public_key(text: str) -> None:
    """It would be another partition of the record than the key's own, or one that Table Storage refuses."""
    assert not is_public_key(text)


@settings(max_examples=100)
@given(st.text())
def test_what_is_shown_is_one_short_line(value: str) -> None:
    text = shown(value)

    assert len(text.splitlines()) == 1
    assert text.isprintable()


TEXTS = st.text(max_size=80)


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from([*GOOD, "TABLES_ENDPOINT", "WEBHOOK_SECRETS"]), TEXTS))
def test_any_settings_are_read_or_refused_with_one_line(environment: dict[str, str]) -> None:
    try:
        found = read_settings(GOOD | environment)
    except SettingsError as refused:
        message = str(refused)
    else:
        assert found.lessors
        assert all(is_public_key(key) for key in found.lessors)
        return
    assert len(message.splitlines()) == 1
    assert ACCOUNT_KEY not in message


@pytest.mark.parametrize("variable", [*GOOD, "TABLES_ENDPOINT", "WEBHOOK_SECRETS"])
@given(secret_texts(), st.sampled_from(["{}", " {} ", "{},{}", "x{}", "https://{}", "{};", "{}\n{}"]))
def test_a_secret_in_the_place_of_any_setting_is_not_shown(variable: str, secret: str, written: str) -> None:
    message = ""
    try:
        read_settings(GOOD | {variable: written.replace("{}", secret)})
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
