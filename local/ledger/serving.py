"""Assembles the ledger from its parts and runs it: start, wait to be told to stop, stop.

It imports the server, so `configure_server` must have run before this module is imported. It knows nothing about the
command line.
"""

import asyncio
import signal
import socket
from functools import partial
from typing import Any

from bigchaindb.version import __version__ as server_version

from local.ledger.consensus import BlockRules, Node
from local.ledger.http_api import HttpApi
from local.ledger.storage import MemoryConnection
from local.ledger.stream import EVENTS_ENDPOINT, Dispatcher, EventFeed, EventStream
from local.processes import announce, stop_when_orphaned

NODE_STOP_TIMEOUT = 1.0  # seconds that the node gets to drop a block in the making

BANNER = """\
*********************************************************************************
*  DEVELOPMENT LEDGER WITHOUT CONSENSUS: nothing is kept on exit.
*  BigchainDB {version}'s own code in one process, in memory; no Tendermint, no MongoDB.
*  {http}
*  {stream}
*********************************************************************************"""


async def serve(
    *,
    host: str,
    http_listener: socket.socket,
    stream_listener: socket.socket,
    rules: BlockRules,
    dispatcher: type[Dispatcher],
    with_parent: bool,
) -> int:
    """Serve a new, empty ledger on two sockets that listen already, and announce it once it does.

    `host` is the name under which both are reached; `dispatcher` says how robust the event stream is. Ends on SIGTERM,
    on SIGINT, on end-of-file on standard input if `with_parent`, and when the node fails. Returns the exit code: 1 when
    the node failed, else 0.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(exit_code: int) -> None:
        if not ended.done():
            ended.set_result(exit_code)

    def end_soon(exit_code: int) -> None:
        loop.call_soon_threadsafe(end, exit_code)

    def publish(event: Any) -> None:
        feed.put(event)
        api.prepare(event.data["height"])

    connection, feed = MemoryConnection(), EventFeed(loop)
    node = Node(connection, rules, on_commit=publish, on_failure=partial(end_soon, 1))
    api = HttpApi(connection, node.broadcast, http_listener)
    stream = EventStream(feed, dispatcher, stream_listener)

    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, end, 0)
    if with_parent:
        stop_when_orphaned(partial(end_soon, 0))
    node.start()
    await stream.start()
    api.start()

    http_url = f"http://{host}:{http_listener.getsockname()[1]}"
    stream_url = f"ws://{host}:{stream_listener.getsockname()[1]}{EVENTS_ENDPOINT}"
    print(BANNER.format(version=server_version, http=http_url, stream=stream_url), flush=True)
    announce(http=http_url, stream=stream_url, api=f"{http_url}/api/v1/")
    exit_code = await ended

    api.stop()
    node.stop(NODE_STOP_TIMEOUT)
    await stream.stop()
    return exit_code
