"""The insurer's reads and entries on the real app, as docs/api.md has them."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import azure.functions as func
import pytest
import requests
from azure.data.tables import TableServiceClient

from functions.api.routes import answering
from functions.entries import Entries
from functions.leasing.driver import Profile
from functions.rating.tariff import TARIFF_FILE, Tariff, parse_tariff, read_tariff
from functions.records.record import open_record
from functions.settings import read_settings
from local.azurite import azurite, running_azurite
from local.processes import ROOT
from local.scenario import lease
from tests.contract.conftest import LESSOR, App, serving
from tests.writing import Json, create, event, new_keys, transfer

PROFILE = {"name": "Ada", "licenceNumber": "BE-1", "licensedSince": "2010-01-01", "insuredSince": "2016-01-01"}
CLAIM = {"id": "C-1", "date": "2025-05-05", "atFault": True, "amount": "12.5", "description": "a bumper"}
TERMS = lease("2026-01-01", "2027-12-31", 15_000)
IN_FORCE = read_tariff()
AS_WRITTEN: Json = json.loads(TARIFF_FILE.read_text())
DEARER = AS_WRITTEN | {"version": "dearer", "annualBaseRate": "1500.00"}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite of this file's own: some tests look at all that there is."""
    with azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as connection_string:
        yield connection_string


def leased_car(app: App, driver: str, height: int = 1, data: Json | None = None, terms: Json | None = TERMS) -> Json:
    """The transaction that leases a new car to a driver; the car is registered at `height`, and leased one later."""
    registered = create(LESSOR, data)
    leased = transfer(registered, LESSOR, driver, terms)
    assert app.outcomes([event(registered, height), event(leased, height + 1)]) == ["applied", "applied"]
    return leased


def a_driver(app: App, **claim: Any) -> str:
    """A driver with an open lease and a profile, and the claim where one is given."""
    key: str = new_keys().public_key
    leased_car(app, key)
    assert app.call("PUT", f"drivers/{key}", PROFILE).status_code == 200
    if claim:
        assert app.call("POST", f"drivers/{key}/claims", CLAIM | claim).status_code == 201
    return key


