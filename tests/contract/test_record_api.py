"""The insurer's reads and entries on the real app."""

import requests

from local.scenario import lease
from tests.contract.conftest import LESSOR, App
from tests.writing import create, event, new_keys, transfer

PROFILE = {"name": "Ada", "licenceNumber": "BE-1", "licensedSince": "2010-01-01", "insuredSince": "2016-01-01"}


def leased_car(app: App, driver: str, height: int = 1) -> tuple[str, str]:
    """A car leased to a driver from 2026-01-01: its asset id, and the transaction that started the lease.

    It is registered in block `height`, and leased in the next.
    """
    registered = create(LESSOR)
    transaction = transfer(registered, LESSOR, driver, lease("2026-01-01", "2027-12-31", 15_000))
    assert app.outcomes([event(registered, height), event(transaction, height + 1)]) == ["applied", "applied"]
    return registered["id"], transaction["id"]


def test_a_car_shows_who_has_it_and_the_transactions_behind_that(app: App) -> None:
    driver = new_keys().public_key
    asset, transaction = leased_car(app, driver)
    car = app.call("GET", f"cars/{asset}").json()
    assert car["holders"] == [{"driver": driver, "startTransaction": transaction}]
    assert [row["id"] for row in car["transactions"]] == [asset, transaction]
    assert car["lessor"] == LESSOR.public_key


def test_a_driver_whom_the_insurer_does_not_know_is_provisional_at_the_entry_class(app: App) -> None:
    driver = new_keys().public_key
    leased_car(app, driver)
    found = app.call("GET", f"drivers/{driver}").json()
    assert (found["provisional"], found["bonusMalusClass"], found["annualPremium"]) == (True, 14, "1200.00")


def test_entering_a_driver_prices_the_open_lease_anew(app: App) -> None:
    driver = new_keys().public_key
    leased_car(app, driver)
    found = app.call("PUT", f"drivers/{driver}", PROFILE).json()
    # Ten claim-free years from class 14: class 4, level 60.
    assert (found["provisional"], found["bonusMalusClass"], found["annualPremium"]) == (False, 4, "720.00")
    assert found["leases"][0]["premium"]["claimFreeYears"] == 10
    assert "1200.00 EUR x 60 % = 720.00 EUR" in found["leases"][0]["explanation"]


def test_a_claim_raises_the_premium_of_open_leases_and_leaves_ended_ones(app: App) -> None:
    driver = new_keys()
    asset, transaction = leased_car(app, driver.public_key)
    app.call("PUT", f"drivers/{driver.public_key}", PROFILE)
    back = transfer(app_transaction(asset, transaction, driver.public_key), driver, LESSOR.public_key)
    assert app.outcomes([event(back, 3)]) == ["applied"]
    leased_car(app, driver.public_key, height=4)

    claim = {"id": "C-1", "date": "2026-03-01", "atFault": True, "amount": "1500.00"}
    answer = app.call("POST", f"drivers/{driver.public_key}/claims", claim)

    assert answer.status_code == 201
    premiums = [one["premium"]["annual"] for one in answer.json()["leases"]]
    assert premiums == ["720.00", "876.00"]
    assert answer.json()["leases"][1]["premium"]["claimsCounted"] == ["C-1"]
    assert answer.json()["annualPremium"] == "876.00"


def app_transaction(asset: str, transaction: str, owner: str) -> dict[str, object]:
    """As much of a transfer as spending its output takes."""
    details = create(new_keys(), to=owner)["outputs"]
    return {"id": transaction, "operation": "TRANSFER", "asset": {"id": asset}, "outputs": details}


def test_the_same_claim_twice_is_a_conflict(app: App) -> None:
    driver = new_keys().public_key
    claim = {"id": "C-1", "date": "2025-05-05", "atFault": True, "amount": 12.5}
    assert app.call("POST", f"drivers/{driver}/claims", claim).status_code == 201
    again = app.call("POST", f"drivers/{driver}/claims", claim | {"date": "2025-06-06"})
    assert again.status_code == 409
    assert len(app.call("GET", f"drivers/{driver}").json()["claims"]) == 1


def test_bad_entries_are_400_and_name_the_place(app: App) -> None:
    driver = new_keys().public_key
    claim = {"id": "C-1", "date": "2025-05-05", "atFault": True, "amount": "1.00"}
    cases = [
        ("PUT", f"drivers/{driver}", {}, "name"),
        ("PUT", f"drivers/{driver}", PROFILE | {"insuredSince": "soon"}, "$.insuredSince"),
        ("PUT", f"drivers/{driver}", PROFILE | {"insuredSince": "1066-10-14"}, "$.insuredSince"),
        ("PUT", f"drivers/{driver}", PROFILE | {"shoeSize": 43}, "shoeSize"),
        ("PUT", f"drivers/{driver}", PROFILE | {"name": "x" * 201}, "$.name"),
        ("PUT", "drivers/nobody", PROFILE, "'nobody'"),
        ("PUT", f"drivers/{LESSOR.public_key}", PROFILE, "lessor"),
        ("POST", f"drivers/{driver}/claims", claim | {"id": "a/b"}, "$.id"),
        ("POST", f"drivers/{driver}/claims", claim | {"amount": "NaN"}, "$.amount"),
        ("POST", f"drivers/{driver}/claims", claim | {"amount": "-1"}, "$.amount"),
        ("POST", f"drivers/{driver}/claims", claim | {"amount": "0.001"}, "$.amount"),
        ("POST", f"drivers/{driver}/claims", claim | {"atFault": "yes"}, "$.atFault"),
        ("GET", "cars/xyz", None, "'xyz'"),
        ("GET", "drivers?limit=0", None, "limit"),
        ("GET", "drivers?after=!", None, "after"),
        ("GET", "drivers?after=e30=", None, "after"),
    ]
    for method, path, body, place in cases:
        answer = app.call(method, path, body)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), (path, body)
        assert place in answer.json()["detail"], (path, body)
    assert app.call("GET", f"drivers/{driver}").status_code == 404


def test_drivers_are_listed_a_page_at_a_time(app: App) -> None:
    keys = {new_keys().public_key for _ in range(5)}
    for key in keys:
        app.call("PUT", f"drivers/{key}", {"name": "one of five"})
    found: list[str] = []
    page = app.call("GET", "drivers?limit=2").json()
    while True:
        assert len(page["drivers"]) <= 2
        found += [driver["key"] for driver in page["drivers"]]
        if "next" not in page:
            break
        page = app.call("GET", f"drivers?limit=2&after={page['next']}").json()
    assert keys <= set(found)
    assert len(found) == len(set(found))


def test_the_api_needs_the_key(app: App) -> None:
    for method, path in (("GET", "drivers"), ("GET", "cars/" + "0" * 64), ("PUT", f"drivers/{LESSOR.public_key}")):
        assert requests.request(method, f"{app.url}/api/{path}", timeout=30).status_code == 401
