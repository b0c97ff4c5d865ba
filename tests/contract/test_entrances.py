"""Every route of the real app, as somebody without the right key meets it: closed, and nothing is changed.

The routes are those that function_app.py registers: a new one is tried without being named here. What signatures guard
is in test_signed_events.py; docs/security.md says which test holds which entrance.
"""

import asyncio
import datetime as dt
import http.client
import http.server
import json
import os
import re
import runpy
import secrets
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas

from functions.rating.tariff import read_tariff
from functions.records.errors import UnavailableError
from functions.records.record import open_record
from functions.settings import read_settings
from local.azurite import azurite
from local.functions_host.bindings import HttpFunction, read_bindings
from local.functions_host.keys import AuthLevel
from local.processes import READY, ROOT, ProcessError
from local.scenario import key_pair, lease
from relay.checkpoint import CheckpointTable
from relay.errors import TablesError
from relay.settings import read_tables_settings
from tests.contract.conftest import KEY, LESSOR, App, serving
from tests.signing import signing_secret
from tests.stored import Rows, stored
from tests.writing import Json, create, event, new_keys, transfer

Headers = Sequence[tuple[str, str]]

HEADER = "x-functions-key"

SETTINGS = {
    "LEDGER_NAME": "local",
    "LESSOR_PUBLIC_KEYS": LESSOR.public_key,
    "TABLES_CONNECTION_STRING": "UseDevelopmentStorage=true",
}
DRIVER = key_pair("a driver of the entrances").public_key
CAR = create(LESSOR)
CLAIM = {"id": "C-1", "date": "2025-05-05", "atFault": True, "amount": "12.5"}
PROFILE = {"name": "Ada", "insuredSince": "2016-01-01"}


def registered() -> list[HttpFunction]:
    """The functions of the app, as it registers them."""
    with pytest.MonkeyPatch.context() as settings:
        for name, value in SETTINGS.items():
            settings.setenv(name, value)
        # An app gives its functions once: this one is not anybody else's.
        own = runpy.run_path(str(ROOT / "function_app.py"))
    read = [read_bindings(one.get_function_name(), "", one.get_raw_bindings()) for one in own["app"].get_functions()]
    return [one for one in read if isinstance(one, HttpFunction)]


ROUTES = registered()
KEYS = {route.name: f"Key-of-{route.name}-{secrets.token_urlsafe(24)}==" for route in ROUTES}
"""A key for each function alone."""
BODIES: dict[str, Callable[[], Json | list[Json]]] = {
    "ledger_events": lambda: [event(create(LESSOR))],
    "driver_profile": lambda: PROFILE | {"name": "Eve"},
    "driver_claims": lambda: CLAIM | {"id": "C-2"},
    "repricing": lambda: {"tariffVersion": read_tariff().version},
    "repricing_preview": dict,
}
"""What each route that takes a body would take."""

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


@dataclass(frozen=True)
class Answer:
    """What came back, with header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite of this file's own: its tests look at all that there is."""
    with azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as connection_string:
        yield connection_string


