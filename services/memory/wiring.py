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
from services.memory.erasure_feed import ErasureFeed
from services.memory.keeper import Keeper, MemoryLimits
from services.memory.ports import FactStore
from services.memory.recent_indexes import RecentIndexes
from services.memory.server import MemoryServer
from services.shared.embedder import open_embedder
from services.shared.process import Service
from services.shared.server import Servable
from services.shared.store_url import StoreUrl

_log = structlog.get_logger()
# A fact is shown only if it scores at least this share of the best one.
_SHARE_OF_BEST = 0.5


@asynccontextmanager
async def build(
    config: MemoryConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    # bm25s turns its debugging messages on when it is imported.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    with open_embedder(config.embedder_threads) as embedder:
        async with _opened(config) as store:
            erasures = ErasureFeed(store, reread_seconds=config.erasures_reread_seconds)
            keeper = Keeper(
                store,
                RecentIndexes(store, max_facts=config.cached_facts),
                MeteredEmbedder(embedder, registry),
                erasures,
                limits=limits(config),
                now_ms=lambda: time.time_ns() // 1_000_000,
                make_id=lambda: f"mem_{secrets.token_hex(12)}",
            )
            yield [MemoryServer(MeteredMemory(keeper, registry), erasures.close)]


@asynccontextmanager
async def _opened(config: MemoryConfig) -> AsyncIterator[FactStore]:
    if config.store_url.scheme == "memory":
        _log.warning("facts are kept in this process alone and end with it")
    opened = open_facts(config.store_url, erased_within_seconds=config.erased_within_seconds)
    async with opened as store:
        yield store


@asynccontextmanager
async def open_facts(url: StoreUrl, *, erased_within_seconds: float) -> AsyncIterator[FactStore]:
    """The store that the URL's scheme names. A file of SQLite is migrated, a server is not.

    The client of a server that is not used is not imported: that takes longer than all else here.
    """
    match url.scheme:
        case "memory":
            yield InMemoryFactStore()
        case "postgresql":
            from services.memory.adapters.postgres import open_postgres_facts  # noqa: PLC0415

            async with open_postgres_facts(url) as store:
                yield store
        case "cassandra":
            from services.memory.adapters.cassandra import open_cassandra_facts  # noqa: PLC0415

            async with open_cassandra_facts(
                url, erased_within_seconds=erased_within_seconds
            ) as in_rows:
                yield in_rows
        case _:
            async with open_fact_store(
                url.get_secret_value(), erased_within_seconds=erased_within_seconds
            ) as in_file:
                yield in_file


async def _migrate(config: MemoryConfig) -> None:
    url = config.store_url
    match url.scheme:
        case "postgresql":
            from services.memory.adapters.postgres import migrate_postgres_facts  # noqa: PLC0415

            await migrate_postgres_facts(url)
        case "cassandra":
            from services.memory.adapters.cassandra import migrate_cassandra_facts  # noqa: PLC0415

            await migrate_cassandra_facts(url)
        case _:
            async with _opened(config):
                pass


def limits(config: MemoryConfig) -> MemoryLimits:
    return MemoryLimits(
        fact_chars=config.max_fact_chars,
        facts=config.max_facts_per_person,
        query_chars=config.max_query_chars,
        found_chars=config.found_chars,
        preference_chars=config.preference_chars,
        relevance=config.relevance,
        share_of_best=_SHARE_OF_BEST,
    )


SERVICE = Service("memory", MemoryConfig, build, store=_opened, migrate=_migrate)
