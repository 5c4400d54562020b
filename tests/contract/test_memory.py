"""What every memory does, the core and the client alike."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.memory.adapters.metered import MeteredMemory
from services.memory.adapters.sqlite import open_fact_store
from services.memory.api import (
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
from services.shared.chat import Scope
from services.shared.embedder import Embedder, open_embedder
from services.shared.errors import Malformed
from services.shared.metrics import RpcMetrics
from services.shared.server import serving
from services.shared.tracing import Tracer
from tests.fakes.memory import keeper

ANN = Scope("acme", "ann")
BOB = Scope("acme", "bob")
OTHER_ANN = Scope("umbrella", "ann")
NOBODY = Scope("acme")


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with open_embedder() as opened:
        yield opened


@pytest.fixture(params=["direct", "metered", "over gRPC"])
async def memory(
    request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder
) -> AsyncIterator[Memory]:
    async with AsyncExitStack() as stack:
        url = f"sqlite:{tmp_path}/memory.sqlite"
        store = await stack.enter_async_context(open_fact_store(url))
        core = keeper(store, embedder, facts=5)
        if request.param == "direct":
            yield core
            return
        if request.param == "metered":
            yield MeteredMemory(core, CollectorRegistry())
            return
        boundary = Boundary(
            "memory",
            Tracer("memory", otlp_endpoint="", sample_ratio=0),
            RpcMetrics(CollectorRegistry()),
        )
        servers = [MemoryServer(core)]
        port = await stack.enter_async_context(
            serving(servers, "localhost:0", grace=0, interceptors=[boundary])
        )
        yield await stack.enter_async_context(connect_memory(f"localhost:{port}", timeout=5))


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
    for stranger in (BOB, OTHER_ANN):
        assert not await memory.list_facts(stranger)
        assert not await memory.search(stranger, "my dog", 10)
        assert not (await memory.recall(stranger, query="my dog", fact_ids=[dog.id])).named
        assert not await memory.forget(stranger, query="my dog")
        assert await memory.erase(stranger) == 0
    assert list(await memory.list_facts(ANN)) == [dog]


async def test_erases_everything_of_a_user(memory: Memory) -> None:
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
