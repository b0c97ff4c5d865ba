"""The Function app's settings: read from environment variables (App Settings), typed, and validated at start.

Each is described in docs/settings.md. A wrong one stops the app with one line that names the variable, what was found
and what is allowed; the value of a secret is never shown.
"""

import base64
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import base58
import msgspec

from functions.leasing.conditions import MAX_KEY_TEXT

LEDGER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MAX_SHOWN = 60
SECRET_MARK = re.compile("whsec_|=", re.IGNORECASE)
KEY_LIKE = re.compile(r"[A-Za-z0-9+/_-]{20,}")
"""What a key in base64, of either alphabet, looks like; it has letters of both cases."""
MAX_WEBHOOK_SECRETS = 2
MORE_IN_URL = re.compile("[?#@=;]")
"""Where keys and passwords stand in a URL, or a whole connection string in its place: then nothing of it is shown."""
HOST = re.compile(r"[a-z0-9_]+([.-]+[a-z0-9_]+)*|[0-9a-f:.]+")
SIGNING_PREFIX = "whsec_"
SIGNING_KEY_BYTES = range(24, 65)


class SettingsError(ValueError):
    """A setting is missing or wrong; the message is one line for the person who sets it."""


class Secret:
    """A text that shows itself only when asked: it never stands in a log, a traceback's repr or an error."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(hidden)"


class Settings(msgspec.Struct, frozen=True):
    """Validated settings. One of `tables_connection_string` and `tables_endpoint` is given.

    Without `webhook_secrets` requests need no signature; with several, any one of them will do.
    """

    ledger_name: str
    lessors: frozenset[str]
    tables_connection_string: Secret | None
    tables_endpoint: str
    webhook_secrets: tuple[Secret, ...] = ()

    @property
    def event_source(self) -> str:
        """The CloudEvents `source` of this ledger's events."""
        return f"urn:bigchaindb:{self.ledger_name}"


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingsError naming the first that is missing or wrong."""
    connection_string = environment.get("TABLES_CONNECTION_STRING", "").strip()
    endpoint = environment.get("TABLES_ENDPOINT", "").strip()
    if bool(connection_string) == bool(endpoint):
        found = "both" if endpoint else "neither"
        raise SettingsError(
            f"TABLES_CONNECTION_STRING, TABLES_ENDPOINT: found {found}; set one: a storage account's connection string "
            "(locally), or its table endpoint, https://ACCOUNT.table.core.windows.net (managed identity)"
        )
    if connection_string and not _is_connection_string(connection_string):
        raise SettingsError(
            "TABLES_CONNECTION_STRING: found a text that is no connection string (its value is not shown); "
            "allowed is one with AccountName= and AccountKey=, or with TableEndpoint= and SharedAccessSignature="
        )
    if connection_string and _is_readable_on_the_way(connection_string):
        raise SettingsError(
            "TABLES_CONNECTION_STRING: found http:// in it (its value is not shown), which is allowed on this machine "
            "only, else https://"
        )
    if endpoint and not _is_endpoint(endpoint):
        found = "more than a host and a path (not shown)" if MORE_IN_URL.search(endpoint) else _found(endpoint)
        raise SettingsError(
            f"TABLES_ENDPOINT: found {found}; allowed is a plain https:// URL without a user, a query or white space"
        )
    return Settings(
        ledger_name=_ledger_name(environment),
        lessors=_lessors(environment),
        tables_connection_string=Secret(connection_string) if connection_string else None,
        tables_endpoint=endpoint,
        webhook_secrets=_webhook_secrets(environment),
    )


def _ledger_name(environment: Mapping[str, str]) -> str:
    name = environment.get("LEDGER_NAME", "")
    if not LEDGER_NAME.fullmatch(name):
        raise SettingsError(
            f"LEDGER_NAME: found {_found(name)}; allowed are 1 to 63 characters of a-z, 0-9 and -, "
            "the same name for the Function app and the relay"
        )
    return name


def _lessors(environment: Mapping[str, str]) -> frozenset[str]:
    keys = [key.strip() for key in environment.get("LESSOR_PUBLIC_KEYS", "").split(",") if key.strip()]
    if not keys:
        raise SettingsError(
            "LESSOR_PUBLIC_KEYS: found nothing; allowed are base58 Ed25519 public keys, comma-separated"
        )
    for place, key in enumerate(keys, 1):
        if not is_public_key(key):
            raise SettingsError(
                f"LESSOR_PUBLIC_KEYS: found {_found(key)}, number {place} of {len(keys)}; allowed are base58 Ed25519 "
                "public keys, comma-separated"
            )
    return frozenset(keys)


def _webhook_secrets(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    text = environment.get("WEBHOOK_SECRETS", "").strip()
    if not text:
        return ()
    secrets = [secret.strip() for secret in text.split(",")]
    allowed = f"allowed are one or two, comma-separated, each {SIGNING_PREFIX} followed by the base64 of 24 to 64 bytes"
    for place, secret in enumerate(secrets, 1):
        if not _is_signing_secret(secret):
            raise SettingsError(
                f"WEBHOOK_SECRETS: found a text, number {place} of {len(secrets)}, that is no signing secret "
                f"(its value is not shown); {allowed}"
            )
    if len(secrets) > MAX_WEBHOOK_SECRETS:
        raise SettingsError(f"WEBHOOK_SECRETS: found {len(secrets)} secrets (their values are not shown); {allowed}")
    return tuple(Secret(secret) for secret in secrets)


def _is_connection_string(text: str) -> bool:
    """Whether the tables SDK can make a connection of this: an account or endpoint, and a key."""
    if not all("=" in part for part in text.split(";") if part):
        return False
    named = _parts(text)
    has_key = {"accountname", "accountkey"} <= named.keys()
    has_signature = "sharedaccesssignature" in named and bool({"accountname", "tableendpoint"} & named.keys())
    return has_key or has_signature or named.get("usedevelopmentstorage", "").lower() == "true"


def _is_readable_on_the_way(connection_string: str) -> bool:
    """Whether what is sent, and with it a SAS, leaves this machine over http://."""
    named = _parts(connection_string)
    if "tableendpoint" not in named:
        return named.get("defaultendpointsprotocol", "").strip().lower() == "http"
    try:
        parts = urlsplit(named["tableendpoint"].strip())
    except ValueError:
        return False
    return parts.scheme == "http" and parts.hostname not in LOOPBACK


