"""A request as a function sees it: what the host makes of path, headers and query string. Pure; it reads no bodies.

Source: GrpcMessageConversionExtensions.ToRpcHttp and AuthenticationLevelHandler of the host, and the way ASP.NET Core
parses queries and turns several values of one name into text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

type Values = Mapping[str, list[str]]


@dataclass(frozen=True, slots=True)
class FunctionRequest:
    """What a function is given: header names in lower case, one text per header, query and route parameter."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    route_values: Mapping[str, str]
    body: bytes


def header_values(raw_headers: Iterable[tuple[bytes, bytes]]) -> Values:
    """All values of each header, by its name in lower case, in order of arrival."""
    values: dict[str, list[str]] = {}
    for name, value in raw_headers:
        values.setdefault(name.decode("ascii").lower(), []).append(value.decode("utf-8", errors="replace"))
    return values


def query_values(query_string: bytes) -> Values:
    """All values of each query parameter. A name keeps the case of its first appearance; the others join it."""
    spelled: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True):
        values.setdefault(spelled.setdefault(name.casefold(), name), []).append(value)
    return values


def joined(values: Values) -> dict[str, str]:
    """One text per name: the values that are not empty, joined by commas."""
    return {name: ",".join(filter(None, several)) for name, several in values.items()}


def without_empty(texts: Mapping[str, str]) -> dict[str, str]:
    """Only the texts that are not empty: an empty query parameter never reaches a Python worker."""
    return {name: text for name, text in texts.items() if text}


def presented_key(headers: Values, query: Values) -> str | None:
    """The key a caller shows: the first x-functions-key, even an empty one, before the first `code` of the query."""
    if "x-functions-key" in headers:
        return headers["x-functions-key"][0]
    return next((several[0] for name, several in query.items() if name.casefold() == "code"), None)


def decoded_path(raw_path: bytes) -> str:
    """The path with its escapes undone, except that of the slash, which would change its segments (as Kestrel does)."""
    path = raw_path.decode("ascii")
    return unquote(path.replace("%2F", "%252F").replace("%2f", "%252f"))


def full_url(scheme: str, headers: Values, raw_path: bytes, query_string: bytes) -> str:
    """The URL as the caller wrote it, escapes included."""
    host = headers.get("host", [""])[0]
    query = f"?{query_string.decode('latin-1')}" if query_string else ""
    return f"{scheme}://{host}{raw_path.decode('ascii')}{query}"
