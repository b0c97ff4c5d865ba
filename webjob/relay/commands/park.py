"""`park list` and `redrive`: the cars that are left out, and having the relay try them again."""

from relay.commands.output import complain, show
from relay.exits import Exit
from relay.parked import ParkedCar, ParkedTable
from relay.settings import TablesSettings


def list_parked(settings: TablesSettings, *, as_json: bool) -> Exit:
    """Print the parked cars. Raises TablesError."""
    table = ParkedTable(settings)
    try:
        cars = table.all()
    finally:
        table.close()
    lines = [
        line
        for car in cars
        for line in (
            f"{car.asset_id}  from {car.sequence or '-'}{'  (redrive asked)' if car.redrive else ''}",
            f"  {car.reason}",
        )
    ]
    show({"parked_cars": len(cars), "parked": [described(car) for car in cars]}, lines, as_json=as_json)
    return Exit.DONE


def redrive(settings: TablesSettings, asset_id: str | None, *, as_json: bool) -> Exit:
    """Ask for one parked car, or for all where it is None; the running relay, or the next one, does the rest.

    Raises TablesError.
    """
    table = ParkedTable(settings)
    try:
        wanted = [asset_id] if asset_id else [car.asset_id for car in table.all()]
        asked = [car for car in wanted if table.ask_redrive(car)]
    finally:
        table.close()
    if asset_id and not asked:
        complain(f"car {asset_id} is not parked")
        return Exit.FAULT
    told = "will be redriven by the relay within seconds; `status` shows when it is no longer parked"
    show({"redriven_cars": len(asked), "redriven": asked}, [f"{car} {told}" for car in asked], as_json=as_json)
    return Exit.DONE


def described(car: ParkedCar) -> dict[str, object]:
    """A parked car, for JSON."""
    return {
        "car": car.asset_id,
        "transaction": car.transaction_id,
        "sequence": car.sequence,
        "reason": car.reason,
        "redrive_asked": car.redrive,
    }
