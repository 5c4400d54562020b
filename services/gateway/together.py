"""Several awaited at once."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from services.shared.background import end

First = TypeVar("First")
Second = TypeVar("Second")


async def both(first: Awaitable[First], second: Awaitable[Second]) -> tuple[First, Second]:
    """The results of both; the first failure, or our own cancellation, cancels the other."""
    one, other = asyncio.ensure_future(first), asyncio.ensure_future(second)
    await together((one, other))
    return one.result(), other.result()


async def together(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Waits for all; the first failure, or our own cancellation, cancels the rest."""
    if not tasks:
        return
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await end(*tasks)
