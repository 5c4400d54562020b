"""Long work on another thread that ends soon after nobody waits for it any more."""

import asyncio
import threading
from collections.abc import Iterable
from typing import TypeVar

Step = TypeVar("Step")


async def in_steps(steps: Iterable[Step]) -> list[Step]:
    """Works out `steps`, one after another, on another thread.

    A thread cannot be stopped from outside. So it looks between two steps whether the caller is
    gone, and then does no more.
    """
    abandoned = threading.Event()
    try:
        return await asyncio.to_thread(_until, abandoned, steps)
    finally:
        abandoned.set()


def _until(abandoned: threading.Event, steps: Iterable[Step]) -> list[Step]:
    done = []
    for step in steps:
        done.append(step)
        if abandoned.is_set():
            break
    return done
