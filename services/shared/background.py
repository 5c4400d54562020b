"""Work that goes on while requests are answered."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog

from services.shared.errors import InternalError, MeshError

_log = structlog.get_logger()
# Longer than work takes to put things in order when it is cancelled.
_CANCELLED_AGAIN_SECONDS = 5.0


@asynccontextmanager
async def in_background(work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Runs `work` as a task of its own while within, and cancels it on leaving."""
    task = asyncio.create_task(_logged(work))
    try:
        yield
    finally:
        await end(task)


async def end(*tasks: asyncio.Future[Any]) -> None:
    """Cancels tasks, and returns when they have ended. With what they fail is not told.

    A library may lose a cancellation: Python 3.11's `wait_for` does, where its work ends at the
    same moment. A task that is not over by then is cancelled again.
    """
    left = [task for task in tasks if not task.done()]
    while left:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_CANCELLED_AGAIN_SECONDS)
        left = [task for task in left if not task.done()]
    for task in tasks:
        if not task.cancelled():
            task.exception()  # asyncio logs failures that nobody has asked for


async def every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    """Never returns: runs `action` again and again, `seconds` apart. A failure is logged."""
    while True:
        await asyncio.sleep(seconds)
        await _logged(action)


async def failure_of(work: Awaitable[None]) -> MeshError | None:
    """Waits for `work` and says with what it failed, in words that a caller may read.

    A bug is logged here. What it said may be a user's words, so the caller gets an `InternalError`.
    """
    try:
        await work
    except MeshError as error:
        return error
    except Exception as error:  # noqa: BLE001 - nobody else waits for it
        _log.error("bug", exc_info=error)
        return InternalError("internal error")
    return None


async def _logged(work: Callable[[], Awaitable[None]]) -> None:
    try:
        await work()
    except Exception as error:  # noqa: BLE001 - nobody awaits the task, so it is logged here
        _log.error("background work failed", exc_info=error)
