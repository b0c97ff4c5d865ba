"""What every route shares: the use cases it calls, and how their errors become answers."""

import functools
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api.answers import RequestError, problem
from functions.rating.premium import rate
from functions.rating.tariff import read_tariff
from functions.recording import Recording
from functions.records.errors import RefusedError, RowTooLargeError, UnavailableError
from functions.records.record import Record, open_record
from functions.settings import Settings, is_public_key, shown

RETRY_AFTER_S = 2

log = logging.getLogger("leasehook.api")

Route = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


class Parts(msgspec.Struct, frozen=True):
    """What the routes work with. Made once when the app starts; the record keeps its connections warm."""

    settings: Settings
    record: Record
    recording: Recording


def assemble(settings: Settings) -> Parts:
    """The parts for these settings and the tariff in force. Raises TariffError when the tariff is not valid."""
    record = open_record(settings)
    return Parts(settings, record, Recording(record, settings.lessors, functools.partial(rate, read_tariff())))


def answering(route: Route) -> Route:
    """The route, with what its sender or Table Storage does wrong answered as a problem.

    Anything else is a fault of this app: it is left to the host, which logs it and answers an empty 500.
    """

    @functools.wraps(route)
    async def answered(req: func.HttpRequest) -> func.HttpResponse:
        try:
            return await route(req)
        except RequestError as error:
            return problem(error.status, error.detail)
        except UnavailableError as error:
            log.warning("%s %s: %s", req.method, route.__name__, error)
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(RETRY_AFTER_S)})
        except (RowTooLargeError, RefusedError) as error:
            return problem(HTTPStatus.CONFLICT, str(error))

    return answered


def driver_key(req: func.HttpRequest, settings: Settings) -> str:
    """The driver's key in the route. Raises RequestError when it is no public key, or a lessor's."""
    key: str = req.route_params["key"]
    if not is_public_key(key):
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{shown(key)} is not a base58 Ed25519 public key")
    if key in settings.lessors:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"{key} is the key of a lessor, who is no driver")
    return key
