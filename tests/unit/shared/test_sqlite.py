import asyncio
import sqlite3
from pathlib import Path

import pytest

from services.shared.schema import Breaking, NewerSchema
from services.shared.sqlite import Database, open_sqlite

FIRST = "CREATE TABLE note (text TEXT NOT NULL)"
SECOND = "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0"


async def test_a_file_is_brought_to_the_newest_schema_and_keeps_its_rows(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/deep/notes.sqlite"
    async with open_sqlite(url, [FIRST]) as database, database.transaction() as writing:
        await writing.execute("INSERT INTO note (text) VALUES ('kept')")
    async with open_sqlite(url, [FIRST, SECOND]) as database:
        (row,) = await database.rows("SELECT text, stars FROM note")
    assert tuple(row) == ("kept", 0)


async def test_a_file_that_breaks_with_this_release_is_refused_and_left_as_it_is(
    tmp_path: Path,
) -> None:
    url = f"sqlite:{tmp_path}/notes.sqlite"
    async with open_sqlite(url, [FIRST, Breaking(SECOND)]):
        pass
    with pytest.raises(NewerSchema, match="use a newer release"):
        async with open_sqlite(url, [FIRST]):
            pass
    async with open_sqlite(url, [FIRST, Breaking(SECOND)]) as database:
        assert not await database.rows("SELECT stars FROM note")


async def test_the_release_before_works_on_with_what_was_only_added(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/notes.sqlite"
    async with open_sqlite(url, [FIRST]) as before:
        async with open_sqlite(url, [FIRST, SECOND]):
            pass
        async with before.transaction() as writing:
            await writing.execute("INSERT INTO note (text) VALUES ('while upgrading')")
    async with open_sqlite(url, [FIRST]) as again, again.transaction() as writing:
        await writing.execute("INSERT INTO note (text) VALUES ('rolled back')")
    async with open_sqlite(url, [FIRST, SECOND]) as database:
        rows = await database.rows("SELECT text, stars FROM note")
    assert [tuple(row) for row in rows] == [("while upgrading", 0), ("rolled back", 0)]


async def test_a_broken_migration_leaves_the_version_before_it(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/notes.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        async with open_sqlite(url, [FIRST, "ALTER TABLE nothing ADD COLUMN x"]):
            pass
    async with open_sqlite(url, [FIRST, SECOND]) as database:
        assert not await database.rows("SELECT stars FROM note")


async def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:
        with pytest.raises(ValueError, match="no"):
            async with database.transaction() as writing:
                await writing.execute("INSERT INTO note (text) VALUES ('lost')")
                raise ValueError("no")
        assert not await database.rows("SELECT text FROM note")


async def test_readers_do_not_see_a_transaction_before_it_ends(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:
        async with database.transaction() as writing:
            await writing.execute("INSERT INTO note (text) VALUES ('soon')")
            assert not await database.rows("SELECT text FROM note")
        assert len(await database.rows("SELECT text FROM note")) == 1


async def test_transactions_wait_for_each_other(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:

        async def add(text: str) -> None:
            async with database.transaction() as writing:
                await writing.execute("INSERT INTO note (text) VALUES (?)", (text,))

        await asyncio.gather(*(add(str(number)) for number in range(20)))
        assert len(await database.rows("SELECT text FROM note")) == 20


async def test_who_is_cancelled_while_beginning_leaves_no_transaction_behind(
    tmp_path: Path,
) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:

        async def write() -> None:
            async with database.transaction() as writing:
                await writing.execute("INSERT INTO note (text) VALUES ('x')")

        for steps in range(6):
            task = asyncio.create_task(write())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await write()
        assert len(await database.rows("SELECT text FROM note")) >= 6


async def erase(database: Database, times: int) -> None:
    for _ in range(times):
        async with database.transaction() as writing:
            await writing.execute("INSERT INTO note (text) VALUES ('canary')")
        async with database.transaction() as writing:
            await writing.execute("DELETE FROM note")
            await database.note_erasure()


def files(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.iterdir())


async def scrubbed(database: Database) -> int:
    ((number,),) = await database.rows("SELECT scrubbed FROM erasures")
    assert isinstance(number, int)
    return number


async def test_the_file_is_rewritten_once_for_all_erasures_of_some_time(tmp_path: Path) -> None:
    seen: list[str] = []
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:
        await database._scrubber._connection.set_trace_callback(seen.append)
        await erase(database, 20)
        assert await scrubbed(database) == 0
        await asyncio.gather(*(database.scrub() for _ in range(3)))
        assert await scrubbed(database) == 20
        assert b"canary" not in files(tmp_path)
    assert seen.count("VACUUM") == 1


async def test_the_file_is_rewritten_by_itself(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/notes.sqlite"
    async with open_sqlite(url, [FIRST], erased_within_seconds=0.01) as database:
        for erasures in (1, 2):
            await erase(database, 1)
            async with asyncio.timeout(5):
                while await scrubbed(database) < erasures:
                    pass
            assert b"canary" not in files(tmp_path)


async def test_what_is_still_owed_is_done_when_the_file_is_closed(tmp_path: Path) -> None:
    async with open_sqlite(f"sqlite:{tmp_path}/notes.sqlite", [FIRST]) as database:
        await erase(database, 1)
        assert b"canary" in files(tmp_path)
    assert b"canary" not in files(tmp_path)


async def test_a_scrub_that_fails_at_the_close_is_owed_to_the_next_start(tmp_path: Path) -> None:
    url = f"sqlite:{tmp_path}/notes.sqlite"
    async with open_sqlite(url, [FIRST]) as database:
        await erase(database, 1)
        await database._scrubber._connection.execute("PRAGMA query_only=ON")
    async with open_sqlite(url, [FIRST]) as database:
        assert await scrubbed(database) == 1
    assert b"canary" not in files(tmp_path)
