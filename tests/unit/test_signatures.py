"""A request's signature, as Standard Webhooks has it: what is let in, and what the sender of anything else is told."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.api.answers import RequestError
from functions.api.signatures import check_signature
from functions.settings import Secret
from tests.signing import signature, signed, signing_secret

NOW = 1_790_000_000
ID = "batch-1"
BODY = b'[{"id": "caf\xc3\xa9"}]'
OLD, NEW, STRANGE = signing_secret("old"), signing_secret("new"), signing_secret("strange")


def check(headers: dict[str, str], *secrets: str, body: bytes = BODY, now: int = NOW) -> None:
    """Check a request with these headers against these secrets."""
    check_signature(headers, body, [Secret(secret) for secret in secrets], now)


def refusal(headers: dict[str, str], *secrets: str, body: bytes = BODY, now: int = NOW) -> str:
    """What the sender of these headers is told."""
    with pytest.raises(RequestError) as refused:
        check(headers, *(secrets or (OLD,)), body=body, now=now)
    assert refused.value.status == HTTPStatus.UNAUTHORIZED
    return refused.value.detail


def test_the_signature_that_the_reference_libraries_are_tested_with_is_good() -> None:
    """The vector stands in the tests of the Go, Python and other libraries of Standard Webhooks."""
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'

    check(headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body=body, now=1614265330)
    assert "no v1 signature" in refusal(headers, OLD, body=body, now=1614265330)


@pytest.mark.parametrize("secret", [OLD, NEW], ids=["first", "second"])
def test_either_of_two_secrets_will_do(secret: str) -> None:
    check(signed(ID, NOW, BODY, secret), OLD, NEW)


@pytest.mark.parametrize("known", [OLD, NEW], ids=["old", "new"])
def test_a_sender_who_signs_with_old_and_new_is_let_in_by_who_knows_one_of_them(known: str) -> None:
    check(signed(ID, NOW, BODY, OLD, NEW), known)


def test_a_secret_that_the_receiver_does_not_have_signs_nothing() -> None:
    assert "no v1 signature" in refusal(signed(ID, NOW, BODY, STRANGE), OLD, NEW)
    assert "no v1 signature" in refusal(signed(ID, NOW, BODY, OLD), NEW)


@pytest.mark.parametrize("body", [b"", BODY + b" ", BODY[:-1], BODY.replace(b"id", b"ID"), b"." + BODY])
def test_another_body_is_refused(body: bytes) -> None:
    assert "no v1 signature" in refusal(signed(ID, NOW, BODY, OLD), body=body)


@pytest.mark.parametrize(
    "change",
    [{"webhook-id": "batch-2"}, {"webhook-timestamp": str(NOW + 1)}, {"webhook-timestamp": f"0{NOW}"}],
    ids=str,
)
def test_another_id_or_timestamp_is_refused(change: dict[str, str]) -> None:
    assert "no v1 signature" in refusal(signed(ID, NOW, BODY, OLD) | change)


def test_signed_bytes_cannot_be_cut_into_another_id_timestamp_and_body() -> None:
    headers = signed(ID, NOW - 200, b"%d.[]" % NOW, OLD)

    moved = headers | {"webhook-id": f"{ID}.{NOW - 200}", "webhook-timestamp": str(NOW)}

    assert "webhook-id holds a dot" in refusal(moved, body=b"[]")


@pytest.mark.parametrize("away", [-300, -1, 0, 1, 300])
def test_a_timestamp_may_be_300_seconds_away(away: int) -> None:
    check(signed(ID, NOW + away, BODY, OLD), OLD)


@pytest.mark.parametrize("away", [-NOW, -86_400, -301, 301, 86_400])
def test_a_timestamp_further_away_is_refused_with_how_far(away: int) -> None:
    detail = refusal(signed(ID, NOW + away, BODY, OLD))

    assert f"webhook-timestamp is {abs(away)} s away from this clock, allowed are 300 s" in detail
    assert "clock" in detail


@pytest.mark.parametrize(
    "text", ["soon", f"{NOW}.0", f"-{NOW}", f"+{NOW}", f"{NOW}\n", "1e9", "\u0661" * 10, "9" * 5000]
)
def test_a_timestamp_that_is_no_number_of_seconds_is_refused(text: str) -> None:
    headers = signed(ID, NOW, BODY, OLD) | {
        "webhook-timestamp": text,
        "webhook-signature": signature(OLD, ID, text, BODY),
    }

    assert "webhook-timestamp is not a whole number of seconds" in refusal(headers)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_or_empty_header_is_named_and_what_to_do(name: str) -> None:
    headers = signed(ID, NOW, BODY, OLD)

    for found in ({key: value for key, value in headers.items() if key != name}, headers | {name: ""}):
        detail = refusal(found)
        assert f"the header {name} is missing" in detail
        assert "WEBHOOK_SECRETS" in detail


@pytest.mark.parametrize(
    "garbage",
    ["v1", "v1,", ",", "v1,====", "v1,\u00e9", "v1,!", f"v1,{'A' * 43}=", f"v1,{'A' * 9000}", "v1,x,y", " "],
)
def test_garbage_is_no_signature_and_hides_none_that_is_good(garbage: str) -> None:
    good = signed(ID, NOW, BODY, OLD)

    assert "no v1 signature" in refusal(good | {"webhook-signature": garbage})
    check(good | {"webhook-signature": f"{garbage} {good['webhook-signature']} {garbage}"}, OLD)


@pytest.mark.parametrize("version", ["v1a", "v2", "V1", "", "v"])
def test_a_signature_of_another_version_is_skipped(version: str) -> None:
    good = signed(ID, NOW, BODY, OLD)
    v1 = good["webhook-signature"]
    other = v1.replace("v1,", f"{version},")

    assert "no v1 signature" in refusal(good | {"webhook-signature": other})
    check(good | {"webhook-signature": f"{other} {v1}"}, OLD)


def test_a_part_of_a_good_signature_is_none() -> None:
    good = signed(ID, NOW, BODY, OLD)

    for cut in (good["webhook-signature"][:-1], good["webhook-signature"].removeprefix("v1,")):
        assert "no v1 signature" in refusal(good | {"webhook-signature": cut})


def test_no_refusal_shows_a_secret_or_a_signature() -> None:
    good = signed(ID, NOW, BODY, OLD, STRANGE)
    details = [
        refusal(good, NEW),
        refusal(good, OLD, now=NOW + 301),
        refusal(good | {"webhook-timestamp": good["webhook-signature"]}),
        refusal(good | {"webhook-id": "."}),
        refusal(good | {"webhook-id": ""}),
        refusal(good, NEW, body=b""),
    ]

    made = signature(NEW, ID, str(NOW), BODY)
    for text in (OLD, NEW, STRANGE, made, *good["webhook-signature"].split()):
        for detail in details:
            assert text[3:15] not in detail


@given(st.binary(max_size=60), st.integers(24, 64))
def test_any_body_is_let_in_with_its_own_signature_alone(body: bytes, size: int) -> None:
    secret = signing_secret("any", size)

    check(signed(ID, NOW, body, secret), secret, body=body)
    assert "no v1 signature" in refusal(signed(ID, NOW, body, secret), secret, body=body + b"\0")


TEXTS = st.text(max_size=40)


@given(TEXTS, TEXTS | st.integers(NOW - 400, NOW + 400).map(str), TEXTS | TEXTS.map("v1,".__add__))
def test_any_headers_without_a_good_signature_are_refused(message_id: str, timestamp: str, signatures: str) -> None:
    headers = {"webhook-id": message_id, "webhook-timestamp": timestamp, "webhook-signature": signatures}

    assert len(refusal(headers).splitlines()) == 1
