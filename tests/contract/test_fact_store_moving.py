"""What every store of facts does to be copied."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.memory.adapters.cassandra import open_cassandra_facts
from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.adapters.postgres import open_postgres_facts
from services.memory.adapters.sqlite import open_fact_store
from services.memory.ports import RECORD_KINDS, FactStore
from services.shared.moving import Movable
from tests.fakes.moving import ANN, BOB, all_of, carried, contents, fact, fill_facts
from tests.servers.cassandra import empty_keyspace
from tests.servers.postgres import fresh_database


class KeptFacts(FactStore, Movable):
    """A `FactStore` that can be copied."""


_FILES = ["in memory", "SQLite"]
_SERVERS = ["PostgreSQL", "PostgreSQL with pgvector", "Cassandra"]
# Revisions are a store's own, once it gives them itself.
_BOTH = RECORD_KINDS[1:3]


@pytest.fixture(params=[*_FILES, *_SERVERS])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptFacts]:
    if request.param == "in memory":
        yield InMemoryFactStore()  # type: ignore[misc]
        return
    if request.param.startswith("PostgreSQL"):
        pgvector = "pgvector" in request.param
        async with fresh_database(pgvector=pgvector) as url, open_postgres_facts(url) as kept_there:
            yield kept_there  # type: ignore[misc]
        return
    if request.param == "Cassandra":
        there = await empty_keyspace()
        async with open_cassandra_facts(there, erased_within_seconds=60) as in_rows:
            yield in_rows  # type: ignore[misc]
        return
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as opened:
        yield opened  # type: ignore[misc]


@pytest.fixture
async def model() -> InMemoryFactStore:
    filled = InMemoryFactStore()
    await fill_facts(filled)
    return filled


async def same(one: KeptFacts, other: InMemoryFactStore) -> None:
    assert await contents(one, RECORD_KINDS) == await contents(other, RECORD_KINDS)
    for scope in (ANN, BOB):
        here, there = await one.read(scope), await other.read(scope)
        assert here.revision == there.revision == await one.revision(scope)
        assert [each.fact for each in here.embedded] == [each.fact for each in there.embedded]
        for ours, theirs in zip(here.embedded, there.embedded, strict=True):
            np.testing.assert_allclose(ours.vector, theirs.vector, atol=1e-3)
    assert await one.erasures(0, 10) == await other.erasures(0, 10)


async def test_a_copy_answers_as_what_it_was_made_of(
    store: KeptFacts, model: InMemoryFactStore
) -> None:
    await carried(model, store, RECORD_KINDS)
    await same(store, model)
    again = InMemoryFactStore()
    await carried(store, again, RECORD_KINDS)
    await same(store, again)


async def test_a_store_that_was_filled_by_its_port_has_the_same_records(
    store: KeptFacts, model: InMemoryFactStore
) -> None:
    await fill_facts(store)
    assert await contents(store, _BOTH) == await contents(model, _BOTH)
    (person,) = await all_of(store, RECORD_KINDS[0], limit=1)
    assert (person.scope, person.revision) == (ANN, await store.revision(ANN))


async def test_records_that_are_put_again_change_nothing(
    store: KeptFacts, model: InMemoryFactStore
) -> None:
    await carried(model, store, RECORD_KINDS)
    await carried(model, store, RECORD_KINDS)
    await same(store, model)


async def test_a_record_takes_the_place_of_the_one_with_its_key(
    store: KeptFacts, model: InMemoryFactStore
) -> None:
    await carried(model, store, RECORD_KINDS)
    kept = await all_of(store, RECORD_KINDS[1])
    changed = replace(kept[0], fact=replace(kept[0].fact, text="coffee"))
    await store.put_records([changed])
    assert await all_of(store, RECORD_KINDS[1]) == [changed, *kept[1:]]


async def test_no_revision_and_no_number_is_given_a_second_time(
    store: KeptFacts, model: InMemoryFactStore
) -> None:
    await carried(model, store, RECORD_KINDS)
    for each in (store, model):
        written = await each.write(BOB, 0, keep=[fact("d", "fish")], drop=[])
        assert written not in {1, 2, 3, await each.revision(ANN)}
        await each.erase(BOB)
        assert [erasure.number for erasure in await each.erasures(0, 10)] == [1, 2, 3]
    assert await contents(store, _BOTH) == await contents(model, _BOTH)
