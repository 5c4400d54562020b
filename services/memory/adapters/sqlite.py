"""Facts in an SQLite file."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite

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
from services.shared.schema import Breaking
from services.shared.scope import Scope
from services.shared.sqlite import ERASED_WITHIN_SECONDS, Database, open_sqlite
from services.shared.sqlite_moving import page_of
from services.shared.table_pages import KeyedTable

MIGRATIONS = (
    """
    CREATE TABLE ledger (
        revision INTEGER NOT NULL -- the last that was given
    );
    INSERT INTO ledger VALUES (0);
    CREATE TABLE owner (
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        revision INTEGER NOT NULL,
        PRIMARY KEY (tenant, user)
    ) WITHOUT ROWID;
    CREATE TABLE fact (
        tenant TEXT NOT NULL,
        user TEXT NOT NULL,
        id TEXT NOT NULL,
        text TEXT NOT NULL,
        kind TEXT NOT NULL,
        created_at_ms INTEGER NOT NULL,
        updated_at_ms INTEGER NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (tenant, user, id)
    );
    """,
    # Release 0.1.0 knew tenants and users; a tenant had no projects.
    Breaking(
        """
        CREATE TABLE scope (
            organisation TEXT NOT NULL,
            project TEXT NOT NULL,
            person TEXT NOT NULL,
            revision INTEGER NOT NULL,
            PRIMARY KEY (organisation, project, person)
        ) WITHOUT ROWID;
        INSERT INTO scope SELECT tenant, 'default', user, revision FROM owner;
        DROP TABLE owner;
        ALTER TABLE fact RENAME TO older_fact;
        CREATE TABLE fact (
            organisation TEXT NOT NULL,
            project TEXT NOT NULL,
            person TEXT NOT NULL,
            id TEXT NOT NULL,
            text TEXT NOT NULL,
            kind TEXT NOT NULL,
            created_at_ms INTEGER NOT NULL,
            updated_at_ms INTEGER NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (organisation, project, person, id)
        );
        INSERT INTO fact
            SELECT tenant, 'default', user, id, text, kind, created_at_ms, updated_at_ms, vector
            FROM older_fact;
        DROP TABLE older_fact;
        CREATE TABLE erasure_log (
            -- AUTOINCREMENT: no number is ever used twice.
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            organisation TEXT NOT NULL,
            project TEXT NOT NULL,
            person TEXT NOT NULL,
            fact_ids TEXT NOT NULL -- a JSON list
        );
        """
    ),
)
_REVISION = "SELECT revision FROM scope WHERE (organisation, project, person) = (?, ?, ?)"
_KEEP_SCOPE = """
    INSERT OR REPLACE INTO scope (organisation, project, person, revision) VALUES (?, ?, ?, ?)
"""
_DROP_SCOPE = "DELETE FROM scope WHERE (organisation, project, person) = (?, ?, ?)"
_READ = """
    SELECT scope.revision, fact.* FROM scope JOIN fact USING (organisation, project, person)
    WHERE (organisation, project, person) = (?, ?, ?) ORDER BY fact.id
"""
_COUNT = "SELECT count(*) FROM fact WHERE (organisation, project, person) = (?, ?, ?)"
_TEXTS = """
    SELECT id, text FROM fact
    WHERE (organisation, project, person) = (?, ?, ?) AND id IN (SELECT value FROM json_each(?))
    ORDER BY id
"""
_KEEP = """
    INSERT OR REPLACE INTO fact
        (organisation, project, person, id, text, kind, created_at_ms, updated_at_ms, vector)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DROP = """
    DELETE FROM fact
    WHERE (organisation, project, person) = (?, ?, ?) AND id IN (SELECT value FROM json_each(?))
"""
_IDS = "SELECT id FROM fact WHERE (organisation, project, person) = (?, ?, ?) ORDER BY id"
_DROP_ALL = "DELETE FROM fact WHERE (organisation, project, person) = (?, ?, ?)"
_LOG = "INSERT INTO erasure_log (organisation, project, person, fact_ids) VALUES (?, ?, ?, ?)"
_PUT_ERASURE = """
    INSERT OR REPLACE INTO erasure_log (number, organisation, project, person, fact_ids)
    VALUES (?, ?, ?, ?, ?)
"""
_LOGGED = "SELECT * FROM erasure_log WHERE number > ? ORDER BY number LIMIT ?"
ScopeKey = tuple[str, str, str]


