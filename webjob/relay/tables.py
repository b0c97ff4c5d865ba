"""How the relay reaches its table: the client for the account, the line to it, the SDK's errors as the relay's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from relay.errors import SettingsError, TablesError
from relay.settings import TablesSettings

TABLE = "Relay"


class Line(HTTPAdapter):
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
    options: dict[str, Any] = {
        "retry_total": 1,
        "retry_backoff_factor": 0.2,
        "connection_timeout": 5,
        "read_timeout": 20,
    }
    if line is not None:
        session = requests.Session()
        session.mount("http://", line)
        session.mount("https://", line)
        options["transport"] = RequestsTransport(session=session)
    if not settings.connection_string:
        return TableServiceClient(endpoint=settings.endpoint, credential=DefaultAzureCredential(), **options)
    try:
        return TableServiceClient.from_connection_string(settings.connection_string.reveal(), **options)
    except ValueError:
        # The SDK's text may quote what it could not read.
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
        raise TablesError(f"Table Storage answered {error.status_code}") from error
    except AzureError as error:
        raise TablesError(f"Table Storage gave no answer ({type(error).__name__})") from error
