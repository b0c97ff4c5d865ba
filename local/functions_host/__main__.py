"""Command line of the local Functions host: `python -m local.functions_host FOLDER`.

Serves the Function app in FOLDER (function_app.py, host.json) on a TCP port until SIGTERM or SIGINT. App settings are
the environment, keys come from three variables of it. See the package's docstring for what is imitated and what is not.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TextIO

import uvicorn

from local import processes
from local.functions_host import worker
from local.functions_host.bindings import Function, HttpFunction, TimerFunction, UnservedFunction
from local.functions_host.errors import AddressError, AppError, SettingsError, StartError
from local.functions_host.front import Front
from local.functions_host.keys import AuthLevel, Keys
from local.functions_host.routing import RouteTable
from local.functions_host.settings import HostSettings, body_limit, read_host_settings, read_local_settings
from local.functions_host.throttle import Throttle

HOST_KEYS = "LOCAL_FUNCTIONS_KEY"
FUNCTION_KEYS = "LOCAL_FUNCTIONS_KEYS"
MASTER_KEY = "LOCAL_FUNCTIONS_MASTER_KEY"
GRACE = 1  # seconds that calls under way get when the host is stopped

_EPILOG = f"""\
keys (enforced, unlike under `func start`), from the environment, where no process list shows them:
  {HOST_KEYS}         host keys: each opens every function of level FUNCTION; several, for rotation, separated by commas
  {FUNCTION_KEYS}        keys of one function each, as name=key, separated by commas
  {MASTER_KEY}  opens every function, also those of level ADMIN, and runs a timer's: POST /admin/functions/NAME
All are taken out of the environment before the app is loaded.

exit codes: 0 stopped, 1 the app or its settings are at fault (the last lines say which), 2 wrong usage
"""

_LOG = logging.getLogger("functions_host")


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Serve until stopped; end the process, with code 1 and the fault on stderr if it cannot serve."""
    arguments = _parser().parse_args(argv)
    _configure_logging(verbose=arguments.verbose)
    # The ready line must be alone on the standard output: what functions print goes where their logs go.
    ready_line = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        try:
            setup = set_up(arguments.folder, arguments.settings, arguments.host, arguments.port, os.environ)
            asyncio.run(serve(setup, ready_line, with_parent=arguments.with_parent, verbose=arguments.verbose))
        except StartError as error:
            print(f"functions_host: {error}", file=sys.stderr)
            _end(1)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is settled before the app is loaded. `listener` has its port but does not listen yet; limit in bytes."""

    folder: Path
    host_settings: HostSettings
    keys: Keys
    body_limit: int
    listener: socket.socket


def set_up(folder: Path, settings: Path | None, host: str, port: int, environ: MutableMapping[str, str]) -> Setup:
    """Read the settings, complete `environ` with them, take the keys out of it, and bind the address.

    Raises SettingsError, AppError or AddressError.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise AppError(f"{folder} is not a folder")
    host_settings = read_host_settings(folder / "host.json")
    if settings is not None:
        _apply_local_settings(settings, environ)
    return Setup(
        folder=folder,
        host_settings=host_settings,
        keys=Keys.from_text(environ.pop(HOST_KEYS, ""), environ.pop(MASTER_KEY, ""), environ.pop(FUNCTION_KEYS, "")),
        body_limit=body_limit(environ),
        listener=_bind(host, port),
    )


async def serve(setup: Setup, ready_line: TextIO, *, with_parent: bool, verbose: bool) -> NoReturn:
    """Index the app, serve it until told to stop, end the process. Raises AppError, RouteError or SettingsError."""
    _on_stop_signals(lambda: os._exit(0))  # while the app is being loaded nothing is at stake yet
    front = _front(setup, await worker.index(setup.folder))
    config = uvicorn.Config(
        front,
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level=logging.INFO if verbose else logging.WARNING,
        access_log=False,  # it would show the keys in query strings; the front logs requests without those
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)

    def stop() -> None:
        server.should_exit = True

    # Server.serve() would do these steps too, but then raise the signal again, and the process would not end with 0.
    _on_stop_signals(stop)
    if with_parent:
        processes.stop_when_orphaned(stop)
    await server.startup(sockets=[setup.listener])
    with contextlib.redirect_stdout(ready_line):
        served = ",".join(function.name for function in front.routes.functions)
        processes.announce(http=_url(setup.listener), functions=served)
    await server.main_loop()
    await server.shutdown(sockets=[setup.listener])
    if server.server_state.tasks:  # calls that outlasted the grace and are cancelled by now: they tell their callers
        await asyncio.wait(server.server_state.tasks, timeout=0.2)
    _end(0)