def _parts(connection_string: str) -> dict[str, str]:
    """The values in a connection string, by name in lower case."""
    parts = [part.partition("=") for part in connection_string.split(";")]
    return {name.strip().lower(): value for name, _, value in parts if value}


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_right = parts.scheme == "https" and bool(HOST.fullmatch(parts.hostname or "")) and parts.port != 0
    except ValueError:
        return False
    # urlsplit passes over some control characters; the SDK does not, at every request.
    return is_right and text.isascii() and text.isprintable() and " " not in text and not MORE_IN_URL.search(text)


def signing_key(secret: str) -> bytes:
    """The key in a signing secret of Standard Webhooks: `whsec_`, then base64. Raises ValueError when it is none."""
    encoded = secret.removeprefix(SIGNING_PREFIX)
    if encoded == secret:
        raise ValueError(f"a signing secret begins with {SIGNING_PREFIX}")
    key = base64.b64decode(encoded, validate=True)
    if len(key) not in SIGNING_KEY_BYTES:
        raise ValueError(f"a signing secret has 24 to 64 bytes, not {len(key)}")
    return key


def _is_signing_secret(text: str) -> bool:
    try:
        signing_key(text)
    except ValueError:
        return False
    return True


def is_public_key(text: str) -> bool:
    """Whether `text` is an Ed25519 public key in base58, written in the one way there is."""
    if len(text) > MAX_KEY_TEXT:
        return False
    try:
        key = base58.b58decode(text)
    except ValueError:
        return False
    return len(key) == 32 and base58.b58encode(key).decode() == text


def shown(value: str) -> str:
    """A value that is not secret, quoted and cut for an error message."""
    return "nothing" if not value else repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…")


def _found(value: str) -> str:
    """A wrong value for an error message; not shown where it may be a secret that was set in the wrong place."""
    is_key = any(one.lower() != one != one.upper() for one in KEY_LIKE.findall(value))
    if is_key or SECRET_MARK.search(value):
        return f"{len(value)} characters that may be a secret (not shown)"
    return shown(value)
