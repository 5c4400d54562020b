"""What only the file does; the rest is in tests/contract/test_fact_store.py."""

import asyncio
import random
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from services.memory.adapters.sqlite import MIGRATIONS, SqliteFactStore, open_fact_store
from services.memory.api import Fact, Kind
from services.memory.ports import EmbeddedFact, ScopeFacts
from services.shared.scope import Scope
from services.shared.sqlite import open_sqlite
from tests.fakes.memory import WordEmbedder

ANN = Scope("acme", "main", "ann")


def kept(fact_id: str, text: str) -> EmbeddedFact:
    (vector,) = WordEmbedder().embed_now([text])
    return EmbeddedFact(Fact(fact_id, text, Kind.FACT, 1, 2), vector)


async def test_facts_outlive_the_process(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/deep/memory.sqlite"
    async with open_fact_store(url) as store:
        revision = await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
    async with open_fact_store(url) as store:
        assert await store.revision(ANN) == revision
        assert [each.fact.text for each in (await store.read(ANN)).embedded] == ["Oslo"]


async def test_an_overwritten_text_is_gone_from_the_file_within_the_time(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/memory.sqlite"
    async with open_fact_store(url, erased_within_seconds=0.01) as store:
        revision = await store.write(ANN, 0, keep=[kept("a", "canary")], drop=[])
        assert b"canary" in written(tmp_path)
        await store.write(ANN, revision, keep=[kept("a", "Bergen")], drop=[])
        async with asyncio.timeout(5):
            while b"canary" in written(tmp_path):
                await store.revision(ANN)
        assert b"Bergen" in written(tmp_path)


async def test_no_erasure_waits_until_everybodys_file_is_rewritten(tmp_path: Path) -> None:
    seen: list[str] = []
    async with open_sqlite(f"sqlite:{tmp_path}/memory.sqlite", MIGRATIONS) as database:
        await database._scrubber._connection.set_trace_callback(seen.append)
        store = SqliteFactStore(database)
        for _ in range(20):
            await store.write(ANN, 0, keep=[kept("a", "canary")], drop=[])
            await store.erase(ANN)
            assert await store.read(ANN) == ScopeFacts()
        assert "VACUUM" not in seen
    assert seen.count("VACUUM") == 1
    assert b"canary" not in written(tmp_path)


async def test_what_was_overwritten_is_in_no_corner_of_the_file(tmp_path: Path) -> None:
    # Of the first dozen seeds, the one with which secure_delete alone leaves a text behind.
    rng = random.Random(3)
    vector = np.full(384, 0.05, dtype=np.float32)
    alive: dict[int, str] = {}
    erased, revision = set(), 0
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as store:
        for step in range(200):
            number, name = rng.randrange(30), f"canary{step:04}"
            fact = Fact(f"mem_{number}", f"{name} " * rng.randint(1, 40), Kind.FACT, 0, 0)
            revision = await store.write(ANN, revision, keep=[EmbeddedFact(fact, vector)], drop=[])
            erased.add(alive.get(number, "nothing yet"))
            alive[number] = name
        assert len(erased) > 150
    assert not [name for name in erased if name.encode() in written(tmp_path)]
    assert all(name.encode() in written(tmp_path) for name in alive.values())


async def test_whoever_leaves_early_leaves_no_trace_either(tmp_path: Path) -> None:
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as store:
        await store.write(ANN, 0, keep=[kept("a", "canary")], drop=[])
        erasing = asyncio.create_task(store.erase(ANN))
        while await store.revision(ANN):
            pass
        erasing.cancel()
        await asyncio.wait([erasing])
    assert b"canary" not in written(tmp_path)


async def test_what_a_killed_process_erased_is_scrubbed_at_the_next_start(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/memory.sqlite"
    async with open_fact_store(url) as store:
        await store.write(ANN, 0, keep=[kept("a", "canary"), kept("b", "Oslo")], drop=[])
    # As the erasing process would have left the file: the row gone, its page not yet rewritten.
    with closing(sqlite3.connect(f"{tmp_path}/memory.sqlite")) as connection, connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("DELETE FROM fact WHERE id = 'a'")
        connection.execute("UPDATE erasures SET noted = noted + 1")
    assert b"canary" in written(tmp_path)
    async with open_fact_store(url):
        assert b"canary" not in written(tmp_path)


async def test_many_erase_at_once_beside_others_who_write(tmp_path: Path) -> None:
    people = [Scope("acme", "main", f"person {number:02}") for number in range(20)]
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as store:
        for number, scope in enumerate(people):
            await store.write(scope, 0, keep=[kept("a", f"canary{number:02} sings")], drop=[])
        await asyncio.gather(
            *(erased_at_once(store, scope) for scope in people[:10]),
            store.write(ANN, 0, keep=[kept("b", "Oslo")], drop=[]),
            *(store.read(scope) for scope in people[10:]),
        )
        assert len((await store.read(ANN)).embedded) == 1
    left = {name.decode() for name in re.findall(rb"canary\d\d", written(tmp_path))}
    assert left == {f"canary{number}" for number in range(10, 20)}


async def erased_at_once(store: SqliteFactStore, scope: Scope) -> None:
    await store.erase(scope)
    assert await store.read(scope) == ScopeFacts()


async def test_the_log_of_erasures_outlives_the_process_and_counts_on(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/memory.sqlite"
    for number in (1, 2, 3):
        async with open_fact_store(url) as store:
            await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
            await store.erase(ANN)
            assert [each.number for each in await store.erasures(number - 1, 10)] == [number]
    # Nothing trims the log today; whoever does, the numbers go on.
    with closing(sqlite3.connect(f"{tmp_path}/memory.sqlite")) as connection, connection:
        connection.execute("DELETE FROM erasure_log")
    async with open_fact_store(url) as store:
        await store.write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
        await store.erase(ANN)
        assert [each.number for each in await store.erasures(0, 10)] == [4]


async def test_the_log_of_erasures_holds_no_words(tmp_path: Path) -> None:
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as store:
        revision = await store.write(ANN, 0, keep=[kept("a", "canary")], drop=[])
        await store.write(ANN, revision, keep=[kept("a", "tea")], drop=[])
        assert len(await store.erasures(0, 10)) == 1
    with closing(sqlite3.connect(f"{tmp_path}/memory.sqlite")) as connection:
        rows = connection.execute("SELECT * FROM erasure_log").fetchall()
    assert rows == [(1, "acme", "main", "ann", '["a"]')]


def written(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())
