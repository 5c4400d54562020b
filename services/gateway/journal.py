"""A turn under way: one task writes its numbered events, any number of carriers read them."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from services.gateway.api import TurnEvent
from services.shared.deadline import due_in
from services.shared.errors import DeadlineExceeded

# How far the writer may run ahead of its slowest reader, in events. Beyond it waits, and behind it
# inference coalesces what comes.
_MOST_AHEAD = 256

Events = Callable[[], AsyncGenerator[TurnEvent, None]]


class LiveTurn:
    """Runs a turn for as long as somebody reads it."""

    def __init__(self, events: Events, *, seconds: float) -> None:
        self._events = events
        self._seconds = seconds
        self._journal: list[TurnEvent] = []
        self._positions: dict[object, int] = {}
        self._changed = asyncio.Condition()
        self._over = False
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> AsyncGenerator[TurnEvent, None]:
        """All events from the first on; raises what the turn failed with.

        The last reader that leaves early stops the turn, and is kept until it has stopped.
        """
        reader = object()
        self._positions[reader] = 0
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        try:
            while (event := await self._next(reader)) is not None:
                yield event
        finally:
            del self._positions[reader]
            if not self._positions:
                await self._stop()
        self._task.result()

    async def _next(self, reader: object) -> TurnEvent | None:
        position = self._positions[reader]
        if position == len(self._journal) and not self._over:
            async with self._changed:
                await self._changed.wait_for(lambda: position < len(self._journal) or self._over)
        if position == len(self._journal):
            return None
        self._positions[reader] = position + 1
        if len(self._journal) - position == _MOST_AHEAD:
            async with self._changed:
                self._changed.notify_all()
        return self._journal[position]

    async def _write(self) -> None:
        try:
            with due_in(self._seconds):
                async with asyncio.timeout(self._seconds), aclosing(self._events()) as events:
                    async for event in events:
                        await self._append(event)
        except TimeoutError:
            raise DeadlineExceeded(f"the turn took more than {self._seconds:g} seconds") from None
        finally:
            self._over = True
            async with self._changed:
                self._changed.notify_all()

    async def _append(self, event: TurnEvent) -> None:
        self._journal.append(event)
        async with self._changed:
            self._changed.notify_all()
            await self._changed.wait_for(
                lambda: len(self._journal) - min(self._positions.values(), default=0) < _MOST_AHEAD
            )

    async def _stop(self) -> None:
        """Returns when the task has ended; it may just be about to."""
        assert self._task is not None
        if not self._over:
            self._task.cancel()
        await asyncio.wait([self._task])