class SqliteFactStore:
    """A `FactStore`, and `Movable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self, scope: Scope) -> int:
        return _number(await self._database.rows(_REVISION, _key(scope)))

    async def read(self, scope: Scope) -> ScopeFacts:
        rows = await self._database.rows(_READ, _key(scope))
        return await asyncio.to_thread(_scope_facts, rows)

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[EmbeddedFact], drop: Sequence[str]
    ) -> int:
        key = _key(scope)
        async with self._database.transaction() as writing:
            if _number(await writing.execute_fetchall(_REVISION, key)) != revision:
                raise Outdated
            erased = await _erased_by(writing, key, keep, drop)
            await writing.execute(_DROP, (*key, json.dumps(list(drop))))
            await writing.executemany(_KEEP, [(*key, *_columns(each)) for each in keep])
            written = await _revise(writing, key)
            await self._note(writing, key, erased)
        return written

    async def erase(self, scope: Scope) -> int:
        key = _key(scope)
        async with self._database.transaction() as writing:
            erased = [row["id"] for row in await writing.execute_fetchall(_IDS, key)]
            await writing.execute(_DROP_ALL, key)
            await writing.execute(_DROP_SCOPE, key)
            await self._note(writing, key, erased)
        return len(erased)

    async def erasures(self, after: int, limit: int) -> Sequence[Erasure]:
        return [_erasure(row) for row in await self._database.rows(_LOGGED, (after, limit))]

    async def records(self, kind: type[Record], start: str, limit: int) -> Page[Record]:
        return await page_of(self._database, _TABLES[kind], start, limit)

    async def put_records(self, records: Sequence[Any]) -> None:
        async with self._database.transaction() as writing:
            for record in records:
                await _put(writing, record)

    async def _note(
        self, writing: aiosqlite.Connection, key: ScopeKey, erased: Sequence[str]
    ) -> None:
        if erased:
            await writing.execute(_LOG, (*key, json.dumps(erased)))
            await self._database.note_erasure()


@asynccontextmanager
async def open_fact_store(
    url: str, *, erased_within_seconds: float = ERASED_WITHIN_SECONDS
) -> AsyncIterator[SqliteFactStore]:
    async with open_sqlite(
        url, MIGRATIONS, erased_within_seconds=erased_within_seconds
    ) as database:
        yield SqliteFactStore(database)


def _key(scope: Scope) -> ScopeKey:
    return scope.organisation, scope.project, scope.person


async def _erased_by(
    writing: aiosqlite.Connection,
    key: ScopeKey,
    keep: Sequence[EmbeddedFact],
    drop: Sequence[str],
) -> list[str]:
    """The ids whose text will be gone after the write."""
    texts = dict.fromkeys(drop, "") | {each.fact.id: each.fact.text for each in keep}
    rows = await writing.execute_fetchall(_TEXTS, (*key, json.dumps(list(texts))))
    return [row["id"] for row in rows if row["text"] != texts[row["id"]]]


async def _revise(writing: aiosqlite.Connection, key: ScopeKey) -> int:
    """Gives the scope its next revision; one that has no facts left has no row either."""
    if not _number(await writing.execute_fetchall(_COUNT, key)):
        await writing.execute(_DROP_SCOPE, key)
        return 0
    await writing.execute("UPDATE ledger SET revision = revision + 1")
    revision = _number(await writing.execute_fetchall("SELECT revision FROM ledger"))
    await writing.execute(_KEEP_SCOPE, (*key, revision))
    return revision


def _number(rows: Iterable[sqlite3.Row]) -> int:
    """The number in the only row, or 0 where there is none."""
    for row in rows:
        number: int = row[0]
        return number
    return 0


def _scope_facts(rows: Sequence[sqlite3.Row]) -> ScopeFacts:
    return ScopeFacts(rows[0]["revision"], tuple(map(_embedded, rows))) if rows else ScopeFacts()


def _columns(embedded: EmbeddedFact) -> tuple[Any, ...]:
    fact = embedded.fact
    times = (fact.created_at_ms, fact.updated_at_ms)
    return fact.id, fact.text, fact.kind.value, *times, half_precision(embedded.vector)


def _embedded(row: sqlite3.Row) -> EmbeddedFact:
    return EmbeddedFact(_fact(row), from_half_precision(row["vector"]))


def _fact(row: sqlite3.Row) -> Fact:
    return Fact(
        row["id"], row["text"], Kind(row["kind"]), row["created_at_ms"], row["updated_at_ms"]
    )


def _scope(row: sqlite3.Row) -> Scope:
    return Scope(row["organisation"], row["project"], row["person"])


def _erasure(row: sqlite3.Row) -> Erasure:
    return Erasure(row["number"], _scope(row), tuple(json.loads(row["fact_ids"])))


async def _put(writing: aiosqlite.Connection, record: object) -> None:
    match record:
        case ScopeRecord(scope, revision):
            await writing.execute(_KEEP_SCOPE, (*_key(scope), revision))
        case FactRecord(scope, fact, vector):
            columns = _columns(EmbeddedFact(fact, from_half_precision(vector)))
            await writing.execute(_KEEP, (*_key(scope), *columns))
        case Erasure(number, scope, fact_ids):
            values = (number, *_key(scope), json.dumps([*fact_ids]))
            await writing.execute(_PUT_ERASURE, values)
        case RevisionsRecord(last):
            await writing.execute("UPDATE ledger SET revision = ?", (last,))


_SCOPE = ("organisation", "project", "person")
_TABLES = {
    ScopeRecord: KeyedTable(
        "SELECT * FROM scope", _SCOPE, lambda row: ScopeRecord(_scope(row), row["revision"])
    ),
    FactRecord: KeyedTable(
        "SELECT * FROM fact",
        (*_SCOPE, "id"),
        lambda row: FactRecord(_scope(row), _fact(row), row["vector"]),
    ),
    Erasure: KeyedTable("SELECT * FROM erasure_log", ("number",), _erasure),
    RevisionsRecord: KeyedTable(
        "SELECT * FROM (SELECT * FROM ledger WHERE revision > 0)",
        ("revision",),
        lambda row: RevisionsRecord(*row),
    ),
}
