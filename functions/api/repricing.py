"""/api/repricing: all drivers priced under another tariff, a page at a time: what would change, then the change."""

from http import HTTPStatus

import azure.functions as func
import msgspec
from msgspec import UNSET, UnsetType

from functions.api.answers import RequestError, entry, json_answer, query
from functions.api.operations import Operation, Served, json_body
from functions.api.paging import After, Limit, page_end, page_start
from functions.api.routes import Parts, answering
from functions.entries import LeftAlone, Repriced, RepricedPage
from functions.rating.tariff import Tariff, TariffError, parse_tariff
from functions.settings import shown

DEFAULT_PAGE = 50


class PageWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which drivers are priced: those after the page before."""

    limit: Limit = DEFAULT_PAGE
    after: After = ""


class PreviewEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tariff to try: the whole file, as it would be deployed. Left out: the one in force."""

    tariff: msgspec.Raw = msgspec.Raw()


class PreviewBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tariff to try: the whole file, as it would be deployed. Left out: the one in force."""

    # What the document says of a PreviewEntry, whose tariff is read by the rules of the tariff's own file.
    tariff: Tariff | UnsetType = UNSET


class RepricingEntry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The version of the tariff that the sender means: it must be the one in force."""

    tariff_version: str


class RepricingPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page: how many drivers were looked at under `tariff`, and those whose premium or class is another by it.

    `leftAlone` are drivers whose rows contradict each other: a person must look. `next` is the value of ?after= for the
    next page; empty after the last.
    """

    tariff: str
    drivers: int
    changed: list[Repriced]
    left_alone: list[LeftAlone]
    next: str


def served(parts: Parts) -> tuple[Served, ...]:
    """The operations that price all drivers anew."""

    @answering
    async def repricing_preview(req: func.HttpRequest) -> func.HttpResponse:
        wanted = query(req, PageWanted)
        tariff = _candidate(entry(req, PreviewEntry), parts.tariff)
        found = await parts.entries.what_would_change(tariff, wanted.limit, page_start(wanted.after))
        return json_answer(_page(tariff, found))

    @answering
    async def repricing(req: func.HttpRequest) -> func.HttpResponse:
        wanted = query(req, PageWanted)
        meant, in_force = entry(req, RepricingEntry).tariff_version, parts.tariff.version
        if meant != in_force:
            raise RequestError(
                HTTPStatus.CONFLICT, f"the tariff in force is {in_force}, not {shown(meant)}: deploy that one first"
            )
        found = await parts.entries.reprice_all(wanted.limit, page_start(wanted.after))
        return json_answer(_page(parts.tariff, found))

    return (Served(PREVIEW_REPRICING, repricing_preview), Served(REPRICE, repricing))


def _candidate(asked: PreviewEntry, in_force: Tariff) -> Tariff:
    text = bytes(asked.tariff)
    if not text:
        return in_force
    try:
        return parse_tariff(text, "the tariff in the request")
    except TariffError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error


def _page(tariff: Tariff, found: RepricedPage) -> RepricingPage:
    return RepricingPage(tariff.version, found.drivers, found.changed, found.left_alone, page_end(found.following))


PREVIEW_REPRICING = Operation(
    name="repricing_preview",
    method="POST",
    path="repricing/preview",
    summary="What a tariff would change for a page of drivers; nothing is written",
    query=PageWanted,
    body=PreviewBody,
    answers={HTTPStatus.OK: json_body("what would change", RepricingPage)},
    problems=(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ),
)
REPRICE = Operation(
    name="repricing",
    method="POST",
    path="repricing",
    summary="Price a page of drivers under the tariff in force; what is priced under it already is left alone",
    query=PageWanted,
    body=RepricingEntry,
    answers={HTTPStatus.OK: json_body("what has changed", RepricingPage)},
    problems=PREVIEW_REPRICING.problems,
)
