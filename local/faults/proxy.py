"""Opens links on free ports of 127.0.0.1, all of them served by one thread."""

import asyncio
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager

from local.faults.connection import Connection
from local.faults.link import Link

TURNS = 8
"""More turns of the loop than accepting or ending a connection takes."""


class Proxy:
    """The thread that serves links. See `running_proxy`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="faults", daemon=True)
        self._thread.start()

    def open(self, link: Link, port: int = 0) -> Link:
        """Serve this link, on a free port or on the one given; the link then knows it. Raises OSError."""
        asyncio.run_coroutine_threadsafe(self._open(link, port), self._loop).result()
        return link

    def close(self) -> None:
        """End every connection and every link."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, link: Link, port: int) -> None:
        async def carry(reader: StreamReader, writer: StreamWriter) -> None:
            await Connection(link, reader, writer).carry()

        server = await asyncio.start_server(carry, "127.0.0.1", port)
        self._servers.append(server)
        link.port = server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for server in self._servers:
            for listening in server.sockets:
                self._loop.remove_reader(listening)
        await _settle()  # asyncio loses what it is accepting when its server closes; what is carried can be ended
        for server in self._servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _settle()


async def _settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@contextmanager
def running_proxy() -> Iterator[Proxy]:
    """A proxy for the length of a with block."""
    proxy = Proxy()
    try:
        yield proxy
    finally:
        proxy.close()
