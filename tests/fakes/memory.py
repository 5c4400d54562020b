"""An embedder without a model, stores that count, a memory to ask, and sentences to measure it."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from pathlib import Path
from zlib import crc32

import numpy as np

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.api import Erasure
from services.memory.erasure_feed import ErasureFeed
from services.memory.keeper import Keeper, MemoryLimits
from services.memory.ports import EmbeddedFact, Embedder, FactStore, ScopeFacts, Vectors
from services.memory.recent_indexes import RecentIndexes
from services.shared.scope import Scope

LIMITS = MemoryLimits(
    fact_chars=200,
    facts=1_000,
    query_chars=400,
    found_chars=1_200,
    preference_chars=1_200,
    relevance=0.2,
    share_of_best=0.5,
)
_CASES = Path(__file__).parents[1] / "unit" / "memory" / "cases"
_SIZE = 64


class WordEmbedder:
    """Texts are as near as they share words; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return self.embed_now(texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        return np.stack([_unit(text) for text in texts])


def _unit(text: str) -> Vectors:
    words = re.findall(r"\w+", text.lower()) or ["-"]
    seeds = (crc32(word.encode()) for word in words)
    total = sum(np.random.default_rng(seed).standard_normal(_SIZE) for seed in seeds)
    unit: Vectors = np.asarray(total / np.linalg.norm(total), dtype=np.float32)
    return unit


class SlowStore(InMemoryFactStore):
    """Reading waits until `released`, with what it has read; tells whose facts were read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Scope] = []
        self.reading = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()

    async def read(self, scope: Scope) -> ScopeFacts:
        facts = await super().read(scope)
        self.reads.append(scope)
        await self._pause()
        return facts

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        erasures = await super().erasures(after, limit)
        await self._pause()
        return erasures

    async def _pause(self) -> None:
        self.reading.set()
        await self.released.wait()


class BusyStore(InMemoryFactStore):
    """Right before the first write, somebody else writes `between`."""

    def __init__(self, between: Sequence[EmbeddedFact] = ()) -> None:
        super().__init__()
        self._between = between

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        if between := self._between:
            self._between = ()
            await super().write(scope, await self.revision(scope), keep=between, drop=())
        return await super().write(scope, revision, keep=keep, drop=drop)


class CountedFeed(ErasureFeed):
    """Counts its watchers; `left` is set whenever one has left."""

    def __init__(self, store: FactStore, *, reread_seconds: float = 60) -> None:
        super().__init__(store, reread_seconds=reread_seconds)
        self.watchers = 0
        self.left = asyncio.Event()

    async def watch(self, after: int) -> AsyncGenerator[Erasure, None]:
        self.watchers += 1
        try:
            async with aclosing(super().watch(after)) as erasures:
                async for erasure in erasures:
                    yield erasure
        finally:
            self.watchers -= 1
            self.left.set()


def keeper(
    store: FactStore,
    embedder: Embedder,
    erasures: ErasureFeed | None = None,
    *,
    cached_facts: int = 10_000,
    name: str = "",
    **limits: float,
) -> Keeper:
    """Its ids count up from its name, and its clock goes on by a second whenever it is read.

    Only this keeper's own writes wake who watches its erasures, unless `erasures` is given.
    """
    ids, ticks = count(1), count(1_000, 1_000)
    return Keeper(
        store,
        RecentIndexes(store, max_facts=cached_facts),
        embedder,
        erasures or CountedFeed(store),
        limits=replace(LIMITS, **limits),  # type: ignore[arg-type]
        now_ms=lambda: next(ticks),
        make_id=lambda: f"mem_{name}{next(ids)}",
    )


def lines(name: str) -> list[str]:
    """The lines of a file of cases, without its comments."""
    written = (_CASES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in written if line and not line.startswith("#")]


def pairs(name: str) -> list[tuple[str, str]]:
    found = (line.partition(" | ") for line in lines(name) if " | " in line)
    return [(left, right) for left, _, right in found]
