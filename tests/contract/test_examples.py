"""Both sides of the contract, held to the same recorded examples: a batch, and the answer to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.azurite import azurite
from relay.blocks import read_transaction
from relay.events import encode_batch, following, make_event
from relay.verdict import Answer, Settled, judge
from tests.contract.conftest import App

EXAMPLES = Path(__file__).with_name("examples")
BATCH: list[dict[str, Any]] = json.loads((EXAMPLES / "batch.json").read_text())
ANSWER: dict[str, Any] = json.loads((EXAMPLES / "answer.json").read_text())


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Connection string of an Azurite of this file's own: others post the same batch, and then it is a duplicate."""
    with azurite(tmp_path_factory.mktemp("azurite") / "azurite.log") as connection_string:
        yield connection_string


def test_the_relay_sends_the_recorded_batch() -> None:
    events = [
        make_event(
            read_transaction(json.dumps(event["data"]).encode(), event["id"]),
            int(event["sequence"][:12]),
            event["sequence"],
            event["source"],
        )
        for event in BATCH
    ]
    told = [event.get("predecessor") for event in BATCH]
    assert any(told)
    sent = [following(event, before) if before else event for event, before in zip(events, told, strict=True)]
    assert json.loads(encode_batch(sent)) == BATCH


def test_the_function_gives_the_recorded_answer(app: App) -> None:
    answer = app.post_events(BATCH)
    assert (answer.status_code, answer.json()) == (200, ANSWER)


def test_the_relay_takes_the_recorded_answer_as_settling_every_event() -> None:
    verdict = judge(Answer(200, {}, json.dumps(ANSWER).encode()), [event["id"] for event in BATCH])
    assert isinstance(verdict, Settled)
    outcomes = [str(verdict.results[event["id"]].outcome) for event in BATCH]
    assert outcomes == [result["outcome"] for result in ANSWER["results"]]
