"""All operations of the API."""

from functions.api import cars, claims, drivers, explanation, health, ledger_events, openapi, relay, repricing
from functions.api.operations import Served
from functions.api.routes import Parts


def operations(parts: Parts) -> tuple[Served, ...]:
    """Every operation, with the document that describes them."""
    resources = (ledger_events, drivers, claims, explanation, cars, repricing, relay, health)
    offered = tuple(one for resource in resources for one in resource.served(parts))
    return (*offered, *openapi.served(offered))
