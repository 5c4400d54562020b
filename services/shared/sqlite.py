"""The SQLite file of a service that keeps something, and the versions of its schema."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiosqlite
import structlog

from services.shared.background import every, in_background
from services.shared.schema import Version, migrate

_log = structlog.get_logger()
# A service may set another; who erases nothing, such as the gateway, has no need to.
ERASED_WITHIN_SECONDS = 60.0
SCHEME = "sqlite:"
_PRAGMAS = (
    "busy_timeout=30000",
    "journal_mode=WAL",
    # What is committed survives if the process dies. If the machine loses power, the last commits
    # may be lost, but the file is not broken.
    "synchronous=NORMAL",
    "foreign_keys=ON",
    # What is deleted is overwritten in the file.
    "secure_delete=ON",
)

# `noted` counts the erasures, and `scrubbed` those of them that are gone from the file's bytes too.
# While they differ, a scrub is owed.
_ERASURES = """
    CREATE TABLE IF NOT EXISTS erasures (noted INTEGER NOT NULL, scrubbed INTEGER NOT NULL);
    INSERT INTO erasures SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM erasures);
"""
# `know` is `Version.needed`.
_READERS = """
    CREATE TABLE IF NOT EXISTS readers (know INTEGER NOT NULL);
    INSERT INTO readers SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM readers);
"""


class Database:
    """One file. Transactions run one after the other; reads run at the same time as them."""

    def __init__(
        self, writer: aiosqlite.Connection, reader: aiosqlite.Connection, scrubber: "_Scrubber"
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._scrubber = scrubber
        self._writing = asyncio.Lock()

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Reads what is committed, on a connection of its own."""
        return list(await self._reader.execute_fetchall(sql, parameters))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Either everything that is executed within is kept, or nothing."""
        async with self._writing:
            try:
                # Inside `try`: if the caller is cancelled while it waits for this statement, it is
                # executed all the same and has to be rolled back.
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
            except BaseException:
                # Raised if the transaction never began.
                with suppress(sqlite3.OperationalError):
                    await self._writer.execute("ROLLBACK")
                raise
            await self._writer.execute("COMMIT")

    async def note_erasure(self) -> None:
        """To be called within a transaction that erases something.

        From its commit on nobody reads what was erased, and a `scrub` is owed, which comes by
        itself. If the process ends before that, the next one scrubs.
        """
        await self._writer.execute("UPDATE erasures SET noted = noted + 1")

    async def scrub(self) -> None:
        """Returns when no byte is left in the file of what was erased before."""
        await self._scrubber.scrub()


class _Scrubber:
    """Writes the file anew, without what was erased, and empties the write-ahead log.

    `secure_delete` is not enough: when SQLite moves rows between pages, bytes of a deleted row are
    sometimes left behind (measured: one word of 9,000). A scrub takes 0.02 s for 1,000 short rows
    and a second for 100,000, whoever owns them: so one scrub serves all erasures of some time.
    """

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._running = asyncio.Lock()

    async def scrub(self) -> None:
        async with self._running:
            ((noted, scrubbed),) = await self._sql("SELECT noted, scrubbed FROM erasures")
            if noted == scrubbed:
                return
            await self._sql("VACUUM")
            while next(iter(await self._sql("PRAGMA wal_checkpoint(TRUNCATE)")))["busy"]:
                pass
            await self._sql("UPDATE erasures SET scrubbed = ?", noted)

    async def last_scrub(self) -> None:
        """For the closing of the file. What cannot be done now, the next start does."""
        try:
            await self.scrub()
        except sqlite3.Error as error:
            _log.warning("erased bytes stay in the file until the next start", exc_info=error)

    async def _sql(self, sql: str, *parameters: int) -> Iterable[sqlite3.Row]:
        return await self._connection.execute_fetchall(sql, parameters)


@asynccontextmanager
async def open_sqlite(
    url: str, migrations: Sequence[str], *, erased_within_seconds: float = ERASED_WITHIN_SECONDS
) -> AsyncIterator[Database]:
    """Opens `sqlite:<path>`, which is made if it is not there, and brings it to the newest schema.

    Each migration is an SQL script and has a transaction of its own. Raises NewerSchema.

    What is erased is gone from the file's bytes when it has been rewritten, which begins within
    `erased_within_seconds`, and when the file is closed.
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
        await migrate(_Schema(writer, path), migrations)
        await writer.executescript(_ERASURES)
        scrubber = _Scrubber(scrubbing)
        # The last process may have ended between an erasure and its scrub.
        await scrubber.scrub()
        stack.push_async_callback(scrubber.last_scrub)
        await stack.enter_async_context(
            in_background(lambda: every(erased_within_seconds, scrubber.scrub))
        )
        yield Database(writer, reader, scrubber)


class _Schema:
    """The version of an SQLite file: a `VersionedStore`."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        self._connection = connection
        self.name = str(path)

    async def version(self) -> Version:
        await self._connection.executescript(_READERS)
        ((number,),) = await self._connection.execute_fetchall("PRAGMA user_version")
        ((needed,),) = await self._connection.execute_fetchall("SELECT know FROM readers")
        return Version(number, needed)

    async def apply(self, script: str, version: Version) -> None:
        await self._connection.executescript(
            f"BEGIN IMMEDIATE;\n{script};\nUPDATE readers SET know={version.needed};\n"
            f"PRAGMA user_version={version.number};\nCOMMIT;"
        )
