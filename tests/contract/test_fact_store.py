"""What every store of facts does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.memory.adapters.cassandra import open_cassandra_facts
from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.adapters.postgres import open_postgres_facts
from services.memory.adapters.sqlite import open_fact_store
from services.memory.api import Erasure, Fact, Kind
from services.memory.ports import EmbeddedFact, FactStore, Outdated, ScopeFacts
from services.shared.scope import Scope
from tests.fakes.memory import BusyStore, SlowStore, WordEmbedder
from tests.servers.cassandra import empty_keyspace
from tests.servers.postgres import fresh_database

ANN = Scope("acme", "main", "ann")
BOB = Scope("acme", "main", "bob")
OTHER_ANN = Scope("umbrella", "main", "ann")
ANN_ELSEWHERE = Scope("acme", "other", "ann")


_STORES = ["in memory", "SQLite", "slow", "busy"]
_SERVERS = ["PostgreSQL", "PostgreSQL with pgvector", "Cassandra"]


@pytest.fixture(params=[*_STORES, *_SERVERS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FactStore]:
    in_memory = {"in memory": InMemoryFactStore, "slow": SlowStore, "busy": BusyStore}
    if request.param in in_memory:
        yield in_memory[request.param]()
        return
    if request.param.startswith("PostgreSQL"):
        pgvector = "pgvector" in request.param
        async with fresh_database(pgvector=pgvector) as url, open_postgres_facts(url) as kept_there:
            yield kept_there
        return
    if request.param == "Cassandra":
        url = await empty_keyspace()
        async with open_cassandra_facts(url, erased_within_seconds=60) as in_rows:
            yield in_rows
        return
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as opened:
        yield opened


def kept(fact_id: str, text: str, kind: Kind = Kind.FACT) -> EmbeddedFact:
    (vector,) = WordEmbedder().embed_now([text])
    return EmbeddedFact(Fact(fact_id, text, kind, created_at_ms=1, updated_at_ms=2), vector)


def facts(held: ScopeFacts) -> list[Fact]:
    return [each.fact for each in held.embedded]


async def test_knows_nothing_of_a_stranger(store: FactStore) -> None:
    assert await store.revision(ANN) == 0
    assert await store.read(ANN) == ScopeFacts()


async def test_gives_back_what_was_kept_by_id(store: FactStore) -> None:
    second, first = kept("b", "tea — \0 茶 🍵 '\"; --", Kind.PREFERENCE), kept("a", "Oslo")
    revision = await store.write(ANN, 0, keep=[second, first], drop=[])
    held = await store.read(ANN)
    assert held.revision == revision == await store.revision(ANN) != 0
    assert facts(held) == [first.fact, second.fact]
    for read, written in zip(held.embedded, (first, second), strict=True):
        assert read.vector.dtype == np.float32
        np.testing.assert_allclose(read.vector, written.vector, atol=1e-3)


async def test_keeps_a_fact_over_the_older_one_of_its_id(store: FactStore) -> None:
    revision = await store.write(ANN, 0, keep=[kept("a", "Oslo"), kept("b", "tea")], drop=[])
    await store.write(ANN, revision, keep=[kept("a", "Bergen")], drop=[])
    assert [fact.text for fact in facts(await store.read(ANN))] == ["Bergen", "tea"]


async def test_drops_and_keeps_in_one_write(store: FactStore) -> None:
    revision = await store.write(ANN, 0, keep=[kept("a", "Oslo"), kept("b", "tea")], drop=[])
    await store.write(ANN, revision, keep=[kept("c", "Bergen")], drop=["a", "never was"])
    assert [fact.text for fact in facts(await store.read(ANN))] == ["tea", "Bergen"]


async def test_refuses_a_write_decided_on_an_older_revision(store: FactStore) -> None:
    first = await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
    second = await store.write(ANN, first, keep=[kept("b", "tea")], drop=[])
    for outdated in (0, first, second + 1):
        with pytest.raises(Outdated):
            await store.write(ANN, outdated, keep=[kept("c", "lost")], drop=["a"])
    assert [fact.text for fact in facts(await store.read(ANN))] == ["Oslo", "tea"]
    assert await store.revision(ANN) == second


async def test_of_writes_at_once_one_succeeds(store: FactStore) -> None:
    writes = (store.write(ANN, 0, keep=[kept(str(n), "Oslo")], drop=[]) for n in range(5))
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(result, Outdated) for result in results) == 4
    assert len((await store.read(ANN)).embedded) == 1


async def test_never_gives_a_revision_twice(store: FactStore) -> None:
    given = []
    for _ in range(3):
        given.append(await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[]))
        given.append(await store.write(BOB, 0, keep=[kept("a", "Oslo")], drop=[]))
        await store.erase(ANN)
        assert await store.write(BOB, given[-1], keep=[], drop=["a"]) == 0
    assert len(set(given)) == len(given)


async def test_who_has_no_facts_left_is_a_stranger_again(store: FactStore) -> None:
    revision = await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
    assert await store.write(ANN, revision, keep=[], drop=["a"]) == 0
    assert await store.revision(ANN) == 0
    assert await store.read(ANN) == ScopeFacts()


async def test_erases_all_of_one_scope_and_nothing_of_another(store: FactStore) -> None:
    for scope in (ANN, BOB, OTHER_ANN, ANN_ELSEWHERE):
        await store.write(scope, 0, keep=[kept("a", "Oslo"), kept("b", "tea")], drop=[])
    assert await store.erase(ANN) == 2
    assert await store.erase(ANN) == 0
    assert await store.revision(ANN) == 0
    for scope in (BOB, OTHER_ANN, ANN_ELSEWHERE):
        assert len((await store.read(scope)).embedded) == 2


async def test_tells_in_order_what_was_erased_or_overwritten_and_nothing_else(
    store: FactStore,
) -> None:
    revision = await store.write(ANN, 0, keep=[kept("a", "Oslo"), kept("b", "tea")], drop=[])
    revision = await store.write(ANN, revision, keep=[kept("c", "maps")], drop=[])
    assert await store.erasures(0, 10) == []
    # In one write: one is erased, one was never there, one is overwritten, one says the same.
    changed = [kept("b", "coffee"), kept("c", "maps", Kind.PREFERENCE)]
    await store.write(ANN, revision, keep=changed, drop=["a", "never was"])
    await store.write(ANN_ELSEWHERE, 0, keep=[kept("z", "Rome"), kept("y", "cakes")], drop=[])
    await store.erase(ANN_ELSEWHERE)
    assert await store.erase(BOB) == 0
    assert list(await store.erasures(0, 10)) == [
        Erasure(1, ANN, ("a", "b")),
        Erasure(2, ANN_ELSEWHERE, ("y", "z")),
    ]


async def test_tells_no_erasure_of_a_write_that_was_refused(store: FactStore) -> None:
    await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
    with pytest.raises(Outdated):
        await store.write(ANN, 0, keep=[kept("a", "Bergen")], drop=[])
    assert await store.erasures(0, 10) == []


async def test_tells_erasures_by_number(store: FactStore) -> None:
    for _ in range(5):
        await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
        await store.erase(ANN)
    numbers = [
        [erasure.number for erasure in await store.erasures(after, limit)]
        for after, limit in ((0, 2), (2, 10), (5, 10), (9, 10))
    ]
    assert numbers == [[1, 2], [3, 4, 5], [], []]
