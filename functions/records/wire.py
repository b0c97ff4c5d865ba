"""The two calls of the hot path to Table Storage, reading one row and writing one entity group transaction.

azure-data-tables does the same for many times the CPU. This stands on the same pipeline of azure-core, retries as
open_record configures it, and raises the same kinds of errors; it does not know what a row means.
"""

import functools
import hmac
import re
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from email.utils import formatdate
from typing import Any

import msgspec
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import AsyncPipeline, PipelineRequest
from azure.core.pipeline.policies import (
    AsyncBearerTokenCredentialPolicy,
    AsyncRetryPolicy,
    AzureSasCredentialPolicy,
    SansIOHTTPPolicy,
)
from azure.core.pipeline.transport import HttpRequest
from azure.data.tables import RequestTooLargeError, TableErrorCode, TableTransactionError

from functions.records import changeset, guard
from functions.records.changeset import Operation, Refusal
from functions.records.rows import Entity
from functions.records.transport import Answer, Transport

RETRIES = 2
"""Further attempts: of reads after any failure, of transactions only after an answer of 500, 503 or 504."""
BACKOFF_S = 0.2
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30

Credential = AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential

_SCOPE = "https://storage.azure.com/.default"
# The service version is that of azure-data-tables 12.7.
_HEADERS = {"x-ms-version": "2019-02-02", "DataServiceVersion": "3.0"}
_READING = {**_HEADERS, "Accept": "application/json;odata=nometadata"}
_WRITING = {**_HEADERS, "MaxDataServiceVersion": "3.0;NetFx", "Accept": "application/json"}

_ROW = msgspec.json.Decoder(dict[str, Any])
_NO_SUCH_ROW = {TableErrorCode.RESOURCE_NOT_FOUND, TableErrorCode.ENTITY_NOT_FOUND}
_KINDS: dict[str | None, type[HttpResponseError]] = {
    TableErrorCode.CONDITION_NOT_MET: ResourceModifiedError,
    TableErrorCode.UPDATE_CONDITION_NOT_SATISFIED: ResourceModifiedError,
    TableErrorCode.INVALID_AUTHENTICATION_INFO: ClientAuthenticationError,
    TableErrorCode.AUTHENTICATION_FAILED: ClientAuthenticationError,
    TableErrorCode.RESOURCE_NOT_FOUND: ResourceNotFoundError,
    TableErrorCode.TABLE_NOT_FOUND: ResourceNotFoundError,
    TableErrorCode.ENTITY_NOT_FOUND: ResourceNotFoundError,
    TableErrorCode.RESOURCE_ALREADY_EXISTS: ResourceExistsError,
    TableErrorCode.TABLE_ALREADY_EXISTS: ResourceExistsError,
    TableErrorCode.ACCOUNT_ALREADY_EXISTS: ResourceExistsError,
    TableErrorCode.ENTITY_ALREADY_EXISTS: ResourceExistsError,
}
"""Which error azure-data-tables raises for which code of the service; for others HttpResponseError."""
_QUERY = re.compile(r"\?\S*")


