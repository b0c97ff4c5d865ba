"""/api/openapi.json: the API's OpenAPI 3.1 document, made of the operations and types that serve it."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import azure.functions as func
import msgspec

from functions.api.answers import PROBLEM, Problem, json_answer
from functions.api.conditions import IfMatch, IfNoneMatch
from functions.api.operations import Answer, Header, Operation, Served, json_body
from functions.api.routes import AssetId, PublicKey
from functions.api.texts import ClaimId

Json = dict[str, Any]

TITLE = "Leasehook"
API_VERSION = "1"
ALWAYS_POSSIBLE = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
REFERENCE = "#/components/schemas/{name}"
PATH_PARAMETERS = {"key": PublicKey, "asset_id": AssetId, "claim_id": ClaimId}
HEADERS: dict[Header, Any] = {"If-Match": IfMatch, "If-None-Match": IfNoneMatch}
KEY_MISSING = "the function key is missing or wrong (an empty body, by the host)"


def served(others: Iterable[Served]) -> tuple[Served, ...]:
    """The operation that gives the document of `others` and of itself."""

    async def openapi(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
        return json_answer(described)

    own = Served(GET_DOCUMENT, openapi)
    described = document([*(one.operation for one in others), own.operation])
    return (own,)


def document(operations: Iterable[Operation]) -> Json:
    """The OpenAPI 3.1 document of these operations."""
    offered = list(operations)
    types = [Problem, *HEADERS.values(), *(kind for one in offered for kind in _types(one))]
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCE)
    named = dict(zip(map(repr, types), schemas, strict=True))
    # A query is no body: its fields stand among the parameters.
    queries = {kind.__name__: components.pop(kind.__name__) for kind in {one.query for one in offered if one.query}}
    paths: dict[str, Json] = {}
    for one in offered:
        paths.setdefault(f"/api/{one.path}", {})[one.method.lower()] = _operation(one, named, queries)
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": API_VERSION,
            "description": "The insurer's record of drivers and leased cars.",
        },
        "security": [{"functionKey": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"functionKey": {"type": "apiKey", "in": "header", "name": "x-functions-key"}},
        },
    }
    # As it is read back, so that it holds nothing but JSON.
    return dict(_portable(msgspec.json.decode(msgspec.json.encode(described))))


def _types(operation: Operation) -> Iterator[Any]:
    yield from (PATH_PARAMETERS[name] for name in _path_parameters(operation))
    if operation.body is not None:
        yield operation.body
    if operation.query is not None:
        yield operation.query
    for answer in operation.answers.values():
        yield from answer.bodies.values()


def _operation(operation: Operation, schemas: dict[str, Json], queries: dict[str, Json]) -> Json:
    described: Json = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            *_parameters_in_path(operation, schemas),
            *_parameters_in_query(operation, queries),
            *(_parameter(name, "header", schemas[repr(HEADERS[name])]) for name in operation.headers),
        ],
        "responses": {
            **{str(int(status)): _answer(answer, schemas) for status, answer in operation.answers.items()},
            "401": {"description": KEY_MISSING},
            **{str(int(status)): _problem(status) for status in (*operation.problems, *ALWAYS_POSSIBLE)},
        },
    }
    if operation.body is not None:
        content = {operation.body_type: {"schema": schemas[repr(operation.body)]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _path_parameters(operation: Operation) -> list[str]:
    return re.findall(r"{(\w+)}", operation.path)


def _parameters_in_path(operation: Operation, schemas: dict[str, Json]) -> Iterator[Json]:
    for name in _path_parameters(operation):
        yield _parameter(name, "path", schemas[repr(PATH_PARAMETERS[name])], required=True)


def _parameters_in_query(operation: Operation, queries: dict[str, Json]) -> Iterator[Json]:
    if operation.query is None:
        return
    described = queries[operation.query.__name__]
    for name, schema in described["properties"].items():
        yield _parameter(name, "query", schema, required=name in described["required"])


def _parameter(name: str, place: str, schema: Json, *, required: bool = False) -> Json:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _portable(described: Any) -> Any:
    """The same with patterns as JSON Schema has them, those of ECMA 262: it writes \\A and \\Z as ^ and $."""
    if isinstance(described, list):
        return [_portable(one) for one in described]
    if not isinstance(described, dict):
        return described
    return {
        name: one.replace(r"\A", "^").replace(r"\Z", "$")
        if name == "pattern" and isinstance(one, str)
        else _portable(one)
        for name, one in described.items()
    }


def _answer(answer: Answer, schemas: dict[str, Json]) -> Json:
    described: Json = {"description": answer.description}
    if answer.bodies:
        described["content"] = {kind: {"schema": schemas[repr(body)]} for kind, body in answer.bodies.items()}
    if answer.has_etag:
        described["headers"] = {"ETag": {"required": True, "schema": {"type": "string"}, "description": "for If-Match"}}
    return described


def _problem(status: HTTPStatus) -> Json:
    if status is HTTPStatus.UNAUTHORIZED:
        # Without content: whether there is any depends on whether the host answered.
        return {"description": f"{KEY_MISSING}; or the signature is missing or wrong (a problem)"}
    described: Json = {
        "description": status.phrase,
        "content": {PROBLEM: {"schema": {"$ref": REFERENCE.format(name=Problem.__name__)}}},
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        described["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}, "description": "in s"}}
    return described


GET_DOCUMENT = Operation(
    name="openapi",
    method="GET",
    path="openapi.json",
    summary="This document",
    answers={HTTPStatus.OK: json_body("the OpenAPI 3.1 document", dict[str, Any])},
)
