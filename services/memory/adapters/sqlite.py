"""Facts in an SQLite file."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiosqlite
import numpy as np

from services.memory.api import Fact, Kind
from services.memory.ports import Holding, Kept, Outdated, Vectors
from services.shared.chat import Scope
from services.shared.sqlite import Database, open_sqlite

# Vectors take half the room with half the digits; scores differ by less than a thousandth.
_STORED = np.dtype("<f2")
_MIGRATIONS = (
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
)
_REVISION = "SELECT revision FROM owner WHERE tenant = ? AND user = ?"
_OWN = "INSERT OR REPLACE INTO owner (tenant, user, revision) VALUES (?, ?, ?)"
_DISOWN = "DELETE FROM owner WHERE tenant = ? AND user = ?"
_READ = """
    SELECT owner.revision, fact.* FROM owner JOIN fact USING (tenant, user)
    WHERE tenant = ? AND user = ? ORDER BY fact.id
"""
_COUNT = "SELECT count(*) FROM fact WHERE tenant = ? AND user = ?"
_KEEP = """
    INSERT INTO fact (tenant, user, id, text, kind, created_at_ms, updated_at_ms, vector)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_DROP = "DELETE FROM fact WHERE tenant = ? AND user = ? AND id = ?"
_DROP_ALL = "DELETE FROM fact WHERE tenant = ? AND user = ?"


class SqliteFactStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self, scope: Scope) -> int:
        return _only(await self._database.rows(_REVISION, (scope.tenant, scope.user)))

    async def read(self, scope: Scope) -> Holding:
        rows = await self._database.rows(_READ, (scope.tenant, scope.user))
        return await asyncio.to_thread(_holding, rows)

    async def write(
        self, scope: Scope, revision: int, *, keep: Sequence[Kept], drop: Sequence[str]
    ) -> int:
        theirs = (scope.tenant, scope.user)
        async with self._database.transaction() as writing:
            if _only(await writing.execute_fetchall(_REVISION, theirs)) != revision:
                raise Outdated
            old = [(*theirs, fact_id) for fact_id in (*drop, *(kept.fact.id for kept in keep))]
            gone = (await writing.executemany(_DROP, old)).rowcount
            if gone:
                await self._database.note_erasure()
            await writing.executemany(_KEEP, [(*theirs, *_columns(kept)) for kept in keep])
            written = await _revise(writing, theirs)
        if gone:
            await self._database.scrub()
        return written

    async def erase(self, scope: Scope) -> int:
        theirs = (scope.tenant, scope.user)
        async with self._database.transaction() as writing:
            erased = (await writing.execute(_DROP_ALL, theirs)).rowcount
            await writing.execute(_DISOWN, theirs)
            await self._database.note_erasure()
        await self._database.scrub()
        return erased


@asynccontextmanager
async def open_fact_store(url: str) -> AsyncIterator[SqliteFactStore]:
    async with open_sqlite(url, _MIGRATIONS) as database:
        yield SqliteFactStore(database)


async def _revise(writing: aiosqlite.Connection, theirs: tuple[str, str]) -> int:
    """The scope's next revision; none, and no owner, where no facts are left."""
    if not _only(await writing.execute_fetchall(_COUNT, theirs)):
        await writing.execute(_DISOWN, theirs)
        return 0
    await writing.execute("UPDATE ledger SET revision = revision + 1")
    revision = _only(await writing.execute_fetchall("SELECT revision FROM ledger"))
    await writing.execute(_OWN, (*theirs, revision))
    return revision


def _only(rows: Iterable[sqlite3.Row]) -> int:
    """The first number of the first row, or 0."""
    for row in rows:
        number: int = row[0]
        return number
    return 0


def _holding(rows: Sequence[sqlite3.Row]) -> Holding:
    return Holding(rows[0]["revision"], tuple(map(_kept, rows))) if rows else Holding()


def _columns(kept: Kept) -> tuple[Any, ...]:
    fact = kept.fact
    vector = kept.vector.astype(_STORED).tobytes()
    return fact.id, fact.text, fact.kind.value, fact.created_at_ms, fact.updated_at_ms, vector


def _kept(row: sqlite3.Row) -> Kept:
    fact = Fact(
        row["id"], row["text"], Kind(row["kind"]), row["created_at_ms"], row["updated_at_ms"]
    )
    vector: Vectors = np.frombuffer(row["vector"], dtype=_STORED).astype(np.float32)
    return Kept(fact, vector)
