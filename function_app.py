"""The Azure Function app: reads its settings and registers the blueprints, nothing else."""

import os

import azure.functions as func

from functions.api import cars, drivers, ledger_events
from functions.api.routes import assemble
from functions.settings import read_settings

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
_parts = assemble(read_settings(os.environ))
app.register_functions(ledger_events.blueprint(_parts))
app.register_functions(drivers.blueprint(_parts))
app.register_functions(cars.blueprint(_parts))
