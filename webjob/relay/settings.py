"""The relay's settings: read from environment variables (App Settings), typed, and validated at start.

Each is described in docs/settings.md. A wrong one stops the relay with one line that names the variable, what was found
and what is allowed; the value of a secret is never shown.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import base58
import msgspec

from relay.errors import SettingsError
from relay.events import MAX_BATCH_BYTES

LEDGER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
HOST = re.compile(r"[a-z0-9_]+([.-]+[a-z0-9_]+)*|[0-9a-f:.]+")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
MAX_KEY_TEXT = 44
"""Characters of 32 bytes in base58, at most. To decode more takes time that grows with the square of their number."""
MAX_SHOWN = 60
SECRET_MARK = re.compile("whsec_|=", re.IGNORECASE)
KEY_LIKE = re.compile(r"[A-Za-z0-9+/_-]{20,}")
"""What a key in base64, of either alphabet, looks like; it has letters of both cases."""
WEBHOOK_PREFIX = "whsec_"
START_WORDS = ("beginning", "tip")


class Secret:
    """A text that shows itself only when asked: it never stands in a log, a traceback's repr or an error."""

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def decoded(self) -> bytes:
        """The bytes of a webhook secret, `whsec_` and base64."""
        return base64.b64decode(self._text.removeprefix(WEBHOOK_PREFIX), validate=True)

    def __repr__(self) -> str:
        return "Secret(hidden)"


class TablesSettings(msgspec.Struct, frozen=True):
    """Where table Relay is. One of `connection_string` and `endpoint` is given."""

    ledger_name: str
    connection_string: Secret | None
    endpoint: str


class Settings(msgspec.Struct, frozen=True):
    """Validated settings. An empty `stream_url` means: the one that the node advertises; no `log_file`: none.

    `start_from` is `beginning`, `tip`, or the height of the first block to deliver, in digits.
    """

    tables: TablesSettings
    ledger_urls: tuple[str, ...]
    stream_url: str
    lessors: frozenset[str]
    function_url: str
    function_key: Secret
    webhook_secrets: tuple[Secret, ...]
    start_from: str
    poll_seconds: float
    poll_trusted_seconds: float
    lanes: int
    batch_events: int
    batch_bytes: int
    linger_ms: int
    prefetch_blocks: int
    log_format: str
    log_file: str
    shutdown_file: str

    @property
    def event_source(self) -> str:
        """The CloudEvents `source` of this ledger's events."""
        return f"urn:bigchaindb:{self.tables.ledger_name}"


class ReadingSettings(msgspec.Struct, frozen=True):
    """The part of the settings that reading ledger and tables needs, and delivering does not."""

    tables: TablesSettings
    ledger_urls: tuple[str, ...]
    lessors: frozenset[str]
    prefetch_blocks: int
    log_format: str
    shutdown_file: str


