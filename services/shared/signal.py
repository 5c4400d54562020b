"""Tells any number of tasks that something has changed."""

import asyncio
from collections.abc import Awaitable


class Signal:
    """`notify` wakes all who wait at that moment; who waits later is woken by the next one.

    Waiting begins with the call of `wait`, not with its `await`. So whoever looks at a condition
    and calls `wait` without an `await` in between misses no change, also where the waiting itself
    is handed to a task or to `asyncio.wait`.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[None], None] = {}

    @property
    def waiting(self) -> int:
        """How many wait now. Who was cancelled does not."""
        return len(self._waiting)

    def wait(self) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = None
        future.add_done_callback(self._ended)
        return future

    def notify(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, {}
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _ended(self, future: asyncio.Future[None]) -> None:
        self._waiting.pop(future, None)
