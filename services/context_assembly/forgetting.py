"""Follows what memory erases, so that nothing of a fact's words outlives the fact here."""

from contextlib import aclosing

import structlog

from services.context_assembly.ports import Memory, TurnStore
from services.shared.background import every
from services.shared.errors import MeshError

_log = structlog.get_logger()


class Forgetter:
    """Hands every erasure of memory to the store, in order and none left out.

    The store knows which erasure was the last. After a failure, and after a restart, the next one
    follows. Several processes may do this for one store at once.
    """

    def __init__(self, memory: Memory, store: TurnStore, *, retry_seconds: float) -> None:
        self._memory = memory
        self._store = store
        self._retry_seconds = retry_seconds

    async def run(self) -> None:
        """Never ends. After a failure it waits for `retry_seconds` and begins anew."""
        await every(self._retry_seconds, self._follow)

    async def _follow(self) -> None:
        """Ends when memory cannot be reached. Raises what the store raises."""
        handled = await self._store.erasures_handled()
        try:
            async with aclosing(self._memory.watch_erased(handled)) as erasures:
                async for erasure in erasures:
                    await self._store.forget_facts(erasure)
        except MeshError as error:
            _log.warning("erased facts are not heard of for now", error=error.reason())