def _front(setup: Setup, indexed: Sequence[Function]) -> Front:
    served = [function for function in indexed if isinstance(function, HttpFunction)]
    timers = [function for function in indexed if isinstance(function, TimerFunction)]
    unserved = [function for function in indexed if isinstance(function, UnservedFunction)]
    _check_names(setup.keys, served)
    routes = RouteTable(served, setup.host_settings.route_prefix)
    _report(setup, routes, timers, unserved)
    return Front(
        routes=routes,
        keys=setup.keys,
        throttle=Throttle(setup.host_settings.max_concurrent, setup.host_settings.max_outstanding),
        body_limit=setup.body_limit,
        custom_headers=setup.host_settings.custom_headers,
        invoke=worker.invoke,
        timers=tuple(timers),
        run=worker.run,
    )


def _check_names(keys: Keys, served: Sequence[HttpFunction]) -> None:
    """Raise SettingsError for a key of a function that is not there: a typing error, which would lock somebody out."""
    unknown = keys.function_keys.keys() - {function.name.lower() for function in served}
    if unknown:
        raise SettingsError(f"{FUNCTION_KEYS} names no function of the app: {', '.join(sorted(unknown))}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local.functions_host",
        description="Serve the HTTP functions of a Function app, without the Azure Functions host.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="holds function_app.py and host.json")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--settings", type=Path, help="a local.settings.json; the environment goes before its Values")
    parser.add_argument("--with-parent", action="store_true", help="stop when the standard input is closed")
    parser.add_argument("--verbose", action="store_true", help="log every request, and what the libraries say")
    return parser


def _configure_logging(*, verbose: bool) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if verbose:
        _LOG.setLevel(logging.DEBUG)
    else:
        # The worker library's own logger: it tells of every invocation, and of failures that are reported here anyway.
        logging.getLogger("azure.functions").setLevel(logging.CRITICAL)


def _apply_local_settings(path: Path, environ: MutableMapping[str, str]) -> None:
    local_settings = read_local_settings(path)
    for name, value in local_settings.values.items():
        environ.setdefault(name, value)
    if local_settings.without_effect:
        _LOG.warning("%s: no effect here: %s", path.name, ", ".join(local_settings.without_effect))


def _bind(host: str, port: int) -> socket.socket:
    """A socket that has its port but does not listen yet, so that nobody connects before the app is served."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, OverflowError) as error:
        raise AddressError(f"cannot listen on {host} port {port}: {error}") from error
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _report(
    setup: Setup, routes: RouteTable, timers: Sequence[TimerFunction], unserved: Sequence[UnservedFunction]
) -> None:
    """Say once, before anything is served, how what follows differs from Azure."""
    _LOG.warning(
        "NOT the Azure Functions host: routing, keys and limits are re-implemented, only HTTP triggers are served, and "
        "timers by hand. Functions run by azure-functions-runtime, from %s",
        setup.folder,
    )
    if setup.host_settings.without_effect:
        _LOG.warning("host.json: no effect here: %s", ", ".join(setup.host_settings.without_effect))
    for timer in timers:
        _LOG.warning("function %s runs on POST /admin/functions/%s alone: no clock triggers it", timer.name, timer.name)
    for function in unserved:
        _LOG.warning("function %s is not served: bindings %s", function.name, ", ".join(function.bindings))
    is_keyless = not (setup.keys.host_keys or setup.keys.function_keys)
    if is_keyless and any(function.level is AuthLevel.FUNCTION for function in routes.functions):
        _LOG.warning("%s is not set: functions of level FUNCTION open to the master key alone", HOST_KEYS)


def _on_stop_signals(act: Callable[[], object]) -> None:
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda _number, _frame: act())


def _end(code: int) -> NoReturn:
    """End the process now.

    An orderly exit of the interpreter would wait for every function that still runs in a thread, however long, and
    aborts (code 134) if a thread is still reading the standard input, as the watch over the parent does.
    """
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
