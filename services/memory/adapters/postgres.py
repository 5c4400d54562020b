"""Facts in PostgreSQL.

What is erased or overwritten is gone from every read when the write returns. From the server's
files it goes when autovacuum has gone over the table and the space is used again; from the
write-ahead log when that is recycled; and from a backup that was made before, never.

Vectors are of pgvector's type `halfvec` where the extension was installed in the database when the
tables were made, so that SQL may search in them too; elsewhere they are bytes.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from psycopg.rows import DictRow

from services.memory.adapters.postgres_schema import MIGRATIONS, SCHEMA
from services.memory.api import Erasure, Fact, Kind
from services.memory.ports import (
    EmbeddedFact,
    FactRecord,
    Outdated,
    RevisionsRecord,
    ScopeFacts,
    ScopeRecord,
    from_half_precision,
    half_precision,
)
from services.shared.moving import Page, Record
from services.shared.postgres import (
    EVERY_ORGANISATION,
    PostgresDatabase,
    Transaction,
    open_postgres,
)
from services.shared.postgres_moving import page_of, put
from services.shared.postgres_schema import migrate_postgres
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl
from services.shared.table_pages import KeyedTable

_SCOPE = ("organisation", "project", "person")
_IN_SCOPE = "(organisation, project, person) = (%(organisation)s, %(project)s, %(person)s)"
_REVISION = f"SELECT revision FROM scope WHERE {_IN_SCOPE}"  # noqa: S608
# The scope's row is locked until the end; of two that write at once the later one finds nothing.
_FIRST_REVISION = """
    INSERT INTO scope (organisation, project, person, revision)
    VALUES (%(organisation)s, %(project)s, %(person)s, nextval('revision'))
    ON CONFLICT DO NOTHING RETURNING revision
"""
_NEXT_REVISION = f"""
    UPDATE scope SET revision = nextval('revision')
    WHERE {_IN_SCOPE} AND revision = %(revision)s RETURNING revision
"""  # noqa: S608
_DROP_SCOPE = f"DELETE FROM scope WHERE {_IN_SCOPE}"  # noqa: S608
_DROP_EMPTY_SCOPE = f"""
    DELETE FROM scope WHERE {_IN_SCOPE}
        AND NOT EXISTS (SELECT 1 FROM fact WHERE {_IN_SCOPE}) RETURNING revision
"""  # noqa: S608
_READ = f"""
    SELECT scope.revision, id, text, kind, created_at_ms, updated_at_ms, vector
    FROM scope JOIN fact USING (organisation, project, person)
    WHERE {_IN_SCOPE} ORDER BY id
"""  # noqa: S608
# The ids whose text will be gone after the write.
_ERASED = f"""
    SELECT id FROM fact
    JOIN unnest(%(ids)s::text[], %(texts)s::text[]) AS written (id, text) USING (id)
    WHERE {_IN_SCOPE} AND fact.text <> written.text ORDER BY id
"""  # noqa: S608
_DROP = f"DELETE FROM fact WHERE {_IN_SCOPE} AND id = ANY(%(drop)s::text[])"  # noqa: S608
_DROP_ALL = f"DELETE FROM fact WHERE {_IN_SCOPE} RETURNING id"  # noqa: S608
_KEEP = """
    INSERT INTO fact (organisation, project, person, id, text, kind, created_at_ms, updated_at_ms,
        vector)
    VALUES (%(organisation)s, %(project)s, %(person)s, %(id)s, %(text)s, %(kind)s,
        %(created_at_ms)s, %(updated_at_ms)s, %(vector)s::{type})
    ON CONFLICT (organisation, project, person, id) DO UPDATE
    SET text = excluded.text, kind = excluded.kind, created_at_ms = excluded.created_at_ms,
        updated_at_ms = excluded.updated_at_ms, vector = excluded.vector
"""
_LOG = """
    WITH next AS (UPDATE erasures SET number = number + 1 RETURNING number)
    INSERT INTO erasure_log (number, organisation, project, person, fact_ids)
    SELECT number, %(organisation)s, %(project)s, %(person)s, %(fact_ids)s FROM next
"""
_LOGGED = "SELECT * FROM erasure_log WHERE number > %s ORDER BY number LIMIT %s"
_VECTOR_TYPE = """
    SELECT format_type(atttypid, atttypmod) AS name FROM pg_attribute
    WHERE attrelid = 'fact'::regclass AND attname = 'vector'
