"""/api/openapi.json: it is a valid document, it is complete, and the running app does what it says."""

import copy
import datetime as dt
import importlib
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func
import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.engine import events, from_schema

from functions.rating.tariff import TARIFF_FILE
from local.scenario import car, key_pair, lease
from tests.contract.conftest import KEY, LESSOR, App
from tests.writing import Json, create, event, transfer

DRIVERS = [key_pair(f"a driver of the document {number}").public_key for number in range(4)]
CLAIMANT = key_pair("a driver with a claim to withdraw").public_key
CAR = create(LESSOR, car("VIN-of-the-document", "Volvo", "XC40", 2025))
EXAMPLES = 60
"""Requests that are made up for each operation, half of them valid; the coverage phase adds one for each constraint."""


@pytest.fixture(scope="module")
def document(app: App) -> Json:
    """The document as the app gives it, with a record behind it that has content for every answer."""
    for number, driver in enumerate(DRIVERS):
        registered = create(LESSOR, car(f"VIN-{number}", "Volvo", "XC40", 2025))
        leased = transfer(registered, LESSOR, driver, lease("2026-01-01", "2027-12-31", 15_000))
        app.outcomes([event(registered, 1), event(leased, 2)])
    for driver in DRIVERS[1:]:
        app.call("PUT", f"drivers/{driver}", {"name": "Ada", "insuredSince": "2016-01-01"})
        app.call("POST", f"drivers/{driver}/claims", a_claim("C-1"))
        app.call("POST", f"drivers/{driver}/claims", a_claim("C-2"))
        app.call("DELETE", f"drivers/{driver}/claims/C-2")
    app.call("POST", f"drivers/{CLAIMANT}/claims", a_claim("C-3"))
    app.outcomes([event(CAR, 1)])
    given: Json = app.call("GET", "openapi.json").json()
    return given


@pytest.fixture(scope="module", autouse=True)
def _formats(app: App, document: Json) -> None:
    """What a made-up text must be for the app to take it, beyond what JSON Schema can say."""
    token = app.call("GET", "drivers?limit=1").json()["next"]
    days = st.dates(dt.date(1900, 1, 1), dt.date(2099, 12, 31))
    schemathesis.openapi.format("ed25519-base58", st.sampled_from(DRIVERS))
    schemathesis.openapi.format("continuation-token", st.just(token))
    schemathesis.openapi.format("date", days.map(str))


def a_claim(claim_id: str) -> Json:
    return {"id": claim_id, "date": "2026-03-01", "atFault": True, "amount": "12.5"}


