"""What an operation of the API is: the one description from which its route and its OpenAPI entry are made."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal

import azure.functions as func
import msgspec

from functions.api.answers import JSON

Route = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]

Header = Literal["If-Match", "If-None-Match"]


class Answer(msgspec.Struct, frozen=True):
    """An answer that is no problem: its body's type by content type (none: an empty body)."""

    description: str
    bodies: dict[str, Any] = {}
    has_etag: bool = False


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: how it is asked for, and what may come back.

    `query` and `body` are types whose fields msgspec reads; `problems` are the statuses of problem details.
    """

    name: str
    method: Literal["GET", "PUT", "POST", "DELETE"]
    path: str
    summary: str
    query: Any = None
    headers: tuple[Header, ...] = ()
    body: Any = None
    body_type: str = JSON
    answers: Mapping[HTTPStatus, Answer]
    problems: tuple[HTTPStatus, ...] = ()


class Served(msgspec.Struct, frozen=True):
    """An operation, and the route that serves it."""

    operation: Operation
    route: Route


def json_body(description: str, kind: Any, *, etag: bool = False) -> Answer:
    """An answer whose body is JSON of type `kind`."""
    return Answer(description, {JSON: kind}, has_etag=etag)


def blueprint(served: tuple[Served, ...]) -> func.Blueprint:
    """The routes of these operations."""
    routes = func.Blueprint()  # type: ignore[no-untyped-call]
    for one in served:
        # The host names a function by its Python name.
        one.route.__name__ = one.operation.name
        routes.route(one.operation.path, methods=[one.operation.method])(one.route)
    return routes
