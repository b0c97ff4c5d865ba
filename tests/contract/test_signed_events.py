"""POST /api/ledger-events on the real app with signing secrets set: only signed requests are taken."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
import requests

from relay.settings import Secret
from relay.signing import batch_id, signature_headers
from tests.contract.conftest import CURRENT_SECRET, LESSOR, NEXT_SECRET, App
from tests.signing import signed, signing_secret
from tests.writing import create, event


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


@pytest.mark.parametrize("secret", [CURRENT_SECRET, NEXT_SECRET], ids=["first", "second"])
def test_a_batch_signed_with_either_secret_is_applied(signed_app: App, secret: str) -> None:
    body = batch(event(create(LESSOR)))

    assert outcomes(signed_app, body, signed("batch-1", now(), body, secret)) == ["applied"]


def test_a_batch_signed_with_a_known_and_an_unknown_secret_is_applied(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))

    assert outcomes(signed_app, body, signed("batch-1", now(), body, signing_secret("unknown"), CURRENT_SECRET)) == [
        "applied"
    ]


def test_a_batch_that_is_not_signed_is_401_and_not_applied(signed_app: App) -> None:
    registered = create(LESSOR)

    assert_refused(signed_app.post_events([event(registered)]), "the header webhook-id is missing")
    assert signed_app.call("GET", f"cars/{registered['id']}").status_code == 404


def test_a_batch_signed_with_another_secret_is_401(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))

    assert_refused(
        signed_app.post_events(body, signed("batch-1", now(), body, signing_secret("unknown"))), "no v1 signature"
    )


def test_a_batch_that_was_tampered_with_is_401_and_not_applied(signed_app: App) -> None:
    registered, other = create(LESSOR), create(LESSOR)
    headers = signed("batch-1", now(), batch(event(registered)), CURRENT_SECRET)

    assert_refused(signed_app.post_events(batch(event(other)), headers), "no v1 signature")
    assert signed_app.call("GET", f"cars/{other['id']}").status_code == 404


def test_a_batch_that_was_signed_long_ago_is_401_with_how_long(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))

    answer = signed_app.post_events(body, signed("batch-1", now() - 400, body, CURRENT_SECRET))

    assert_refused(answer, "s away from this clock, allowed are 300 s")


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


def test_a_replayed_request_changes_nothing(signed_app: App) -> None:
    body = batch(event(create(LESSOR)))
    headers = signed("batch-1", now(), body, CURRENT_SECRET)

    assert outcomes(signed_app, body, headers) == ["applied"]
    assert outcomes(signed_app, body, headers) == ["duplicate"]


@pytest.mark.parametrize("body", [b"no json", b"[" * 100_000, b""], ids=["no json", "nested", "empty"])
def test_the_signature_is_checked_before_the_body_is_read(signed_app: App, body: bytes) -> None:
    headers = signed("batch-1", now(), body, CURRENT_SECRET)

    assert_refused(signed_app.post_events(body), "missing")
    assert signed_app.post_events(body, headers).status_code == 400


def test_a_wrong_key_is_401_without_a_body_however_well_the_request_is_signed(signed_app: App) -> None:
    headers = signed("batch-1", now(), b"[]", CURRENT_SECRET) | {"x-functions-key": "wrong"}

    answer = signed_app.post_events(b"[]", headers)

    assert (answer.status_code, answer.content) == (401, b"")


def test_the_insurers_own_requests_need_no_signature(signed_app: App) -> None:
    assert signed_app.call("GET", "drivers").status_code == 200


def test_without_a_secret_the_signature_is_ignored(app: App) -> None:
    body = batch(event(create(LESSOR)))
    headers = {"webhook-id": "a.b", "webhook-timestamp": "never", "webhook-signature": "v1,none"}

    assert outcomes(app, body, headers) == ["applied"]
