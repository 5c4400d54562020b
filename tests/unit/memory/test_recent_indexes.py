import asyncio
from collections.abc import Sequence

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.api import Fact, Kind
from services.memory.ports import EmbeddedFact
from services.memory.recent_indexes import RecentIndexes
from services.shared.scope import Scope
from tests.fakes.memory import SlowStore, WordEmbedder

ANN = Scope("acme", "main", "ann")
BOB = Scope("acme", "main", "bob")


async def fill(store: InMemoryFactStore, scope: Scope, texts: Sequence[str]) -> int:
    kept = [
        EmbeddedFact(Fact(text, text, Kind.FACT, 0, 0), WordEmbedder().embed_now([text])[0])
        for text in texts
    ]
    return await store.write(scope, await store.revision(scope), keep=kept, drop=[])


async def test_reads_a_persons_facts_once() -> None:
    store = SlowStore()
    await fill(store, ANN, ["a", "b"])
    indexes = RecentIndexes(store, max_facts=10)
    first, second = await indexes.index(ANN), await indexes.index(ANN)
    assert first is second
    assert store.reads == [ANN]


async def test_reads_nothing_for_a_person_without_facts() -> None:
    store = SlowStore()
    assert len(await RecentIndexes(store, max_facts=10).index(ANN)) == 0
    assert store.reads == []


async def test_sees_what_another_replica_wrote_or_erased() -> None:
    store = SlowStore()
    await fill(store, ANN, ["a"])
    indexes = RecentIndexes(store, max_facts=10)
    assert len(await indexes.index(ANN)) == 1
    await fill(store, ANN, ["b"])
    assert len(await indexes.index(ANN)) == 2
    await store.erase(ANN)
    assert len(await indexes.index(ANN)) == 0


async def test_holds_no_more_facts_than_it_may_and_drops_the_least_used() -> None:
    store = SlowStore()
    await fill(store, ANN, ["a", "b"])
    await fill(store, BOB, ["a", "b"])
    indexes = RecentIndexes(store, max_facts=3)
    for scope in (ANN, BOB, BOB, ANN):
        assert len(await indexes.index(scope)) == 2
    assert store.reads == [ANN, BOB, ANN]


async def test_gives_out_what_is_too_large_to_be_held() -> None:
    store = SlowStore()
    await fill(store, ANN, ["a", "b"])
    indexes = RecentIndexes(store, max_facts=1)
    for _ in range(2):
        assert len(await indexes.index(ANN)) == 2
    assert store.reads == [ANN, ANN]


async def test_does_not_hold_what_was_erased_while_it_was_being_read() -> None:
    store = SlowStore()
    revision = await fill(store, ANN, ["a"])
    indexes = RecentIndexes(store, max_facts=10)
    store.released.clear()
    reading = asyncio.create_task(indexes.index(ANN))
    await asyncio.wait_for(store.reading.wait(), 5)
    assert await store.write(ANN, revision, keep=[], drop=["a"]) == 0
    indexes.remove(ANN)
    store.released.set()
    await reading
    assert ANN not in indexes


async def test_a_reading_whose_caller_left_is_not_kept() -> None:
    store = SlowStore()
    await fill(store, ANN, ["a"])
    indexes = RecentIndexes(store, max_facts=10)
    store.released.clear()
    reading = asyncio.create_task(indexes.index(ANN))
    await asyncio.wait_for(store.reading.wait(), 5)
    reading.cancel()
    await asyncio.wait([reading])
    assert indexes._fetches == {}
    store.released.set()
    assert len(await indexes.index(ANN)) == 1
    assert indexes._fetches == {}
