"""POST /api/ledger-events on the real app with signing secrets set: only signed requests are taken.

Which keys open the route is in test_entrances.py.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from local.azurite import azurite
from relay.settings import Secret
from relay.signing import batch_id, signature_headers
from tests.contract.conftest import CURRENT_SECRET, KEY, LESSOR, NEXT_SECRET, App, serving
from tests.signing import signature, signed, signing_secret
from tests.stored import Rows, stored
from tests.writing import create, event

UNKNOWN_SECRET = signing_secret("unknown")
SIGNATURE = "webhook-signature"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An Azurite of this file's own: its tests look at all that there is."""
    with azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as connection_string:
        yield connection_string


@pytest.fixture
def unchanged(signed_app: App, tables: str) -> Iterator[Rows]:
    """The tables, which the test must leave as they are."""
    body = batch(event(create(LESSOR)))
    assert outcomes(signed_app, body, signed("batch-0", now(), body, CURRENT_SECRET)) == ["applied"]
    before = stored(tables)
    yield before
    assert stored(tables) == before


def batch(*events: Any) -> bytes:
    return json.dumps(events).encode()


def now() -> int:
    return int(time.time())


def assert_refused(answer: requests.Response, reason: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert reason in answer.json()["detail"]


def outcomes(app: App, body: bytes, headers: Mapping[str, str]) -> list[str]:
    answer = app.post_events(body, headers)
    assert answer.status_code == 200, answer.text
    return [result["outcome"] for result in answer.json()["results"]]


def post_exactly(app: App, body: bytes, headers: list[tuple[str, str]]) -> http.client.HTTPResponse:
    """Post with exactly these headers, one perhaps more than once."""
    with closing(http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)) as connection:
        connection.putrequest("POST", "/api/ledger-events")
        for name, value in (
            ("x-functions-key", KEY),
            ("content-type", "application/cloudevents-batch+json"),
            ("content-length", str(len(body))),
            *headers,
        ):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read()
        return answer


@pytest.mark.parametrize("secret", [CURRENT_SECRET, NEXT_SECRET], ids=["first", "second"])
def test_a_batch_signed_with_either_secret_is_applied(signed_app: App, secret: str) -> None:
    body = batch(event(create(LESSOR)))

    assert outcomes(signed_app, body, signed("batch-1", now(), body, secret)) == ["applied"]


def test_a_batch_signed_with_a_known_and_an_unknown_secret_is_applied(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))

    assert outcomes(signed_app, body, signed("batch-1", now(), body, signing_secret("unknown"), CURRENT_SECRET)) == [
        "applied"
    ]


Forgery = Callable[[bytes], dict[str, str]]
"""The headers with which somebody without a secret sends a body that was never signed."""


def recorded() -> tuple[bytes, dict[str, str]]:
    """A request of the relay that somebody has recorded: its body and its headers."""
    body = batch(event(create(LESSOR)))
    return body, signed("batch-1", now(), body, CURRENT_SECRET)


def recorded_with(**changed: str) -> Forgery:
    """The headers of a recorded request, some of them changed."""
    return lambda _: recorded()[1] | {f"webhook-{name}": value for name, value in changed.items()}


def signed_by_us(message_id: str, timestamp: str, secret: str = CURRENT_SECRET) -> Forgery:
    """Headers that are signed rightly, whatever they say."""
    return lambda body: {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        SIGNATURE: signature(secret, message_id, timestamp, body),
    }


def without(name: str) -> Forgery:
    """Right headers, but for one that is missing."""
    return lambda body: {
        header: value for header, value in signed("b", now(), body, CURRENT_SECRET).items() if header != name
    }


def rewritten(rewrite: Callable[[str], str]) -> Forgery:
    """Right headers, whose signature is written otherwise."""

    def forge(body: bytes) -> dict[str, str]:
        headers = signed("batch-1", now(), body, CURRENT_SECRET)
        return headers | {SIGNATURE: rewrite(headers[SIGNATURE])}

    return forge