def driver(app: App, key: str) -> Json:
    """The driver as the app shows them."""
    answer = app.call("GET", f"drivers/{key}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def assert_problem(answer: requests.Response, status: int, detail: str = "") -> None:
    """The answer is a problem (RFC 9457) of this status, and its detail, a sentence for the sender, holds `detail`."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert problem == {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status} | {
        "detail": problem["detail"]
    }
    assert detail in problem["detail"]
    for inside in ("Traceback", ".py", str(ROOT), "site-packages"):
        assert inside not in answer.text


def raw_rows(tables: str, key: str | None = None) -> list[Json]:
    """The rows of a driver, or all that there are, with their ETags, as Table Storage has them."""
    with TableServiceClient.from_connection_string(tables) as service:
        found = [
            {"table": table, "etag": row.metadata["etag"], **row}
            for table in ("Drivers", "Cars")
            for row in service.get_table_client(table).list_entities()
        ]
    return [row for row in found if key in (None, row["PartitionKey"])]


def do_with_entries[T](tables: str, tariff: Tariff, act: Callable[[Entries], Awaitable[T]]) -> T:
    """Act on the same record as the app does, under a tariff that need not be the one in force."""

    async def acting() -> T:
        settings = {"LEDGER_NAME": "local", "LESSOR_PUBLIC_KEYS": LESSOR.public_key, "TABLES_CONNECTION_STRING": tables}
        record = open_record(read_settings(settings))
        try:
            return await act(Entries(record, tariff))
        finally:
            await record.close()

    return asyncio.run(acting())


def at_once(*calls: Callable[[], requests.Response]) -> list[requests.Response]:
    """The answers to calls that are made at the same time."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(call) for call in calls]]


# Reading


def test_a_car_shows_who_has_it_and_the_transactions_behind_that(app: App) -> None:
    key = new_keys().public_key
    leased = leased_car(app, key)
    car = app.call("GET", f"cars/{leased['asset']['id']}").json()
    assert car["holders"] == [{"driver": key, "startTransaction": leased["id"]}]
    assert [row["id"] for row in car["transactions"]] == [leased["asset"]["id"], leased["id"]]
    assert car["lessor"] == LESSOR.public_key


def test_a_driver_whom_the_insurer_does_not_know_is_provisional_at_the_entry_class(app: App) -> None:
    key = new_keys().public_key
    leased_car(app, key)
    found = driver(app, key)
    assert (found["provisional"], found["bonusMalusClass"], found["annualPremium"]) == (True, 14, "1200.00")


def test_drivers_are_found_by_what_is_so_of_them(app: App) -> None:
    known, unknown, odd, carless = a_driver(app), *(new_keys().public_key for _ in range(3))
    leased_car(app, unknown)
    leased_car(app, odd, terms=None)
    app.call("PUT", f"drivers/{carless}", PROFILE)
    ours = {known, unknown, odd, carless}

    def found(query: str) -> set[str]:
        return {one["key"] for one in everything(app, "drivers", query)} & ours

    assert found("provisional=true") == {unknown, odd}
    assert found("provisional=false") == {known, carless}
    assert found("leasing=false") == {carless}
    assert found("flagged=true") == {odd}
    assert found("bonusMalusClass=4") == {known}
    assert found("bonusMalusClass=14&flagged=false") == {unknown}
    assert found("leasing=true&provisional=false") == {known}
    assert found("") == ours


def test_cars_are_found_by_what_is_so_of_them(app: App) -> None:
    vin = "O'Brien & Sons, 1 #2"
    key = new_keys().public_key
    leased = leased_car(app, key, data={"vehicleIdentificationNumber": vin})["asset"]["id"]
    free = create(LESSOR)
    assert app.outcomes([event(free)]) == ["applied"]

    def found(query: str) -> set[str]:
        return {one["assetId"] for one in everything(app, "cars", query)} & {leased, free["id"]}

    assert found("leased=true") == {leased}
    assert found("leased=false") == {free["id"]}
    assert found(f"lessor={LESSOR.public_key}") == {leased, free["id"]}
    assert found(f"lessor={key}") == set()
    assert found(f"vin={quote(vin)}") == {leased}
    assert found(f"vin={quote(vin)}&leased=false") == set()


def everything(app: App, resource: str, query: str = "", limit: int = 200) -> list[Json]:
    """What a list has on all of its pages, none of which may hold more than `limit`."""
    found: list[Json] = []
    after = ""
    while True:
        answer = app.call("GET", f"{resource}?limit={limit}&{query}&after={after}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page[resource]) <= limit
        found += page[resource]
        if "next" not in page:
            return found
        after = page["next"]


def test_drivers_are_listed_a_page_at_a_time_each_once(app: App) -> None:
    keys = {new_keys().public_key for _ in range(5)}
    for key in keys:
        app.call("PUT", f"drivers/{key}", {"name": "one of five"})
    found = [one["key"] for one in everything(app, "drivers", limit=2)]
    assert keys <= set(found)
    assert len(found) == len(set(found))


def test_cars_are_listed_a_page_at_a_time_each_once(app: App) -> None:
    registered = [create(LESSOR) for _ in range(5)]
    assert app.outcomes([event(one) for one in registered]) == ["applied"] * 5
    found = [one["assetId"] for one in everything(app, "cars", limit=2)]
    assert {one["id"] for one in registered} <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("drivers?leesing=true", "leesing"),
        ("drivers?leasing=yes", "leasing"),
        ("drivers?leasing=null", "leasing"),
        ("drivers?leasing=true&leasing=true", "leasing"),
        ("drivers?bonusMalusClass=null", "bonusMalusClass"),
        ("drivers?bonusMalusClass=best", "bonusMalusClass"),
        ("drivers?limit=0", "limit"),
        ("drivers?limit=201", "limit"),
        ("drivers?after=!", "after"),
        ("drivers?after=e30=", "after"),
        ("cars?model=Zoe", "model"),
        ("cars?leased=1", "leased"),
        ("cars?lessor=somebody", "lessor"),
        (f"cars?lessor={'z' * 44}", "zzz"),
        (f"cars?vin={'x' * 201}", "vin"),
        ("cars?vin=a%0Ab", "vin"),
        ("cars?limit=1.5", "limit"),
        ("cars/xyz", "'xyz'"),
        ("drivers/nobody", "'nobody'"),
        (f"drivers/{LESSOR.public_key}", "lessor"),
    ],
)
def test_what_cannot_be_asked_for_is_400_and_named(app: App, path: str, named: str) -> None:
    assert_problem(app.call("GET", path), 400, named)


def test_nobody_and_nothing_are_404(app: App) -> None:
    stranger = new_keys().public_key
    assert_problem(app.call("GET", f"drivers/{stranger}"), 404, stranger)
    assert_problem(app.call("GET", f"drivers/{stranger}/explanation"), 404, stranger)
    assert_problem(app.call("GET", f"cars/{'0' * 64}"), 404)


