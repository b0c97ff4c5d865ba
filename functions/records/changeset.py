"""One entity group transaction as the text of a $batch request, and the text of its answer as ETags or a refusal.

Nothing here does I/O or knows who signs. Format: Microsoft, "Performing entity group transactions", in the JSON of
service versions 2013-08-15 and later.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from azure.core.exceptions import ServiceResponseError

from functions.records.rows import Entity


class Insert(msgspec.Struct, frozen=True):
    """Write a row that must not be there yet."""

    entity: Entity


class Replace(msgspec.Struct, frozen=True):
    """Write a row in the place of the one that has this ETag; properties that it does not name are gone."""

    entity: Entity
    etag: str


class Merge(msgspec.Struct, frozen=True):
    """Write properties into the row that has this ETag ("*": any); properties that it does not name stay."""

    entity: Entity
    etag: str = "*"


class Delete(msgspec.Struct, frozen=True):
    """Delete the row that has this ETag ("*": any)."""

    partition: str
    row: str
    etag: str = "*"


Operation = Insert | Replace | Merge | Delete


class Refusal(msgspec.Struct, frozen=True):
    """Why the service did nothing: HTTP status, its own code, and its text, which a $batch begins with "<index>:"."""

    status: int
    code: str | None
    message: str


class _Text(msgspec.Struct, frozen=True):
    value: str = ""


class _Reason(msgspec.Struct, frozen=True):
    code: str
    message: _Text = _Text()


class _ErrorBody(msgspec.Struct, frozen=True):
    reason: _Reason = msgspec.field(name="odata.error")


_ERROR_BODY = msgspec.json.Decoder(_ErrorBody)
_MESSAGE_CHARACTERS = 1000

_PART = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
_DELETING = "Accept: application/json;odata=minimalmetadata\r\nDataServiceVersion: 3.0\r\n"
_WRITING = f"Content-Type: application/json\r\n{_DELETING}"
# An insert would otherwise be answered with the whole row.
_INSERTING = _WRITING + "Prefer: return-no-content\r\n"

# The status line, the headers and the empty line after them, of one operation's answer: its status and its ETag. A JSON
# text holds no line break, so that nothing inside of one can look like this.
_ANSWER = re.compile(
    rb"\r\n\r\nHTTP/1\.\d (\d{3})[^\r\n]*"
    rb"(?:\r\n(?!etag:)[^\r\n]+)*+(?:\r\netag:[ \t]*([^\r\n]+)(?:\r\n[^\r\n]+)*+)?\r\n\r\n",
    re.IGNORECASE,
)


def keys(operation: Operation) -> tuple[str, str]:
    """PartitionKey and RowKey of the row that an operation changes."""
    if isinstance(operation, Delete):
        return operation.partition, operation.row
    return operation.entity["PartitionKey"], operation.entity["RowKey"]


def row_path(table: str, partition: str, row: str) -> str:
    """The path of one row below the account's URL.

    It leaves as they are the characters which yarl, below aiohttp, would decode again: the path must be signed as it
    is sent.
    """
    return f"/{table}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(row)}')"


def encode(account_url: str, table: str, operations: Sequence[Operation], boundary: str) -> bytes:
    """The body of a $batch request, of type `multipart/mixed; boundary=batch_<boundary>`.

    `account_url` has no query and no slash at its end. The operations are such as the guard lets pass: keys, ETags and
    values that can be written, and a boundary that occurs in none of them.
    """
    opening = f"--changeset_{boundary}\r\n{_PART}\r\n".encode()
    pieces = [f"--batch_{boundary}\r\nContent-Type: multipart/mixed; boundary=changeset_{boundary}\r\n\r\n".encode()]
    for operation in operations:
        match operation:
            case Insert(entity):
                head = f"POST {account_url}/{table} HTTP/1.1\r\n{_INSERTING}"
                body = _json(entity)
            case Replace(entity, etag):
                head = f"PUT {_row_url(account_url, table, operation)} HTTP/1.1\r\n{_WRITING}If-Match: {etag}\r\n"
                body = _json(entity)
            case Merge(entity, etag):
                head = f"PATCH {_row_url(account_url, table, operation)} HTTP/1.1\r\n{_WRITING}If-Match: {etag}\r\n"
                body = _json(entity)
            case Delete(etag=etag):
                head = f"DELETE {_row_url(account_url, table, operation)} HTTP/1.1\r\n{_DELETING}If-Match: {etag}\r\n"
                body = b""
        pieces += (opening, head.encode(), b"\r\n", body, b"\r\n")
    pieces.append(f"--changeset_{boundary}--\r\n--batch_{boundary}--\r\n".encode())
    # Two line breaks which JSON may hold as they are, but at which Azurite takes a text to end.
    return b"".join(pieces).replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


def decode(answer: bytes, operations: Sequence[Operation]) -> list[str] | Refusal:
    """The new ETags in the order of the operations ("" for a delete), or why none of them was done.

    Raises ServiceResponseError when the answer is cut off or not one for these operations: nobody knows then whether
    they were done.
    """
    opening = answer.partition(b"\r\n")[0]
    if not answer.rstrip().endswith(opening + b"--"):
        raise ServiceResponseError(f"the answer to a $batch, {len(answer)} bytes, is cut off or no multipart text")
    etags = []
    for part in _ANSWER.finditer(answer):
        status = int(part[1])
        if not 200 <= status < 300:
            return refusal(status, answer[part.end() :].partition(b"\r\n--")[0])
        etags.append((part[2] or b"").decode("latin-1"))
    expected = [not isinstance(operation, Delete) for operation in operations]
    if [etag != "" for etag in etags] != expected:
        raise ServiceResponseError(
            f"the answer to a $batch of {len(operations)} operations, {sum(expected)} of which make an ETag, "
            f"has {len(etags)} parts and {len(etags) - etags.count('')} ETags"
        )
    return etags


def refusal(status: int, body: bytes, code: str | None = None) -> Refusal:
    """The refusal that an answer's body tells of; `code` stands where it tells of none. Long texts are cut."""
    try:
        reason = _ERROR_BODY.decode(body).reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Refusal(status, code, f"the service answered {status}")
    return Refusal(status, reason.code, reason.message.value[:_MESSAGE_CHARACTERS])


def _row_url(account_url: str, table: str, operation: Operation) -> str:
    return account_url + row_path(table, *keys(operation))


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="!$&'()*,:;=@")


def _json(entity: Entity) -> bytes:
    """Table Storage has no null: a property that is None is left out, as azure-data-tables does."""
    return msgspec.json.encode({name: value for name, value in entity.items() if value is not None})
