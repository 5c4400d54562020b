"""Where facts are kept, and what embeds them."""

import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog
from prometheus_client import CollectorRegistry

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.adapters.metered import MeteredEmbedder, MeteredMemory
from services.memory.adapters.sqlite import open_fact_store
from services.memory.config import MemoryConfig
from services.memory.keeper import Bounds, Keeper
from services.memory.ports import FactStore
from services.memory.server import MemoryServer
from services.memory.shelf import Shelf
from services.shared.embedder import open_embedder
from services.shared.process import Service
from services.shared.server import Servable

_log = structlog.get_logger()
# A fact must score half of the best one to be shown beside it.
_SHARE_OF_BEST = 0.5


@asynccontextmanager
async def build(
    config: MemoryConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    # It turns its debugging messages on when it is imported.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    with open_embedder(config.embedder_threads) as embedder:
        async with _opened(config.store_url) as store:
            keeper = Keeper(
                store,
                Shelf(store, max_facts=config.cached_facts),
                MeteredEmbedder(embedder, registry),
                bounds=bounds(config),
                now_ms=lambda: time.time_ns() // 1_000_000,
                make_id=lambda: f"mem_{secrets.token_hex(12)}",
            )
            yield [MemoryServer(MeteredMemory(keeper, registry))]


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[FactStore]:
    if url == "memory:":
        _log.warning("facts are kept in this process alone and end with it")
        yield InMemoryFactStore()
        return
    async with open_fact_store(url) as store:
        yield store


def bounds(config: MemoryConfig) -> Bounds:
    return Bounds(
        fact_chars=config.max_fact_chars,
        facts=config.max_facts_per_user,
        query_chars=config.max_query_chars,
        found_chars=config.found_chars,
        preference_chars=config.preference_chars,
        relevance=config.relevance,
        share_of_best=_SHARE_OF_BEST,
    )


SERVICE = Service("memory", MemoryConfig, build, store=lambda config: _opened(config.store_url))
