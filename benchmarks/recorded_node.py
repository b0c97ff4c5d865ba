"""A node that serves recorded blocks, as many as it is asked for: `python -m benchmarks.recorded_node FILE`.

It measures what the real ledger is too slow for. It answers what the relay asks of a BigchainDB node, and announces
blocks on the event stream as its tip grows by the clock. As in the local ledger, an empty block stands after each block
that has transactions. Evidence does not hold in it (benchmarks/recording.py), and it takes no transactions.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiohttp import web

from benchmarks.recording import Recording, read_recording
from benchmarks.serving import serve

API = "/api/v1"
STREAM = f"{API}/streams/valid_transactions"
NOT_FOUND = b'{"message": "Not found", "status": 404}'


class NodeFigures(msgspec.Struct):
    """What a node has done so far: `committed` has the time (time.monotonic) of each block that the clock made."""

    events: int = 0
    subscribers: int = 0
    is_growing: bool = False
    committed: dict[int, float] = {}


class RecordedNode:
    """The node. `blocks` are there from the start; reading takes `read_time` seconds a transaction, one at a time."""

    def __init__(self, recording: Recording, blocks: int, read_time: float) -> None:
        self._recording = recording
        self._blocks = blocks
        self._read_time = read_time
        self._reading = asyncio.Lock()
        self._outboxes: set[asyncio.Queue[int]] = set()
        self._committed: dict[int, float] = {}
        self._clock: asyncio.Task[None] | None = None

    def app(self) -> web.Application:
        """The application that serves it, on one port for both API and stream."""
        app = web.Application()
        for path in (API, f"{API}/"):
            app.router.add_get(path, self._describe)
        app.router.add_get(f"{API}/blocks/{{height}}", self._block)
        app.router.add_get(f"{API}/blocks", self._heights)
        app.router.add_get(f"{API}/transactions/{{id}}", self._transaction)
        app.router.add_get(f"{API}/transactions", self._chain)
        app.router.add_get(STREAM, self._stream)
        app.router.add_post("/grow", self._start_clock)
        app.router.add_get("/figures", self._tell)
        return app

    async def _describe(self, request: web.Request) -> web.Response:
        return _json(msgspec.json.encode({"streams": f"ws://{request.host}{STREAM}"}))

    async def _block(self, request: web.Request) -> web.Response:
        text = request.match_info["height"]
        height = int(text) if text.isdecimal() else 0
        number, is_empty = divmod(height - 1, 2)
        if not 0 <= number < self._blocks:
            return _json(NOT_FOUND, 404)
        transactions = b"[]" if is_empty else self._recording.transactions(number)
        if self._read_time and not is_empty:
            async with self._reading:
                await asyncio.sleep(self._read_time * self._recording.events)
        return _json(b'{"height": %d, "transactions": %b}' % (height, transactions))

    async def _heights(self, request: web.Request) -> web.Response:
        found = self._recording.find(request.query.get("transaction_id", ""))
        return _json(b"[%d]" % _height(found[0]) if found and found[0] < self._blocks else b"[]")

    async def _transaction(self, request: web.Request) -> web.Response:
        found = self._recording.find(request.match_info["id"])
        return _json(found[1]) if found and found[0] < self._blocks else _json(NOT_FOUND, 404)

    async def _chain(self, request: web.Request) -> web.Response:
        found = self._recording.chain(request.query.get("asset_id", ""))
        return _json(b"[%b]" % b", ".join(body for number, body in found if number < self._blocks))

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        outbox: asyncio.Queue[int] = asyncio.Queue()
        self._outboxes.add(outbox)
        sending = asyncio.create_task(self._announce(socket, outbox))
        try:
            async for _ in socket:
                pass  # it is read for the sake of its pings
        finally:
            self._outboxes.discard(outbox)
            sending.cancel()
        return socket

    async def _announce(self, socket: web.WebSocketResponse, outbox: asyncio.Queue[int]) -> None:
        """Send an event for each transaction of each block."""
        while True:
            number = await outbox.get()
            for asset, one in self._recording.ids(number):
                await socket.send_str(
                    f'{{"height": {_height(number)}, "asset_id": "{asset}", "transaction_id": "{one}"}}'
                )

    async def _start_clock(self, request: web.Request) -> web.Response:
        """Let the tip grow from now on: ?blocks=N, one every ?interval=SECONDS."""
        blocks, interval = int(request.query["blocks"]), float(request.query["interval"])
        self._clock = asyncio.create_task(self._grow(blocks, interval))
        return _json(b"{}")

    async def _grow(self, blocks: int, interval: float) -> None:
        """Commit so many blocks; one more interval passes after the last."""
        began = time.monotonic()
        for number in range(blocks):
            await asyncio.sleep(began + number * interval - time.monotonic())
            self._committed[_height(self._blocks)] = time.monotonic()
            self._blocks += 1
            for outbox in self._outboxes:
                outbox.put_nowait(self._blocks - 1)
        await asyncio.sleep(began + blocks * interval - time.monotonic())

    async def _tell(self, _: web.Request) -> web.Response:
        events = self._blocks * self._recording.events
        is_growing = self._clock is not None and not self._clock.done()
        told = NodeFigures(events, len(self._outboxes), is_growing, self._committed)
        return _json(msgspec.json.encode(told))


def _height(number: int) -> int:
    """The height at which a recorded block stands: an empty one follows each."""
    return 2 * number + 1


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorded_node", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, help="recorded blocks, as benchmarks.recording.record writes them")
    parser.add_argument("--block-events", type=int, default=220, metavar="N", help="transactions in a block")
    parser.add_argument("--blocks", type=int, default=0, metavar="N", help="blocks with transactions from the start")
    parser.add_argument(
        "--read-time", type=float, default=0.0, metavar="SECONDS", help="what reading takes for each transaction"
    )
    asked = parser.parse_args(arguments)
    recording = read_recording(asked.file, asked.block_events)
    return serve(RecordedNode(recording, asked.blocks, asked.read_time).app())


if __name__ == "__main__":
    sys.exit(main())
