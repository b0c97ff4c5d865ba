"""/api/cars: who has a car now, and which transactions made it so."""

from http import HTTPStatus
from typing import Annotated, Any

import azure.functions as func
import msgspec
from msgspec import UNSET, UnsetType

from functions.api.answers import RequestError, json_answer, query
from functions.api.operations import Operation, Served, json_body
from functions.api.paging import MAX_PAGE, After, Flag, Limit, filters, page_end, page_start, truth
from functions.api.routes import AssetId, Parts, PublicKey, answering, check_public_key
from functions.api.texts import Text
from functions.leasing.car import Car
from functions.records.record import CarFile
from functions.settings import shown


class CarsWanted(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Which cars are listed; what is left out does not matter."""

    limit: Limit = MAX_PAGE
    after: After = ""
    leased: Annotated[Flag, msgspec.Meta(description="a driver has it now")] | UnsetType = UNSET
    lessor: PublicKey | UnsetType = UNSET
    vin: Text | UnsetType = UNSET


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


class CarSummary(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A car: `registeredBy` is the trusted lessor who signed its CREATE, `lessor` the one who owned it last."""

    asset_id: str
    vin: str
    manufacturer: str
    model: str
    model_year: str
    registered_by: str
    lessor: str
    holders: list[HolderView]
    last_transaction: str


class CarView(CarSummary, frozen=True, rename="camel", kw_only=True):
    """A car with its transactions, in ledger order."""

    transactions: list[TransactionView]


class CarPage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One page of cars; `next` is the value of ?after= for the page after it, where there is one."""

    cars: list[CarSummary]
    next: str = ""


def served(parts: Parts) -> tuple[Served, ...]:
    """The operations on cars."""

    @answering
    async def cars(req: func.HttpRequest) -> func.HttpResponse:
        wanted = query(req, CarsWanted)
        if wanted.lessor is not UNSET:
            check_public_key(wanted.lessor)
        found, following = await parts.record.cars(
            filters(Leased=truth(wanted.leased), Lessor=wanted.lessor, Vin=wanted.vin),
            wanted.limit,
            page_start(wanted.after),
        )
        return json_answer(CarPage([CarSummary(**_summary(car)) for car in found], page_end(following)))

    @answering
    async def car(req: func.HttpRequest) -> func.HttpResponse:
        asset_id: str = req.route_params["asset_id"]
        try:
            msgspec.convert(asset_id, AssetId)
        except msgspec.ValidationError as error:
            detail = f"{shown(asset_id)} is not an asset id (64 hex digits)"
            raise RequestError(HTTPStatus.BAD_REQUEST, detail) from error
        return json_answer(_view(asset_id, await parts.record.car_file(asset_id)))

    return (Served(LIST_CARS, cars), Served(GET_CAR, car))


def _view(asset_id: str, file: CarFile) -> CarView:
    if file.stored.car is None:
        raise RequestError(HTTPStatus.NOT_FOUND, f"no trusted lessor's car {asset_id} is in the record")
    transactions = [TransactionView(one.id, one.operation, one.sequence, one.owners) for one in file.transactions]
    return CarView(**_summary(file.stored.car), transactions=transactions)


def _summary(car: Car) -> dict[str, Any]:
    return {
        "asset_id": car.asset_id,
        "vin": car.description.vin,
        "manufacturer": car.description.manufacturer,
        "model": car.description.model,
        "model_year": car.description.model_year,
        "registered_by": car.registered_by,
        "lessor": car.lessor,
        "holders": [HolderView(holder.driver, holder.lease) for holder in car.holders],
        "last_transaction": car.last_transaction,
    }


LIST_CARS = Operation(
    name="cars",
    method="GET",
    path="cars",
    summary="The cars, a page at a time, in no particular order",
    query=CarsWanted,
    answers={HTTPStatus.OK: json_body("a page", CarPage)},
    problems=(HTTPStatus.BAD_REQUEST,),
)
GET_CAR = Operation(
    name="car",
    method="GET",
    path="cars/{asset_id}",
    summary="One car, with the transactions that it went through",
    answers={HTTPStatus.OK: json_body("the car", CarView)},
    problems=(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
