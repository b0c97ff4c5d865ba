"""What the relay signs: the headers, and that the Function's own verifier takes them. The two share no code."""

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

import functions.settings
import relay.settings
from functions.api.answers import RequestError
from functions.api.signatures import TOLERANCE_S, check_signature
from relay.errors import SettingsError
from relay.settings import Secret
from relay.signing import batch_id, signature_headers
from tests.signing import signature, signing_secret

NOW = 1_790_000_000
IDS = [hashlib.sha256(bytes([n])).hexdigest() for n in range(3)]
ID = batch_id(IDS)
BODY = b'[{"id": "caf\xc3\xa9"}]'
OLD, NEW, STRANGE = signing_secret("old"), signing_secret("new"), signing_secret("strange")


def headers(*secrets: str, body: bytes = BODY, now: int = NOW) -> dict[str, str]:
    """The headers of a request that the relay signs with these secrets."""
    return signature_headers([Secret(secret).decoded() for secret in secrets], ID, now, body)


def is_taken(named: dict[str, str], *known: str, body: bytes = BODY, now: int = NOW) -> bool:
    """Whether a Function that knows these secrets takes the request."""
    try:
        check_signature(named, body, [functions.settings.Secret(secret) for secret in known], now)
    except RequestError:
        return False
    return True


def test_the_signature_that_the_reference_libraries_are_tested_with_is_made() -> None:
    """The vector stands in the tests of the Go, Python and other libraries of Standard Webhooks."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").decoded()
    made = signature_headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_request_carries_one_signature_for_each_secret() -> None:
    made = headers(OLD, NEW)
    assert made["webhook-signature"] == " ".join(signature(secret, ID, str(NOW), BODY) for secret in (OLD, NEW))
    assert (made["webhook-id"], made["webhook-timestamp"]) == (ID, str(NOW))


def test_without_a_secret_there_is_no_signature() -> None:
    assert headers() == {"webhook-id": ID, "webhook-timestamp": str(NOW)}


@given(st.binary(max_size=200), st.integers(0, 10**10), st.binary(min_size=24, max_size=64))
def test_the_function_takes_whatever_the_relay_signs(body: bytes, now: int, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    assert is_taken(headers(secret, body=body, now=now), secret, body=body, now=now)


@pytest.mark.parametrize("known", [(OLD,), (NEW,), (OLD, NEW), (NEW, STRANGE)])
def test_while_a_secret_is_rotated_the_function_takes_what_is_signed_with_both(known: tuple[str, ...]) -> None:
    assert is_taken(headers(OLD, NEW), *known)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_function_that_knows_both_secrets_takes_either(secret: str) -> None:
    assert is_taken(headers(secret), OLD, NEW)


def test_the_function_refuses_what_is_signed_with_a_secret_that_it_does_not_know() -> None:
    assert not is_taken(headers(STRANGE), OLD, NEW)
    assert not is_taken(headers(), OLD, NEW)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_the_function_refuses_a_body_that_was_tampered_with(place: int, change: int) -> None:
    tampered = BODY[:place] + bytes([BODY[place] ^ change]) + BODY[place + 1 :]
    assert not is_taken(headers(OLD, NEW), OLD, NEW, body=tampered)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_the_function_refuses_a_request_whose_id_or_time_was_changed(name: str) -> None:
    made = headers(OLD)
    assert not is_taken({**made, name: made[name][:-1] + ("1" if made[name][-1] != "1" else "2")}, OLD)


@pytest.mark.parametrize(("away", "expected"), [(0, True), (TOLERANCE_S, True), (TOLERANCE_S + 1, False)])
def test_the_function_takes_a_request_for_so_long(*, away: int, expected: bool) -> None:
    assert is_taken(headers(OLD), OLD, now=NOW + away) is expected
    assert is_taken(headers(OLD), OLD, now=NOW - away) is expected


# ---- the id of a batch


def test_a_batch_has_the_same_id_however_often_it_is_sent() -> None:
    assert batch_id(IDS) == batch_id(iter(IDS))


@given(st.lists(st.sampled_from(IDS), max_size=4), st.lists(st.sampled_from(IDS), max_size=4))
def test_batches_of_other_events_have_other_ids(one: list[str], other: list[str]) -> None:
    assert (batch_id(one) == batch_id(other)) == (one == other)


@given(st.lists(st.text(), max_size=3))
def test_an_id_can_stand_in_a_header_and_holds_no_dot(ids: list[str]) -> None:
    assert re.fullmatch("batch_[0-9a-f]{32}", batch_id(ids))


# ---- the setting


@given(
    st.lists(
        st.sampled_from(
            [OLD, NEW, signing_secret("short", 23), signing_secret("long", 65), OLD[:-1], OLD[6:], "", " "]
        ),
        max_size=4,
    ).map(",".join)
)
def test_relay_and_function_take_the_same_texts_for_secrets(text: str) -> None:
    assert _reads_relay(text) == _reads_function(text)


def _reads_relay(text: str) -> list[str] | None:
    try:
        return [secret.reveal() for secret in relay.settings._webhook_secrets({"WEBHOOK_SECRETS": text})]
    except SettingsError:
        return None


def _reads_function(text: str) -> list[str] | None:
    try:
        return [secret.reveal() for secret in functions.settings._webhook_secrets({"WEBHOOK_SECRETS": text})]
    except functions.settings.SettingsError:
        return None
