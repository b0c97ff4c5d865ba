"""A reply as it goes back over HTTP, and what the host makes of a function's return value. Pure.

Source: HttpBinding and ScriptObjectResult of the host; ASP.NET Core's SetCookieHeaderValue for cookies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import quote

from local.functions_host.messages import RpcHttp, RpcHttpCookie, TypedData

_SAME_SITE = {1: "lax", 2: "strict", 3: "none"}
# The server states these itself, from the body at hand.
_FRAMING = {"content-length", "transfer-encoding"}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers in order and body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def from_return_value(value: TypedData | None) -> Reply:
    """The reply to a call that succeeded with this return value.

    An HttpResponse is sent as it is, a str as text/plain, and a function that has no HTTP response among its bindings
    (the only kind that may return nothing) answers 204. Raises TypeError on any other value.
    """
    if value is None:
        return Reply(204)
    if value.kind == "http":
        return _from_http(value.value)
    if value.kind == "string":
        return Reply(200, (("content-type", "text/plain; charset=utf-8"),), value.value.encode())
    raise TypeError(f"an HTTP function returned a value of kind {value.kind}")


def _from_http(http: RpcHttp) -> Reply:
    headers = [(name.lower(), text) for name, text in http.headers.items() if name.lower() not in _FRAMING]
    headers += [("set-cookie", "; ".join(_cookie_parts(cookie))) for cookie in http.cookies or ()]
    return Reply(int(http.status_code), tuple(headers), http.body.value)


def _cookie_parts(cookie: RpcHttpCookie) -> Iterator[str]:
    yield f"{cookie.name}={quote(cookie.value, safe='')}"
    if cookie.expires is not None:
        yield f"expires={formatdate(cookie.expires.value.seconds, usegmt=True)}"
    if cookie.max_age is not None:
        yield f"max-age={cookie.max_age.value:.0f}"
    if cookie.domain is not None and cookie.domain.value:
        yield f"domain={cookie.domain.value}"
    if cookie.path is not None and cookie.path.value:
        yield f"path={cookie.path.value}"
    if cookie.secure is not None and cookie.secure.value:
        yield "secure"
    if cookie.same_site in _SAME_SITE:
        yield f"samesite={_SAME_SITE[cookie.same_site]}"
    if cookie.http_only is not None and cookie.http_only.value:
        yield "httponly"
