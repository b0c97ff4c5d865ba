"""HTTP answers: JSON, and problem details (RFC 9457) for what went wrong."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import azure.functions as func
import msgspec

JSON = "application/json"
PROBLEM = "application/problem+json"


class RequestError(Exception):
    """A request that cannot be served: its status, and a sentence for the sender on what to change."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def json_answer(body: Any, status: HTTPStatus = HTTPStatus.OK) -> func.HttpResponse:
    """`body`, any value that msgspec encodes, as JSON."""
    return func.HttpResponse(msgspec.json.encode(body), status_code=status, mimetype=JSON)


def problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    """A problem: the status, its standard title, and what is wrong with this request."""
    body = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return func.HttpResponse(
        msgspec.json.encode(body), status_code=status, mimetype=PROBLEM, headers=dict(headers or {})
    )


def decoded[T](body: bytes, kind: type[T]) -> T:
    """The value of type `kind` that a JSON body holds. Raises RequestError 400 naming the place of the fault."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from error
