"""What every store in PostgreSQL relies on, on the real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psycopg
import pytest
import uvloop
from structlog.testing import capture_logs

from services.gateway.adapters.postgres_schema import SCHEMA as GATEWAY
from services.shared.errors import CannotStart, Overloaded, Unavailable
from services.shared.postgres import EVERY_ORGANISATION, Every, PostgresDatabase, open_postgres
from services.shared.postgres_schema import migrate_postgres, own_rows
from services.shared.schema import Breaking, NewerSchema, OlderSchema
from services.shared.store_url import StoreUrl
from tests.servers.postgres import empty_database, fresh_database, server

FIRST = f"""
    CREATE TABLE note (organisation text NOT NULL, text text NOT NULL);
    {own_rows("note")}
"""
SECOND = "ALTER TABLE note ADD COLUMN stars integer NOT NULL DEFAULT 0"
ADD = "INSERT INTO note (organisation, text) VALUES (%s, %s)"


@pytest.fixture
async def url() -> AsyncIterator[StoreUrl]:
    async with empty_database() as empty:
        await migrate_postgres(empty, "notes", [FIRST])
        yield empty


@pytest.fixture
async def notes(url: StoreUrl) -> AsyncIterator[PostgresDatabase]:
    async with open_postgres(url, "notes", [FIRST]) as database:
        yield database


def with_options(url: StoreUrl, options: str) -> StoreUrl:
    return StoreUrl(f"{url.get_secret_value()}?{options}")


async def texts(database: PostgresDatabase, tenant: str | Every, table: str = "note") -> list[str]:
    rows = await database.run(tenant, f"SELECT text FROM {table} ORDER BY text")
    return [row["text"] for row in rows]


async def test_a_query_that_names_no_organisation_sees_one_alone(notes: PostgresDatabase) -> None:
    for organisation in ("acme", "evil"):
        await notes.run(organisation, ADD, (organisation, f"of {organisation}"))
    assert await texts(notes, "acme") == ["of acme"]
    assert await texts(notes, "evil") == ["of evil"]
    await notes.run("evil", "DELETE FROM note")
    await notes.run("evil", "UPDATE note SET text = 'taken'")
    assert await texts(notes, "acme") == ["of acme"]


async def test_nobody_sees_nothing_and_one_for_all_sees_all(notes: PostgresDatabase) -> None:
    for organisation in ("acme", "evil"):
        await notes.run(organisation, ADD, (organisation, f"of {organisation}"))
    assert await texts(notes, EVERY_ORGANISATION) == ["of acme", "of evil"]
    assert await texts(notes, "") == []
    assert await texts(notes, "*") == []


async def test_rows_of_an_organisation_without_a_name_are_nobodys(
    url: StoreUrl, notes: PostgresDatabase
) -> None:
    """A setting that was made once is empty afterwards, and not NULL."""
    with server().superuser(url.get_secret_value().rpartition("/")[2]) as superuser:
        superuser.execute("INSERT INTO notes.note VALUES ('', 'whose?')")
    assert await texts(notes, "acme") == []
    assert await texts(notes, "") == []


@pytest.mark.parametrize("organisation", ["evil", ""])
async def test_nothing_is_written_for_another(organisation: str, notes: PostgresDatabase) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        await notes.run(organisation, ADD, ("acme", "forged"))
    assert await texts(notes, "acme") == []


async def test_a_connection_on_which_no_organisation_was_ever_named_sees_nothing(
    url: StoreUrl, notes: PostgresDatabase
) -> None:
    """The owner of the tables, past our code; the superuser shows that there is something."""
    await notes.run("acme", ADD, ("acme", "of acme"))
    async with await psycopg.AsyncConnection.connect(url.get_secret_value()) as connection:
        found = await connection.execute("SELECT * FROM notes.note")
        assert await found.fetchall() == []
    name = url.get_secret_value().rpartition("/")[2]
    with server().superuser(name) as superuser:
        assert superuser.execute("SELECT text FROM notes.note").fetchall() == [("of acme",)]


async def test_every_table_with_rows_of_an_organisation_hides_them_from_its_owner() -> None:
    async with fresh_database() as url:
        with server().superuser(url.get_secret_value().rpartition("/")[2]) as superuser:
            found = superuser.execute(
                """
                SELECT relnamespace::regnamespace::text, relname, relrowsecurity,
                    relforcerowsecurity FROM pg_class
                WHERE relkind = 'r' AND relnamespace::regnamespace::text LIKE 'chatmesh_%'
                """
            ).fetchall()
    open_tables = {name for _, name, enabled, forced in found if not (enabled and forced)}
    assert open_tables == {"schema_version", "erasures", "erasures_handled"}
    assert {schema for schema, *_ in found} >= {GATEWAY}
    assert len(found) == len(open_tables) + 2 + 13


async def test_a_role_that_sees_all_rows_is_warned_of(url: StoreUrl) -> None:
    everything = StoreUrl(url.get_secret_value().replace("//mesh:", "//postgres:"))
    for opened, warned in ((url, []), (everything, ["warning"])):
        with capture_logs() as logs:
            async with open_postgres(opened, "notes", [FIRST]):
                pass
        assert [entry["log_level"] for entry in logs] == warned


NASTY = ["\0", "\x1a", "\x1aN", "\x1aS\0", "a\0b\x1ac", "", "'\"\\%s {} 🎉", "\x01\n\r\t"]


async def test_text_comes_back_as_it_was_also_with_nul(notes: PostgresDatabase) -> None:
    for text in NASTY:
        await notes.run("acme\0", ADD, ("acme\0", text))
    rows = await notes.run("acme\0", "SELECT text, organisation FROM note")
    assert [(row["text"], row["organisation"]) for row in rows] == [(t, "acme\0") for t in NASTY]
    for text in NASTY:
        found = await notes.run("acme\0", "SELECT text FROM note WHERE text = %s", (text,))
        assert [row["text"] for row in found] == [text]
    listed = "SELECT text FROM note WHERE text = ANY(%s::text[])"
    assert len(await notes.run("acme\0", listed, (NASTY,))) == len(NASTY)
    assert await notes.run("acme", "SELECT 1 FROM note") == []


async def test_a_transaction_is_kept_whole_or_not_at_all(notes: PostgresDatabase) -> None:
    with pytest.raises(LookupError):
        async with notes.transaction("acme") as writing:
            await writing.queue(ADD, ("acme", "never"))
            raise LookupError
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with notes.transaction("acme") as writing:
            await writing.queue(ADD, ("acme", "never"))
            await writing.queue("SELECT 1 FROM nothing")
    assert await texts(notes, "acme") == []
    async with notes.transaction("acme") as writing:
        await writing.queue(ADD, ("acme", "one"))
        assert await writing.rows("SELECT text FROM note") == [{"text": "one"}]
        assert await texts(notes, "acme") == []
        await writing.queue(ADD, ("acme", "two"))
    assert await texts(notes, "acme") == ["one", "two"]


async def test_what_is_cancelled_leaves_nothing_and_its_connection_works_on(url: StoreUrl) -> None:
    async with open_postgres(with_options(url, "pool_size=1"), "notes", [FIRST]) as notes:
        entered = asyncio.Event()

        async def hang() -> None:
            async with notes.transaction("acme") as writing:
                await writing.rows(f"{ADD} RETURNING 1", ("acme", "never"))
                entered.set()
                await writing.rows("SELECT pg_sleep(60)")

        hanging = asyncio.create_task(hang())
        await asyncio.wait_for(entered.wait(), 10)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert await texts(notes, "acme") == []


async def test_a_pool_that_is_exhausted_refuses_with_a_hint_and_recovers(
    url: StoreUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.postgres._WAIT_SECONDS", 0.2)
    async with open_postgres(with_options(url, "pool_size=2"), "notes", [FIRST]) as notes:
        async with AsyncExitStack() as held:
            for _ in range(2):
                writing = await held.enter_async_context(notes.transaction("acme"))
                await writing.rows("SELECT 1")
            refused = await asyncio.gather(
                *(texts(notes, "acme") for _ in range(100)), return_exceptions=True
            )
        # All of them: some waited in vain, and the others found too many who wait.
        assert [type(each) for each in refused] == [Overloaded] * 100
        assert {e.details["retry_after"] for e in refused if isinstance(e, Overloaded)} == {"1"}
        assert await asyncio.gather(*(texts(notes, "acme") for _ in range(40))) == [[]] * 40


async def test_who_waits_too_long_for_a_lock_is_told_so_and_leaves_no_lock(
    notes: PostgresDatabase,
) -> None:
    async with notes.transaction("acme") as holder:
        await holder.rows("SELECT pg_advisory_xact_lock(7)")
        with pytest.raises(Unavailable, match="did not answer in time"):
            async with notes.transaction("acme") as waiter:
                await waiter.queue("SELECT set_config('lock_timeout', '50ms', true)")
                await waiter.rows("SELECT pg_advisory_xact_lock(7)")
    assert await notes.run("acme", "SELECT pg_advisory_xact_lock(7)")


async def test_the_server_itself_ends_what_takes_too_long(notes: PostgresDatabase) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    rows = [await notes.run("acme", f"SHOW {name}") for name in names]
    assert [row[name] for (row,), name in zip(rows, names, strict=True)] == ["10s", "5s", "10s"]
    with pytest.raises(Unavailable, match="did not answer in time"):
        async with notes.transaction("acme") as writing:
            await writing.queue("SELECT set_config('statement_timeout', '50ms', true)")
            await writing.rows("SELECT pg_sleep(60)")


def test_it_works_under_uvloop() -> None:
    async def used() -> list[str]:
        async with empty_database() as url:
            await migrate_postgres(url, "notes", [FIRST])
            async with open_postgres(url, "notes", [FIRST]) as notes:
                await asyncio.gather(
                    *(notes.run("acme", ADD, ("acme", str(number))) for number in range(50))
                )
                return await texts(notes, "acme")

    assert uvloop.run(used()) == sorted(map(str, range(50)))


async def test_opening_does_not_migrate_and_says_what_does() -> None:
    async with empty_database() as url:
        for scripts, wrong in (([FIRST], 0), ([FIRST, SECOND], 1)):
            said = rf"has schema {wrong}, and {wrong + 1} is needed: run `chatmesh migrate`"
            with pytest.raises(OlderSchema, match=said):
                async with open_postgres(url, "notes", scripts):
                    pass
            await migrate_postgres(url, "notes", scripts)
            async with open_postgres(url, "notes", scripts) as notes:
                assert await texts(notes, "acme") == []


async def test_the_release_before_goes_on_with_what_was_only_added(url: StoreUrl) -> None:
    await migrate_postgres(url, "notes", [FIRST, SECOND])
    async with open_postgres(url, "notes", [FIRST]) as before:
        await before.run("acme", ADD, ("acme", "rolled back"))
    await migrate_postgres(url, "notes", [FIRST, SECOND, Breaking("SELECT 1")])
    with pytest.raises(NewerSchema, match="use a newer release"):
        async with open_postgres(url, "notes", [FIRST, SECOND]):
            pass


async def test_a_migration_that_fails_leaves_nothing(url: StoreUrl) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        await migrate_postgres(url, "notes", [FIRST, SECOND, "ALTER TABLE nothing ADD x integer"])
    async with open_postgres(url, "notes", [FIRST]):
        pass
    with pytest.raises(OlderSchema, match="has schema 1"):
        async with open_postgres(url, "notes", [FIRST, SECOND]):
            pass


async def test_of_processes_that_migrate_at_once_one_does() -> None:
    scripts = [FIRST, "SELECT pg_sleep(0.2)", SECOND]
    async with empty_database() as url:
        await asyncio.gather(*(migrate_postgres(url, "notes", scripts) for _ in range(5)))
        async with open_postgres(url, "notes", scripts) as notes:
            assert await notes.run("acme", "SELECT stars FROM note") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("//mesh:", "//mesh:not"), "refuses the user or the password"),
        (("//mesh:", "//nobody:"), "refuses the user or the password"),
        (("/fresh", "/nothing"), "knows no such user or database"),
        (("postgresql://", "postgresql://["), "cannot be read"),
    ],
)
async def test_a_url_that_is_wrong_is_told_without_its_words(
    change: tuple[str, str], said: str, url: StoreUrl
) -> None:
    wrong = StoreUrl(url.get_secret_value().replace(*change))
    with pytest.raises(CannotStart, match=said) as raised:
        async with open_postgres(wrong, "notes", [FIRST]):
            pass
    assert server().password not in f"{raised.value!r}"
    assert str(server().port) not in f"{raised.value!r}"


@pytest.mark.parametrize("options", ["pool_size=0", "pool_size=many", "nonsense=1", "sslmode"])
async def test_an_option_that_is_wrong_is_told(options: str, url: StoreUrl) -> None:
    with pytest.raises(CannotStart, match="URL of PostgreSQL"):
        async with open_postgres(with_options(url, options), "notes", [FIRST]):
            pass


async def test_a_server_that_is_not_there_is_unavailable(url: StoreUrl) -> None:
    nowhere = StoreUrl(url.get_secret_value().replace(f":{server().port}/", ":1/"))
    with pytest.raises(Unavailable, match="PostgreSQL cannot be reached"):
        async with open_postgres(nowhere, "notes", [FIRST]):
            pass
