"""Work that goes on beside the requests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

_log = structlog.get_logger()


@asynccontextmanager
async def in_background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Runs `work` beside what is within, and cancels it when left."""
    task = asyncio.create_task(_logged(work))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    """Repeats `action` for ever, `seconds` after it ended; a failure is logged, and it goes on."""
    while True:
        await asyncio.sleep(seconds)
        await _logged(action)


async def _logged(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - nobody waits for it, so it is told here
        _log.error("background work failed", exc_info=error)
