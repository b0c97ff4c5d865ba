"""POST /api/ledger-events on the real app, as docs/contract.md has it."""

import json

import pytest
import requests

from tests.contract.conftest import LESSOR, App
from tests.writing import create, event, new_keys, transfer

LEASE = {"lease": {"startDate": "2026-01-01", "endDate": "2027-12-31", "annualMileage": 15000}}


def test_a_car_and_its_lease_are_applied_and_then_duplicates(app: App) -> None:
    registered = create(LESSOR)
    leased = transfer(registered, LESSOR, new_keys().public_key, LEASE)
    events = [event(registered, 1), event(leased, 2)]

    assert app.outcomes(events) == ["applied", "applied"]
    assert app.outcomes(events) == ["duplicate", "duplicate"]
    assert app.outcomes(events[:1] + events) == ["duplicate"] * 3


def test_a_transfer_before_its_predecessor_is_deferred(app: App) -> None:
    registered = create(LESSOR)
    driver = new_keys()
    leased = transfer(registered, LESSOR, driver.public_key)
    returned = transfer(leased, driver, LESSOR.public_key)

    assert app.outcomes([event(leased, 2)]) == ["deferred"]
    assert app.outcomes([event(registered, 1), event(returned, 3)]) == ["applied", "deferred"]
    assert app.outcomes([event(leased, 2), event(returned, 3)]) == ["applied", "applied"]


def test_an_asset_that_no_trusted_lessor_signed_is_ignored(app: App) -> None:
    stranger = new_keys()
    assert app.outcomes([event(create(stranger))]) == ["ignored"]


def test_a_forged_event_is_rejected_and_touches_no_other(app: App) -> None:
    good, forged = create(LESSOR), create(LESSOR)
    forged["metadata"] = {"odometer": 0}

    results = app.post_events([event(forged), event(good)]).json()["results"]

    assert [result["outcome"] for result in results] == ["rejected", "applied"]
    assert forged["id"] in results[0]["detail"]
    assert app.call("GET", f"cars/{forged['id']}").status_code == 404


def test_a_transfer_signed_by_somebody_else_is_rejected(app: App) -> None:
    registered, thief = create(LESSOR), new_keys()
    stolen = transfer({**registered, "outputs": create(thief)["outputs"]}, thief, thief.public_key)

    assert app.outcomes([event(registered, 1), event(stolen, 2)]) == ["applied", "rejected"]
    assert app.call("GET", f"cars/{registered['id']}").json()["holders"] == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"type": "something.else"}, "type"),
        ({"sequence": "12"}, "sequence"),
        ({"subject": "0" * 64}, "subject"),
        ({"data": [1, 2]}, "data"),
        ({"id": "0" * 64}, "id"),
    ],
)
def test_an_event_that_contradicts_itself_is_rejected_with_the_reason(
    app: App, change: dict[str, object], named: str
) -> None:
    result = app.post_events([event(create(LESSOR)) | change]).json()["results"][0]
    assert result["outcome"] == "rejected"
    assert named in result["detail"]


def test_an_event_of_another_ledger_is_421_and_nothing_of_its_batch_is_applied(app: App) -> None:
    registered = create(LESSOR)
    other = event(create(LESSOR)) | {"source": "urn:bigchaindb:other"}

    answer = app.post_events([event(registered), other])

    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
    for named in ("'urn:bigchaindb:other'", "'urn:bigchaindb:local'", "LEDGER_NAME"):
        assert named in answer.json()["detail"]
    assert app.call("GET", f"cars/{registered['id']}").status_code == 404
    assert app.outcomes([event(registered)]) == ["applied"]


def test_another_content_type_is_415(app: App) -> None:
    answer = app.call("POST", "ledger-events", [])
    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"
    assert "application/cloudevents-batch+json" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"no json", "not JSON"),
        (b'{"specversion": "1.0"}', "array"),
        (b'[{"specversion": "1.0"}]', "$[0]"),
        (b'[{"specversion": "0.3", "id": "1", "source": "s", "type": "t"}]', "$[0].specversion"),
        (b'[{"specversion": "1.0", "id": 7, "source": "s", "type": "t"}]', "$[0].id"),
        (b'[{"specversion": "1.0", "id": "", "source": "s", "type": "t"}]', "$[0].id"),
        (b'[{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": ' + b"[" * 9000, "nested 9002 deep"),
    ],
)
def test_a_body_that_is_no_batch_is_400_with_the_place(app: App, body: bytes, place: str) -> None:
    answer = app.post_events(body)
    assert answer.status_code == 400
    assert place in answer.json()["detail"]


def test_a_batch_that_is_too_large_is_413(app: App) -> None:
    many = app.post_events([{"specversion": "1.0", "id": str(n), "source": "s", "type": "t"} for n in range(501)])
    large = app.post_events(b"[" + b" " * 1_048_576 + b"]")
    assert (many.status_code, large.status_code) == (413, 413)
    assert "500" in many.json()["detail"]
    assert "1048576" in large.json()["detail"]


def test_an_empty_batch_is_answered_with_no_results(app: App) -> None:
    assert app.outcomes([]) == []


def test_without_the_key_nothing_is_answered(app: App) -> None:
    answer = requests.post(f"{app.url}/api/ledger-events", json=[], headers={"x-functions-key": "wrong"}, timeout=30)
    assert (answer.status_code, answer.content) == (401, b"")


def test_a_hundred_transfers_of_one_car_in_one_batch_are_applied_in_order(app: App) -> None:
    one, other = new_keys(), new_keys()
    transactions = [create(LESSOR)]
    signer = LESSOR
    for turn in range(100):
        to = (one, other)[turn % 2]
        transactions.append(transfer(transactions[-1], signer, to.public_key, LEASE))
        signer = to

    outcomes = app.outcomes([event(body, height) for height, body in enumerate(transactions, 1)])

    assert outcomes == ["applied"] * 101
    car = app.call("GET", f"cars/{transactions[0]['id']}").json()
    assert [row["id"] for row in car["transactions"]] == [body["id"] for body in transactions]
    assert [holder["driver"] for holder in car["holders"]] == [other.public_key]
    leases = app.call("GET", f"drivers/{other.public_key}").json()["leases"]
    assert [lease["endTransaction"] is None for lease in leases] == [False] * 49 + [True]


def test_metadata_of_every_kind_survives_the_evidence(app: App) -> None:
    driver = new_keys()
    registered = create(LESSOR)
    metadata = {"float": 1e-05, "big": 2**70, "text": "é\u2028\x1f\U0001f697", "nested": {"a": [None, True, -0.0]}}
    leased = transfer(registered, LESSOR, driver.public_key, metadata)
    body = json.dumps([event(registered, 1), event(leased, 2)]).encode()
    assert [result["outcome"] for result in app.post_events(body).json()["results"]] == ["applied", "applied"]
