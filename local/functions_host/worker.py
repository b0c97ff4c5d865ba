"""Indexes and runs the functions of one app, through Microsoft's azure-functions-runtime, in this process.

The library keeps what it indexed in its own module, so one process holds one app. This module knows nothing about
routes, keys or sockets.
"""

import contextlib
import importlib
import json
import os
import sys
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import azure_functions_runtime as runtime

from local.functions_host import messages
from local.functions_host.bindings import Function, HttpFunction, TimerFunction, read_bindings
from local.functions_host.errors import AppError, InvocationError
from local.functions_host.reply import Reply, from_return_value
from local.functions_host.request import FunctionRequest


async def index(folder: Path) -> list[Function]:
    """Import the app in `folder` and have the library index it; its functions in order of definition.

    The folder becomes the working directory and the first place to import from, as on Azure, and the directory this
    process was started in is no longer one: an app that forgot to bring a module must not find it there.
    Raises AppError, naming the script and with the app's own traceback where it has one.
    """
    # The library's own setting; function_app.py unless an app says otherwise.
    script = folder / os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
    if not script.is_file():
        raise AppError(f"{script} does not exist")
    _import_from(folder)
    runtime.start_threadpool_executor()
    # The library would import the script itself, but wraps what goes wrong there in pages about sys.path.
    with _app_errors(script):
        importlib.import_module(script.stem)
    request = messages.WorkerInitRequest(capabilities={}, function_app_directory=str(folder))
    answer = await runtime.worker_init_request(
        messages.WorkerRequest(messages.StreamingMessage(worker_init_request=request), {"protos": messages})
    )
    if answer.result.status != messages.StatusResult.Success:
        raise AppError(f"{script} was refused: {answer.result.exception.message}")
    if "HttpUri" in answer.capabilities:
        raise AppError(f"{script} streams over HTTP (azurefunctions.extensions.http), which this host does not imitate")
    indexed = await runtime.functions_metadata_request(messages.WorkerRequest(messages.StreamingMessage()))
    if not indexed.function_metadata_results:
        raise AppError(f"{script} defines no functions")
    return [
        read_bindings(metadata.name, metadata.function_id, metadata.raw_bindings)
        for metadata in indexed.function_metadata_results
    ]


async def invoke(function: HttpFunction, request: FunctionRequest) -> Reply:
    """Run one function once: a coroutine in this event loop, anything else in the library's thread pool.

    Raises InvocationError when the function raises, or returns what its bindings do not allow; None is such a value
    for every function with an HTTP response among its bindings, which is what `@app.route` gives it.
    """
    http = messages.RpcHttp(
        method=request.method,
        url=request.url,
        headers=request.headers,
        query=request.query,
        params=request.route_values,
        body=messages.TypedData(bytes=request.body),
    )
    trace = messages.RpcTraceContext(request.headers.get("traceparent", ""), request.headers.get("tracestate", ""))
    return from_return_value(await _call(function, messages.TypedData(http=http), trace))


async def run(function: TimerFunction) -> None:
    """Run a function of a timer once, as by hand: it is told of no schedule. Raises InvocationError when it raises."""
    timer = messages.TypedData(json=json.dumps({"IsPastDue": False, "Schedule": {"AdjustForDST": True}}))
    await _call(function, timer, messages.RpcTraceContext())


async def _call(
    function: HttpFunction | TimerFunction, given: messages.TypedData, trace: messages.RpcTraceContext
) -> messages.TypedData | None:
    invocation = messages.InvocationRequest(
        invocation_id=str(uuid.uuid4()),
        function_id=function.function_id,
        input_data=[messages.ParameterBinding(function.parameter, given)],
        trace_context=trace,
    )
    answer: messages.InvocationResponse = await runtime.invocation_request(
        messages.WorkerRequest(messages.StreamingMessage(invocation_request=invocation))
    )
    if answer.result.status != messages.StatusResult.Success:
        failure = answer.result.exception
        raise InvocationError(failure.message, failure.stack_trace)
    return answer.return_value


def _import_from(folder: Path) -> None:
    started_in = Path.cwd()
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != started_in]
    sys.path[:] = [str(folder), *elsewhere]
    os.chdir(folder)


@contextlib.contextmanager
def _app_errors(script: Path) -> Iterator[None]:
    """Turn whatever the script raises while it is imported into an AppError with the script's own traceback."""
    try:
        yield
    except Exception as error:
        own_frames = _frames_within(script.parent, error.__traceback__)
        text = "".join(traceback.format_exception(type(error), error, own_frames)).rstrip()
        raise AppError(f"{script} cannot be imported:\n{text}") from error


def _frames_within(folder: Path, frames: TracebackType | None) -> TracebackType | None:
    """The traceback from its first frame in a file of the app on; None when there is none (a syntax error)."""
    while frames is not None and not _is_of_app(Path(frames.tb_frame.f_code.co_filename), folder):
        frames = frames.tb_next
    return frames


def _is_of_app(file: Path, folder: Path) -> bool:
    # Served from the root of this project, the app's folder holds this package too.
    return file.is_relative_to(folder) and not file.is_relative_to(Path(__file__).parent)
