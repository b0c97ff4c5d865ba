"""host.json and local.settings.json: what they say, checked, and what of it has no effect here.

It knows nothing about the app, and does not touch the process's environment.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.functions_host.errors import SettingsError

DEFAULT_BODY_LIMIT = 104_857_600  # bytes; ScriptConstants.DefaultMaxRequestBodySize of the host


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What host.json asks for. A limit of None means none, the default of the host outside the Consumption plan.

    `without_effect` names the settings that this host reads but does not obey, such as "extensions.http.hsts".
    """

    route_prefix: str = "api"
    max_concurrent: int | None = None
    max_outstanding: int | None = None
    custom_headers: tuple[tuple[str, str], ...] = ()
    without_effect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What local.settings.json holds: app settings, and the names of its sections that have no effect here."""

    values: Mapping[str, str]
    without_effect: tuple[str, ...]


def read_host_settings(path: Path) -> HostSettings:
    """Read host.json. Raises SettingsError, naming the file, when it is missing or the host would refuse it."""
    document = _read_object(path)
    if document.get("version") != "2.0":
        raise SettingsError(f'{path}: "version" must be "2.0", not {document.get("version")!r}')
    extensions = _section(document, "extensions", path)
    http = _section(extensions, "http", path)
    return HostSettings(
        route_prefix=_text(http, "routePrefix", "api", path),
        max_concurrent=_limit(http, "maxConcurrentRequests", path),
        max_outstanding=_limit(http, "maxOutstandingRequests", path),
        custom_headers=_texts(http, "customHeaders", path),
        without_effect=(
            *(name for name in document if name not in {"version", "extensions"}),
            *(f"extensions.{name}" for name in extensions if name != "http"),
            # A setting that is switched off needs no support.
            *(f"extensions.http.{name}" for name in http if name not in _OBEYED and http[name] is not False),
        ),
    )


def read_local_settings(path: Path) -> LocalSettings:
    """Read a local.settings.json, as Core Tools does. Raises SettingsError when it is unreadable or encrypted."""
    document = _read_object(path)
    if document.get("IsEncrypted"):
        raise SettingsError(f"{path} is encrypted: decrypt it with `func settings decrypt`")
    return LocalSettings(
        values=dict(_texts(document, "Values", path)),
        without_effect=tuple(name for name in document if name not in {"IsEncrypted", "Values"} and document[name]),
    )


def body_limit(environ: Mapping[str, str]) -> int:
    """The largest body in bytes: 100 MB, or what the app setting FUNCTIONS_REQUEST_BODY_SIZE_LIMIT says.

    Raises SettingsError when the setting is not a number.
    """
    text = environ.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT")
    if text is None:
        return DEFAULT_BODY_LIMIT
    if not text.isdecimal():
        raise SettingsError(f"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT must be a number of bytes, not {text!r}")
    return int(text)


_OBEYED = {"routePrefix", "maxConcurrentRequests", "maxOutstandingRequests", "customHeaders"}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{path} must hold a JSON object")
    return document


def _section(parent: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    section = parent.get(name, {})
    if not isinstance(section, dict):
        raise SettingsError(f'{path}: "{name}" must be an object')
    return section


def _text(section: dict[str, Any], name: str, default: str, path: Path) -> str:
    value = section.get(name, default)
    if not isinstance(value, str):
        raise SettingsError(f'{path}: "{name}" must be a string, not {value!r}')
    return value


def _texts(section: dict[str, Any], name: str, path: Path) -> tuple[tuple[str, str], ...]:
    entries = _section(section, name, path)
    return tuple((key, _text(entries, key, "", path)) for key in entries)


def _limit(section: dict[str, Any], name: str, path: Path) -> int | None:
    value = section.get(name, -1)
    if not isinstance(value, int) or isinstance(value, bool) or (value != -1 and value < 1):
        raise SettingsError(f'{path}: "{name}" must be -1 (no limit) or at least 1, not {value!r}')
    return None if value == -1 else value
