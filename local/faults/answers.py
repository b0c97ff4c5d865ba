"""What a Function app's platform and Table Storage answer when something is wrong, as whole HTTP answers."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from local.faults.fault import Fault, Kind

PAGE = b"<!DOCTYPE html><html><head><title>%s</title></head><body><h1>%s</h1></body></html>"


@dataclass(frozen=True)
class Request:
    """An HTTP request: header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def is_batch(self) -> bool:
        """Whether it is an entity group transaction of Table Storage."""
        return self.target.partition("?")[0].endswith("/$batch")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: header names in lower case, without those that say how the body is framed."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def unmoved(request: Request) -> Iterator[Kind]:
    """The faults that do not concern this request."""
    if request.method == "GET":
        yield Kind.TABLES_CONFLICT
    if not _is_unlucky(request.body):
        yield Kind.CRASH_ON_A_CAR


def instead(fault: Fault, request: Request) -> Answer | None:
    """The answer that comes in place of the server's, which does not get the request; None: the server answers."""
    match fault.kind:
        case Kind.STARTING:
            return _page(404, b"404 Not Found")
        case Kind.STOPPED:
            return _page(403, b"Error 403 - This web app is stopped.")
        case Kind.ACCEPTED:
            return Answer(202)
        case Kind.CRASH | Kind.CRASH_ON_A_CAR:
            return Answer(500)
        case Kind.BAD_GATEWAY:
            return _page(502, b"502 - Web server received an invalid response")
        case Kind.UNAVAILABLE:
            return _page(503, b"Service Unavailable")
        case Kind.THROTTLED:
            return Answer(429, {"retry-after": f"{fault.amount:.0f}"})
        case Kind.PAGE:
            return _page(200, b"Your Function app is up and running")
        case Kind.TABLES_TIMED_OUT:
            return _tables_error(
                500, "OperationTimedOut", "Operation could not be completed within the permitted time."
            )
        case Kind.TABLES_BUSY:
            return _tables_error(503, "ServerBusy", "The server is busy.")
        case Kind.TABLES_CONFLICT:
            return _conflict(request)
    return None


def without_one(answer: Answer) -> Answer | None:
    """The Function's answer to a batch, but for its first result; None when it is no such answer."""
    try:
        others = json.loads(answer.body)["results"][1:]
    except (ValueError, KeyError, TypeError):
        return None
    return replace(answer, body=json.dumps({"results": others}).encode())


def _is_unlucky(body: bytes) -> bool:
    """Whether a batch of CloudEvents holds one whose subject, a car's id in hex digits, begins as one in 64 does."""
    try:
        events = json.loads(body)
    except ValueError:
        return False
    subjects = [event.get("subject") for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    return any(re.match("0[0-3]", str(subject)) for subject in subjects)


def _page(status: int, title: bytes) -> Answer:
    return Answer(status, {"content-type": "text/html"}, PAGE % (title, title))


def _tables_error(status: int, code: str, message: str) -> Answer:
    error = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": message}}}
    headers = {"content-type": "application/json;odata=minimalmetadata", "x-ms-error-code": code}
    return Answer(status, headers, json.dumps(error).encode())


def _conflict(request: Request) -> Answer:
    code, message = "UpdateConditionNotSatisfied", "The update condition specified in the request was not satisfied."
    if not request.is_batch:
        return _tables_error(412, code, message)
    # Table Storage answers 202 to an entity group transaction that fails; its one part names the operation to blame.
    error = _tables_error(412, code, f"0:{message}")
    lines = (
        "--batchresponse_0",
        "Content-Type: multipart/mixed; boundary=changesetresponse_0",
        "",
        "--changesetresponse_0",
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        "HTTP/1.1 412 Precondition Failed",
        "Content-Type: application/json;odata=minimalmetadata",
        "",
        error.body.decode(),
        "--changesetresponse_0--",
        "--batchresponse_0--",
        "",
    )
    return Answer(202, {"content-type": "multipart/mixed; boundary=batchresponse_0"}, "\r\n".join(lines).encode())
