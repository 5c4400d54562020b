"""One SQLite file per service that keeps anything, schema-versioned from its first day."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

SCHEME = "sqlite:"
_PRAGMAS = (
    "busy_timeout=5000",
    "journal_mode=WAL",
    # A commit survives the process's death; a power cut may take the last ones, never the file.
    "synchronous=NORMAL",
    "foreign_keys=ON",
    # Erased means erased: freed pages are overwritten.
    "secure_delete=ON",
)


class NewerSchema(RuntimeError):
    """The file was written by a newer release."""


class Database:
    """One file: transactions one after the other, reads beside them on another connection."""

    def __init__(self, writer: aiosqlite.Connection, reader: aiosqlite.Connection) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = asyncio.Lock()

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Reads what is committed."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """All that is executed within is kept, or nothing is."""
        async with self._writing:
            await self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                await self._writer.execute("ROLLBACK")
                raise
            await self._writer.execute("COMMIT")


@asynccontextmanager
async def open_sqlite(url: str, migrations: Sequence[str]) -> AsyncIterator[Database]:
    """Opens `sqlite:<path>`, makes it if need be, and brings it to the newest schema.

    Migration n brings version n to n + 1, in one transaction of its own.
    """
    path = Path(url.removeprefix(SCHEME))
    path.parent.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
        reader = await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
        for connection in (writer, reader):
            connection.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                await connection.execute(f"PRAGMA {pragma}")
        await _migrate(writer, migrations, path)
        yield Database(writer, reader)


async def _migrate(connection: aiosqlite.Connection, migrations: Sequence[str], path: Path) -> None:
    (row,) = await connection.execute_fetchall("PRAGMA user_version")
    version: int = row[0]
    if version > len(migrations):
        known = len(migrations)
        raise NewerSchema(f"{path} has schema {version}, known are {known}: use a newer release")
    for number, script in enumerate(migrations[version:], version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version={number};\nCOMMIT;"
        )
