"""What gateways share of turns under way, by the URL of `GATEWAY_STREAMS_URL`."""

import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.gateway.adapters.fallback_limiter import FallbackLimiter
from services.gateway.adapters.in_memory import NobodyElse
from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.adapters.in_memory_limiter import InMemoryLimiter
from services.gateway.adapters.mirrored_journal import MirroredJournal
from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_gateways import RedisGateways, RedisMail, RedisPresence
from services.gateway.adapters.redis_journal import RedisJournal
from services.gateway.adapters.redis_limiter import RedisLimiter
from services.gateway.ports import Journal, Limiter, Mail, OtherGateways, Presence
from services.shared.background import failure_of, in_background
from services.shared.redis import open_redis
from services.shared.store_url import StoreUrl

# How long a turn in the background waits for Redis, in seconds. Two commands that were not answered
# take as long as a lease already, and a gateway that is short of CPU finds answers too late.
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Streams:
    journal: Journal
    presence: Presence
    mail: Mail
    limiter: Limiter
    others: OtherGateways
    # Whether what gateways share cannot be used now.
    lost: Callable[[], bool]


@asynccontextmanager
async def open_streams(url: StoreUrl, *, max_bytes: int) -> AsyncIterator[Streams]:
    """`max_bytes` bounds what is kept in memory of turns that have ended."""
    if url.scheme == "memory":
        alone = NobodyElse()
        memory = InMemoryJournal(time.monotonic, max_bytes=max_bytes)
        yield Streams(memory, alone, alone, InMemoryLimiter(), alone, lost=lambda: False)
        return
    gateway = secrets.token_hex(8)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_redis(url.get_secret_value()))
        channels = await stack.enter_async_context(Channels.following(store))
        gateways = RedisGateways(store, channels, gateway=gateway)
        await stack.enter_async_context(in_background(gateways.hear))
        stack.push_async_callback(lambda: failure_of(gateways.leave()))
        memory = InMemoryJournal(time.monotonic, max_bytes=max_bytes)
        shared = RedisJournal(store, channels, gateway=gateway)
        yield Streams(
            MirroredJournal(shared, memory, time.monotonic, patience_seconds=_PATIENCE_SECONDS),
            RedisPresence(store),
            RedisMail(store, channels, gateway=gateway),
            FallbackLimiter(RedisLimiter(store), lambda: gateways.count),
            gateways,
            lost=lambda: store.lost,
        )