def test_the_document_is_valid_openapi(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_the_document_names_every_function_of_the_app_and_nothing_else(
    document: Json, tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_NAME", "local")
    monkeypatch.setenv("LESSOR_PUBLIC_KEYS", LESSOR.public_key)
    monkeypatch.setenv("TABLES_CONNECTION_STRING", tables)
    registered: func.FunctionApp = importlib.import_module("function_app").app
    triggers = {
        one.get_function_name(): trigger.get_dict_repr()
        for one in registered.get_functions()
        if (trigger := one.get_trigger()) and trigger.get_dict_repr()["type"] == "httpTrigger"
    }

    described = {
        (operation["operationId"], method.upper(), path)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }

    assert described == {
        (name, str(method.value), f"/api/{trigger['route']}")
        for name, trigger in triggers.items()
        for method in trigger["methods"]
    }


def test_the_app_takes_and_answers_what_the_document_says(app: App, document: Json) -> None:
    sent, faults = held_to(document, app)

    assert faults == []
    assert {operation for operation, _ in sent} == labels(document)
    unreached = {
        operation for operation in labels(document) if not {(operation, code) for code in (200, 201, 204)} & sent
    }
    assert unreached == set()


@pytest.mark.parametrize("tampering", ["a field that is not there", "another type", "no such status"])
def test_a_document_that_says_something_else_is_found_out(app: App, document: Json, tampering: str) -> None:
    wrong = copy.deepcopy(document)
    schemas = wrong["components"]["schemas"]
    match tampering:
        case "a field that is not there":
            schemas["DriverView"]["required"].append("shoeSize")
        case "another type":
            schemas["DriverView"]["properties"]["annualPremium"] = {"type": "number"}
        case _:
            del wrong["paths"]["/api/drivers/{key}"]["get"]["responses"]["200"]
    wrong["paths"] = {"/api/drivers/{key}": {"get": wrong["paths"]["/api/drivers/{key}"]["get"]}}

    _, faults = held_to(wrong, app)

    assert faults
    assert all("GET /api/drivers/{key}" in fault for fault in faults)


def test_a_document_that_promises_more_than_the_app_takes_is_found_out(app: App, document: Json) -> None:
    wrong = copy.deepcopy(document)
    wrong["components"]["schemas"]["ClaimEntry"]["properties"]["amount"] = {"type": ["string", "number"]}
    wrong["paths"] = {"/api/drivers/{key}/claims": wrong["paths"]["/api/drivers/{key}/claims"]}

    _, faults = held_to(wrong, app)

    assert any("positive_data_acceptance" in fault for fault in faults)


def test_a_document_that_promises_less_than_the_app_takes_is_found_out(app: App, document: Json) -> None:
    wrong = copy.deepcopy(document)
    wrong["components"]["schemas"]["ProfileEntry"]["properties"]["name"]["maxLength"] = 100
    wrong["paths"] = {"/api/drivers/{key}": {"put": wrong["paths"]["/api/drivers/{key}"]["put"]}}

    _, faults = held_to(wrong, app)

    assert any("negative_data_rejection" in fault for fault in faults)


def labels(document: Json) -> set[str]:
    return {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}


def held_to(document: Json, app: App) -> tuple[set[tuple[str, int]], list[str]]:
    """Operations with the statuses that they answered, and where the app does not do what the document says."""
    made_up = schemathesis.openapi.from_dict(with_examples(document), config=configuration(app))
    sent: set[tuple[str, int]] = set()
    faults: list[str] = []
    for one in from_schema(made_up).execute():
        if isinstance(one, events.NonFatalError | events.FatalError):
            faults.append(repr(one))
        if isinstance(one, events.ScenarioFinished):
            calls = one.recorder.interactions
            sent |= {(one.recorder.label, call.response.status_code) for call in calls.values() if call.response}
            faults += [
                f"{one.recorder.label}: {check.name}: {check.failure_info.failure.message}\n"
                f"{check.failure_info.code_sample}"
                for case_id, checks in one.recorder.checks.items()
                for check in checks
                if check.failure_info and not is_of_the_host(check.name, calls[case_id].request.uri)
            ]
    return sent, faults


def is_of_the_host(check: str, url: str) -> bool:
    """Whether a request with a fault could not be refused: an empty value in a query never reaches the app."""
    values = [value for _, value in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    return check == "negative_data_rejection" and "" in values


def configuration(app: App) -> schemathesis.Config:
    """Every check that there is, but for those which say why not."""
    return schemathesis.Config.from_dict(
        {
            "base-url": app.url,
            "headers": {"x-functions-key": KEY},
            "continue-on-failure": True,
            "seed": 1,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none", "no-shrink": True},
            "phases": {
                "examples": {"enabled": True},
                "fuzzing": {"extra-data-sources": {"responses": False}, "error-feedback": {"enabled": False}},
                # Its own chains of requests are no stories of a driver; test_record_api tells those.
                "stateful": {"enabled": False},
            },
            "checks": {
                # The host answers 404, not 405, to a method that nobody takes, and sends no Allow.
                "unsupported_method": {"enabled": False},
                "allow_header_conformance": {"enabled": False},
                # 409: a claim's id is taken. 412: no driver has a made-up ETag. 421: no ledger has a made-up name.
                "positive_data_acceptance": {"expected-statuses": ["2xx", "404", "409", "412", "421"]},
                "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "409", "413", "415", "421"]},
            },
            "operations": [
                {
                    # What must hold between the fields of a tariff is said in words (docs/rating.md).
                    "include-name": "POST /api/repricing/preview",
                    "checks": {"positive_data_acceptance": {"enabled": False}},
                }
            ],
        }
    )


def with_examples(document: Json) -> Json:
    """The document with what nobody makes up by chance: ids that exist, a signed transaction, a sensible tariff."""
    tariff = json.loads(TARIFF_FILE.read_text())
    bodies: dict[str, Any] = {
        "ledger_events": [event(create(LESSOR))],
        "repricing_preview": {"tariff": tariff | {"version": "another", "annualBaseRate": "1300.00"}},
        "repricing": {"tariffVersion": tariff["version"]},
    }
    parameters = {
        "car": {"asset_id": CAR["id"]},
        "claim_withdrawal": {"key": CLAIMANT, "claim_id": "C-3"},
    }
    richer = copy.deepcopy(document)
    for operation in (one for operations in richer["paths"].values() for one in operations.values()):
        name = operation["operationId"]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content |= {"example": bodies[name]} if name in bodies else {}
        for parameter in operation["parameters"]:
            examples = parameters.get(name, {})
            parameter |= {"example": examples[parameter["name"]]} if parameter["name"] in examples else {}
    return richer