@pytest.fixture(scope="module")
def app(tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The app with a key for each function, a leased car, and a driver with a claim."""
    keys = {"LOCAL_FUNCTIONS_KEYS": ",".join(f"{name}={key}" for name, key in KEYS.items())}
    with serving(tables, tmp_path_factory.mktemp("entrances"), keys) as served:
        fill(served, CAR, DRIVER)
        yield served


def fill(app: App, car: Json, driver: str) -> None:
    leased = transfer(car, LESSOR, driver, lease("2026-01-01", "2027-12-31", 15_000))
    assert app.outcomes([event(car, 1), event(leased, 2)]) == ["applied", "applied"]
    assert app.call("PUT", f"drivers/{driver}", PROFILE).status_code == 200
    assert app.call("POST", f"drivers/{driver}/claims", CLAIM).status_code == 201


def path_of(route: HttpFunction, car: Json = CAR, driver: str = DRIVER) -> str:
    """The path at which there is something to read, change or delete."""
    return "/api/" + route.route.format(key=driver, asset_id=car["id"], claim_id=CLAIM["id"])


def method_of(route: HttpFunction) -> str:
    assert route.methods is not None
    [method] = route.methods
    return method


def ask(app: App, method: str, path: str, headers: Headers = (), body: bytes | None = None) -> Answer:
    """Ask with exactly these headers, a name perhaps more than once."""
    with closing(http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)) as connection:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def call(app: App, route: HttpFunction, headers: Headers = (), query: str = "", path: str = "") -> Answer:
    """Ask a route for what it is there for, rightly but for the key."""
    body_of = BODIES.get(route.name)
    kind = "application/cloudevents-batch+json" if route.name == "ledger_events" else "application/json"
    typed: Headers = (("content-type", kind),) if body_of else ()
    body = json.dumps(body_of()).encode() if body_of else None
    return ask(app, method_of(route), (path or path_of(route)) + query, (*headers, *typed), body)


def assert_closed(answer: Answer, way: str) -> None:
    """401 by the host, which says nothing more."""
    assert (answer.status, answer.body) == (401, b""), way
    assert "www-authenticate" not in answer.headers, way


@pytest.fixture
def unchanged(app: App, tables: str) -> Iterator[Rows]:
    """The tables, which the test must leave as they are."""
    before = stored(tables)
    assert {table for table, _, _ in before} == {"Cars", "Drivers"}
    yield before
    assert stored(tables) == before


# ---- the key


def test_every_route_asks_for_a_key() -> None:
    assert {route.level for route in ROUTES} == {AuthLevel.FUNCTION}


def test_what_the_host_serves_is_what_is_tried_here(app: App) -> None:
    ready = next(line for line in app.log.read_text().splitlines() if line.startswith(READY))
    assert json.loads(ready.removeprefix(READY))["functions"].split(",") == sorted(KEYS)


def wrong_ways(key: str) -> dict[str, tuple[Headers, str]]:
    """How a caller may come without the right key in the right place: the headers, and the query."""
    wrong = secrets.token_urlsafe(40)
    return {
        "no key": ((), ""),
        "an empty key": (((HEADER, ""),), ""),
        "an empty code": ((), "?code="),
        "a wrong key": (((HEADER, wrong),), ""),
        "a wrong code": ((), f"?code={wrong}"),
        "the key in another case": (((HEADER, key.swapcase()),), ""),
        "the key without its end": (((HEADER, key[:-1]),), ""),
        "the key and more": (((HEADER, f"{key}="),), ""),
        "the key twice": (((HEADER, f"{key},{key}"),), ""),
        "the key with a blank in it": (((HEADER, f"{key[:9]} {key[9:]}"),), ""),
        "the key in quotes": (((HEADER, f'"{key}"'),), ""),
        "a wrong key, then the right one": (((HEADER, wrong), (HEADER, key)), ""),
        "a wrong key, and the right code": (((HEADER, wrong),), f"?code={quote(key)}"),
        "an empty key, and the right code": (((HEADER, ""),), f"?code={quote(key)}"),
        "a wrong code, then the right one": ((), f"?code={wrong}&code={quote(key)}"),
        "the code with a blank before it": ((), f"?code=%20{quote(key)}"),
        "the code with a line break after it": ((), f"?code={quote(key)}%0A"),
        "the code escaped twice": ((), f"?code={quote(quote(key))}"),
        "the key under another header": (((f"{HEADER}s", key), (HEADER.replace("-", "_"), key)), ""),
        "the key under another parameter": ((), f"?key={quote(key)}&{HEADER}={quote(key)}"),
        "the key as a token": ((("authorization", f"Bearer {key}"),), ""),
        "the key as a password": ((("authorization", f"Basic {b64encode(f':{key}'.encode()).decode()}"),), ""),
        "the key as a cookie": ((("cookie", f"{HEADER}={key}; code={key}"),), ""),
    }


@every_route
@pytest.mark.usefixtures("unchanged")
def test_without_the_right_key_in_the_right_place_a_route_is_closed(app: App, route: HttpFunction) -> None:
    for way, (headers, query) in wrong_ways(KEYS[route.name]).items():
        assert_closed(call(app, route, headers, query), way)


@every_route
@pytest.mark.usefixtures("unchanged")
def test_the_key_of_another_function_opens_nothing(app: App, route: HttpFunction) -> None:
    for name in KEYS.keys() - {route.name}:
        assert_closed(call(app, route, [(HEADER, KEYS[name])]), name)
        assert_closed(call(app, route, query=f"?code={quote(KEYS[name])}"), name)


@every_route
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ([(HEADER, "{}")], ""),
        ([(HEADER.upper(), "  {}\t")], ""),
        ([(HEADER, "{}"), (HEADER, "wrong")], ""),
        ([], "?code={}"),
        ([], "?CODE={}"),
    ],
    ids=["header", "header with white space around", "header before another", "code", "code in upper case"],
)
def test_its_own_key_opens_a_route(app: App, route: HttpFunction, headers: Headers, query: str) -> None:
    car, driver, key = create(LESSOR), new_keys().public_key, KEYS[route.name]
    fill(app, car, driver)
    shown = [(name, value.format(key)) for name, value in headers]
    answer = call(app, route, shown, query.format(quote(key)), path_of(route, car, driver))
    assert 200 <= answer.status < 300, answer.body


@pytest.mark.parametrize("route", ["driver_profile", "driver_claims", "driver_erasure", "ledger_events"])
def test_what_is_refused_without_a_key_would_have_changed_the_tables(app: App, tables: str, route: str) -> None:
    """Else that the tables stay as they are would prove nothing."""
    car, driver = create(LESSOR), new_keys().public_key
    fill(app, car, driver)
    before = stored(tables)
    [one] = [found for found in ROUTES if found.name == route]
    call(app, one, [(HEADER, KEY)], path=path_of(one, car, driver))
    assert stored(tables) != before


# ---- the way to it


@every_route
@pytest.mark.usefixtures("unchanged")
def test_however_its_path_is_written_a_route_is_closed_without_a_key(app: App, route: HttpFunction) -> None:
    path = path_of(route)
    last = path.rpartition("/")[2]
    written = [
        path.upper(),
        f"{path}/",
        f"/{path}",
        path.replace("/api/", "/api//"),
        path.replace("/api/", "/api/./"),
        path.replace("/api/", "/admin/../api/"),
        path.replace("/api/", "/api%2F"),
        path.replace(last, f"%{ord(last[0]):02x}{last[1:]}"),
        f"{path}%00",
        f"{path};code={KEYS[route.name]}",
        f"http://localhost{path}",
    ]
    for one in written:
        answer = call(app, route, path=one)
        assert (answer.status in {401, 404}, answer.body) == (True, b""), one


@every_route
@pytest.mark.usefixtures("unchanged")
def test_a_route_has_the_methods_that_it_names_and_a_header_gives_it_no_other(app: App, route: HttpFunction) -> None:
    others = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - {method_of(route)}
    override = [("x-http-method-override", "DELETE"), ("x-http-method", "DELETE"), ("x-method-override", "DELETE")]
    for method in others:
        # Another function may have the path under this method: the key is not its own.
        answer = ask(app, method, path_of(route), [(HEADER, KEYS[route.name])])
        assert (answer.status in {401, 404}, answer.body) == (True, b""), method
    if method_of(route) == "GET":
        assert call(app, route, [(HEADER, KEYS[route.name]), *override], "?_method=DELETE").status in {200, 400}


@every_route
@pytest.mark.parametrize("key", ["", KEY], ids=["closed", "open"])
def test_no_answer_may_be_kept_or_taken_for_another_type(app: App, route: HttpFunction, key: str) -> None:
    """A cache in between may keep what was asked for with a header that it does not know, and serve it to anybody."""
    car, driver = create(LESSOR), new_keys().public_key
    fill(app, car, driver)
    headers = call(app, route, [(HEADER, key)], path=path_of(route, car, driver)).headers
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "access-control-allow-origin" not in headers


# ---- what comes with the right key


def as_insurer(app: App, method: str, path: str, headers: Headers = (), body: Json | None = None) -> Answer:
    """Ask with a host key, as the insurer does."""
    typed: Headers = (("content-type", "application/json"),) if body is not None else ()
    sent = json.dumps(body).encode() if body is not None else None
    return ask(app, method, f"/api/{path}", ((HEADER, KEY), *typed, *headers), sent)


CONDITIONS = {
    "another version": [("if-match", '"x"')],
    "the version, weakly": [("if-match", "W/{etag}")],
    "versions, weakly": [("if-match", 'W/"x", W/{etag}')],
    "the version without quotes": [("if-match", "{bare}")],
    "half a quote": [("if-match", '"{bare}')],
    "a comma too many": [("if-match", "{etag},")],
    "a star too many": [("if-match", "*, {etag}")],
    "a star in quotes": [("if-match", '"*"')],
    "nothing in quotes": [("if-match", '""')],
    "nothing": [("if-match", "")],
    "no separator": [("if-match", '"x" {etag}')],
    "another separator": [("if-match", '"x"; {etag}')],
    "the version and none": [("if-match", "{etag}"), ("if-none-match", "*")],
    "any and none": [("if-match", "*"), ("if-none-match", "*")],
    "none of another": [("if-none-match", '"x"')],
    "none": [("if-none-match", "*")],
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "drivers/{}", PROFILE | {"name": "Eve"}),
        ("POST", "drivers/{}/claims", CLAIM | {"id": "C-2"}),
        ("DELETE", "drivers/{}/claims/C-1", None),
        ("DELETE", "drivers/{}", None),
    ],
    ids=["enter", "claim", "withdraw", "erase"],
)
@pytest.mark.usefixtures("unchanged")
def test_an_entry_whose_condition_does_not_hold_or_is_none_changes_nothing(
    app: App, condition: str, method: str, path: str, body: Json | None
) -> None:
    etag = as_insurer(app, "GET", f"drivers/{DRIVER}").headers["etag"]
    headers = [(name, value.format(etag=etag, bare=etag.strip('"'))) for name, value in CONDITIONS[condition]]

    answer = as_insurer(app, method, path.format(DRIVER), headers, body)

    assert answer.status in {400, 412}, answer.body


@pytest.mark.parametrize("condition", ['W/"x", {}', 'W/"", "",\t{}', '"x" ,{},"y"', "*"])
def test_an_entry_is_made_when_one_of_the_versions_named_is_the_drivers(app: App, condition: str) -> None:
    driver = new_keys().public_key
    etag = as_insurer(app, "PUT", f"drivers/{driver}", body=PROFILE).headers["etag"]

    answer = as_insurer(app, "PUT", f"drivers/{driver}", [("if-match", condition.format(etag))], PROFILE)

    assert answer.status == 200, answer.body


@pytest.mark.parametrize(
    "path",
    [
        f"drivers/{DRIVER}%20",
        f"drivers/{DRIVER}%0A",
        f"drivers/{DRIVER}%E2%80%8B",
        f"drivers/{DRIVER.lower()}",
        f"drivers/..%2F{DRIVER}",
        f"drivers/{DRIVER}%2F..%2F{DRIVER}",
        f"drivers/record-{DRIVER}",
        f"drivers/{LESSOR.public_key}",
        "drivers/%2E%2E",
        "drivers/%00",
        f"drivers/{DRIVER}/claims/..",
        f"drivers/{DRIVER}/claims/..%2FC-1",
        f"drivers/{DRIVER}/claims/x%2F..%2FC-1",
        f"drivers/{DRIVER}/claims/C-1%00",
        f"drivers/{DRIVER}/claims/C-1%0A",
        f"drivers/{DRIVER}/claims/C-1%20",
        f"drivers/{DRIVER}/claims/c-1",
        f"drivers/{DRIVER}/claims/%EF%BC%A3-1",
        f"drivers/{DRIVER}/claims/claim-C-1",
    ],
)
@pytest.mark.usefixtures("unchanged")
def test_a_name_in_a_path_is_taken_as_it_is_written_or_refused(app: App, path: str) -> None:
    answer = as_insurer(app, "DELETE", path)

    assert answer.status in {400, 404}, answer.body


@pytest.mark.parametrize("name", [CAR["id"].upper(), f"{CAR['id']}%0A", f"record-{CAR['id']}", "..%2FDrivers", "%27"])
def test_what_is_no_asset_id_finds_no_car(app: App, name: str) -> None:
    assert as_insurer(app, "GET", f"cars/{CAR['id']}").status == 200
    assert as_insurer(app, "GET", f"cars/{name}").status == 400


@pytest.mark.parametrize(
    "vin", ["' or PartitionKey ne '", "x' or RowKey ge 'a", "''", "@first", "x' or Leased eq true or Vin eq 'x", "%"]
)
def test_a_filter_is_a_text_to_look_for_and_no_part_of_a_query(app: App, vin: str) -> None:
    assert json.loads(as_insurer(app, "GET", "cars").body)["cars"]

    answer = as_insurer(app, "GET", f"cars?vin={quote(vin)}")

    assert (answer.status, json.loads(answer.body)) == (200, {"cars": []})


@pytest.mark.parametrize(
    "token",
    [
        "{}",
        '{"PartitionKey": "a"}',
        '{"PartitionKey": "a", "RowKey": "b", "NextTableName": "Relay"}',
        '{"PartitionKey": 1, "RowKey": null}',
        r'{"PartitionKey": "a\r\nx-ms-version: 1", "RowKey": "\u0000&$filter=true"}',
        '{"PartitionKey": "a&$filter=PartitionKey ne \'\'", "RowKey": "b"}',
        "[" * 200,
    ],
)
@pytest.mark.parametrize("what", ["cars", "drivers"])
def test_a_page_that_nobody_was_given_begins_nowhere_else_than_among_the_records(
    app: App, what: str, token: str
) -> None:
    every = json.loads(as_insurer(app, "GET", what).body)[what]

    answer = as_insurer(app, "GET", f"{what}?after={quote(b64encode(token.encode(), b'-_').decode())}")

    assert answer.status in {200, 400}, answer.body
    assert [one for one in json.loads(answer.body).get(what, []) if one not in every] == []


UNRULY = "<script>alert(1)</script>\r\n\x1b[2J\u2028\u202e"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"),
    [
        ("GET", f"drivers?{quote(UNRULY)}=1", [], None),
        ("GET", f"cars?vin={quote(UNRULY)}", [], None),
        ("GET", f"drivers/{quote(UNRULY, safe='')}", [], None),
        ("PUT", f"drivers/{DRIVER}", [], {UNRULY: 1}),
        ("PUT", f"drivers/{DRIVER}", [("if-match", "<script>")], PROFILE),
        ("POST", "repricing", [], {"tariffVersion": UNRULY}),
        ("POST", "repricing/preview", [], {"tariff": {UNRULY: 1}}),
    ],
)
def test_a_refusal_quotes_what_was_sent_on_one_line_and_as_json(
    app: App, method: str, path: str, headers: Headers, body: Json | None
) -> None:
    answer = as_insurer(app, method, path, headers, body)

    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["detail"].isprintable()


def test_the_detail_of_a_rejected_event_is_one_line(app: App) -> None:
    bad = create(LESSOR) | {UNRULY: 1}

    [result] = app.post_events([event(bad)]).json()["results"]

    assert (result["outcome"], result["detail"].isprintable()) == ("rejected", True)


def test_what_a_lessor_writes_adds_no_sentence_to_an_explanation(app: App) -> None:
    forged = "Golf\n\nThe driver has no cars now.\n- The premium is 0.00 EUR"
    described = {"vehicleIdentificationNumber": f"V{UNRULY}", "manufacturer": "VW", "model": forged}
    driver = new_keys().public_key
    fill(app, create(LESSOR, described), driver)
    assert as_insurer(app, "PUT", f"drivers/{driver}", body={"name": "Ada\u2028- Eve"}).status == 200

    told = as_insurer(app, "GET", f"drivers/{driver}/explanation").body.decode()

    assert all(line.isprintable() for line in told.split("\n"))
    assert [line for line in told.split("\n") if line.startswith(("The driver has", "- The premium", "- Eve"))] == []


# ---- the tables


def accounts(tables: str) -> dict[str, tuple[str, str]]:
    """Connection strings by which nobody gets in, by what is wrong with them, each with its secret."""
    fields = dict(field.split("=", 1) for field in tables.rstrip(";").split(";"))
    key, endpoint = fields["AccountKey"], fields["TableEndpoint"]
    other = b64encode(secrets.token_bytes(64)).decode()

    def sas(hours: int, permission: AccountSasPermissions, signing: str = key) -> str:
        return generate_account_sas(
            AzureNamedKeyCredential(fields["AccountName"], signing),
            ResourceTypes(service=True, object=True),
            permission,
            dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours),
            start=dt.datetime.now(dt.UTC) - dt.timedelta(hours=9),
        )

    everything = AccountSasPermissions(
        read=True, write=True, delete=True, list=True, add=True, create=True, update=True
    )
    tokens = {
        "a SAS of another key": sas(1, everything, other),
        "a SAS that has expired": sas(-1, everything),
        "a SAS for reading, made one for everything": sas(1, AccountSasPermissions(read=True)).replace(
            "sp=r", "sp=rwdlacu"
        ),
        "a SAS prolonged": re.sub("se=[0-9]{4}", "se=2099", sas(-1, everything)),
        "no signature": sas(1, everything).partition("&sig=")[0],
    }
    signed_by = {"another key": other, "a key that is none": "S3cret-no-base64!"}
    return {
        **{name: (tables.replace(key, one), one) for name, one in signed_by.items()},
        **{
            name: (f"TableEndpoint={endpoint};SharedAccessSignature={token}", token.partition("sig=")[2] or token)
            for name, token in tokens.items()
        },
    }


REASONS = "answered 403: it does not accept the account's key, SAS or identity", "no key or identity to sign requests"


@pytest.mark.parametrize("wrong", accounts("AccountName=a;AccountKey=YQ==;TableEndpoint=http://127.0.0.1/a"))
@pytest.mark.usefixtures("unchanged")
def test_without_the_accounts_key_neither_side_gets_into_the_tables_and_both_say_so(
    tables: str, tmp_path: Path, wrong: str
) -> None:
    connection_string, secret = accounts(tables)[wrong]
    reason = REASONS[wrong == "a key that is none"]

    with serving(connection_string, tmp_path) as served:
        answers = [
            served.call("GET", "health"),
            served.call("PUT", f"drivers/{DRIVER}", PROFILE | {"name": "Eve"}),
            served.post_events([event(create(LESSOR))]),
        ]
        told_by_app = [answer.json()["detail"] for answer in answers]
    relay = subprocess.run(
        [sys.executable, "-m", "relay", "status"],
        env=os.environ | SETTINGS | {"TABLES_CONNECTION_STRING": connection_string, "PYTHONPATH": str(ROOT / "webjob")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(reason in told for told in told_by_app), told_by_app
    assert (relay.returncode, reason in relay.stderr) == (5, True), relay.stderr
    logged = served.log.read_text()
    assert reason in logged
    assert not [text for text in (*told_by_app, relay.stderr, relay.stdout, logged) if secret in text]


@contextmanager
def redirecting_account() -> Iterator[tuple[str, list[str]]]:
    """The endpoint of an account that sends every caller elsewhere, and what came there."""
    arrived: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline()
            if not self.parse_request():
                return
            self.rfile.read(int(self.headers.get("content-length", "0")))
            if self.path.startswith("/elsewhere"):
                arrived.append(self.path)
            self.send_response(307)
            self.send_header("location", f"http://localhost:{self.server.server_port}/elsewhere")  # type: ignore[attr-defined]
            self.send_header("content-length", "0")
            self.end_headers()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a", arrived
        finally:
            server.shutdown()


def test_an_account_that_points_elsewhere_is_not_followed() -> None:
    with redirecting_account() as (url, arrived):
        account = {"TABLES_CONNECTION_STRING": f"AccountName=a;AccountKey=YQ==;TableEndpoint={url}"}

        async def read_record() -> None:
            record = open_record(read_settings(SETTINGS | account))
            try:
                with pytest.raises(UnavailableError, match="answered 307"):
                    await record.cars({}, 1)
            finally:
                await record.close()

        asyncio.run(read_record())
        checkpoint = CheckpointTable(read_tables_settings(SETTINGS | account))
        with pytest.raises(TablesError, match="answered 307"):
            checkpoint.read()
        checkpoint.close()
        assert arrived == []


# ---- the settings


@pytest.mark.parametrize(
    "variable", ["LEDGER_NAME", "LESSOR_PUBLIC_KEYS", "TABLES_CONNECTION_STRING", "WEBHOOK_SECRETS"]
)
def test_an_app_that_does_not_start_says_why_without_the_secret(tables: str, tmp_path: Path, variable: str) -> None:
    secret = signing_secret("in the wrong place").removeprefix("whsec_")

    with pytest.raises(ProcessError) as ended, serving(tables, tmp_path, {variable: secret}):
        pass

    assert f"SettingsError: {variable}: found" in str(ended.value)
    assert secret not in (tmp_path / "functions.log").read_text()


# ---- the page


def test_the_page_on_security_has_a_line_for_every_route_and_every_test_in_it_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    lines = re.findall(r"^\| `([A-Z]+ /api/[^`]*)` \|(.*)$", page, re.MULTILINE)
    assert sorted(route for route, _ in lines) == sorted(f"{method_of(one)} /api/{one.route}" for one in ROUTES)
    assert [route for route, guards in lines if "test_" not in guards] == []
    named = set(re.findall(r"`(test_\w+)`", page))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [test for test in sorted(named) if f"def {test}(" not in sources] == []
