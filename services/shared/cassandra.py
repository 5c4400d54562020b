"""A keyspace of Cassandra: how it is opened, how the event loop waits for it, and how it fails.

Nothing here says a word of the URL: not in an error, and not in a log.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    DriverException,
    InvalidRequest,
    RequestValidationException,
    UnsupportedOperation,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    Session,
)
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.io.libevreactor import LibevConnection
from cassandra.policies import (
    ConstantReconnectionPolicy,
    ConstantSpeculativeExecutionPolicy,
    DCAwareRoundRobinPolicy,
    RetryPolicy,
    TokenAwarePolicy,
)
from cassandra.protocol import ErrorMessage
from cassandra.query import BatchStatement, PreparedStatement, Statement

from services.shared.deadline import within
from services.shared.errors import CannotStart, Unavailable
from services.shared.schema import Version, check, migrate
from services.shared.store_url import StoreUrl

Row = Any  # a named tuple with the columns of its statement
_PORT = 9042
_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 5.0
# A read that has not been answered for so long is asked of a second node too.
_SPECULATIVE_SECONDS = 0.05
_RECONNECT_SECONDS = 1.0
# A connection on which nothing came for the first is asked whether it lives, and has the second to
# answer, as a statement has: a node that hangs is then left, as one that died.
_QUIET_SECONDS, _ALIVE_SECONDS = 1.0, 5.0
_MIGRATION_SECONDS = 60.0
_RETRY_AFTER = "1"
# What the server says where it does not know whether a lightweight transaction was done. The
# driver has no class for it.
_CAS_UNKNOWN = 0x1700
_SERIAL_ATTEMPTS = 5
# What the driver and the server raise where asking again later may help.
_PASSING = (DriverException, NoHostAvailable, ConnectionException, ConnectionBusy, TimeoutError)
# What OpenSSL says of a certificate that this side does not trust, or that is another's.
_DISTRUSTED = "certificate verify failed"
# What Cassandra says where it cannot look a user or a permission up.
_TOO_FEW_NODES = "Cannot achieve consistency level"
_OPTIONS = {"dc", "sslrootcert", "sslcert", "sslkey"}
_VERSION_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_version (
        part text PRIMARY KEY, number int, needed int
    )
"""
_IS_VERSIONED = """
    SELECT table_name FROM system_schema.tables
    WHERE keyspace_name = %s AND table_name = 'schema_version'
"""
_VERSION = "SELECT number, needed FROM schema_version WHERE part = %s"
_SET_VERSION = "INSERT INTO schema_version (part, number, needed) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class CassandraSettings:
    """What a URL says: `cassandra://user:password@host,host:port/keyspace?dc=name&sslrootcert=file`.

    With `sslrootcert` connections are encrypted, and the nodes' certificates are checked against
    it; `sslcert` and `sslkey` are this side's own.
    """

    hosts: Sequence[str]
    port: int
    keyspace: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    # The data centre whose nodes are asked, and whose replicas have to agree.
    dc: str
    tls: ssl.SSLContext | None = field(repr=False)


def settings(url: StoreUrl) -> CassandraSettings:
    """Raises `CannotStart`."""
    try:
        parts = urlsplit(url.get_secret_value())
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
        login, _, where = parts.netloc.rpartition("@")
        user, _, password = login.partition(":")
        hosts, _, port = where.partition(":") if where.count(":") < 2 else (where, "", "")
        number = int(port or _PORT)
    except ValueError:
        raise _unreadable() from None
    keyspace = parts.path.strip("/")
    if not (hosts and keyspace.isidentifier() and options.keys() <= _OPTIONS):
        raise _unreadable()
    return CassandraSettings(
        *(hosts.split(","), number, keyspace, unquote(user), unquote(password)),
        options.get("dc", ""),
        _tls(options),
    )


def _unreadable() -> CannotStart:
    return CannotStart(
        "the URL of Cassandra cannot be read: it is"
        " cassandra://<user>:<password>@<host>,<host>:<port>/<keyspace>, special characters in user"
        f" and password are percent-encoded, and its options are {', '.join(sorted(_OPTIONS))}"
    )