def read_reading_settings(environment: Mapping[str, str]) -> ReadingSettings:
    """Those of the settings in `environment`. Raises SettingsError naming the first that is missing or wrong."""
    return ReadingSettings(
        ledger_urls=_ledger_urls(environment),
        tables=read_tables_settings(environment),
        lessors=_lessors(environment),
        prefetch_blocks=_prefetch_blocks(environment),
        log_format=_log_format(environment),
        shutdown_file=environment.get("WEBJOBS_SHUTDOWN_FILE", ""),
    )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingsError naming the first that is missing or wrong."""
    urls = _ledger_urls(environment)
    stream_url = environment.get("LEDGER_STREAM_URL", "").strip()
    if stream_url:
        _check_url("LEDGER_STREAM_URL", stream_url, ("ws", "wss"))
    return Settings(
        tables=read_tables_settings(environment),
        ledger_urls=urls,
        stream_url=stream_url,
        lessors=_lessors(environment),
        function_url=_function_url(environment),
        function_key=_function_key(environment),
        webhook_secrets=_webhook_secrets(environment),
        start_from=_start_from(environment),
        poll_seconds=_number(environment, "RELAY_POLL_SECONDS", default=2.0, least=0.1, most=300.0),
        poll_trusted_seconds=_number(environment, "RELAY_POLL_TRUSTED_SECONDS", default=10.0, least=0.1, most=300.0),
        lanes=_whole_number(environment, "RELAY_LANES", default=4, least=1, most=64),
        batch_events=_whole_number(environment, "RELAY_BATCH_EVENTS", default=100, least=1, most=500),
        batch_bytes=_whole_number(
            environment, "RELAY_BATCH_BYTES", default=MAX_BATCH_BYTES, least=10_000, most=MAX_BATCH_BYTES
        ),
        linger_ms=_whole_number(environment, "RELAY_LINGER_MS", default=100, least=0, most=10_000),
        prefetch_blocks=_prefetch_blocks(environment),
        log_format=_log_format(environment),
        log_file=_log_file(environment),
        shutdown_file=environment.get("WEBJOBS_SHUTDOWN_FILE", ""),
    )


def read_tables_settings(environment: Mapping[str, str]) -> TablesSettings:
    """The settings that commands need which only look at the checkpoint. Raises SettingsError."""
    name = environment.get("LEDGER_NAME", "")
    if not LEDGER_NAME.fullmatch(name):
        raise SettingsError(
            f"LEDGER_NAME: found {found(name)}; allowed are 1 to 63 characters of a-z, 0-9 and -, "
            "the same name for the Function app and the relay"
        )
    connection_string = environment.get("TABLES_CONNECTION_STRING", "").strip()
    endpoint = environment.get("TABLES_ENDPOINT", "").strip()
    if bool(connection_string) == bool(endpoint):
        given = "both" if endpoint else "neither"
        raise SettingsError(
            f"TABLES_CONNECTION_STRING, TABLES_ENDPOINT: found {given}; set one: a storage account's connection string "
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
    if endpoint:
        _check_url("TABLES_ENDPOINT", endpoint, ("https",))
    return TablesSettings(name, Secret(connection_string) if connection_string else None, endpoint)


def _ledger_urls(environment: Mapping[str, str]) -> tuple[str, ...]:
    urls = tuple(url.strip().rstrip("/") for url in environment.get("LEDGER_URLS", "").split(",") if url.strip())
    if not urls:
        raise SettingsError(
            "LEDGER_URLS: found nothing; allowed are http:// or https:// URLs of nodes, comma-separated"
        )
    for url in urls:
        _check_url("LEDGER_URLS", url, ("http", "https"))
    return urls


def _prefetch_blocks(environment: Mapping[str, str]) -> int:
    return _whole_number(environment, "RELAY_PREFETCH_BLOCKS", default=4, least=1, most=16)


def _log_format(environment: Mapping[str, str]) -> str:
    return _choice(environment, "RELAY_LOG_FORMAT", default="text", allowed=("text", "json"))


def _log_file(environment: Mapping[str, str]) -> str:
    path = environment.get("RELAY_LOG_FILE", "").strip()
    if path and not (path.startswith("/") and path.isprintable() and not path.endswith("/")):
        raise SettingsError(f"RELAY_LOG_FILE: found {found(path)}; allowed is the absolute path of a file")
    return path


def _lessors(environment: Mapping[str, str]) -> frozenset[str]:
    keys = [key.strip() for key in environment.get("LESSOR_PUBLIC_KEYS", "").split(",") if key.strip()]
    if not keys:
        raise SettingsError(
            "LESSOR_PUBLIC_KEYS: found nothing; allowed are base58 Ed25519 public keys, comma-separated"
        )
    for place, key in enumerate(keys, 1):
        if not _is_public_key(key):
            raise SettingsError(
                f"LESSOR_PUBLIC_KEYS: found {found(key)}, number {place} of {len(keys)}; "
                "allowed are base58 Ed25519 public keys, comma-separated"
            )
    return frozenset(keys)


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


def _is_public_key(text: str) -> bool:
    if len(text) > MAX_KEY_TEXT:
        return False
    try:
        key = base58.b58decode(text)
    except ValueError:
        return False
    return len(key) == 32 and base58.b58encode(key).decode() == text


def _function_url(environment: Mapping[str, str]) -> str:
    url = environment.get("FUNCTION_URL", "").strip()
    _check_url("FUNCTION_URL", url, ("http", "https"))
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingsError(f"FUNCTION_URL: found {found(url)}; http:// is allowed on this machine only, else https://")
    return url


def _function_key(environment: Mapping[str, str]) -> Secret:
    key = environment.get("FUNCTION_KEY", "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise SettingsError(
            "FUNCTION_KEY: found nothing or characters that no key has (its value is not shown); "
            "allowed is a function key of ledger_events, or a host key"
        )
    return Secret(key)


def _webhook_secrets(environment: Mapping[str, str]) -> tuple[Secret, ...]:
    text = environment.get("WEBHOOK_SECRETS", "").strip()
    if not text:
        return ()
    secrets = [part.strip() for part in text.split(",")]
    if len(secrets) > 2 or not all(_is_webhook_secret(secret) for secret in secrets):
        raise SettingsError(
            f"WEBHOOK_SECRETS: found {len(secrets)}, one of them not usable or one too many (not shown); "
            "allowed are one or two, comma-separated, each whsec_ and the base64 of 24 to 64 bytes"
        )
    return tuple(Secret(secret) for secret in secrets)


def _is_webhook_secret(text: str) -> bool:
    try:
        return text.startswith(WEBHOOK_PREFIX) and 24 <= len(Secret(text).decoded()) <= 64
    except (binascii.Error, ValueError):
        return False


def _start_from(environment: Mapping[str, str]) -> str:
    text = environment.get("RELAY_START_FROM", "").strip() or START_WORDS[0]
    if text not in START_WORDS and not re.fullmatch("[1-9][0-9]{0,14}", text):
        raise SettingsError(
            f"RELAY_START_FROM: found {found(text)}; allowed are beginning, tip, or the height of the first block to "
            "deliver, 1 or more"
        )
    return text


def _check_url(variable: str, url: str, schemes: tuple[str, ...]) -> None:
    allowed = " or ".join(f"{scheme}://" for scheme in schemes)
    # Where keys and passwords stand in URLs, or whole connection strings in their place, nothing is shown.
    if any(mark in url for mark in "?#@=;"):
        raise SettingsError(
            f"{variable}: found a URL with a query, a user, or more (not shown); allowed is a plain {allowed} URL "
            "without credentials; a function key belongs into FUNCTION_KEY"
        )
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in schemes and bool(HOST.fullmatch(parts.hostname or "")) and parts.port != 0
    except ValueError:
        is_right = False
    # urlsplit passes over some control characters; the clients do not, at every request.
    is_right = is_right and url.isascii() and url.isprintable() and " " not in url
    if not is_right:
        raise SettingsError(f"{variable}: found {found(url)}; allowed is an {allowed} URL")


def _number(environment: Mapping[str, str], variable: str, *, default: float, least: float, most: float) -> float:
    text = environment.get(variable, "").strip()
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise SettingsError(f"{variable}: found {found(text)}; allowed is a number from {least:g} to {most:g}")
    return number


def _whole_number(environment: Mapping[str, str], variable: str, *, default: int, least: int, most: int) -> int:
    text = environment.get(variable, "").strip() or str(default)
    if not (re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most):
        raise SettingsError(f"{variable}: found {found(text)}; allowed is a whole number from {least} to {most}")
    return int(text)


def _choice(environment: Mapping[str, str], variable: str, *, default: str, allowed: tuple[str, ...]) -> str:
    text = environment.get(variable, "").strip() or default
    if text not in allowed:
        raise SettingsError(f"{variable}: found {found(text)}; allowed is {' or '.join(allowed)}")
    return text


def shown(value: str) -> str:
    """A value that is not secret, quoted and cut for an error message."""
    return "nothing" if not value else repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…")


def found(value: str) -> str:
    """A wrong value for an error message; not shown where it may be a secret that was set in the wrong place."""
    is_key = any(one.lower() != one != one.upper() for one in KEY_LIKE.findall(value))
    if is_key or SECRET_MARK.search(value):
        return f"{len(value)} characters that may be a secret (not shown)"
    return shown(value)
