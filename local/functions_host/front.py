"""The HTTP front of the host, as an ASGI application: one request in, one function call, one reply out.

It decides the order of the checks (room, route, key, size) and logs what fails. How functions are run is given to it.
A timer's function runs when somebody with the master key POSTs to /admin/functions/NAME, as the host has it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from local.functions_host import request as requests
from local.functions_host.bindings import HttpFunction, TimerFunction
from local.functions_host.errors import InvocationError, QueueFullError
from local.functions_host.keys import AuthLevel, Keys
from local.functions_host.reply import Reply
from local.functions_host.request import FunctionRequest
from local.functions_host.routing import RouteTable
from local.functions_host.throttle import Throttle

type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type Invoke = Callable[[HttpFunction, FunctionRequest], Awaitable[Reply]]
type Run = Callable[[TimerFunction], Awaitable[None]]

_LOG = logging.getLogger("functions_host")
_ADMIN = "/admin/functions/"
_NO_BODY = {204, 304}  # status codes whose replies have neither body nor Content-Length (RFC 9110, section 8.6)


class _ClientGoneError(Exception):
    """The caller hung up before its request was complete: nobody is there to answer."""


@dataclass(frozen=True, slots=True)
class Front:
    """The ASGI application. `body_limit` in bytes; `custom_headers` go into every reply that does not have them."""

    routes: RouteTable
    keys: Keys
    throttle: Throttle
    body_limit: int
    custom_headers: tuple[tuple[str, str], ...]
    invoke: Invoke
    timers: tuple[TimerFunction, ...]
    run: Run

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request (ASGI 3; the server is told to offer neither lifespan nor WebSockets)."""
        try:
            async with self.throttle.turn():
                reply = await self._answer(scope, receive)
        except QueueFullError:
            reply = Reply(429)
        except asyncio.CancelledError:
            # The host is being stopped and this call did not end in time: the caller learns it, and the server, which
            # would log the cancellation as a fault of this application, does not.
            reply = Reply(503)
        except _ClientGoneError:
            return
        _LOG.debug("%s %s: %d", scope["method"], scope["path"], reply.status)
        await self._send(reply, send)

    async def _answer(self, scope: Message, receive: Receive) -> Reply:
        path = requests.decoded_path(scope["raw_path"])
        headers = requests.header_values(scope["headers"])
        query = requests.query_values(scope["query_string"])
        if path.lower().startswith(_ADMIN):
            return await self._run(scope["method"], path[len(_ADMIN) :], requests.presented_key(headers, query))
        found = self.routes.find(scope["method"], path)
        if found is None:
            return Reply(404)
        function, route_values = found
        if self.keys.level_of(requests.presented_key(headers, query), function.name) < function.level:
            return Reply(401)
        # Without a Content-Length the host hands on no body: not even a chunked one that is there.
        size = int(headers.get("content-length", ["0"])[0])
        if size > self.body_limit:
            return Reply(413)
        request = FunctionRequest(
            method=scope["method"],
            url=requests.full_url(scope["scheme"], headers, scope["raw_path"], scope["query_string"]),
            headers=requests.joined(headers),
            query=requests.without_empty(requests.joined(query)),
            route_values=route_values,
            body=await _read(receive) if size else b"",
        )
        try:
            return await self.invoke(function, request)
        except InvocationError as error:
            _LOG.error("function %s failed\n%s", function.name, error.stack_trace.rstrip())
            return Reply(500)

    async def _run(self, method: str, name: str, key: str | None) -> Reply:
        """Run a timer's function now. The host answers when it has begun; here the call has ended by then."""
        if self.keys.level_of(key, name) < AuthLevel.ADMIN:
            return Reply(401)
        function = next((timer for timer in self.timers if timer.name.casefold() == name.casefold()), None)
        if method != "POST" or function is None:
            return Reply(404)
        try:
            await self.run(function)
        except InvocationError as error:
            _LOG.error("function %s failed\n%s", function.name, error.stack_trace.rstrip())
        return Reply(202)

    async def _send(self, reply: Reply, send: Send) -> None:
        given = {name for name, _ in reply.headers}
        headers = [
            *reply.headers,
            *((name.lower(), text) for name, text in self.custom_headers if name.lower() not in given),
        ]
        if reply.status not in _NO_BODY:
            headers.append(("content-length", str(len(reply.body))))
        await send(
            {
                "type": "http.response.start",
                "status": reply.status,
                "headers": [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers],
            }
        )
        await send({"type": "http.response.body", "body": b"" if reply.status in _NO_BODY else reply.body})


async def _read(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)
