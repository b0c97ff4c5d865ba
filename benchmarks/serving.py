"""Runs an aiohttp application of this package as a process of its own, on a free port of 127.0.0.1.

It announces itself to its parent as local/processes.py wants it, and ends on SIGTERM, on SIGINT, and when the parent
has gone.
"""

import asyncio
import signal

from aiohttp import web

from local.processes import announce, stop_when_orphaned

STOP_GRACE_S = 0.1


def serve(app: web.Application) -> int:
    """Serve until stopped; the exit code."""
    asyncio.run(_serve(app))
    return 0


async def _serve(app: web.Application) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        loop.call_soon_threadsafe(stopped.set)

    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stopped.set)
    stop_when_orphaned(stop)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_GRACE_S)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    announce(http=f"http://{host}:{port}")
    await stopped.wait()
    await runner.cleanup()
