import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.api import Erasure, Fact, Kind
from services.memory.erasure_feed import ErasureFeed
from services.memory.ports import EmbeddedFact
from services.shared.errors import Unavailable
from services.shared.scope import Scope
from tests.fakes.memory import SlowStore, WordEmbedder

ANN = Scope("acme", "main", "ann")


async def erase(store: InMemoryFactStore, count: int = 1) -> None:
    (vector,) = WordEmbedder().embed_now(["tea"])
    for _ in range(count):
        await store.write(
            ANN,
            await store.revision(ANN),
            keep=[EmbeddedFact(Fact("a", "tea", Kind.FACT, 0, 0), vector)],
            drop=[],
        )
        await store.erase(ANN)


async def numbers(watch: AsyncGenerator[Erasure, None], count: int) -> list[int]:
    async with asyncio.timeout(5):
        return [(await anext(watch)).number for _ in range(count)]


async def test_tells_all_that_are_over_also_when_they_are_many() -> None:
    store = InMemoryFactStore()
    await erase(store, 250)
    async with aclosing(ErasureFeed(store, reread_seconds=60).watch(3)) as watch:
        assert await numbers(watch, 247) == list(range(4, 251))


async def test_an_announcement_wakes_every_watcher() -> None:
    store = InMemoryFactStore()
    feed = ErasureFeed(store, reread_seconds=60)
    async with aclosing(feed.watch(0)) as first, aclosing(feed.watch(0)) as second:
        heard = [asyncio.ensure_future(numbers(watch, 2)) for watch in (first, second)]
        for _ in range(2):
            await asyncio.sleep(0)
            await erase(store)
            feed.announce()
        assert await asyncio.gather(*heard) == [[1, 2], [1, 2]]


async def test_an_erasure_between_reading_and_waiting_is_heard() -> None:
    store = SlowStore()
    feed = ErasureFeed(store, reread_seconds=60)
    store.released.clear()
    async with aclosing(feed.watch(0)) as watch:
        heard = asyncio.ensure_future(numbers(watch, 1))
        await asyncio.wait_for(store.reading.wait(), 5)
        # The watcher has read an empty log, and does not know yet that it did.
        await erase(store)
        feed.announce()
        store.released.set()
        assert await heard == [1]


async def test_an_erasure_of_another_process_is_heard_without_an_announcement() -> None:
    store = InMemoryFactStore()
    async with aclosing(ErasureFeed(store, reread_seconds=0.01).watch(0)) as watch:
        heard = asyncio.ensure_future(numbers(watch, 1))
        await asyncio.sleep(0)
        await erase(store)
        assert await heard == [1]


async def test_a_watch_that_nobody_wakes_reads_no_more_often_than_it_should() -> None:
    store = SlowStore()
    async with aclosing(ErasureFeed(store, reread_seconds=60).watch(0)) as watch:
        heard = asyncio.ensure_future(numbers(watch, 1))
        await asyncio.wait_for(store.reading.wait(), 5)
        store.reading.clear()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not store.reading.is_set()
        heard.cancel()
        await asyncio.wait([heard])


async def test_closing_ends_watches_and_refuses_others() -> None:
    store = InMemoryFactStore()
    feed = ErasureFeed(store, reread_seconds=60)
    await erase(store)
    async with aclosing(feed.watch(0)) as watch, aclosing(feed.watch(1)) as late:
        assert await numbers(watch, 1) == [1]
        heard = asyncio.ensure_future(numbers(watch, 1))
        await asyncio.sleep(0)
        feed.close()
        for refused in (heard, numbers(late, 1)):
            with pytest.raises(Unavailable):
                await refused