def test_the_api_needs_the_key(app: App) -> None:
    for method, path in (("GET", "drivers"), ("GET", "cars/" + "0" * 64), ("PUT", f"drivers/{LESSOR.public_key}")):
        assert requests.request(method, f"{app.url}/api/{path}", timeout=30).status_code == 401


# Entering


def test_entering_a_driver_prices_the_open_lease_anew(app: App) -> None:
    key = new_keys().public_key
    leased_car(app, key)
    found = app.call("PUT", f"drivers/{key}", PROFILE).json()
    # Ten claim-free years from class 14: class 4, level 60.
    assert (found["provisional"], found["bonusMalusClass"], found["annualPremium"]) == (False, 4, "720.00")
    assert found["leases"][0]["premium"]["claimFreeYears"] == 10
    assert "1200.00 EUR x 60 % = 720.00 EUR" in found["leases"][0]["explanation"]


def test_a_claim_raises_the_premium_of_open_leases_and_leaves_ended_ones(app: App) -> None:
    keys = new_keys()
    leased = leased_car(app, keys.public_key)
    app.call("PUT", f"drivers/{keys.public_key}", PROFILE)
    back = transfer(leased, keys, LESSOR.public_key)
    assert app.outcomes([event(back, 3)]) == ["applied"]
    leased_car(app, keys.public_key, height=4)

    answer = app.call("POST", f"drivers/{keys.public_key}/claims", CLAIM | {"date": "2026-03-01"})

    assert answer.status_code == 201
    assert [one["premium"]["annual"] for one in answer.json()["leases"]] == ["720.00", "876.00"]
    assert answer.json()["leases"][1]["premium"]["claimsCounted"] == ["C-1"]
    assert answer.json()["annualPremium"] == "876.00"


def test_the_same_claim_again_changes_nothing(app: App) -> None:
    key = a_driver(app)
    first, again = (app.call("POST", f"drivers/{key}/claims", CLAIM) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["etag"] == first.headers["etag"]
    assert [one["id"] for one in again.json()["claims"]] == ["C-1"]


@pytest.mark.parametrize(
    "other", [{"date": "2025-06-06"}, {"atFault": False}, {"amount": "12.51"}, {"description": ""}]
)
def test_another_claim_with_a_known_id_is_a_conflict(app: App, other: Json) -> None:
    key = a_driver(app, **CLAIM)
    before = driver(app, key)
    assert_problem(app.call("POST", f"drivers/{key}/claims", CLAIM | other), 409, "'C-1'")
    assert driver(app, key) == before


def test_withdrawing_a_claim_lowers_the_premium_again_and_keeps_it_on_file(app: App) -> None:
    key = a_driver(app)
    before = driver(app, key)["annualPremium"]
    dearer = app.call("POST", f"drivers/{key}/claims", CLAIM).json()["annualPremium"]
    first, again = (app.call("DELETE", f"drivers/{key}/claims/C-1") for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert float(dearer) > float(before)
    assert first.json()["annualPremium"] == before
    assert first.json()["leases"][0]["premium"]["claimsCounted"] == []
    assert [(one["id"], one["withdrawn"]) for one in first.json()["claims"]] == [("C-1", True)]
    assert again.json() == first.json()


def test_a_withdrawn_claim_cannot_be_entered_again(app: App) -> None:
    key = a_driver(app, **CLAIM)
    app.call("DELETE", f"drivers/{key}/claims/C-1")
    assert_problem(app.call("POST", f"drivers/{key}/claims", CLAIM), 409, "withdrawn")


def test_withdrawing_an_unknown_claim_is_404(app: App) -> None:
    assert_problem(app.call("DELETE", f"drivers/{a_driver(app)}/claims/C-1"), 404, "'C-1'")
    assert_problem(app.call("DELETE", f"drivers/{new_keys().public_key}/claims/C-1"), 404)
    assert_problem(app.call("DELETE", f"drivers/{new_keys().public_key}/claims/a%20b"), 400, "'a b'")


def test_an_amount_is_kept_to_the_cent(app: App) -> None:
    key = new_keys().public_key
    for claim_id, amount in (("a", "12.5"), ("b", "0"), ("c", "999999999.99")):
        app.call("POST", f"drivers/{key}/claims", CLAIM | {"id": claim_id, "amount": amount})
    claims = {one["id"]: one["amount"] for one in driver(app, key)["claims"]}
    assert claims == {"a": "12.50", "b": "0.00", "c": "999999999.99"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"amount": 12.5}, "$.amount"),
        ({"amount": 12}, "$.amount"),
        ({"amount": "1.005"}, "$.amount"),
        ({"amount": "-1"}, "$.amount"),
        ({"amount": "NaN"}, "$.amount"),
        ({"amount": "1e3"}, "$.amount"),
        ({"amount": "1\n"}, "$.amount"),
        ({"amount": "1000000000"}, "$.amount"),
        ({"id": "a/b"}, "$.id"),
        ({"id": ""}, "$.id"),
        ({"id": "x" * 65}, "$.id"),
        ({"atFault": "yes"}, "$.atFault"),
        ({"date": "1899-12-31"}, "$.date"),
        ({"date": "2100-01-01"}, "$.date"),
        ({"date": "2025-02-29"}, "$.date"),
        ({"date": "2025-05-05T00:00:00Z"}, "$.date"),
        ({"date": None}, "$.date"),
        ({"description": "x" * 201}, "$.description"),
        ({"description": "a\u0085b"}, "$.description"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_claim_that_is_none_is_400_and_names_the_place(app: App, change: Json, place: str) -> None:
    key = new_keys().public_key
    assert_problem(app.call("POST", f"drivers/{key}/claims", CLAIM | change), 400, place)
    assert app.call("GET", f"drivers/{key}").status_code == 404


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": None}, "$.name"),
        ({"name": "x" * 201}, "$.name"),
        ({"name": "a\nb"}, "$.name"),
        ({"name": "a\n"}, "$.name"),
        ({"licenceNumber": "\u0000"}, "$.licenceNumber"),
        ({"insuredSince": "soon"}, "$.insuredSince"),
        ({"insuredSince": "1066-10-14"}, "$.insuredSince"),
        ({"licensedSince": "2100-01-01"}, "$.licensedSince"),
        ({"shoeSize": 43}, "shoeSize"),
    ],
)
def test_a_profile_that_is_none_is_400_and_names_the_place(app: App, change: Json, place: str) -> None:
    key = new_keys().public_key
    assert_problem(app.call("PUT", f"drivers/{key}", PROFILE | change), 400, place)
    assert app.call("GET", f"drivers/{key}").status_code == 404


