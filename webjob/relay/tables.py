"""How the relay reaches its table: the client for the account, and the SDK's errors as the relay's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import AzureError, HttpResponseError
from azure.data.tables import TableServiceClient
from azure.identity import DefaultAzureCredential

from relay.errors import SettingsError, TablesError
from relay.settings import TablesSettings

TABLE = "Relay"


def open_service(settings: TablesSettings) -> TableServiceClient:
    """A client for the account of the settings: by connection string, or by managed identity."""
    options: dict[str, Any] = {
        "retry_total": 1,
        "retry_backoff_factor": 0.2,
        "connection_timeout": 5,
        "read_timeout": 20,
    }
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
