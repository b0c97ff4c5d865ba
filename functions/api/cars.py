"""/api/cars: who has a car now, and which transactions made it so."""

import re
from http import HTTPStatus

import azure.functions as func
import msgspec

from functions.api.answers import RequestError, json_answer
from functions.api.routes import Parts, answering
from functions.settings import shown

ASSET_ID = re.compile(r"[0-9a-f]{64}")


class HolderView(msgspec.Struct, frozen=True, rename="camel"):
    """A driver who has the car now, and the transaction that started the lease."""

    driver: str
    start_transaction: str


class TransactionView(msgspec.Struct, frozen=True, rename="camel"):
    """A transaction applied to the car; `sequence` is height and position on the ledger, `owners` those after it."""

    id: str
    operation: str
    sequence: str
    owners: tuple[str, ...]


class CarView(msgspec.Struct, frozen=True, rename="camel"):
    """A car as it is returned, its transactions in ledger order."""

    asset_id: str
    vin: str
    manufacturer: str
    model: str
    model_year: str
    lessor: str
    holders: list[HolderView]
    transactions: list[TransactionView]


def blueprint(parts: Parts) -> func.Blueprint:
    """The routes of cars."""
    routes = func.Blueprint()  # type: ignore[no-untyped-call]

    @routes.route("cars/{asset_id}", methods=["GET"])
    @answering
    async def car(req: func.HttpRequest) -> func.HttpResponse:
        asset_id = req.route_params["asset_id"]
        if not ASSET_ID.fullmatch(asset_id):
            raise RequestError(HTTPStatus.BAD_REQUEST, f"{shown(asset_id)} is not an asset id (64 hex digits)")
        stored = await parts.record.load_car(asset_id)
        if stored.car is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"no trusted lessor's car {asset_id} is in the record")
        history = await parts.record.car_history(asset_id)
        found, about = stored.car, stored.car.description
        return json_answer(
            CarView(
                asset_id=found.asset_id,
                vin=about.vin,
                manufacturer=about.manufacturer,
                model=about.model,
                model_year=about.model_year,
                lessor=found.lessor,
                holders=[HolderView(holder.driver, holder.lease) for holder in found.holders],
                transactions=[TransactionView(one.id, one.operation, one.sequence, one.owners) for one in history],
            )
        )

    return routes