def test_what_lies_within_the_bounds_is_kept_as_it_was_sent(app: App) -> None:
    key = new_keys().public_key
    sent = {
        "name": "\U0001f697é'\"\u2028" + "x" * 195,
        "licenceNumber": "y" * 200,
        "licensedSince": "1900-01-01",
        "insuredSince": "2099-12-31",
    }
    assert len(sent["name"]) == 200
    found = app.call("PUT", f"drivers/{key}", sent).json()
    assert {name: found[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "not JSON"),
        (b"no json", 400, "not JSON"),
        (b'{"name": "a"} {}', 400, "not JSON"),
        (b"[]", 400, "object"),
        (b"{}", 400, "name"),
        (b'{"name": NaN}', 400, "not JSON"),
        (b'{"name": "\xff"}', 400, "not JSON"),
        (b'{"name": "\\ud800"}', 400, "not JSON"),
        (b'{"name": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "nested"),
        (b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "nested"),
        (b'{"name": "' + b"x" * 65_536 + b'"}', 413, "65536"),
    ],
    ids=["empty", "text", "two", "array", "blank", "NaN", "UTF-8", "surrogate", "nested", "nested unknown", "large"],
)
def test_a_body_that_is_no_entry_is_refused(app: App, body: bytes, status: int, detail: str) -> None:
    key = new_keys().public_key
    assert_problem(app.call("PUT", f"drivers/{key}", body), status, detail)
    assert app.call("GET", f"drivers/{key}").status_code == 404


@pytest.mark.parametrize("content_type", ["text/plain", "application/json-seq", "application/problem+json", ""])
def test_another_content_type_is_415(app: App, content_type: str) -> None:
    key = new_keys().public_key
    body = json.dumps(PROFILE).encode()
    assert_problem(app.call("PUT", f"drivers/{key}", body, {"content-type": content_type}), 415, "application/json")
    assert (
        app.call("PUT", f"drivers/{key}", body, {"content-type": "Application/JSON; charset=utf-8"}).status_code == 200
    )


# Versions


