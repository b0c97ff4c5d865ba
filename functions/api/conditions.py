"""If-Match and If-None-Match (RFC 9110): what an entry is bound to."""

import re
from http import HTTPStatus
from typing import Annotated

import azure.functions as func
import msgspec

from functions.api.answers import RequestError
from functions.entries import Condition
from functions.settings import shown

ANY = "*"
NEVER = Condition(versions=frozenset())
ETAGS = r'^(W/)?"[!#-~]*"([ \t]*,[ \t]*(W/)?"[!#-~]*")*$'

IfMatch = Annotated[
    str,
    msgspec.Meta(
        description="the ETag of the driver as you have seen them, or * (they must be in the record); otherwise 412",
        extra_json_schema={"anyOf": [{"const": ANY}, {"pattern": ETAGS}]},
    ),
]
IfNoneMatch = Annotated[
    str,
    msgspec.Meta(
        description="the driver must not be in the record yet; otherwise 412", extra_json_schema={"const": ANY}
    ),
]
"""What the document says of the two headers; `read` holds a request to it."""


def etag(version: str) -> str:
    """A driver's version as it stands in the header ETag."""
    return f'"{version}"'


def read(req: func.HttpRequest) -> Condition:
    """What the request's headers ask of the driver. Raises RequestError 400 for what is no condition."""
    match, none_match = _header(req, "If-Match"), _header(req, "If-None-Match")
    if match not in (None, ANY) and not re.fullmatch(ETAGS, match):
        raise RequestError(
            HTTPStatus.BAD_REQUEST, f"If-Match is {shown(match)}; it must be the ETag of an answer, or *"
        )
    if none_match not in (None, ANY):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"If-None-Match is {shown(none_match)}; only * is taken")
    if match and none_match:
        return NEVER
    if match == ANY:
        return Condition(exists=True)
    if match:
        # A weak tag never matches: the comparison is the strong one.
        return Condition(versions=frozenset(tag for weak, tag in re.findall(r'(W/)?"([^"]*)"', match) if not weak))
    return Condition(exists=False if none_match else None)


def _header(req: func.HttpRequest, name: str) -> str | None:
    """A header's value, None where it was not sent. An empty one is no condition: it must not pass for none at all."""
    value: str | None = req.headers.get(name.lower())
    return None if value is None else value.strip()
