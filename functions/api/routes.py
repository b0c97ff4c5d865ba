"""What every route shares: the use cases it calls, and how their errors become answers."""

import functools
import logging
from http import HTTPStatus
from typing import Annotated

import azure.functions as func
import msgspec

from functions.api.answers import RequestError, problem
from functions.api.operations import Route
from functions.entries import (
    ClaimExistsError,
    Entries,
    PreconditionFailedError,
    UnknownClaimError,
    UnknownDriverError,
)
from functions.rating.tariff import Tariff, read_tariff
from functions.recording import Recording
from functions.records.errors import DamagedError, RefusedError, RowTooLargeError, UnavailableError
from functions.records.record import Record, open_record
from functions.settings import Settings, is_public_key, shown

RETRY_AFTER_S = 2

log = logging.getLogger("leasehook.api")

AssetId = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
PublicKey = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[1-9A-HJ-NP-Za-km-z]{32,44}\Z",
        extra_json_schema={"format": "ed25519-base58"},
        description="an Ed25519 public key in base58",
    ),
]
"""What the document says of a key; `check_public_key` says the rest."""


class Parts(msgspec.Struct, frozen=True):
    """What the routes work with. Made once when the app starts; the record keeps its connections warm."""

    settings: Settings
    tariff: Tariff
    record: Record
    recording: Recording
    entries: Entries


def assemble(settings: Settings) -> Parts:
    """The parts for these settings and the tariff in force. Raises TariffError when the tariff is not valid."""
    tariff = read_tariff()
    record = open_record(settings)
    return Parts(settings, tariff, record, Recording(record, settings.lessors, tariff), Entries(record, tariff))


def answering(route: Route) -> Route:
    """The route, with whatever goes wrong answered as a problem that shows nothing of the app's inside."""

    @functools.wraps(route)
    async def answered(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return await route(req)
        except RequestError as error:
            return problem(error.status, error.detail, error.headers)
        except PreconditionFailedError as error:
            return problem(HTTPStatus.PRECONDITION_FAILED, str(error))
        except (UnknownDriverError, UnknownClaimError) as error:
            return problem(HTTPStatus.NOT_FOUND, str(error))
        except RefusedError as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        except (RowTooLargeError, DamagedError, ClaimExistsError) as error:
            return problem(HTTPStatus.CONFLICT, str(error))
        except UnavailableError as error:
            log.warning("%s: %s", route.__name__, error)
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(RETRY_AFTER_S)})
        except Exception:
            log.exception("%s failed", route.__name__)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "an error in the app; its log tells more")

    return answered


def driver_key(req: func.HttpRequest, settings: Settings) -> str:
    """The driver's key in the route. Raises RequestError when it is no public key, or a lessor's."""
    key: str = req.route_params["key"]
    check_public_key(key)
    if key in settings.lessors:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{key} is the key of a lessor, who is no driver")
    return key


def check_public_key(text: str) -> None:
    """Raise RequestError 400 unless `text` is an Ed25519 public key in base58."""
    if not is_public_key(text):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{shown(text)} is not a base58 Ed25519 public key")
