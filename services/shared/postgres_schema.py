"""The versions of a service's tables in PostgreSQL, and whose rows a transaction sees."""

from collections.abc import Sequence

import structlog

from services.shared.errors import CannotStart
from services.shared.postgres_connection import Connection, connected, settings
from services.shared.schema import Version, check, migrate
from services.shared.store_url import StoreUrl

_log = structlog.get_logger()
_ROLE = "SELECT rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = current_user"
# Another process that migrates waits here, and then finds nothing left to do.
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('chatmesh migrates'), hashtext(%s))"


def own_rows(table: str, column: str = "organisation") -> str:
    """A script: of the table a transaction sees and writes its organisation's rows alone.

    One that says so sees those of every organisation. Nobody's transaction sees nothing: a setting
    that was never made, or is not any more, is NULL or empty.
    """
    return f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY own_rows ON {table} USING (
            {column} = nullif(current_setting('chatmesh.organisation', true), '')
            OR current_setting('chatmesh.every_organisation', true) = 'yes'
        );
    """


class _Tables:
    """The tables of one schema: a `VersionedStore`."""

    def __init__(self, connection: Connection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self.name = f"the schema {schema} of PostgreSQL"

    async def version(self) -> Version:
        table = f"{self._schema}.schema_version"
        found = await self._connection.execute("SELECT to_regclass(%s) AS made", (table,))
        row = await found.fetchone()
        if not row or row["made"] is None:
            return Version()
        found = await self._connection.execute(f"SELECT number, needed FROM {table}")  # noqa: S608
        row = await found.fetchone()
        return Version(row["number"], row["needed"]) if row else Version()

    async def apply(self, script: str, version: Version) -> None:
        if version.number == 1:
            await self._begin()
        await self._connection.execute(script)
        await self._connection.execute(
            "UPDATE schema_version SET number = %s, needed = %s", (version.number, version.needed)
        )

    async def _begin(self) -> None:
        """Who may not make schemas is given an empty one."""
        await self._connection.execute(
            f"""
            DO $$ BEGIN
                IF to_regnamespace('{self._schema}') IS NULL THEN CREATE SCHEMA {self._schema};
                END IF;
            END $$;
            CREATE TABLE schema_version (number integer NOT NULL, needed integer NOT NULL);
            INSERT INTO schema_version VALUES (0, 0);
            """  # noqa: S608
        )


async def migrate_postgres(url: StoreUrl, schema: str, migrations: Sequence[str]) -> None:
    """All scripts in one transaction, one process at a time. Raises `NewerSchema`."""
    async with connected(settings(url)) as connection, connection.transaction():
        await connection.execute(_LOCK, (schema,))
        await connection.execute("SELECT set_config('search_path', %s, true)", (schema,))
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        await migrate(_Tables(connection, schema), migrations)


async def check_postgres(connection: Connection, schema: str, migrations: Sequence[str]) -> None:
    """Raises `CannotStart` where the server cannot be used as it is."""
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise CannotStart("the database of PostgreSQL holds not all text: make one ENCODING 'UTF8'")
    found = await connection.execute(_ROLE)
    role = await found.fetchone()
    if role and role["sees_all"]:
        _log.warning("the role of PostgreSQL passes row-level security: use one that does not")
    await check(_Tables(connection, schema), migrations)
