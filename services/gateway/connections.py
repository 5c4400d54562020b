"""Sockets that are open: how many a key has, and when they must close."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.gateway.api import Draining, InvalidKey, TooManyConnections
from services.gateway.ports import Accounts
from services.shared.errors import MeshError
from services.shared.signal import Signal


class Connection:
    """One open socket."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        # Why it must close: `Draining` when its turns have ended, anything else at once.
        self.ending: asyncio.Future[MeshError] = asyncio.get_running_loop().create_future()

    def end(self, why: MeshError) -> None:
        if not self.ending.done():
            self.ending.set_result(why)


class Connections:
    """Knows all open sockets of this process."""

    def __init__(self, *, max_per_key: int) -> None:
        self._max_per_key = max_per_key
        self._by_key: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._closed = Signal()
        self._leaving = False

    @property
    def open(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, key_id: str) -> Iterator[Connection]:
        """Counts a socket while within. Raises `TooManyConnections` or `Draining`."""
        if self._leaving:
            raise _draining()
        if self._by_key[key_id] >= self._max_per_key:
            raise TooManyConnections(
                f"this key has {self._max_per_key} sockets open: close one, or use `stream_id`",
                retry_after="1",
            )
        connection = Connection(key_id)
        self._by_key[key_id] += 1
        self._open.add(connection)
        try:
            yield connection
        finally:
            self._open.discard(connection)
            self._by_key[key_id] -= 1
            if not self._by_key[key_id]:
                del self._by_key[key_id]
            self._closed.notify()

    async def stop_revoked(self, accounts: Accounts) -> None:
        """Ends the sockets whose keys are no longer valid."""
        for key_id in [*self._by_key]:
            stored = await accounts.find_key(key_id)
            if stored is None or stored.revoked:
                self._end(InvalidKey("this API key was revoked"), key_id)

    async def stop(self, grace: float) -> None:
        """Lets no socket in any more, and returns when all have closed.

        They close when their turns have ended; `grace` is how many seconds these have.
        """
        self._leaving = True
        self._end(_draining())
        try:
            async with asyncio.timeout(grace):
                while self._open:
                    await self._closed.wait()
        except TimeoutError:
            return  # whoever serves them cuts them off

    def _end(self, why: MeshError, key_id: str | None = None) -> None:
        for connection in [*self._open]:
            if key_id in (None, connection.key_id):
                connection.end(why)


def _draining() -> Draining:
    return Draining("this gateway is shutting down", retry_after="1")
