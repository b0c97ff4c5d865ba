"""How the relay reaches its table: the client for the account, the line to it, the SDK's errors as the relay's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from relay.errors import SettingsError, TablesError
from relay.settings import TablesSettings

TABLE = "Relay"
BODILESS = frozenset({204, 304})
"""Answers with these statuses end with their headers (RFC 9110)."""


class Whole(HTTPAdapter):
    """Takes only answers that say where they end.

    A connection that ends within the headers would otherwise pass for an answer with fewer of them and an empty body.
    """

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request. Raises requests.ConnectionError when what comes back may be a part of an answer."""
        answer = super().send(request, *args, **kwargs)
        length = answer.headers.get("content-length", "")
        is_chunked = "chunked" in answer.headers.get("transfer-encoding", "").lower()
        if not (length.isdecimal() or is_chunked or answer.status_code in BODILESS):
            answer.close()
            raise requests.exceptions.ConnectionError("an answer that does not say where it ends")
        return answer


class Line(Whole):
    """One kept connection to Table Storage, for one thread. `connects` counts how often it had to be made."""

    def __init__(self) -> None:
        self.connects = 0
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Have every connection counted."""
        super().init_poolmanager(*args, **kwargs)
        line = self

        class Plain(HTTPConnection):
            def connect(self) -> None:
                line.connects += 1
                super().connect()

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                line.connects += 1
                super().connect()

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def open_service(settings: TablesSettings, line: Line | None = None) -> TableServiceClient:
    """A client for the account of the settings, by connection string or by managed identity; over `line`, if given."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, line or Whole())
    options: dict[str, Any] = {
        "retry_total": 1,
        "retry_backoff_factor": 0.2,
        "connection_timeout": 5,
        "read_timeout": 20,
        "permit_redirects": False,
        "transport": RequestsTransport(session=session),
    }
    if not settings.connection_string:
        return TableServiceClient(endpoint=settings.endpoint, credential=DefaultAzureCredential(), **options)
    try:
        return TableServiceClient.from_connection_string(settings.connection_string.reveal(), **options)
    except (TypeError, ValueError):
        # TypeError where the endpoint has no host. The SDK's text may quote what it could not read.
        raise SettingsError(
            "TABLES_CONNECTION_STRING: the tables SDK cannot use it (its value is not shown); take it from the storage "
            "account as it stands there"
        ) from None


@contextmanager
def tables_errors() -> Iterator[None]:
    """Turn the SDK's errors into TablesError. Their texts are left out: they quote requests."""
    try:
        yield
    except HttpResponseError as error:
        raise TablesError(_refusal(error)) from error
    except AzureError as error:
        raise TablesError(f"Table Storage gave no answer ({type(error).__name__})") from error


def _refusal(error: HttpResponseError) -> str:
    if error.status_code is None and isinstance(error, ClientAuthenticationError):
        # Before anything was sent.
        return f"no key or identity to sign requests to Table Storage with ({type(error).__name__})"
    refused = ": it does not accept the account's key, SAS or identity" if error.status_code in {401, 403} else ""
    return f"Table Storage answered {error.status_code}{refused}"
