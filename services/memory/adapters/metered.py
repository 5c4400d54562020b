"""Counts what is remembered, found and forgotten, and measures how long embedding takes."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.memory.api import Erasure, Fact, Kind, Match, Memory, Recollection, Remembered
from services.memory.ports import Embedder, Vectors
from services.shared.metrics import LATENCY_BUCKETS
from services.shared.scope import Scope


class MeteredMemory:
    """A `Memory` with metrics."""

    def __init__(self, memory: Memory, registry: CollectorRegistry) -> None:
        self._memory = memory
        self._remembered = Counter(
            "chatmesh_memory_remembered",
            "Facts kept, by whether one took another's place.",
            ["outcome"],
            registry=registry,
        )
        self._forgotten = Counter(
            "chatmesh_memory_forgotten", "Facts erased.", ["by"], registry=registry
        )
        self._found = Histogram(
            "chatmesh_memory_found",
            "Facts that a recall found to bear on its query.",
            buckets=(0, 1, 2, 3, 5, 8, 13, 21),
            registry=registry,
        )
        self._watchers = Gauge(
            "chatmesh_memory_erasure_watchers",
            "How many watch for erasures now; without context-assembly's, erased words stay there.",
            registry=registry,
        )

    async def remember(self, scope: Scope, text: str, kind: Kind | None = None) -> Remembered:
        remembered = await self._memory.remember(scope, text, kind)
        self._remembered.labels("replaced" if remembered.replaced else "kept").inc()
        return remembered

    async def update(self, scope: Scope, fact_id: str, text: str) -> Fact:
        return await self._memory.update(scope, fact_id, text)

    async def forget(self, scope: Scope, *, fact_id: str = "", query: str = "") -> Sequence[Fact]:
        forgotten = await self._memory.forget(scope, fact_id=fact_id, query=query)
        self._forgotten.labels("id" if fact_id else "query").inc(len(forgotten))
        return forgotten

    async def list_facts(self, scope: Scope) -> Sequence[Fact]:
        return await self._memory.list_facts(scope)

    async def search(self, scope: Scope, query: str, limit: int) -> Sequence[Match]:
        return await self._memory.search(scope, query, limit)

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection:
        recollection = await self._memory.recall(scope, query=query, fact_ids=fact_ids)
        self._found.observe(len(recollection.found))
        return recollection

    async def erase(self, scope: Scope) -> int:
        erased = await self._memory.erase(scope)
        self._forgotten.labels("erase").inc(erased)
        return erased

    async def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]:
        with self._watchers.track_inprogress():
            async with aclosing(self._memory.watch_erased(after)) as erasures:
                async for erasure in erasures:
                    yield erasure


class MeteredEmbedder:
    """An `Embedder` with metrics."""

    def __init__(self, embedder: Embedder, registry: CollectorRegistry) -> None:
        self._embedder = embedder
        self._seconds = Histogram(
            "chatmesh_memory_embedding_seconds",
            "Time from asking for embeddings to having them.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    async def embed(self, texts: Sequence[str]) -> Vectors:
        started = time.perf_counter()
        vectors = await self._embedder.embed(texts)
        self._seconds.observe(time.perf_counter() - started)
        return vectors
