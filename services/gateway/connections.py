"""Who is connected for long, on sockets or as a reader, and when each must go."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from services.gateway.api import Draining, InvalidKey, Numbered, TooManyConnections
from services.gateway.ports import Accounts
from services.shared.background import end
from services.shared.errors import MeshError
from services.shared.signal import Signal


class Connection:
    """One open socket, or one reader of a turn."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        # Why it must close: `Draining` when its turns have ended, anything else at once.
        self.ending: asyncio.Future[MeshError] = asyncio.get_running_loop().create_future()

    def end(self, why: MeshError) -> None:
        if not self.ending.done():
            self.ending.set_result(why)


class Connections:
    """Knows all open sockets of this process, and who reads turns of somebody else's key."""

    def __init__(self, *, max_per_key: int) -> None:
        self._max_per_key = max_per_key
        self._by_key: Counter[str] = Counter()
        self._open: set[Connection] = set()
        self._readers: set[Connection] = set()
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

    async def reading(
        self, key_id: str, events: AsyncGenerator[Numbered, None]
    ) -> AsyncGenerator[Numbered, None]:
        """The events as long as the key is valid. Raises `InvalidKey`."""
        reader = Connection(key_id)
        self._readers.add(reader)
        try:
            async with aclosing(events), aclosing(_until(reader.ending, events)) as read:
                async for numbered in read:
                    yield numbered
        finally:
            self._readers.discard(reader)

    async def stop_revoked(self, accounts: Accounts) -> None:
        """Ends the sockets and readers whose keys are no longer valid."""
        for key_id in {each.key_id for each in (*self._open, *self._readers)}:
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
        """All sockets; with a key, all that is open with it."""
        for connection in [*self._open, *(self._readers if key_id else ())]:
            if key_id in (None, connection.key_id):
                connection.end(why)


async def _until(
    ending: "asyncio.Future[MeshError]", events: AsyncGenerator[Numbered, None]
) -> AsyncGenerator[Numbered, None]:
    while True:
        following = asyncio.ensure_future(anext(events, None))
        try:
            await asyncio.wait((following, ending), return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                raise ending.result()
            numbered = following.result()
        finally:
            await end(following)
        if numbered is None:
            return
        yield numbered


def _draining() -> Draining:
    return Draining("this gateway is shutting down", retry_after="1")
