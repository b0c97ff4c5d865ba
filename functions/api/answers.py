"""HTTP answers: JSON, and problem details (RFC 9457) for what went wrong. And what a request's parts must be."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import azure.functions as func
import msgspec

from functions.api.nesting import depth
from functions.wording import shortened

JSON = "application/json"
PROBLEM = "application/problem+json"
MAX_DEPTH = 250
"""Levels of nested JSON: a transaction with the deepest conditions that are read takes about 200."""
MAX_ENTRY_BYTES = 65_536
"""Bytes of the body of an entry by the insurer."""


class RequestError(Exception):
    """A request that cannot be served: its status, and a sentence for the sender on what to change."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


class Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457): the status, its standard title, and what is wrong with this request."""

    type: str
    title: str
    status: int
    detail: str


def json_answer(
    body: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> func.HttpResponse:
    """`body`, any value that msgspec encodes, as JSON."""
    return func.HttpResponse(msgspec.json.encode(body), status_code=status, mimetype=JSON, headers=dict(headers or {}))


def problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """The answer to a request that went wrong."""
    body = Problem("about:blank", status.phrase, int(status), detail)
    return func.HttpResponse(
        msgspec.json.encode(body), status_code=status, mimetype=PROBLEM, headers=dict(headers or {})
    )


def check_size(body: bytes, at_most: int) -> None:
    """Raise RequestError 413 for a body of more bytes than that: before anything reads it."""
    if len(body) > at_most:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has {len(body)} bytes; at most {at_most} are taken"
        )


def decoded[T](body: bytes, kind: type[T]) -> T:
    """The value of type `kind` that a JSON body holds. Raises RequestError 400 naming the place of the fault."""
    nested = depth(body)
    if nested > MAX_DEPTH:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is nested {nested} deep; at most {MAX_DEPTH} are taken")
    return parsed(body, kind)


def parsed[T](body: bytes, kind: type[T]) -> T:
    """The same of a body whose depth was checked. Raises RequestError 400 naming the place of the fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, shortened(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error


def entry[T](req: func.HttpRequest, kind: type[T]) -> T:
    """The insurer's entry in a request. Raises RequestError: 413, 415, or 400 naming the place of the fault."""
    body = req.get_body()
    check_size(body, MAX_ENTRY_BYTES)
    sent_as = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent_as != JSON:
        raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type must be {JSON}")
    return decoded(body, kind)


def query[T](req: func.HttpRequest, kind: type[T]) -> T:
    """The parameters in a request's URL, as the fields of `kind`. Raises RequestError 400 naming the parameter."""
    # The host takes the key from ?code= as well, in upper or lower case.
    given = {name: value for name, value in req.params.items() if name.lower() != "code"}
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"query: {shortened(str(error))}") from error
