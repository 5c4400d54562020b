"""A PostgreSQL server: a bounded pool of connections, and transactions for one organisation.

psycopg 3, since its pipelines send a whole transaction in one or two round trips and libpq reads
URLs as PostgreSQL's own programs do: TLS, private CAs, several hosts.

Every table with rows of an organisation has row-level security, also for its owner: see
`postgres_schema.own_rows`. A query sees the rows of the organisation that its transaction is for,
whatever its WHERE says, and none where nobody has said for whom it is. Superusers see all rows:
use a role that is none.

All settings are those of a transaction, so that a pooler such as PgBouncer may stand between.
"""

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from typing import Any, Literal

from psycopg import Error, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from services.shared.deadline import within
from services.shared.errors import Overloaded
from services.shared.postgres_connection import (
    RETRY_AFTER,
    Connection,
    connected,
    mesh_errors,
    settings,
    unreached,
)
from services.shared.postgres_schema import check_postgres
from services.shared.postgres_text import register
from services.shared.store_url import StoreUrl

# How long one waits for a connection, and how many may wait for each one that there is.
_WAIT_SECONDS, _WAITING_EACH = 5, 20
# How long one may keep it. The server has ended by then what takes long there.
_HELD_SECONDS = 30.0
# A pool that cannot connect for so long tries again only for who asks.
_RECONNECT_SECONDS = 2
Parameters = Mapping[str, Any] | Sequence[Any]


class Every(Enum):
    ORGANISATION = "every organisation"


EVERY_ORGANISATION: Literal[Every.ORGANISATION] = Every.ORGANISATION
# For whom a transaction is. One is for all where nobody in particular asks: for a key before it is
# known whose it is, entries of many, what was erased, a copy.
Tenant = str | Literal[Every.ORGANISATION]
# The server ends what takes longer, so that no lock outlives who wanted it. All that is asked on a
# turn's path is found by an index, which a server that has not counted a table's rows may not know;
# and compiling costs such queries more than it saves.
_BEGIN = """
    SELECT set_config('search_path', %s, true),
        set_config('chatmesh.organisation', %s, true),
        set_config('chatmesh.every_organisation', %s, true),
        set_config('statement_timeout', '10s', true),
        set_config('lock_timeout', '5s', true),
        set_config('idle_in_transaction_session_timeout', '10s', true),
        set_config('enable_seqscan', 'off', true),
        set_config('jit', 'off', true)
"""


class PostgresDatabase:
    """The tables of one service: a schema of its own in a database that others may share."""

    def __init__(self, pool: AsyncConnectionPool[Connection], schema: str) -> None:
        self._pool = pool
        self._schema = schema
        # Connections that are in use.
        self._lent = 0

    async def run(self, tenant: Tenant, sql: str, parameters: Parameters = ()) -> list[DictRow]:
        """One statement in a transaction of its own, in one round trip; says what it returned."""
        async with self._connection() as connection:
            async with connection.pipeline():
                await self._begin(connection, tenant)
                # Up to the end of a pipeline all is one transaction, with or without BEGIN.
                cursor = await connection.execute(sql, parameters, binary=True)
            return await cursor.fetchall() if cursor.description else []

    @asynccontextmanager
    async def transaction(self, tenant: Tenant) -> AsyncIterator["Transaction"]:
        """Either all that is executed within is kept, or nothing.

        Statements are sent together until one of them is asked for what it returned.
        """
        async with (
            self._connection() as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            await self._begin(connection, tenant)
            yield Transaction(connection)

    async def _begin(self, connection: Connection, tenant: Tenant) -> None:
        every = tenant is EVERY_ORGANISATION
        whose = "" if every else tenant
        await connection.execute(_BEGIN, (self._schema, whose, "yes" if every else "no"))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with mesh_errors(), self._refusals():
            async with self._pool.connection() as connection:
                self._lent += 1
                try:
                    with _bounded(connection):
                        yield connection
                except (asyncio.CancelledError, errors.ReadOnlySqlTransaction):
                    # What was given up may still be answered. Or another server was made the
                    # primary one, and this connection is to the old one.
                    await connection.close()
                    raise
                finally:
                    self._lent -= 1

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except (PoolTimeout, TooManyRequests):
            if self._lent < self._pool.max_size:
                raise unreached() from None
            said = "the database has more to do than it can: try again later"
            raise Overloaded(said, retry_after=RETRY_AFTER) from None


@contextmanager
def _bounded(connection: Connection) -> Iterator[None]:
    """Hangs up when it takes too long: a server that hangs ends nothing by itself.

    Who waits for an answer then reads the end of the connection.
    """
    seconds = within(_HELD_SECONDS)
    timer = asyncio.get_running_loop().call_later(seconds or 0, _hang_up, connection)
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(connection: Connection) -> None:
    with suppress(OSError, Error), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


class Transaction:
    """One transaction that is under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def queue(self, sql: str, parameters: Parameters = ()) -> None:
        """Sends a statement without waiting for it. If it fails, what comes after it does."""
        await self._connection.execute(sql, parameters)

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[DictRow]:
        """Waits for a statement and for all that was queued before it."""
        cursor = await self._connection.execute(sql, parameters, binary=True)
        return await cursor.fetchall()


@asynccontextmanager
async def open_postgres(
    url: StoreUrl, schema: str, migrations: Sequence[str]
) -> AsyncIterator[PostgresDatabase]:
    """Opens what `migrate_postgres` has made. Raises `CannotStart` and `Unavailable`."""
    found = settings(url)
    async with connected(found) as connection:
        await check_postgres(connection, schema, migrations)
    async with AsyncConnectionPool(
        kwargs={**found.words, "autocommit": True, "row_factory": dict_row},
        connection_class=Connection,
        min_size=min(2, found.pool_size),
        max_size=found.pool_size,
        max_waiting=found.pool_size * _WAITING_EACH,
        timeout=_WAIT_SECONDS,
        reconnect_timeout=_RECONNECT_SECONDS,
        configure=_configure,
        check=_check,
        open=False,
    ) as pool:
        yield PostgresDatabase(pool, schema)


async def _configure(connection: Connection) -> None:
    register(connection)


async def _check(connection: Connection) -> None:
    """Before a connection is lent; one that the server has closed is replaced by another.

    The end of a connection can be read from its socket, without a round trip.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    if waiting.poll(0):
        await AsyncConnectionPool.check_connection(connection)