def test_every_answer_with_a_driver_has_their_etag_and_every_write_another(app: App) -> None:
    key = a_driver(app)
    seen = [app.call("GET", f"drivers/{key}").headers["etag"]]
    for method, path, body in (
        ("PUT", "", PROFILE | {"name": "Grace"}),
        ("POST", "/claims", CLAIM),
        ("DELETE", "/claims/C-1", None),
    ):
        seen.append(app.call(method, f"drivers/{key}{path}", body).headers["etag"])
        assert app.call("GET", f"drivers/{key}").headers["etag"] == seen[-1]
    assert len(set(seen)) == 4


ENTRIES = [
    ("PUT", "", PROFILE | {"name": "Grace"}, 200),
    ("POST", "/claims", CLAIM | {"id": "C-2"}, 201),
    ("DELETE", "/claims/C-1", None, 200),
    ("DELETE", "", None, 204),
]


@pytest.mark.parametrize(("method", "path", "body", "done"), ENTRIES)
def test_an_entry_is_made_when_the_driver_is_as_its_sender_has_seen_them(
    app: App, method: str, path: str, body: Json | None, done: int
) -> None:
    key = a_driver(app, **CLAIM)
    etag = app.call("GET", f"drivers/{key}").headers["etag"]
    assert app.call(method, f"drivers/{key}{path}", body, {"if-match": f'"other", {etag}'}).status_code == done


@pytest.mark.parametrize(("method", "path", "body", "done"), ENTRIES)
@pytest.mark.parametrize("condition", ["stale", "weak", "absent", "both"])
def test_an_entry_under_another_version_is_412_and_changes_nothing(
    app: App, tables: str, method: str, path: str, body: Json | None, done: int, condition: str
) -> None:
    key = a_driver(app, **CLAIM)
    stale = app.call("GET", f"drivers/{key}").headers["etag"]
    app.call("PUT", f"drivers/{key}", PROFILE | {"name": "Joan"})
    now = app.call("GET", f"drivers/{key}").headers["etag"]
    before = raw_rows(tables, key)
    headers = {
        "stale": {"if-match": stale},
        "weak": {"if-match": f"W/{now}"},
        "absent": {"if-none-match": "*"},
        "both": {"if-match": now, "if-none-match": "*"},
    }[condition]

    assert_problem(app.call(method, f"drivers/{key}{path}", body, headers), 412, key)
    assert raw_rows(tables, key) == before


def test_a_driver_who_must_be_there_or_must_not(app: App) -> None:
    key = new_keys().public_key
    there, not_there = {"if-match": "*"}, {"if-none-match": "*"}
    assert_problem(app.call("PUT", f"drivers/{key}", PROFILE, there), 412, "not in the record")
    assert app.call("GET", f"drivers/{key}").status_code == 404
    assert app.call("PUT", f"drivers/{key}", PROFILE, not_there).status_code == 200
    assert_problem(app.call("PUT", f"drivers/{key}", PROFILE, not_there), 412, "in the record")
    assert app.call("PUT", f"drivers/{key}", PROFILE, there).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"if-match": "0123456789abcdef"},
        {"if-match": '"a" "b"'},
        {"if-match": '*, "a"'},
        {"if-match": ""},
        {"if-none-match": '"0123456789abcdef"'},
        {"if-none-match": ""},
    ],
)
def test_what_is_no_condition_is_400_and_not_passed_over(app: App, headers: dict[str, str]) -> None:
    key = new_keys().public_key
    assert_problem(app.call("PUT", f"drivers/{key}", PROFILE, headers), 400, "-Match")
    assert app.call("GET", f"drivers/{key}").status_code == 404


def test_of_two_entries_at_once_under_one_etag_exactly_one_is_made(app: App) -> None:
    key = a_driver(app)
    for turn in range(5):
        etag = {"if-match": app.call("GET", f"drivers/{key}").headers["etag"]}
        names = (f"one {turn}", f"two {turn}")
        entries = (partial(app.call, "PUT", f"drivers/{key}", PROFILE | {"name": name}, etag) for name in names)
        one, two = at_once(*entries)
        assert sorted([one.status_code, two.status_code]) == [200, 412]
        assert driver(app, key)["name"] == names[0 if one.status_code == 200 else 1]


def test_two_claims_at_once_both_count(app: App) -> None:
    key = a_driver(app)
    claims = ("C-1", "C-2", "C-3")
    answers = at_once(*(partial(app.call, "POST", f"drivers/{key}/claims", CLAIM | {"id": claim}) for claim in claims))
    assert [one.status_code for one in answers] == [201] * 3
    found = driver(app, key)
    assert [one["id"] for one in found["claims"]] == ["C-1", "C-2", "C-3"]
    assert found["leases"][0]["premium"]["claimsCounted"] == ["C-1", "C-2", "C-3"]


