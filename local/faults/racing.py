"""Runs things side by side until one of them is over."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_one_ends(*sides: Coroutine[Any, Any, object]) -> None:
    """Run these until one is over, and end the others. Each has at least begun. Raises what the one raised."""
    running = [asyncio.create_task(side) for side in sides]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
