"""Compares the insurer's tables with the ledger, row by row: an independent fold over the ledger's blocks.

It shares no code with the Function app: it reads blocks over HTTP, takes a CREATE's signer from its crypto-condition
with BigchainDB's own library, folds in its own way, and reads the tables' raw rows.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import base58
import requests
from azure.data.tables import TableServiceClient
from cryptoconditions import Fulfillment

Reference = tuple[str, int]


@dataclass
class CarFacts:
    """A car as the ledger has it: the owners of each unspent output, the lease of each driver, what was applied."""

    unspent: dict[Reference, tuple[str, ...]] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    applied: set[str] = field(default_factory=set)
    last: str = ""


@dataclass
class Facts:
    """Cars by asset id, and leases by (driver, transaction that started it): the car, and what ended it or ''."""

    cars: dict[str, CarFacts] = field(default_factory=dict)
    leases: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def drivers(self) -> set[str]:
        """Everybody who has ever had a car."""
        return {driver for driver, _ in self.leases}


def fold(blocks: Iterator[list[dict[str, Any]]], lessors: Collection[str]) -> Facts:
    """What a ledger's blocks say of the cars of these lessors."""
    facts = Facts()
    for block in blocks:
        waiting = list(block)
        while waiting:
            # A node returns a block's transactions in no useful order: apply those whose inputs are there first.
            ready = [one for one in waiting if _is_ready(one, waiting)]
            for transaction in ready:
                _apply(facts, transaction, lessors)
            waiting = [one for one in waiting if one not in ready]
    return facts


def read_blocks(ledger_url: str) -> Iterator[list[dict[str, Any]]]:
    """The transactions of every block, from the first to the tip."""
    with requests.Session() as session:
        height = 1
        while (answer := session.get(f"{ledger_url}/api/v1/blocks/{height}", timeout=20)).status_code != 404:
            answer.raise_for_status()
            yield answer.json()["transactions"]
            height += 1


@dataclass(frozen=True)
class Comparison:
    """How many rows were compared, those that are on one side alone among them, and a line for each that differs."""

    rows: int
    differences: list[str]


def differences(facts: Facts, connection_string: str, known_drivers: Collection[str] = ()) -> list[str]:
    """Where the tables differ from the facts, a line each; none where they are equal. See `compare`."""
    return compare(facts, connection_string, known_drivers).differences


def compare(facts: Facts, connection_string: str, known_drivers: Collection[str] = ()) -> Comparison:
    """Hold every row of the tables against the facts.

    `known_drivers` may be in the record without having had a car: the insurer entered them.
    """
    with TableServiceClient.from_connection_string(connection_string) as service:
        cars = list(service.get_table_client("Cars").list_entities())
        drivers = list(service.get_table_client("Drivers").list_entities())
    expected = dict(_expected_cars(facts)) | dict(_expected_drivers(facts, known_drivers))
    found = dict(_found_cars(cars)) | dict(_found_drivers(drivers))
    rows = sorted(expected.keys() | found.keys())
    lines = [
        f"{row}: the ledger says {expected.get(row)}, the record says {found.get(row)}"
        for row in rows
        if expected.get(row) != found.get(row)
    ]
    return Comparison(len(rows), lines)


def _is_ready(transaction: dict[str, Any], waiting: list[dict[str, Any]]) -> bool:
    ids = {one["id"] for one in waiting}
    return not any(one["fulfills"] and one["fulfills"]["transaction_id"] in ids for one in transaction["inputs"])