"""
_PUT_SCOPE = put("scope", _SCOPE, ["revision"])
_PUT_ERASURE = put("erasure_log", ["number"], [*_SCOPE, "fact_ids"])
# The next number is above all that were put.
_COUNT_ERASURE = "UPDATE erasures SET number = greatest(number, %(number)s)"


class PostgresFactStore:
    """A `FactStore`, and `Movable`."""

    def __init__(self, database: PostgresDatabase, vectors: "_VectorColumn") -> None:
        self._database = database
        self._vectors = vectors
        self._keep = _KEEP.format(type=vectors.type)
        self._facts = KeyedTable(
            "SELECT * FROM fact",
            (*_SCOPE, "id"),
            lambda row: FactRecord(_scope(row), _fact(row), vectors.read(row["vector"])),
        )

    async def revision(self, scope: Scope) -> int:
        rows = await self._database.run(scope.organisation, _REVISION, _key(scope))
        return rows[0]["revision"] if rows else 0

    async def read(self, scope: Scope) -> ScopeFacts:
        rows = await self._database.run(scope.organisation, _READ, _key(scope))
        return await asyncio.to_thread(self._scope_facts, rows)

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        texts = dict.fromkeys(drop, "") | {each.fact.id: each.fact.text for each in keep}
        key = _key(scope)
        values = {
            **key,
            "revision": revision,
            "ids": [*texts],
            "texts": [*texts.values()],
            "drop": [*drop],
        }
        async with self._database.transaction(scope.organisation) as writing:
            revise = _NEXT_REVISION if revision else _FIRST_REVISION
            revised = await writing.rows(revise, values)
            if not revised:
                raise Outdated
            erased = await writing.rows(_ERASED, values)
            await writing.queue(_DROP, values)
            for each in keep:
                columns = self._columns(each.fact, half_precision(each.vector))
                await writing.queue(self._keep, key | columns)
            await _note(writing, key, erased)
            emptied = await writing.rows(_DROP_EMPTY_SCOPE, key)
        written: int = revised[0]["revision"]
        return 0 if emptied else written

    async def erase(self, scope: Scope) -> int:
        key = _key(scope)
        async with self._database.transaction(scope.organisation) as writing:
            # Waits for who writes to the scope.
            await writing.queue(_DROP_SCOPE, key)
            erased = await writing.rows(_DROP_ALL, key)
            await _note(writing, key, erased)
        return len(erased)

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        rows = await self._database.run(EVERY_ORGANISATION, _LOGGED, (after, limit))
        return [*map(_erasure, rows)]

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        table = self._facts if kind is FactRecord else _TABLES[kind]
        return await page_of(self._database, table, start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction(EVERY_ORGANISATION) as writing:
            for record in records:
                await self._put(writing, record)

    async def _put(self, writing: Transaction, record: object) -> None:
        match record:
            case ScopeRecord(scope, revision):
                await writing.queue(_PUT_SCOPE, _key(scope) | {"revision": revision})
            case FactRecord(scope, fact, vector):
                await writing.queue(self._keep, _key(scope) | self._columns(fact, vector))
            case Erasure(number, scope, fact_ids):
                values = {"number": number, "fact_ids": json.dumps([*fact_ids]), **_key(scope)}
                await writing.queue(_PUT_ERASURE, values)
                await writing.queue(_COUNT_ERASURE, values)
            case RevisionsRecord(last):
                await writing.queue("SELECT setval('revision', %s)", (last,))

    def _columns(self, fact: Fact, vector: bytes) -> dict[str, Any]:
        return {
            "id": fact.id,
            "text": fact.text,
            "kind": fact.kind.value,
            "created_at_ms": fact.created_at_ms,
            "updated_at_ms": fact.updated_at_ms,
            "vector": self._vectors.written(vector),
        }

    def _scope_facts(self, rows: Sequence[DictRow]) -> ScopeFacts:
        if not rows:
            return ScopeFacts()
        return ScopeFacts(rows[0]["revision"], [*map(self._embedded, rows)])

    def _embedded(self, row: DictRow) -> EmbeddedFact:
        vector = from_half_precision(self._vectors.read(row["vector"]))
        return EmbeddedFact(_fact(row), vector)


@dataclass(frozen=True, slots=True)
class _VectorColumn:
    """A column of vectors in half precision: of bytes, or of pgvector's type."""

    type: str

    def written(self, vector: bytes) -> bytes | str:
        if self.type == "bytea":
            return vector
        return json.dumps(from_half_precision(vector).tolist())

    def read(self, column: bytes) -> bytes:
        if self.type == "bytea":
            return bytes(column)
        # As pgvector sends it: behind four bytes, the highest byte of each number first.
        return np.frombuffer(column, "<u2", offset=4).byteswap().tobytes()


@asynccontextmanager
async def open_postgres_facts(url: StoreUrl) -> AsyncIterator[PostgresFactStore]:
    async with open_postgres(url, SCHEMA, MIGRATIONS) as database:
        (column,) = await database.run(EVERY_ORGANISATION, _VECTOR_TYPE)
        yield PostgresFactStore(database, _VectorColumn(column["name"]))


async def migrate_postgres_facts(url: StoreUrl) -> None:
    await migrate_postgres(url, SCHEMA, MIGRATIONS)


async def _note(writing: Transaction, key: Mapping[str, Any], erased: Sequence[DictRow]) -> None:
    """Last in a transaction: from here on other erasures wait for its end."""
    if erased:
        ids = json.dumps(sorted(row["id"] for row in erased))
        await writing.queue(_LOG, {**key, "fact_ids": ids})


def _key(scope: Scope) -> dict[str, Any]:
    return {
        "organisation": scope.organisation,
        "project": scope.project,
        "person": scope.person,
    }


def _scope(row: DictRow) -> Scope:
    return Scope(row["organisation"], row["project"], row["person"])


def _fact(row: DictRow) -> Fact:
    return Fact(
        row["id"], row["text"], Kind(row["kind"]), row["created_at_ms"], row["updated_at_ms"]
    )


def _erasure(row: DictRow) -> Erasure:
    return Erasure(row["number"], _scope(row), tuple(json.loads(row["fact_ids"])))


_TABLES = {
    ScopeRecord: KeyedTable(
        "SELECT * FROM scope", _SCOPE, lambda row: ScopeRecord(_scope(row), row["revision"])
    ),
    Erasure: KeyedTable("SELECT * FROM erasure_log", ("number",), _erasure),
    RevisionsRecord: KeyedTable(
        "SELECT * FROM (SELECT last_value FROM revision WHERE is_called) AS given",
        ("last_value",),
        lambda row: RevisionsRecord(row["last_value"]),
    ),
}
