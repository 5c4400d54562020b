"""Tells what was erased to those who keep something of a fact's words."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from services.memory.api import Erasure
from services.memory.ports import FactStore
from services.shared.errors import Unavailable

# How many erasures are read from the store in one piece.
_AT_ONCE = 100


class ErasureFeed:
    """Reads the store's log of erasures to any number of watchers.

    A write of this process wakes them. Another process may write to the same store; so every
    watcher also looks into the log again after `reread_seconds`.
    """

    def __init__(self, store: FactStore, *, reread_seconds: float) -> None:
        self._store = store
        self._reread_seconds = reread_seconds
        self._written = asyncio.Event()
        self._closed = False

    def announce(self) -> None:
        """Wakes the watchers, because something may have been erased."""
        self._written.set()
        self._written = asyncio.Event()

    def close(self) -> None:
        """Ends every watch with `Unavailable`, as this process will stop."""
        self._closed = True
        self.announce()

    async def watch(self, after: int) -> AsyncGenerator[Erasure, None]:
        while True:
            # Taken before the log is read: a write that comes after the reading sets this event.
            written = self._written
            erasures = await self._store.erasures(after, _AT_ONCE)
            for erasure in erasures:
                yield erasure
                after = erasure.number
            if self._closed:
                raise Unavailable("memory stops; watch again elsewhere", service="memory")
            if not erasures:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._reread_seconds):
                        await written.wait()