def test_a_driver_with_more_leases_than_one_write_takes_is_priced_anew_as_a_whole(app: App) -> None:
    key = new_keys().public_key
    registered = [create(LESSOR) for _ in range(120)]
    leased = [transfer(one, LESSOR, key, TERMS) for one in registered]
    events = [event(one, 1) for one in registered] + [event(one, 2) for one in leased]
    assert app.outcomes(events) == ["applied"] * 240

    answer = app.call("POST", f"drivers/{key}/claims", CLAIM)

    assert answer.status_code == 201
    premiums = {one["premium"]["annual"] for one in answer.json()["leases"]}
    assert (len(answer.json()["leases"]), len(premiums)) == (120, 1)
    assert premiums != {"1200.00"}
    assert answer.json()["annualPremium"] == f"{120 * float(premiums.pop()):.2f}"
    assert app.call("DELETE", f"drivers/{key}").status_code == 204
    assert driver(app, key)["annualPremium"] == "144000.00"


# Explaining


def test_a_premium_is_explained_in_plain_words_or_as_data(app: App) -> None:
    key = a_driver(app, **CLAIM)
    found = driver(app, key)
    premium = found["leases"][0]["premium"]

    plain = app.call("GET", f"drivers/{key}/explanation")
    data = app.call("GET", f"drivers/{key}/explanation", None, {"accept": "application/json"})

    assert (plain.status_code, plain.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert (data.status_code, data.headers["content-type"]) == (200, "application/json")
    explained = data.json()["leases"][0]
    assert explained["premium"] == premium
    assert (data.json()["annualPremium"], explained["startTransaction"]) == (
        found["annualPremium"],
        found["leases"][0]["startTransaction"],
    )
    for text in (plain.text, " ".join(explained["sentences"])):
        for said in (
            f"class {premium['bonusMalusClass']} of the bonus-malus scale",
            f"x {premium['carClassFactor']} x {premium['level']} % x {premium['noviceFactor']} = {premium['annual']}",
            "C-1 of 2025-05-05",
            f"tariff {IN_FORCE.version}",
            found["leases"][0]["startTransaction"],
            found["leases"][0]["assetId"],
        ):
            assert said in text


# Erasing


def test_what_the_insurer_entered_is_erased_and_the_ledgers_facts_stay(app: App, tables: str) -> None:
    keys, stranger = new_keys(), new_keys().public_key
    key = keys.public_key
    ended = leased_car(app, key)
    entered = {
        "name": "Ada Quillfeather",
        "licenceNumber": "BE-77-QF",
        "licensedSince": "1987-05-13",
        "insuredSince": "1991-07-19",
    }
    claims = [
        CLAIM | {"id": "claim-of-ada", "date": "2019-11-23", "description": "a hedge", "amount": "4711.08"},
        CLAIM | {"id": "withdrawn-of-ada", "date": "2018-03-17"},
    ]
    app.call("PUT", f"drivers/{key}", entered)
    for claim in claims:
        app.call("POST", f"drivers/{key}/claims", claim)
    app.call("DELETE", f"drivers/{key}/claims/withdrawn-of-ada")
    assert app.outcomes([event(transfer(ended, keys, LESSOR.public_key), 3)]) == ["applied"]
    kept = leased_car(app, key, height=4)
    leased_car(app, stranger, height=6)
    before = driver(app, key)
    personal = {str(one) for one in (*entered.values(), *claims[0].values(), *claims[1].values())} - {"True"}
    assert all(any(one in str(row) for row in raw_rows(tables, key)) for one in personal - {"12.5"})

    answer = app.call("DELETE", f"drivers/{key}")

    assert (answer.status_code, answer.content) == (204, b"")
    left = str(raw_rows(tables, key))
    assert [one for one in personal if one in left] == []
    after = driver(app, key)
    assert (after["provisional"], after["name"], after["claims"], after["licensedSince"]) == (True, "", [], None)
    assert [one["startTransaction"] for one in after["leases"]] == [ended["id"], kept["id"]]
    facts = ("assetId", "lessor", "vin", "startDate", "endDate", "annualMileage", "endTransaction", "remarks")
    assert [[one[fact] for fact in facts] for one in after["leases"]] == [
        [one[fact] for fact in facts] for one in before["leases"]
    ]
    assert after["leases"][0]["premium"]["annual"] == before["leases"][0]["premium"]["annual"]
    assert after["annualPremium"] == driver(app, stranger)["annualPremium"]


def test_the_day_of_an_erased_claim_does_not_stay_with_a_lease_that_has_ended(app: App, tables: str) -> None:
    keys = new_keys()
    leased = leased_car(app, keys.public_key)
    app.call("POST", f"drivers/{keys.public_key}/claims", CLAIM | {"date": "2026-08-09"})
    assert app.outcomes([event(transfer(leased, keys, LESSOR.public_key), 3)]) == ["applied"]
    assert "2026-08-09" in str(raw_rows(tables, keys.public_key))
    assert app.call("DELETE", f"drivers/{keys.public_key}").status_code == 204
    assert "2026-08-09" not in str(raw_rows(tables, keys.public_key))


def test_a_driver_who_never_had_a_car_is_gone_after_erasure(app: App, tables: str) -> None:
    key = new_keys().public_key
    app.call("PUT", f"drivers/{key}", PROFILE)
    app.call("POST", f"drivers/{key}/claims", CLAIM)
    assert app.call("DELETE", f"drivers/{key}").status_code == 204
    assert raw_rows(tables, key) == []
    assert_problem(app.call("GET", f"drivers/{key}"), 404, key)


def test_erasing_nobody_is_404(app: App) -> None:
    stranger = new_keys().public_key
    assert_problem(app.call("DELETE", f"drivers/{stranger}"), 404, stranger)


def test_erasing_twice_changes_nothing_more(app: App) -> None:
    key = a_driver(app, **CLAIM)
    assert [app.call("DELETE", f"drivers/{key}").status_code for _ in range(2)] == [204, 204]
    assert driver(app, key)["provisional"]


# Pricing all drivers anew


def repriced(app: App, path: str, body: Json, limit: int = 200, after: str = "") -> tuple[dict[str, Json], int]:
    """The changes of all pages from `after` on, by driver, and how many drivers there were."""
    changed: dict[str, Json] = {}
    number = 0
    while True:
        answer = app.call("POST", f"{path}?limit={limit}&after={after}", body)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        changed |= {one["driver"]: one for one in page["changed"]}
        number += page["drivers"]
        after = page["next"]
        if not after:
            return changed, number


def test_a_preview_tells_what_a_tariff_would_change_and_writes_nothing(app: App, tables: str) -> None:
    key, carless = a_driver(app), new_keys().public_key
    app.call("PUT", f"drivers/{carless}", PROFILE)
    before = raw_rows(tables)

    changed, number = repriced(app, "repricing/preview", {"tariff": DEARER}, limit=7)

    assert raw_rows(tables) == before
    assert number == len({row["PartitionKey"] for row in before if row["table"] == "Drivers"})
    assert changed[key] == {
        "driver": key,
        "annualPremiumBefore": "720.00",
        "annualPremiumAfter": "900.00",
        "bonusMalusClassBefore": 4,
        "bonusMalusClassAfter": 4,
        "leases": 1,
    }
    assert carless not in changed
    assert app.call("POST", "repricing/preview", {"tariff": DEARER}).json()["tariff"] == "dearer"


def test_a_preview_without_a_tariff_is_of_the_one_in_force(app: App) -> None:
    answer = app.call("POST", "repricing/preview", {})
    assert (answer.json()["tariff"], answer.json()["changed"]) == (IN_FORCE.version, [])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"annualBaseRate": 1200}, "$.annualBaseRate"),
        ({"annualBaseRate": "0"}, "$.annualBaseRate"),
        ({"version": ""}, "$.version"),
        ({"scale": AS_WRITTEN["scale"] | {"entryClass": 23}}, "$.scale.entryClass"),
        ({"surcharge": "1.00"}, "surcharge"),
    ],
)
def test_a_preview_of_what_is_no_tariff_is_400_and_names_the_place(app: App, change: Json, place: str) -> None:
    assert_problem(app.call("POST", "repricing/preview", {"tariff": DEARER | change}), 400, place)
    assert_problem(app.call("POST", "repricing/preview", {"tariff": None}), 400, "tariff")


