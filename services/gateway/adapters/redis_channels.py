"""Wakes readers when Redis says that a turn has grown: one connection for a whole gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog

from services.shared.background import failure_of, in_background
from services.shared.redis import RedisStore, redis_errors
from services.shared.signal import Signal

_log = structlog.get_logger()
_AGAIN_SECONDS = 0.5
# How long one look for messages takes when there are none. Then channels may be added.
_LISTEN_SECONDS = 0.05

Take = Callable[[bytes], None]


class Channels:
    """The channels that this gateway listens to.

    Redis says things once: what it says while the connection is lost, nobody hears. Whoever waits
    for a message looks for himself now and then.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._takers: dict[str, set[Take]] = {}
        self._wanted = Signal()
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def following(cls, store: RedisStore) -> AsyncIterator["Channels"]:
        channels = cls(store)
        async with in_background(channels._follow):
            try:
                yield channels
            finally:
                # Python 3.11's `wait_for`, which redis-py calls, may lose a cancellation.
                channels._closed = True
                channels._wanted.notify()

    def of_turn(self, response_id: str) -> str:
        return self._store.key("turn", response_id)

    def of_gateway(self, gateway: str) -> str:
        """Each gateway listens to its own for as long as it lives."""
        return self._store.key("gateway", gateway)

    @contextmanager
    def taking(self, channel: str, take: Take) -> Iterator[None]:
        """While within, `take` has every message of the channel."""
        self._takers.setdefault(channel, set()).add(take)
        self._wanted.notify()
        try:
            yield
        finally:
            self._takers[channel].discard(take)
            if not self._takers[channel]:
                del self._takers[channel]

    async def _follow(self) -> None:
        while not self._closed:
            if not self._takers:
                await self._wanted.wait()
                continue
            if await failure_of(self._listen()):
                _log.warning("the connection on which redis tells of news is lost")
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Only in here anything is done with the connection, until nobody listens."""
        client: Any = self._store.client
        with redis_errors():
            await client.initialize()  # a cluster's client has to know its nodes before
            await self._hear(client)

    async def _hear(self, client: Any) -> None:
        async with client.pubsub(ignore_subscribe_messages=True) as pubsub:
            subscribed: set[str] = set()
            while self._takers and not self._closed:
                if more := set(self._takers) - subscribed:
                    await pubsub.subscribe(*more)
                if fewer := subscribed - set(self._takers):
                    await pubsub.unsubscribe(*fewer)
                subscribed = subscribed - fewer | more
                message = await pubsub.get_message(timeout=_LISTEN_SECONDS)
                if message:
                    for take in [*self._takers.get(message["channel"].decode(), ())]:
                        take(message["data"])