def cut_otherwise(body: bytes) -> dict[str, str]:
    """The signed bytes of a recorded request that began with this body, cut into another id, timestamp and body."""
    seconds = str(now())
    return {
        "webhook-id": f"batch-1.{seconds}",
        "webhook-timestamp": seconds,
        SIGNATURE: signature(CURRENT_SECRET, "batch-1", seconds, f"{seconds}.".encode() + body),
    }


NO_MATCH = "no v1 signature"
FORGERIES: dict[str, tuple[Forgery, str]] = {
    "unsigned": (lambda _: {}, "the header webhook-id is missing"),
    "no id": (without("webhook-id"), "the header webhook-id is missing"),
    "no timestamp": (without("webhook-timestamp"), "the header webhook-timestamp is missing"),
    "no signature": (without(SIGNATURE), "the header webhook-signature is missing"),
    "an empty signature": (rewritten(lambda _: ""), "the header webhook-signature is missing"),
    "another secret": (lambda body: signed("batch-1", now(), body, UNKNOWN_SECRET), NO_MATCH),
    "a recorded request's headers: tampered body": (recorded_with(), NO_MATCH),
    "stale": (lambda body: signed("batch-1", now() - 310, body, CURRENT_SECRET), "allowed are 300 s"),
    "from the future": (lambda body: signed("batch-1", now() + 310, body, CURRENT_SECRET), "allowed are 300 s"),
    "a stale request's signature under a new timestamp": (
        lambda body: signed("batch-1", now() - 310, body, CURRENT_SECRET) | {"webhook-timestamp": str(now())},
        NO_MATCH,
    ),
    "another batch's id": (
        lambda body: signed("batch-1", now(), body, CURRENT_SECRET) | {"webhook-id": "batch-2"},
        NO_MATCH,
    ),
    "another batch's signature": (
        lambda body: signed("batch-1", now(), body, CURRENT_SECRET) | {SIGNATURE: recorded()[1][SIGNATURE]},
        NO_MATCH,
    ),
    "cut otherwise": (cut_otherwise, "webhook-id holds a dot"),
    "a timestamp with a sign": (signed_by_us("batch-1", f"+{now()}"), "not a whole number of seconds"),
    "a timestamp with a fraction": (signed_by_us("batch-1", f"{now()}.0"), "not a whole number of seconds"),
    "a timestamp in other digits": (signed_by_us("batch-1", "\u0661" * 10), "not a whole number of seconds"),
    "a timestamp that is no time": (signed_by_us("batch-1", "never"), "not a whole number of seconds"),
    "a timestamp of a thousand digits": (signed_by_us("batch-1", "1" * 1000), "not a whole number of seconds"),
    "a signature of another version": (rewritten(lambda right: right.replace("v1,", "v1a,")), NO_MATCH),
    "a signature of no version": (rewritten(lambda right: right.removeprefix("v1,")), NO_MATCH),
    "a signature in another case": (rewritten(str.swapcase), NO_MATCH),
    "the beginning of a signature": (rewritten(lambda right: right[:20]), NO_MATCH),
    "a signature without padding": (rewritten(lambda right: right.rstrip("=")), NO_MATCH),
    "a signature and more": (rewritten(lambda right: f"{right}="), NO_MATCH),
    "signatures separated by commas": (rewritten(lambda right: f"{right},{right}"), NO_MATCH),
    "garbage": (rewritten(lambda _: "v1, ,v1 v1,v1,v1 \x01 \u00e9 v1,AAAA== =, v1,"), NO_MATCH),
    "a thousand signatures": (rewritten(lambda right: " ".join([right[::-1]] * 1000)), NO_MATCH),
}


@pytest.mark.parametrize("forgery", FORGERIES)
@pytest.mark.usefixtures("unchanged")
def test_a_batch_that_the_relay_did_not_sign_is_401_and_not_applied(signed_app: App, forgery: str) -> None:
    forge, reason = FORGERIES[forgery]
    body = batch(event(create(LESSOR)))

    headers = {name: value.encode() for name, value in forge(body).items()}

    assert_refused(signed_app.post_events(body, headers), reason)  # type: ignore[arg-type]  # requests takes bytes too