def test_repricing_under_another_tariff_than_the_one_in_force_is_409(app: App, tables: str) -> None:
    before = raw_rows(tables)
    assert_problem(app.call("POST", "repricing", {"tariffVersion": "dearer"}), 409, IN_FORCE.version)
    assert raw_rows(tables) == before


def priced_before(app: App, tables: str, number: int) -> set[str]:
    """Drivers who are priced under an earlier tariff."""
    earlier = parse_tariff(json.dumps(DEARER | {"version": "earlier"}).encode(), "the test's tariff")
    keys = {new_keys().public_key for _ in range(number)}

    async def enter(entries: Entries) -> None:
        for key in keys:
            await entries.enter_profile(key, Profile("Ada"))

    for key in keys:
        leased_car(app, key)
    do_with_entries(tables, earlier, enter)
    assert {driver(app, key)["annualPremium"] for key in keys} == {"1500.00"}
    return keys


def test_repricing_brings_all_under_the_tariff_in_force_and_then_has_nothing_to_do(app: App, tables: str) -> None:
    keys = priced_before(app, tables, 3)
    in_force = {"tariffVersion": IN_FORCE.version}

    changed, _ = repriced(app, "repricing", in_force, limit=5)

    assert changed.keys() == keys
    assert {(one["annualPremiumBefore"], one["annualPremiumAfter"]) for one in changed.values()} == {
        ("1500.00", "1200.00")
    }
    for key in keys:
        assert driver(app, key)["leases"][0]["premium"]["tariff"] == IN_FORCE.version
    before = raw_rows(tables)
    assert repriced(app, "repricing", in_force)[0] == {}
    assert raw_rows(tables) == before


