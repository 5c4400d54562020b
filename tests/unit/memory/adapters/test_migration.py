"""A store that release 0.1.0 wrote, opened by this one.

`release_0_1_0/memory.sqlite.gz` was written by 0.1.0 itself (commit 8c10d44): its service, over
gRPC, with its embedder. Ann of acme had four things remembered and then another name for her dog;
Bob had one thing forgotten; another Ann is a person of umbrella. `told.json` is what 0.1.0 answered
when it was asked right after: each person's facts (id, text, kind, both times), and what it
recalled and searched for the query.
"""

import gzip
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from services.memory.adapters.sqlite import MIGRATIONS, open_fact_store
from services.memory.api import Fact
from services.shared.embedder import Embedder, open_embedder
from services.shared.schema import NewerSchema
from services.shared.scope import Scope
from services.shared.sqlite import open_sqlite
from tests.fakes.memory import keeper
from tests.fakes.processor import HAS_VNNI

FOLDER = Path(__file__).parent / "release_0_1_0"
TOLD = json.loads((FOLDER / "told.json").read_text(encoding="utf-8"))
PEOPLE: list[dict[str, Any]] = TOLD["people"]
KEPT = "SELECT {}, id, text, kind, created_at_ms, updated_at_ms, vector FROM fact ORDER BY id"


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with open_embedder() as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "memory.sqlite"
    file.write_bytes(gzip.decompress((FOLDER / "memory.sqlite.gz").read_bytes()))
    return file


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def written(path: Path) -> bytes:
    return path.read_bytes()


def told(fact: Fact) -> list[object]:
    return [fact.id, fact.text, fact.kind.value, fact.created_at_ms, fact.updated_at_ms]


async def test_every_row_is_kept_with_its_vector_and_its_revision(path: Path) -> None:
    facts = rows(path, KEPT.format("tenant, 'default', user"))
    revisions = rows(path, "SELECT tenant, 'default', user, revision FROM owner ORDER BY revision")
    last = rows(path, "SELECT revision FROM ledger")
    assert (len(facts), len(revisions)) == (6, 3)
    async with open_fact_store(f"sqlite:{path}"):
        pass
    assert rows(path, KEPT.format("organisation, project, person")) == facts
    assert rows(path, "SELECT * FROM scope ORDER BY revision") == revisions
    assert rows(path, "SELECT revision FROM ledger") == last
    assert rows(path, "SELECT * FROM erasure_log") == []
    tables = {name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert not tables & {"owner", "older_fact"}


@pytest.mark.parametrize("person", range(len(PEOPLE)))
async def test_a_person_is_answered_as_before(path: Path, embedder: Embedder, person: int) -> None:
    before = PEOPLE[person]
    scope = Scope(before["tenant"], "default", before["user"])
    async with open_fact_store(f"sqlite:{path}") as store:
        memory = keeper(store, embedder)
        assert [told(fact) for fact in await memory.list_facts(scope)] == before["facts"]
        recalled = await memory.recall(scope, query=TOLD["query"])
        assert [fact.id for fact in recalled.preferences] == before["preferences"]
        assert [fact.id for fact in recalled.found] == before["found"]
        matches = await memory.search(scope, TOLD["query"], 10)
    assert [match.fact.id for match in matches] == [fact_id for fact_id, _ in before["scores"]]
    for match, (_, score) in zip(matches, before["scores"], strict=True):
        # 0.1.0 had the vectors in memory, where they have more digits than in the store.
        assert match.score == pytest.approx(score, abs=1e-3 if HAS_VNNI else 5e-3)


async def test_a_person_goes_on_from_what_was_kept(path: Path, embedder: Embedder) -> None:
    ann = Scope("acme", "default", "ann")
    async with open_fact_store(f"sqlite:{path}") as store:
        memory = keeper(store, embedder)
        kept = await memory.remember(ann, "my dog is called Bo")
        assert kept.replaced == "my dog is called Rex"
        assert await memory.erase(ann) == 4
        assert [len(erasure.fact_ids) for erasure in await store.erasures(0, 10)] == [1, 4]
        assert len(await memory.list_facts(Scope("umbrella", "default", "ann"))) == 1
    assert b"maps" not in written(path)


async def test_release_0_1_0_refuses_the_migrated_store(path: Path) -> None:
    # It knew the first migration alone, and opened its store by the same function.
    known_then = MIGRATIONS[:1]
    async with open_sqlite(f"sqlite:{path}", known_then):
        pass
    async with open_fact_store(f"sqlite:{path}"):
        pass
    with pytest.raises(NewerSchema, match="use a newer release"):
        async with open_sqlite(f"sqlite:{path}", known_then):
            pass
