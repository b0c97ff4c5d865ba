"""How a batch is posted: what the request carries, and what is known when no answer, or no whole one, comes back."""

import json
import time
from collections.abc import Callable, Iterator

import pytest

import functions.settings
from functions.api.signatures import check_signature
from local.processes import free_port
from relay import post
from relay.events import CarEvent
from relay.post import Post
from relay.settings import Secret
from relay.verdict import Settled, Unknown
from tests.integration.scripted_platform import PATH, RESET, SILENCE, Answer, Platform, outcomes
from tests.signing import signing_secret

KEY = "S3cretFunctionKey"
SECRETS = (signing_secret("old"), signing_secret("new"))


def event(name: str) -> CarEvent:
    body = {"id": name, "subject": "car"}
    return CarEvent(name, "car", "000000000007-000000", 7, json.dumps(body).encode())


BATCH = [event("a"), event("b")]


Open = Callable[[str], Post]


@pytest.fixture
def to() -> Iterator[Open]:
    """Opens a way to post to a URL, which is closed after the test."""
    opened: list[Post] = []

    def open_post(url: str) -> Post:
        opened.append(Post(url, Secret(KEY), [Secret(secret) for secret in SECRETS]))
        return opened[-1]

    yield open_post
    for one in opened:
        one.close()


def test_a_whole_answer_settles_every_event(platform: Platform, to: Open) -> None:
    verdict = to(platform.url).send(BATCH)
    assert isinstance(verdict, Settled)
    assert sorted(verdict.results) == ["a", "b"]
    assert platform.ids == [["a", "b"]]


def test_a_request_carries_the_key_its_length_and_a_signature_that_the_function_takes(
    platform: Platform, to: Open
) -> None:
    to(platform.url).send(BATCH)
    [request] = platform.requests
    body = b"[" + b",".join(one.encoded for one in BATCH) + b"]"
    assert request.headers["x-functions-key"] == KEY
    assert request.headers["content-type"] == "application/cloudevents-batch+json"
    assert request.headers["content-length"] == str(len(body))
    for secret in SECRETS:
        check_signature(request.headers, body, [functions.settings.Secret(secret)], int(time.time()))


def test_where_nobody_listens_nothing_was_sent_and_the_reason_tells_the_kind_of_error_alone(to: Open) -> None:
    verdict = to(f"http://127.0.0.1:{free_port()}{PATH}").send(BATCH)
    assert verdict == Unknown("no answer (ConnectionError)", may_be_an_event=False)


def test_a_connection_that_is_reset_may_be_the_doing_of_an_event(platform: Platform, to: Open) -> None:
    platform.script.append(RESET)
    assert to(platform.url).send(BATCH) == Unknown("no answer (ConnectionError)", may_be_an_event=True)


def test_an_answer_that_does_not_come_in_time_may_be_the_doing_of_an_event(platform: Platform, to: Open) -> None:
    platform.script.append(SILENCE)
    began = time.monotonic()
    verdict = to(platform.url).send(BATCH, timeout=0.2)
    assert verdict == Unknown("no answer (ReadTimeout)", may_be_an_event=True)
    assert time.monotonic() - began < 2.0


def test_after_a_connection_was_lost_the_next_batch_gets_through(platform: Platform, to: Open) -> None:
    platform.script += [outcomes([{"id": "a"}, {"id": "b"}], lambda _: "applied"), RESET]
    posting = to(platform.url)
    assert [isinstance(posting.send(BATCH), Settled) for _ in range(3)] == [True, False, True]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_does_not_take_the_key_to_another_host(platform: Platform, to: Open, status: int) -> None:
    elsewhere = Platform()
    try:
        platform.script.append(Answer(status, headers={"location": elsewhere.url}))
        verdict = to(platform.url).send(BATCH)
        assert elsewhere.requests == []
    finally:
        elsewhere.stop()
    assert verdict == Unknown(f"the answer is {status}", may_be_an_event=False)


def test_an_answer_of_more_bytes_than_allowed_settles_nothing(
    platform: Platform, to: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outcomes([{"id": "a"}, {"id": "b"}], lambda _: "applied")
    monkeypatch.setattr(post, "MAX_ANSWER_BYTES", len(whole.body))
    platform.script += [whole, Answer(200, whole.body + b" ")]
    posting = to(platform.url)
    assert isinstance(posting.send(BATCH), Settled)
    assert isinstance(posting.send(BATCH), Unknown)


def test_an_answer_that_cannot_be_decompressed_settles_nothing(platform: Platform, to: Open) -> None:
    whole = outcomes([{"id": "a"}, {"id": "b"}], lambda _: "applied")
    platform.script.append(Answer(200, whole.body, {"content-encoding": "gzip"}))
    verdict = to(platform.url).send(BATCH)
    assert isinstance(verdict, Unknown)
    assert verdict.may_be_an_event