def _apply(facts: Facts, transaction: dict[str, Any], lessors: Collection[str]) -> None:
    is_create = transaction["operation"] == "CREATE"
    asset = transaction["id"] if is_create else transaction["asset"]["id"]
    if is_create and _signer(transaction) in lessors:
        facts.cars[asset] = CarFacts()
    car = facts.cars.get(asset)
    if car is None:
        return
    before = dict(car.holders)
    for one in transaction["inputs"]:
        if one["fulfills"]:
            del car.unspent[one["fulfills"]["transaction_id"], one["fulfills"]["output_index"]]
    keeping = {owner for owners in car.unspent.values() for owner in owners if owner not in lessors}
    created = [tuple(sorted(_keys(output["condition"]["details"]))) for output in transaction["outputs"]]
    receiving = {owner for owners in created for owner in owners if owner not in lessors}
    for index, owners in enumerate(created):
        car.unspent[transaction["id"], index] = owners
    # Outputs are spent whole, so a driver who keeps a part gets it back: that is no new lease, unless nobody changes.
    is_renewal = before.keys() == keeping | receiving if before else False
    for driver, lease in before.items():
        if driver not in keeping and (is_renewal or driver not in receiving):
            facts.leases[driver, lease] = (asset, transaction["id"])
            del car.holders[driver]
    for driver in receiving - car.holders.keys():
        facts.leases[driver, transaction["id"]] = (asset, "")
        car.holders[driver] = transaction["id"]
    car.applied.add(transaction["id"])
    car.last = transaction["id"]


def _keys(details: dict[str, Any]) -> set[str]:
    """The public keys that a condition names: those, and not the output's public_keys, are who can spend it."""
    if "public_key" in details:
        return {details["public_key"]}
    return {key for part in details["subconditions"] for key in _keys(part)}


def _signer(create: dict[str, Any]) -> str:
    fulfillment = Fulfillment.from_uri(create["inputs"][0]["fulfillment"])
    public_key = getattr(fulfillment, "public_key", None)
    return base58.b58encode(public_key).decode() if public_key else ""


def _expected_cars(facts: Facts) -> Iterator[tuple[str, Any]]:
    for asset, car in facts.cars.items():
        yield f"car {asset}", (dict(sorted(car.holders.items())), sorted(car.unspent.items()), car.last)
        for one in car.applied:
            yield f"car {asset}, transaction {one}", "applied"


def _expected_drivers(facts: Facts, known_drivers: Collection[str]) -> Iterator[tuple[str, Any]]:
    open_leases: dict[str, list[str]] = {driver: [] for driver in {*facts.drivers, *known_drivers}}
    for (driver, lease), (asset, end) in facts.leases.items():
        yield f"driver {driver}, lease {lease}", (asset, end)
        if not end:
            open_leases[driver].append(lease)
    for driver, leases in open_leases.items():
        yield f"driver {driver}", (sorted(leases), "premium is the sum of the open leases")


def _found_cars(rows: list[Any]) -> Iterator[tuple[str, Any]]:
    for row in rows:
        name = f"car {row['PartitionKey']}"
        if row["RowKey"].startswith("transaction-"):
            yield f"{name}, transaction {row['RowKey'].removeprefix('transaction-')}", "applied"
            continue
        holders = {holder["driver"]: holder["lease"] for holder in json.loads(row["Holders"])}
        unspent = sorted(
            ((one["reference"]["transaction_id"], one["reference"]["output_index"]), tuple(one["owners"]))
            for one in json.loads(row["UnspentOutputs"])
        )
        yield name, (dict(sorted(holders.items())), unspent, row["LastTransaction"])


def _found_drivers(rows: list[Any]) -> Iterator[tuple[str, Any]]:
    premiums: dict[str, Decimal] = {}
    for row in rows:
        if row["RowKey"].startswith("lease-"):
            lease = row["RowKey"].removeprefix("lease-")
            yield f"driver {row['PartitionKey']}, lease {lease}", (row["AssetId"], row["EndTransaction"])
            if not row["EndTransaction"]:
                premium = Decimal(row["AnnualPremium"])
                premiums[row["PartitionKey"]] = premiums.get(row["PartitionKey"], Decimal(0)) + premium
    for row in rows:
        if row["RowKey"].startswith("record-"):
            is_sum = Decimal(row["AnnualPremium"]) == premiums.get(row["PartitionKey"], Decimal(0))
            remark = "premium is the sum of the open leases" if is_sum else f"premium is {row['AnnualPremium']}"
            yield f"driver {row['PartitionKey']}", (sorted(json.loads(row["OpenLeases"])), remark)
