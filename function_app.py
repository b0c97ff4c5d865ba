"""The Azure Function app: reads its settings and registers the blueprints, nothing else."""

import os

import azure.functions as func

from functions.api.catalogue import operations
from functions.api.operations import blueprint
from functions.api.relay import watch
from functions.api.routes import assemble
from functions.settings import read_settings

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
parts = assemble(read_settings(os.environ))
app.register_functions(blueprint(operations(parts)))
app.register_functions(watch(parts))