@pytest.mark.parametrize("repeated", ["webhook-id", "webhook-timestamp", SIGNATURE])
@pytest.mark.parametrize("last", [True, False], ids=["after a right one", "before a right one"])
@pytest.mark.usefixtures("unchanged")
def test_a_header_that_is_sent_twice_is_401(signed_app: App, repeated: str, *, last: bool) -> None:
    body = batch(event(create(LESSOR)))
    right = [*signed("batch-1", now(), body, CURRENT_SECRET).items()]
    second = (repeated, recorded()[1][repeated] if repeated == SIGNATURE else str(now() - 1))

    answer = post_exactly(signed_app, body, [*right, second] if last else [second, *right])

    assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize("key", ["", "wrong", CURRENT_SECRET], ids=["no key", "wrong", "the signing secret"])
@pytest.mark.usefixtures("unchanged")
def test_without_the_key_it_is_401_without_a_body_however_well_it_is_signed(signed_app: App, key: str) -> None:
    body = batch(event(create(LESSOR)))
    headers = signed("batch-1", now(), body, CURRENT_SECRET) | {"x-functions-key": key}

    answer = signed_app.post_events(body, headers)

    assert (answer.status_code, answer.content) == (401, b"")


def test_a_replayed_request_changes_nothing(signed_app: App, tables: str) -> None:
    body, headers = recorded()
    assert outcomes(signed_app, body, headers) == ["applied"]
    before = stored(tables)

    assert outcomes(signed_app, body, headers) == ["duplicate"]
    assert stored(tables) == before


@pytest.mark.usefixtures("unchanged")
def test_a_secret_that_was_removed_signs_nothing_any_more(tables: str, tmp_path: Path) -> None:
    body = batch(event(create(LESSOR)))

    with serving(tables, tmp_path, {"WEBHOOK_SECRETS": NEXT_SECRET}) as app:
        answer = app.post_events(body, signed("batch-1", now(), body, CURRENT_SECRET))

    assert_refused(answer, NO_MATCH)


@pytest.mark.usefixtures("unchanged")
def test_a_refusal_shows_neither_a_secret_nor_a_signature(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))
    right = signed("batch-1", now(), body, CURRENT_SECRET, NEXT_SECRET)[SIGNATURE].split()

    refused = signed_app.post_events(body, signed("batch-1", now(), body, UNKNOWN_SECRET))

    told = refused.text + str(refused.headers) + signed_app.log.read_text()
    keys = [secret.removeprefix("whsec_") for secret in (CURRENT_SECRET, NEXT_SECRET)]
    assert not [one for one in (*keys, *right, *(one.removeprefix("v1,") for one in right)) if one in told]


@pytest.mark.parametrize(
    "secrets",
    [[CURRENT_SECRET], [NEXT_SECRET], [signing_secret("retired"), CURRENT_SECRET]],
    ids=["one", "next", "two"],
)
def test_what_the_relay_signs_is_applied_and_its_retry_is_known(signed_app: App, secrets: list[str]) -> None:
    registered = create(LESSOR)
    body = batch(event(registered))
    keys = [Secret(secret).decoded() for secret in secrets]

    first, retry = (
        signature_headers(keys, batch_id([registered["id"]]), seconds, body) for seconds in (now() - 60, now())
    )

    assert first["webhook-id"] == retry["webhook-id"]
    assert [outcomes(signed_app, body, headers) for headers in (first, retry)] == [["applied"], ["duplicate"]]


@pytest.mark.parametrize("body", [b"no json", b"[" * 100_000, b""], ids=["no json", "nested", "empty"])
def test_the_signature_is_checked_before_the_body_is_read(signed_app: App, body: bytes) -> None:
    headers = signed("batch-1", now(), body, CURRENT_SECRET)

    assert_refused(signed_app.post_events(body), "missing")
    assert signed_app.post_events(body, headers).status_code == 400


def test_the_insurers_own_requests_need_no_signature(signed_app: App) -> None:
    assert signed_app.call("GET", "drivers").status_code == 200


def test_without_a_secret_the_signature_is_ignored(app: App) -> None:
    body = batch(event(create(LESSOR)))
    headers = {"webhook-id": "a.b", "webhook-timestamp": "never", "webhook-signature": "v1,none"}

    assert outcomes(app, body, headers) == ["applied"]