@pytest.mark.parametrize("goes_on", ["from where it stopped", "from the start"])
def test_repricing_that_was_cut_off_goes_on(app: App, tables: str, goes_on: str) -> None:
    keys = priced_before(app, tables, 3)
    in_force = {"tariffVersion": IN_FORCE.version}
    first = app.call("POST", "repricing?limit=30", in_force).json()

    rest, _ = repriced(app, "repricing", in_force, 30, first["next"] if goes_on == "from where it stopped" else "")

    done = {one["driver"] for one in first["changed"]}
    assert done | rest.keys() == keys
    assert done & rest.keys() == set()
    assert {driver(app, key)["annualPremium"] for key in keys} == {"1200.00"}


# Health, and what goes wrong inside


def test_the_app_is_well_while_the_tables_answer_and_says_so_when_they_do_not(tmp_path: Path) -> None:
    with running_azurite(tmp_path / "azurite.log") as storage, serving(storage.connection_string, tmp_path) as app:
        well = app.call("GET", "health")
        assert (well.status_code, well.json()) == (
            200,
            {"status": "ok", "ledger": "local", "tariff": IN_FORCE.version},
        )
        storage.kill()
        for answer in (app.call("GET", "health"), app.call("PUT", f"drivers/{new_keys().public_key}", PROFILE)):
            assert_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0


def test_an_error_in_the_app_is_a_500_that_shows_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    @answering
    async def failing(_: func.HttpRequest) -> func.HttpResponse:
        raise KeyError("the inside of the app")

    async def answered() -> func.HttpResponse:
        return await failing(func.HttpRequest("GET", "/api/failing", body=b""))

    answer = asyncio.run(answered())

    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    problem = json.loads(answer.get_body())
    assert (problem["status"], problem["title"]) == (500, "Internal Server Error")
    assert "the inside of the app" not in answer.get_body().decode()
    assert "the inside of the app" in caplog.text


def test_no_driver_can_be_told_from_the_log(app: App, tables: str) -> None:
    key = a_driver(app, id="claim-of-a-driver")
    personal = PROFILE | {"name": "Ada Quillfeather", "licenceNumber": "BE-77-QF"}
    app.call("PUT", f"drivers/{key}", personal)
    app.call("PUT", f"drivers/{key}", personal | {"shoeSize": 43})
    app.call("PUT", f"drivers/{key}", personal, {"if-match": '"stale"'})
    app.call("GET", f"drivers/{key}/explanation")
    app.call("POST", f"drivers/{key}/claims", CLAIM | {"id": "claim-of-a-driver", "amount": "1"})
    app.call("DELETE", f"drivers/{key}/claims/unknown-claim")
    app.call("DELETE", f"drivers/{key}")
    drivers = {row["PartitionKey"] for row in raw_rows(tables) if row["table"] == "Drivers"}

    log = app.log.read_text()

    assert key in drivers
    assert "Functions host" in log
    for one in (*drivers, "Quillfeather", "BE-77-QF", "claim-of-a-driver", "unknown-claim"):
        assert one not in log