def _tls(options: Mapping[str, str]) -> ssl.SSLContext | None:
    if "sslrootcert" not in options:
        return None
    try:
        context = ssl.create_default_context(cafile=options["sslrootcert"])
        if "sslcert" in options:
            context.load_cert_chain(options["sslcert"], options.get("sslkey"))
    except (OSError, ssl.SSLError) as error:
        raise CannotStart(
            f"the certificates that the URL of Cassandra names: {error.strerror or 'unreadable'}"
        ) from None
    return context


class _Careful(RetryPolicy):  # type: ignore[misc]
    """Asks another node only where the statement may be repeated: no lightweight transaction."""

    def on_request_error(self, query: Any, *_: Any, **__: Any) -> tuple[int, Any]:
        return (self.RETRY_NEXT_HOST if query.is_idempotent else self.RETHROW), None


class Undecided(Exception):
    """Whether a lightweight transaction was done is not known: a serial read tells."""


class Keyspace:
    """Statements of one keyspace, prepared once and awaited by the event loop.

    The driver has a thread of its own, in which libev turns.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._prepared: dict[str, PreparedStatement] = {}

    async def prepare(self, statements: Sequence[str]) -> None:
        """All statements that `rows` and `applied` will be asked for."""
        prepared = await asyncio.gather(
            *(asyncio.to_thread(_prepared, self._session, statement) for statement in statements)
        )
        self._prepared |= zip(statements, prepared, strict=True)

    async def rows(
        self, statement: str, values: Sequence[Any] = (), *, serial: bool = False
    ) -> Sequence[Row]:
        """All rows, also where they come in pages. A write is one that may be repeated.

        A serial read is asked again where others write at the same moment: the server then does not
        know what it has decided. Raises `Unavailable`.
        """
        bound = self._prepared[statement].bind(values)
        bound.is_idempotent = True
        if serial:
            bound.consistency_level = ConsistencyLevel.LOCAL_SERIAL
        asked = 0
        while True:
            asked += 1
            try:
                return await self._all(bound)
            except _PASSING as error:
                raise _unavailable(error) from None
            except ErrorMessage as error:
                if error.code != _CAS_UNKNOWN:
                    raise
                if asked == _SERIAL_ATTEMPTS:
                    raise _unavailable(error) from None

    async def applied(self, statement: str, values: Sequence[Any]) -> bool:
        """Whether a lightweight transaction was done. Raises `Undecided`."""
        return await self._applied(self._prepared[statement].bind(values))

    async def applied_together(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> bool:
        """The same of several statements about one partition; one of them has the condition."""
        batch = BatchStatement()
        for statement, values in statements:
            batch.add(self._prepared[statement].bind(values))
        return await self._applied(batch)

    async def _applied(self, statement: Statement) -> bool:
        statement.is_idempotent = False
        statement.serial_consistency_level = ConsistencyLevel.LOCAL_SERIAL
        try:
            rows = await self._all(statement)
        except _PASSING as error:
            if _is_bug(error):
                raise
            raise Undecided from None
        except ErrorMessage as error:
            if error.code != _CAS_UNKNOWN:
                raise
            raise Undecided from None
        return bool(rows[0][0])

    async def _all(self, statement: Statement) -> Sequence[Row]:
        seconds = within(_STATEMENT_SECONDS)
        future = self._session.execute_async(statement, timeout=seconds)
        rows = list(await _answer(future))
        while future.has_more_pages:
            future.clear_callbacks()
            future.start_fetching_next_page()
            rows += await _answer(future)
        return rows


async def _answer(future: ResponseFuture) -> Sequence[Row]:
    """The next page."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Row]] = loop.create_future()

    def settle(rows: Sequence[Row] | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
            return
        answer.set_result(rows or ())

    future.add_callbacks(
        lambda rows: loop.call_soon_threadsafe(settle, rows, None),
        lambda error: loop.call_soon_threadsafe(settle, None, error),
    )
    return await answer


def _prepared(session: Session, statement: str) -> PreparedStatement:
    try:
        return session.prepare(statement)
    except _PASSING as error:
        raise _unavailable(error) from None


def _is_bug(error: Exception) -> bool:
    """Whether it would fail again: a wrong statement, or a table that is not there."""
    wrong = isinstance(error, RequestValidationException | UnsupportedOperation)
    return wrong and _TOO_FEW_NODES not in str(error)


def _unavailable(error: Exception) -> Exception:
    """Its words hold addresses, and are left out. A bug is what it was."""
    if _is_bug(error):
        return error
    return Unavailable(
        f"Cassandra does not answer now ({type(error).__name__})",
        service="cassandra",
        retry_after=_RETRY_AFTER,
    )


@asynccontextmanager
async def open_keyspace(
    url: StoreUrl, part: str, migrations: Sequence[str]
) -> AsyncIterator[Keyspace]:
    """Raises `CannotStart` where the keyspace is not of this release's schema.

    `part` names whose tables they are: services may share a keyspace.
    """
    async with _connected(settings(url)) as session:
        await check(_Tables(session, part), migrations)
        yield Keyspace(session)


async def migrate_keyspace(url: StoreUrl, part: str, migrations: Sequence[str]) -> None:
    """A script is statements with a semicolon behind each; each may be run again.

    The keyspace has to be there: who makes it says how often data is kept. Raises `NewerSchema`.
    """
    async with _connected(settings(url)) as session:
        await migrate(_Tables(session, part), migrations)


@asynccontextmanager
async def _connected(found: CassandraSettings) -> AsyncIterator[Session]:
    cluster = Cluster(
        found.hosts,
        port=found.port,
        auth_provider=PlainTextAuthProvider(found.user, found.password) if found.user else None,
        ssl_context=found.tls,
        execution_profiles={EXEC_PROFILE_DEFAULT: _profile(found.dc)},
        connection_class=LibevConnection,
        protocol_version=5,
        connect_timeout=_CONNECT_SECONDS,
        # A node that has not heard of a statement is told when it is first asked for it.
        prepare_on_all_hosts=False,
        idle_heartbeat_interval=_QUIET_SECONDS,
        idle_heartbeat_timeout=_ALIVE_SECONDS,
        # A node that is back is asked again soon.
        reconnection_policy=ConstantReconnectionPolicy(_RECONNECT_SECONDS, max_attempts=None),
    )
    try:
        yield await asyncio.to_thread(_connect, cluster, found.keyspace)
    finally:
        await asyncio.to_thread(cluster.shutdown)


def _connect(cluster: Cluster, keyspace: str) -> Session:
    try:
        return cluster.connect(keyspace)
    except InvalidRequest:
        raise CannotStart(
            f"Cassandra has no keyspace {keyspace}, or this user may not use it: make it first"
        ) from None
    except NoHostAvailable as error:
        failures = error.errors.values() if isinstance(error.errors, dict) else ()
        refusals = [each for each in failures if isinstance(each, AuthenticationFailed)]
        if any(_TOO_FEW_NODES not in str(each) for each in refusals):
            raise CannotStart("Cassandra refuses the user or the password") from None
        if failures and all(_DISTRUSTED in str(each) for each in failures):
            raise CannotStart(
                "no node of Cassandra has a certificate for its own address from an authority that"
                " the URL names"
            ) from None
        raise _unavailable(error) from None
    except _PASSING as error:
        raise _unavailable(error) from None


def _profile(dc: str) -> ExecutionProfile:
    return ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(dc)),
        retry_policy=_Careful(),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        serial_consistency_level=ConsistencyLevel.LOCAL_SERIAL,
        request_timeout=_STATEMENT_SECONDS,
        speculative_execution_policy=ConstantSpeculativeExecutionPolicy(_SPECULATIVE_SECONDS, 1),
    )


class _Tables:
    """What one service keeps in a keyspace: a `VersionedStore`."""

    def __init__(self, session: Session, part: str) -> None:
        self._session = session
        self._part = part
        self.name = f"the keyspace {session.keyspace} of Cassandra"

    async def version(self) -> Version:
        if not await self._execute(_IS_VERSIONED, (self._session.keyspace,)):
            return Version()
        for row in await self._execute(_VERSION, (self._part,)):
            return Version(row.number, row.needed)
        return Version()

    async def apply(self, script: str, version: Version) -> None:
        if version.number == 1:
            await self._execute(_VERSION_TABLE)
        for statement in filter(str.strip, script.split(";")):
            await self._execute(statement)
        await self._execute(_SET_VERSION, (self._part, version.number, version.needed))

    async def _execute(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        try:
            return list(
                await asyncio.to_thread(
                    self._session.execute,
                    statement,
                    values or None,
                    timeout=_MIGRATION_SECONDS,
                )
            )
        except _PASSING as error:
            raise _unavailable(error) from None
