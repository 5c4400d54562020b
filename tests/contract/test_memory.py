"""What every memory does, the core and the client alike."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.memory.adapters.metered import MeteredMemory
from services.memory.adapters.sqlite import open_fact_store
from services.memory.api import (
    Erasure,
    FactNotFound,
    FactTooLong,
    Kind,
    Memory,
    MemoryFull,
    NobodyToRemember,
)
from services.memory.client import connect_memory
from services.memory.server import MemoryServer
from services.shared.boundary import Boundary
from services.shared.embedder import Embedder, open_embedder
from services.shared.errors import Malformed, Unavailable
from services.shared.metrics import RpcMetrics
from services.shared.scope import Scope
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.memory import CountedFeed, keeper

ANN = Scope("acme", "main", "ann")
BOB = Scope("acme", "main", "bob")
OTHER_ANN = Scope("umbrella", "main", "ann")
ANN_ELSEWHERE = Scope("acme", "other", "ann")
NOBODY = Scope("acme", "main")
WAYS = ["direct", "metered", "over gRPC"]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with open_embedder() as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Subject:
    memory: Memory
    feed: CountedFeed


@asynccontextmanager
async def asked(way: str, folder: Path, embedder: Embedder) -> AsyncIterator[Subject]:
    """A memory on the store in the folder, asked in one of the ways."""
    async with AsyncExitStack() as stack:
        url = f"sqlite:{folder}/memory.sqlite"
        store = await stack.enter_async_context(open_fact_store(url))
        feed = CountedFeed(store)
        core = keeper(store, embedder, feed, facts=5)
        if way == "direct":
            yield Subject(core, feed)
            return
        metered = MeteredMemory(core, CollectorRegistry())
        if way == "metered":
            yield Subject(metered, feed)
            return
        boundary = Boundary(
            "memory",
            Tracer("memory", otlp_endpoint="", sample_ratio=0),
            RpcMetrics(CollectorRegistry()),
        )
        servers = [MemoryServer(metered, feed.close)]
        port = await stack.enter_async_context(
            serving(servers, "localhost:0", grace=0, interceptors=[boundary])
        )
        client = await stack.enter_async_context(connect_memory(f"localhost:{port}", timeout=5))
        yield Subject(client, feed)


@pytest.fixture(params=WAYS)
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Subject]:
    async with asked(request.param, tmp_path, embedder) as opened:
        yield opened


@pytest.fixture
def memory(subject: Subject) -> Memory:
    return subject.memory


async def test_remembers_and_finds(memory: Memory) -> None:
    kept = await memory.remember(ANN, "my dog is called Rex")
    assert kept.replaced == ""
    assert kept.fact.kind is Kind.FACT
    await memory.remember(ANN, "I take my coffee without sugar")
    best, other = await memory.search(ANN, "What is my dog called?", 10)
    assert best.fact == kept.fact
    assert 1 >= best.score > other.score >= 0


async def test_a_newer_value_takes_the_old_ones_place(memory: Memory) -> None:
    old = (await memory.remember(ANN, "I live in Oslo")).fact
    kept = await memory.remember(ANN, "I moved to Bergen")
    assert kept.replaced == "I live in Oslo"
    assert kept.fact.id == old.id
    assert kept.fact.created_at_ms == old.created_at_ms
    assert kept.fact.updated_at_ms > old.updated_at_ms
    assert list(await memory.list_facts(ANN)) == [kept.fact]


async def test_keeps_the_kind_that_it_is_given_or_decides(memory: Memory) -> None:
    for text, given, kind in (
        ("always answer in French", None, Kind.PREFERENCE),
        ("never mention my ex", Kind.FACT, Kind.FACT),
        ("my cat is ill", None, Kind.FACT),
        ("I am blind", Kind.PREFERENCE, Kind.PREFERENCE),
    ):
        assert (await memory.remember(ANN, text, given)).fact.kind is kind


async def test_updates_by_id(memory: Memory) -> None:
    fact = (await memory.remember(ANN, "my dog is called Rex")).fact
    updated = await memory.update(ANN, fact.id, "my cat is called Tom")
    assert updated.text == "my cat is called Tom"
    assert list(await memory.list_facts(ANN)) == [updated]
    with pytest.raises(FactNotFound):
        await memory.update(BOB, fact.id, "mine now")
    with pytest.raises(FactNotFound):
        await memory.update(ANN, "mem_none", "new")


async def test_forgets_by_id_and_by_what_facts_say(memory: Memory) -> None:
    dog = (await memory.remember(ANN, "my dog is called Rex")).fact
    home = (await memory.remember(ANN, "I live in Oslo")).fact
    assert list(await memory.forget(ANN, query="my salary")) == []
    assert list(await memory.forget(ANN, query="my dog's name")) == [dog]
    assert list(await memory.forget(BOB, fact_id=home.id)) == []
    assert list(await memory.forget(ANN, fact_id=home.id)) == [home]
    assert list(await memory.forget(ANN, fact_id=home.id)) == []
    assert list(await memory.list_facts(ANN)) == []


async def test_lists_the_newest_first(memory: Memory) -> None:
    texts = ["my dog is called Rex", "I live in Oslo", "my cat is called Tom"]
    for text in texts:
        await memory.remember(ANN, text)
    await memory.remember(ANN, "my dog is called Max")
    listed = [fact.text for fact in await memory.list_facts(ANN)]
    assert listed == ["my dog is called Max", "my cat is called Tom", "I live in Oslo"]


async def test_recalls_preferences_named_facts_and_what_bears_on_the_query(memory: Memory) -> None:
    french = (await memory.remember(ANN, "always answer in French")).fact
    dog = (await memory.remember(ANN, "my dog is called Rex")).fact
    home = (await memory.remember(ANN, "I live in Oslo")).fact
    recalled = await memory.recall(
        ANN, query="What is my dog's name?", fact_ids=[home.id, "mem_gone", home.id]
    )
    assert list(recalled.preferences) == [french]
    assert list(recalled.named) == [home]
    assert list(recalled.found) == [dog]
    assert not (await memory.recall(ANN)).found


async def test_nobody_sees_anothers_facts(memory: Memory) -> None:
    dog = (await memory.remember(ANN, "my dog is called Rex")).fact
    for stranger in (BOB, OTHER_ANN, ANN_ELSEWHERE):
        assert not await memory.list_facts(stranger)
        assert not await memory.search(stranger, "my dog", 10)
        assert not (await memory.recall(stranger, query="my dog", fact_ids=[dog.id])).named
        assert not await memory.forget(stranger, query="my dog")
        assert await memory.erase(stranger) == 0
    assert list(await memory.list_facts(ANN)) == [dog]


async def test_erases_everything_of_a_person(memory: Memory) -> None:
    dog = (await memory.remember(ANN, "my dog is called Rex")).fact
    await memory.remember(ANN, "I live in Oslo")
    await memory.remember(BOB, "I live in Rome")
    assert await memory.erase(ANN) == 2
    assert await memory.erase(ANN) == 0
    assert not await memory.list_facts(ANN)
    assert not await memory.search(ANN, "my dog", 10)
    assert not (await memory.recall(ANN, query="my dog", fact_ids=[dog.id])).named
    assert len(await memory.list_facts(BOB)) == 1


async def test_has_its_limits(memory: Memory) -> None:
    with pytest.raises(FactTooLong):
        await memory.remember(ANN, "x" * 201)
    for number in range(5):
        await memory.remember(ANN, f"I own island {'abcde'[number]}")
    with pytest.raises(MemoryFull):
        await memory.remember(ANN, "I own a boat")
    # What takes another's place needs none of its own.
    await memory.remember(ANN, "I own island a")
    with pytest.raises(FactTooLong):
        await memory.update(ANN, (await memory.list_facts(ANN))[0].id, "x" * 201)


async def test_refuses_what_means_nothing(memory: Memory) -> None:
    with pytest.raises(Malformed):
        await memory.remember(ANN, " \n\x00 ")
    with pytest.raises(Malformed):
        await memory.forget(ANN)
    with pytest.raises(Malformed):
        await memory.search(ANN, "dog", 0)


async def test_remembers_nothing_for_nobody(memory: Memory) -> None:
    for call in (
        memory.remember(NOBODY, "my dog is called Rex"),
        memory.update(NOBODY, "mem_1", "my dog is called Rex"),
        memory.forget(NOBODY, query="my dog"),
        memory.list_facts(NOBODY),
        memory.search(NOBODY, "my dog", 1),
        memory.recall(NOBODY, query="my dog"),
        memory.erase(NOBODY),
    ):
        with pytest.raises(NobodyToRemember):
            await call


async def told(watch: AsyncGenerator[Erasure, None], count: int) -> list[Erasure]:
    async with asyncio.timeout(5):
        return [await anext(watch) for _ in range(count)]


async def test_tells_erasures_that_are_over_and_then_each_as_it_happens(memory: Memory) -> None:
    dog = (await memory.remember(ANN, "my dog is called Rex")).fact
    home = (await memory.remember(ANN, "I live in Oslo")).fact
    cat = (await memory.remember(BOB, "my cat is called Tom")).fact
    await memory.remember(ANN, "my dog is called Max")
    await memory.update(BOB, cat.id, "my cat is called Kim")
    async with aclosing(memory.watch_erased(0)) as watch:
        assert await told(watch, 2) == [Erasure(1, ANN, (dog.id,)), Erasure(2, BOB, (cat.id,))]
        erasures = []
        for erase in (
            memory.forget(ANN, fact_id=home.id),
            memory.forget(BOB, query="my cat's name"),
        ):
            heard = asyncio.ensure_future(told(watch, 1))
            await erase
            erasures += await heard
    assert erasures == [Erasure(3, ANN, (home.id,)), Erasure(4, BOB, (cat.id,))]


async def test_erasing_a_scope_tells_all_its_facts(memory: Memory) -> None:
    texts = ("my dog is called Rex", "I live in Oslo", "I like tea")
    facts = [(await memory.remember(ANN, text)).fact for text in texts]
    await memory.remember(ANN_ELSEWHERE, "I live in Rome")
    await memory.erase(ANN)
    await memory.erase(ANN)
    await memory.erase(ANN_ELSEWHERE)
    async with aclosing(memory.watch_erased(0)) as watch:
        first, second = await told(watch, 2)
    assert (first.number, first.scope) == (1, ANN)
    assert sorted(first.fact_ids) == sorted(fact.id for fact in facts)
    assert (second.number, second.scope, len(second.fact_ids)) == (2, ANN_ELSEWHERE, 1)


async def test_what_is_remembered_first_or_in_the_same_words_tells_nothing(memory: Memory) -> None:
    for text in ("I like tea", "my dog is called Rex", "my dog is called Rex"):
        fact = (await memory.remember(ANN, text)).fact
    await memory.forget(ANN, query="my salary")
    await memory.update(ANN, fact.id, "my dog is called Max")
    async with aclosing(memory.watch_erased(0)) as watch:
        assert await told(watch, 1) == [Erasure(1, ANN, (fact.id,))]


async def test_all_who_watch_hear_all(memory: Memory) -> None:
    async with (
        aclosing(memory.watch_erased(0)) as first,
        aclosing(memory.watch_erased(0)) as second,
    ):
        heard = [asyncio.ensure_future(told(watch, 3)) for watch in (first, second)]
        for _ in range(3):
            await memory.remember(ANN, "I like tea")
            await memory.erase(ANN)
        mine, theirs = await asyncio.gather(*heard)
    assert mine == theirs
    assert [erasure.number for erasure in mine] == [1, 2, 3]


@pytest.mark.parametrize("way", WAYS)
async def test_goes_on_where_a_watcher_left_off_also_after_a_restart(
    way: str, tmp_path: Path, embedder: Embedder
) -> None:
    after = 0
    numbers: list[int] = []
    for _ in range(3):
        async with asked(way, tmp_path, embedder) as opened:
            for _ in range(2):
                await opened.memory.remember(ANN, "I like tea")
                await opened.memory.erase(ANN)
            # Of the erasures that are there, all but one are heard; that one is left to the next.
            async with aclosing(opened.memory.watch_erased(after)) as watch:
                heard = await told(watch, 1 if not numbers else 2)
            numbers += [erasure.number for erasure in heard]
            after = numbers[-1]
    assert numbers == [1, 2, 3, 4, 5]


async def test_who_leaves_watches_no_longer(subject: Subject) -> None:
    await subject.memory.remember(ANN, "I like tea")
    await subject.memory.erase(ANN)
    staying, leaving = subject.memory.watch_erased(0), subject.memory.watch_erased(0)
    async with aclosing(staying):
        for watch in (staying, leaving):
            await told(watch, 1)
        assert subject.feed.watchers == 2
        await leaving.aclose()
        await asyncio.wait_for(subject.feed.left.wait(), 5)
        assert subject.feed.watchers == 1
        subject.feed.left.clear()
        heard = asyncio.ensure_future(anext(staying))
        await asyncio.sleep(0)
        heard.cancel()
        await asyncio.wait_for(subject.feed.left.wait(), 5)
        assert subject.feed.watchers == 0


async def test_a_watch_ends_with_an_error_when_memory_stops(subject: Subject) -> None:
    async with aclosing(subject.memory.watch_erased(0)) as watch:
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0)
        subject.feed.close()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(waiting, 5)
