import asyncio
from collections.abc import Sequence

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.api import Fact, Kind
from services.memory.ports import Holding, Kept
from services.memory.shelf import Shelf
from services.shared.chat import Scope
from tests.fakes.memory import WordEmbedder

ANN = Scope("acme", "ann")
BOB = Scope("acme", "bob")


class CountedStore(InMemoryFactStore):
    """Says whose facts were read; reading waits until `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Scope] = []
        self.reading = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()

    async def read(self, scope: Scope) -> Holding:
        holding = await super().read(scope)
        self.reads.append(scope)
        self.reading.set()
        await self.released.wait()
        return holding


async def fill(store: InMemoryFactStore, scope: Scope, texts: Sequence[str]) -> int:
    kept = [
        Kept(Fact(text, text, Kind.FACT, 0, 0), WordEmbedder().embed_now([text])[0])
        for text in texts
    ]
    return await store.write(scope, await store.revision(scope), keep=kept, drop=[])


async def test_reads_a_users_facts_once() -> None:
    store = CountedStore()
    await fill(store, ANN, ["a", "b"])
    shelf = Shelf(store, max_facts=10)
    first, second = await shelf.index(ANN), await shelf.index(ANN)
    assert first is second
    assert store.reads == [ANN]


async def test_reads_nothing_for_a_user_without_facts() -> None:
    store = CountedStore()
    assert len(await Shelf(store, max_facts=10).index(ANN)) == 0
    assert store.reads == []


async def test_sees_what_another_replica_wrote_or_erased() -> None:
    store = CountedStore()
    await fill(store, ANN, ["a"])
    shelf = Shelf(store, max_facts=10)
    assert len(await shelf.index(ANN)) == 1
    await fill(store, ANN, ["b"])
    assert len(await shelf.index(ANN)) == 2
    await store.erase(ANN)
    assert len(await shelf.index(ANN)) == 0


async def test_holds_no_more_facts_than_it_may_and_drops_the_least_used() -> None:
    store = CountedStore()
    await fill(store, ANN, ["a", "b"])
    await fill(store, BOB, ["a", "b"])
    shelf = Shelf(store, max_facts=3)
    for scope in (ANN, BOB, BOB, ANN):
        assert len(await shelf.index(scope)) == 2
    assert store.reads == [ANN, BOB, ANN]


async def test_gives_out_what_is_too_large_to_be_held() -> None:
    store = CountedStore()
    await fill(store, ANN, ["a", "b"])
    shelf = Shelf(store, max_facts=1)
    for _ in range(2):
        assert len(await shelf.index(ANN)) == 2
    assert store.reads == [ANN, ANN]


async def test_does_not_hold_what_was_erased_while_it_was_being_read() -> None:
    store = CountedStore()
    revision = await fill(store, ANN, ["a"])
    shelf = Shelf(store, max_facts=10)
    store.released.clear()
    reading = asyncio.create_task(shelf.index(ANN))
    await asyncio.wait_for(store.reading.wait(), 5)
    assert await store.write(ANN, revision, keep=[], drop=["a"]) == 0
    shelf.remove(ANN)
    store.released.set()
    await reading
    assert ANN not in shelf
