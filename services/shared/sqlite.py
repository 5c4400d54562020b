"""One SQLite file per service that keeps anything, schema-versioned from its first day."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiosqlite

from services.shared.errors import CannotStart

SCHEME = "sqlite:"
_PRAGMAS = (
    "busy_timeout=30000",
    "journal_mode=WAL",
    # A commit survives the process's death; a power cut may take the last ones, never the file.
    "synchronous=NORMAL",
    "foreign_keys=ON",
    # Erased means erased: freed pages are overwritten.
    "secure_delete=ON",
)

# How often something was erased, and how many of these times left no trace.
_ERASURES = """
    CREATE TABLE IF NOT EXISTS erasures (noted INTEGER NOT NULL, scrubbed INTEGER NOT NULL);
    INSERT INTO erasures SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM erasures);
"""
# What of the migrations a release must know to use the file: the number of the last breaking one.
_READERS = """
    CREATE TABLE IF NOT EXISTS readers (know INTEGER NOT NULL);
    INSERT INTO readers SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM readers);
"""


class NewerSchema(CannotStart):
    """The file was written by a newer release, and this one cannot use it."""


class Breaking(str):
    """A migration after which a release that does not know it can no longer use the file.

    While an upgrade is under way, and after `helm rollback`, the release before works on with what
    the newer one has migrated: a migration breaks unless it only adds what that one does not see.
    """

    __slots__ = ()


class Database:
    """One file: transactions one after the other, reads beside them on another connection."""

    def __init__(
        self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, scrubber: "_Scrubber"
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._scrubber = scrubber
        self._writing = asyncio.Lock()

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Reads what is committed."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """All that is executed within is kept, or nothing is."""
        async with self._writing:
            try:
                # Who is cancelled here has begun it all the same: statements are run in order.
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
            except BaseException:
                with suppress(sqlite3.OperationalError):  # it never began
                    await self._writer.execute("ROLLBACK")
                raise
            await self._writer.execute("COMMIT")

    async def note_erasure(self) -> None:
        """Within a transaction that erases: the file owes a `scrub` from now on, even restarted."""
        await self._writer.execute("UPDATE erasures SET noted = noted + 1")

    async def scrub(self) -> None:
        """Returns when no byte is left of what was erased before; goes on if its caller leaves."""
        await self._scrubber.scrub()


class _Scrubber:
    """Rewrites the file without what was erased, and empties the log where it would still be.

    `secure_delete` alone leaves now and then what a rebalanced page held before (measured: one word
    of 9,000). It takes 0.02 s for 1,000 short rows and a second for 100,000; those who wait at once
    share one.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._running = asyncio.Lock()
        self._begun: set[asyncio.Task[None]] = set()

    async def scrub(self) -> None:
        task = asyncio.create_task(self._scrub())
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)
        await asyncio.shield(task)

    async def ended(self) -> None:
        """Returns when no scrub is under way."""
        await asyncio.gather(*self._begun)

    async def _scrub(self) -> None:
        async with self._running:
            ((noted, scrubbed),) = await self._sql("SELECT noted, scrubbed FROM erasures")
            if noted == scrubbed:
                return
            await self._sql("VACUUM")
            while next(iter(await self._sql("PRAGMA wal_checkpoint(TRUNCATE)")))["busy"]:
                pass
            await self._sql("UPDATE erasures SET scrubbed = ?", noted)

    async def _sql(self, sql: str, *parameters: int) -> Iterable[sqlite3.Row]:
        return await self._connection.execute_fetchall(sql, parameters)


@asynccontextmanager
async def open_sqlite(url: str, migrations: Sequence[str]) -> AsyncIterator[Database]:
    """Opens `sqlite:<path>`, makes it if need be, and brings it to the newest schema.

    Migration n brings version n to n + 1, in one transaction of its own; see `Breaking`.
    Raises NewerSchema.
    """
    path = Path(url.removeprefix(SCHEME))
    path.parent.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        writer, reader, scrubbing = [
            await stack.enter_async_context(aiosqlite.connect(path, isolation_level=None))
            for _ in range(3)
        ]
        for connection in (writer, reader, scrubbing):
            connection.row_factory = sqlite3.Row
            for pragma in _PRAGMAS:
                await connection.execute(f"PRAGMA {pragma}")
        await _migrate(writer, migrations, path)
        await writer.executescript(_ERASURES)
        scrubber = _Scrubber(scrubbing)
        stack.push_async_callback(scrubber.ended)
        # What a process erased that did not live to scrub it.
        await scrubber.scrub()
        yield Database(writer, reader, scrubber)


async def _migrate(connection: aiosqlite.Connection, migrations: Sequence[str], path: Path) -> None:
    await connection.executescript(_READERS)
    ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
    ((needed,),) = await connection.execute_fetchall("SELECT know FROM readers")
    known = len(migrations)
    if needed > known:
        raise NewerSchema(f"{path} has schema {version}, known are {known}: use a newer release")
    for number, script in enumerate(migrations[version:], version + 1):
        know = f"UPDATE readers SET know={number};"  # noqa: S608
        breaks = know if isinstance(script, Breaking) else ""
        await connection.executescript(
            f"BEGIN IMMEDIATE;\n{script};\n{breaks}\nPRAGMA user_version={number};\nCOMMIT;"
        )