class DatePolicy(SansIOHTTPPolicy[HttpRequest, Answer]):
    """Dates each attempt: the service refuses a request that is older than 15 minutes."""

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Set the header x-ms-date."""
        request.http_request.headers["x-ms-date"] = _http_date(int(time.time()))


class SharedKeyLitePolicy(SansIOHTTPPolicy[HttpRequest, Answer]):
    """Signs with the account's key, by the scheme Shared Key Lite for the Table service.

    What is signed is the date, and the path as it is sent after the account's name. Where the account is in the path,
    as Azurite has it, its name stands there twice. Source: Microsoft, "Authorize with Shared Key".
    """

    def __init__(self, credential: AzureNamedKeyCredential) -> None:
        super().__init__()
        self._credential = credential

    def on_request(self, request: PipelineRequest[HttpRequest]) -> None:
        """Set the header Authorization. Raises ClientAuthenticationError when the key is not base64."""
        account, key = self._credential.named_key
        headers = request.http_request.headers
        signed = f"{headers['x-ms-date']}\n/{account}/{_path(request.http_request.url)}"
        try:
            secret = b64decode(key)
        except ValueError:
            raise ClientAuthenticationError(f"the key of storage account {account} is not base64") from None
        signature = b64encode(hmac.digest(secret, signed.encode(), "sha256")).decode()
        headers["Authorization"] = f"SharedKeyLite {account}:{signature}"


class Wire:
    """The connections to one storage account, given as its TableServiceClient has them: `url` and `credential`.

    A SAS is the query of the URL, with no credential, or a credential. Make it once, and keep it: its connections
    stay warm.
    """

    def __init__(self, url: str, credential: Credential | None) -> None:
        account_url, _, sas = url.partition("?")
        self._account_url = account_url.rstrip("/")
        self._query = f"?{sas}" if sas else ""
        # The policies are typed for the answers of azure-core's own transports alone.
        retrying = AsyncRetryPolicy[HttpRequest, Any](retry_total=RETRIES, retry_backoff_factor=BACKOFF_S)
        self._transport = Transport(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
        # What comes after the retry policy is done anew for each attempt.
        self._pipeline: AsyncPipeline[HttpRequest, Answer] = AsyncPipeline(
            self._transport, [retrying, DatePolicy(), *_authorizing(credential)]
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def get(self, table: str, partition: str, row: str) -> tuple[Entity, str] | None:
        """One row as plain JSON has it, without its Timestamp, and its ETag; None when there is no such row.

        Raises ResourceNotFoundError with error_code TableNotFound when there is no such table, HttpResponseError or one
        of its kind for any other refusal, ServiceRequestError or ServiceResponseError when no answer came.
        """
        guard.check_keys(partition, row)
        path = changeset.row_path(table, partition, row)
        answer = await self._send(HttpRequest("GET", f"{self._account_url}{path}{self._query}", headers=_READING))
        if answer.status_code == 200:
            return _row_of(answer)
        refusal = _refusal_of(answer)
        if answer.status_code == 404 and refusal.code in _NO_SUCH_ROW:
            return None
        raise _error(refusal)

    async def submit(self, table: str, operations: Sequence[Operation]) -> list[str]:
        """Do the operations, all or none, and return the new ETags in their order ("" for a delete).

        Raises RowTooLargeError or RefusedError, before anything is sent, for what Azure would refuse;
        TableTransactionError with `index` and `error_code` for the operation for which none was done; HttpResponseError
        or one of its kind when the request itself is refused; ServiceRequestError or ServiceResponseError when no whole
        answer came, and then nobody knows whether they were done. As after an answer of 500 or 504 it is sent again, a
        row that exists or has another ETag may be one's own work.
        """
        guard.check(operations)
        boundary = secrets.token_hex(16)
        body = changeset.encode(self._account_url, table, operations, boundary)
        guard.check_length(len(body))
        headers = {**_WRITING, "Content-Type": f"multipart/mixed; boundary=batch_{boundary}"}
        request = HttpRequest("POST", f"{self._account_url}/$batch{self._query}", headers=headers, data=body)
        answer = await self._send(request)
        if answer.status_code != 202:
            raise _error(_refusal_of(answer))
        done = changeset.decode(answer.content, operations)
        if isinstance(done, Refusal):
            raise _transaction_error(done)
        return done

    async def _send(self, request: HttpRequest) -> Answer:
        """Send, and again where the retry policy says so.

        The pipeline's error may show the URL, and with it a SAS, and so may what it is chained to. So another is raised
        in its place, of the same kind and outside of the except block, which would chain it again.
        """
        try:
            return (await self._pipeline.run(request)).http_response
        except (ServiceRequestError, ServiceResponseError) as error:
            kind, reason = type(error), _QUERY.sub("?...", str(error))
        raise kind(f"Table Storage gave no answer: {reason}")


@functools.lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    """A moment, in whole seconds since 1970, as HTTP writes it; many requests share one."""
    return formatdate(second, usegmt=True)


def _path(url: str) -> str:
    """The path in an absolute URL, as it is sent, without the slash that it begins with."""
    _scheme, _, _host, path = url.partition("?")[0].split("/", 3)
    return path


def _authorizing(credential: Credential | None) -> list[Any]:
    """The policy for this kind of credential; none where the URL holds the SAS."""
    if credential is None:
        return []
    if isinstance(credential, AzureNamedKeyCredential):
        return [SharedKeyLitePolicy(credential)]
    if isinstance(credential, AzureSasCredential):
        return [AzureSasCredentialPolicy(credential)]
    return [AsyncBearerTokenCredentialPolicy[HttpRequest, Any](credential, _SCOPE)]


def _row_of(answer: Answer) -> tuple[Entity, str]:
    etag = answer.headers.get("ETag")
    try:
        row = _ROW.decode(answer.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        row = None
    if row is None or etag is None:
        raise ServiceResponseError(f"the answer to the read of a row, {len(answer.content)} bytes, is no row")
    row.pop("Timestamp", None)
    return row, etag


def _refusal_of(answer: Answer) -> Refusal:
    return changeset.refusal(answer.status_code, answer.content, answer.headers.get("x-ms-error-code"))


def _error(refusal: Refusal) -> HttpResponseError:
    """The error for a request that was refused as a whole."""
    if refusal.status == 413:
        return _transaction_error(refusal)
    error = _KINDS.get(refusal.code, HttpResponseError)(_message(refusal))
    error.status_code = refusal.status
    error.error_code = refusal.code  # type: ignore[attr-defined]
    return error


def _transaction_error(refusal: Refusal) -> TableTransactionError:
    """The error for an entity group transaction; it reads its index from the beginning of the message."""
    kind = RequestTooLargeError if refusal.status == 413 else TableTransactionError
    error = kind(message=_message(refusal))
    error.status_code = refusal.status
    error.error_code = refusal.code  # type: ignore[attr-defined]
    return error


def _message(refusal: Refusal) -> str:
    return f"{refusal.message}\nErrorCode:{refusal.code}"
