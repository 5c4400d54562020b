"""How long recall, search and remember take, by how many facts a person has.

    PYTHONPATH=protos/gen python -m loadtest.memory.latency [--facts 10 1000 10000]

The keeper as it is wired, on SQLite in a temporary folder, asked one call after the other; no gRPC.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from services.memory.adapters.sqlite import SqliteFactStore, open_fact_store
from services.memory.api import Fact, Kind
from services.memory.config import MemoryConfig
from services.memory.erasure_feed import ErasureFeed
from services.memory.keeper import Keeper
from services.memory.ports import EmbeddedFact
from services.memory.recent_indexes import RecentIndexes
from services.memory.wiring import limits
from services.shared.embedder import Embedder, open_embedder
from services.shared.scope import Scope

_REPEATS = 100
_SEED = 7
_WHO = "my brother,my sister,my neighbour,Anna,Tom,my colleague,my friend,my aunt".split(",")
_DOES = "likes,collects,has lost,wants to buy,talks about,is afraid of,reads about,paints".split(
    ","
)
_WHAT = (
    "old maps,bicycles,green tea,the sea,violins,jazz records,wild mushrooms,steam engines,cats,"
    "Roman coins,lighthouses,chess,hot chillies,night trains,orchids,thunderstorms"
).split(",")
_WHEN = (
    "in summer,at work,since 2019,on the balcony,every week,with Maria,in Lisbon,at night".split(
        ","
    )
)
_QUERY = "What does my sister collect, and where did she find the lighthouses?"
Measured = tuple[float, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--facts", type=int, nargs="+", default=[10, 1_000, 10_000])
    counts = parser.parse_args().facts
    print("| facts | call | p50 ms | p95 ms | CPU ms |\n|---|---|---|---|---|")
    with open_embedder() as embedder, tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(counts, embedder, Path(folder)))


async def _measure(counts: Sequence[int], embedder: Embedder, folder: Path) -> None:
    config = MemoryConfig()
    ids = (f"mem_{number:06}" for number in range(10**6))
    async with open_fact_store(f"sqlite:{folder}/memory.sqlite") as store:
        for count in (0, *counts):
            scope = Scope("load", "main", f"person with {count}")
            await _fill(store, scope, count, embedder)
            indexes = RecentIndexes(store, max_facts=config.cached_facts)
            keeper = Keeper(
                store,
                indexes,
                embedder,
                ErasureFeed(store, reread_seconds=config.erasures_reread_seconds),
                limits=replace(limits(config), facts=10**6),
                now_ms=lambda: time.time_ns() // 1_000_000,
                make_id=ids.__next__,
            )
            for name, (p50, p95, cpu) in [
                (name, await _timed(call, repeats))
                for name, call, repeats in _calls(keeper, indexes, scope)
            ]:
                print(f"| {count:,} | {name} | {p50:.2f} | {p95:.2f} | {cpu:.2f} |", flush=True)


def _calls(
    keeper: Keeper, indexes: RecentIndexes, scope: Scope
) -> Iterator[tuple[str, Callable[[], Awaitable[object]], int]]:
    numbers = iter(range(10**6))

    async def recall_cold() -> None:
        indexes.remove(scope)
        await keeper.recall(scope, query=_QUERY)

    yield "recall", lambda: keeper.recall(scope, query=_QUERY), _REPEATS
    yield "recall, first since the start", recall_cold, 10
    yield "search", lambda: keeper.search(scope, _QUERY, 10), _REPEATS
    yield (
        "remember",
        lambda: keeper.remember(scope, f"the code of locker {next(numbers)} is 12"),
        20,
    )


async def _timed(call: Callable[[], Awaitable[object]], repeats: int) -> Measured:
    await call()
    walls = []
    cpu = time.process_time()
    for _ in range(repeats):
        started = time.perf_counter()
        await call()
        walls.append((time.perf_counter() - started) * 1e3)
    p50, p95 = np.percentile(walls, [50, 95])
    return float(p50), float(p95), (time.process_time() - cpu) / repeats * 1e3


async def _fill(store: SqliteFactStore, scope: Scope, count: int, embedder: Embedder) -> None:
    rng = random.Random(_SEED)
    texts = [" ".join(map(rng.choice, (_WHO, _DOES, _WHAT, _WHEN))) for _ in range(count)]
    vectors = embedder.embed_now(texts)
    kept = [
        EmbeddedFact(Fact(f"mem_fact{row:06}", text, Kind.FACT, row, row), vector)
        for row, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    if kept:
        await store.write(scope, 0, keep=kept, drop=())


if __name__ == "__main__":
    main()
