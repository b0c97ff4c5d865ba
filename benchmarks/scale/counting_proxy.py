"""A proxy before a table service that notes each request, and may hold it for a while, as a distance would.

It serves in a thread of its own, on a free port of 127.0.0.1. What is made of the requests is not known here.
"""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import ClientSession, TCPConnector, web
from multidict import CIMultiDict
from yarl import URL

from benchmarks.scale.requests_made import Made, made
from local.azurite import table_endpoint

NOT_PASSED_ON = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
MAX_BODY = 8 * 1024 * 1024
START_TIMEOUT_S = 30.0


class CountingProxy:
    """The requests that came through. `hold_s` is how long each is held before it is passed on, in seconds."""

    def __init__(self, target: str) -> None:
        self.hold_s = 0.0
        self.url = ""
        self._target = target
        self._made: list[Made] = []
        self._lock = threading.Lock()
        self._session: ClientSession | None = None

    def take(self) -> list[Made]:
        """The requests since the last time."""
        with self._lock:
            taken, self._made = self._made, []
        return taken

    async def carry(self, request: web.Request) -> web.Response:
        """Pass a request on, and note it once it is answered."""
        if self._session is None:
            raise RuntimeError("the proxy does not run")
        body = await request.read()
        if self.hold_s:
            await asyncio.sleep(self.hold_s)
        url = URL(self._target + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, data=body, headers=_passed_on(request.headers)) as answer:
            text = await answer.read()
        with self._lock:
            self._made.append(made(request.method, request.path, body, len(text)))
        return web.Response(status=answer.status, body=text, headers=_passed_on(answer.headers))

    async def start(self) -> web.AppRunner:
        """Begin to serve."""
        # Without limits of its own: what is under way at once is for who sends it to bound.
        # Headers are signed: none may be added.
        self._session = ClientSession(
            connector=TCPConnector(limit=0), auto_decompress=False, skip_auto_headers=["Content-Type"]
        )
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self.carry)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return runner

    async def stop(self, runner: web.AppRunner) -> None:
        """End every connection."""
        await runner.cleanup()
        if self._session is not None:
            await self._session.close()


@contextmanager
def counting_proxy(target: str) -> Iterator[CountingProxy]:
    """Run a proxy before the service at `target` (scheme, host and port) for the length of a with block."""
    proxy, loop = CountingProxy(target), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="counting-proxy", daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(START_TIMEOUT_S)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(runner), loop).result(START_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_TIMEOUT_S)
        loop.close()


def through(proxy_url: str, connection_string: str) -> str:
    """The connection string by which the same account is reached through a proxy."""
    return connection_string.replace(table_origin(connection_string), proxy_url)


def table_origin(connection_string: str) -> str:
    """Scheme, host and port of the table endpoint in a connection string of Azurite's."""
    return str(URL(table_endpoint(connection_string)).origin())


def _passed_on(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers that are the other side's to read."""
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in NOT_PASSED_ON)
