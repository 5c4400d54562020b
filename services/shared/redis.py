"""A Redis server, Sentinel or cluster, by its URL. Valkey speaks the same protocol.

- `redis://user:password@host:6379/0`, and `rediss://` with TLS
- `redis+sentinel://user:password@host1:26379,host2:26379/<master's name>/0`
- `redis+cluster://user:password@host1:6379,host2:6379`

Options stand after `?`: `tls=true` (of the last two), `sslrootcert=<file>` for a private authority,
`sentinel_password=`, and `prefix=`, with which all keys begin, so that several meshes may share a
server.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import ConstantBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError

from services.shared.background import end
from services.shared.errors import CannotStart, Unavailable

SCHEMES = ("redis", "rediss", "redis+sentinel", "redis+cluster")
_PORT, _SENTINEL_PORT = 6379, 26379
# A server that is there answers within milliseconds. Whoever asks has something else to do without.
_ANSWER_SECONDS = 1.0
_CONNECT_SECONDS = 1.0
# Once more at once: the server may have closed a connection that was idle, or have another master.
_RETRIES = 1
_MOST_CONNECTIONS = 200
# How long nobody tries after a failure.
_LOST_SECONDS = 1.0
_OPTIONS = {"tls", "sslrootcert", "sentinel_password", "prefix"}

Client = Redis | RedisCluster


class RedisUnavailable(Unavailable):
    """Redis does not answer, or refuses to write. What was sent may have been done all the same."""


class _Together:
    """Sends what is asked in one round of the event loop at once, on one connection.

    Of a command that is sent alone, most of the CPU is the client's own.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._waiting: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def answer(self, command: tuple[Any, ...]) -> Any:
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answered))
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._send())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return await answered

    async def close(self) -> None:
        await end(*self._sending)
        # Of what was ended before it began, nobody else tells those who wait.
        for _, answered in self._waiting:
            answered.cancel()

    async def _send(self) -> None:
        # Whoever else is about to ask in this round goes along.
        await asyncio.sleep(0)
        asked, self._waiting = self._waiting, []
        try:
            answers = await self._answers([command for command, _ in asked])
        except BaseException as error:
            answers = [error] * len(asked)
            if not isinstance(error, Exception):
                raise
        finally:
            for (_, answered), answer in zip(asked, answers, strict=True):
                _tell(answered, answer)

    async def _answers(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        client: Any = self._client
        if len(commands) == 1:  # for one alone, a pipeline costs more
            return [await client.execute_command(*commands[0])]
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers


def _tell(answered: "asyncio.Future[Any]", answer: Any) -> None:
    if answered.done():  # whoever asked has gone
        return
    if isinstance(answer, asyncio.CancelledError):
        answered.cancel()
    elif isinstance(answer, BaseException):
        answered.set_exception(answer)
    else:
        answered.set_result(answer)


@dataclass(slots=True)
class RedisStore:
    """A client, and what its keys begin with.

    After a failure nobody tries for a second: whoever asks is told at once.
    """

    client: Client
    prefix: str
    # None: a cluster, whose client sends each command to its node.
    together: _Together | None
    _lost_until: float = 0
    _running: "set[asyncio.Future[Any]]" = field(default_factory=set)
    _closed: bool = False

    @property
    def lost(self) -> bool:
        """Whether it was found of late that Redis cannot be used."""
        return time.monotonic() < self._lost_until

    def key(self, *parts: str) -> str:
        """`parts` of one Lua script's keys hold the same text in braces: its hash tag."""
        return ":".join((self.prefix, *parts))

    async def run(self, command: Awaitable[Any]) -> Any:
        """What a command of `client` says. Raises `RedisUnavailable`.

        It is a task of its own: Python 3.11's `wait_for`, which redis-py calls, may lose a
        cancellation, and a turn that is stopped must stop. The command itself goes on.
        """
        try:
            self._check_usable()
        except RedisUnavailable:
            _unsent(command)
            raise
        with self._noticing():
            return await asyncio.shield(self._apart(command))

    async def ask(self, *command: str | bytes | float) -> Any:
        """What Redis says to a command of one key, given by its words. Raises `RedisUnavailable`.

        It goes with others, where it can: `run` needs a connection for each.
        """
        if self.together:
            return await self.run_together(self.together, command)
        return await self.run(self.client.execute_command(*command))

    async def run_together(self, together: _Together, command: tuple[Any, ...]) -> Any:
        """As `run`, for a command that goes with others. It is no task: these have one.

        Raises `NoScriptError` too.
        """
        self._check_usable()
        with self._noticing():
            return await together.answer(command)

    def _check_usable(self) -> None:
        if self._closed:
            raise _unavailable("closed")
        if self.lost:
            raise _unavailable("not tried again yet")

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            with redis_errors():
                yield
        except RedisUnavailable:
            self._lost_until = time.monotonic() + _LOST_SECONDS
            raise

    def _apart(self, command: Awaitable[Any]) -> "asyncio.Future[Any]":
        task = asyncio.ensure_future(command)
        self._running.add(task)
        task.add_done_callback(self._ran)
        return task

    def _ran(self, task: "asyncio.Future[Any]") -> None:
        self._running.discard(task)
        # Whoever asked may have gone: then nobody asks what became of it.
        if not task.cancelled():
            task.exception()

    async def close(self) -> None:
        """Commands that still run, or come later, would open connections again: none does."""
        self._closed = True
        await end(*self._running)
        if self.together:
            await self.together.close()
        for each in (self.client, *_sentinels_of(self.client)):
            with suppress(RedisUnavailable), redis_errors():
                await each.aclose()


def _unsent(command: Awaitable[Any]) -> None:
    if isinstance(command, Coroutine):
        command.close()


class Script:
    """A Lua script, which the server keeps after its first run."""

    def __init__(self, store: RedisStore, lua: str) -> None:
        self._store = store
        # Only its SHA-1 is sent; it needs no connection of its own.
        self._script: Any = store.client.register_script(lua)

    async def __call__(self, keys: Sequence[str], *arguments: str | bytes | float) -> Any:
        """Raises `RedisUnavailable`."""
        if together := self._store.together:
            call = ("EVALSHA", self._script.sha, len(keys), *keys, *arguments)
            with suppress(NoScriptError):
                return await self._store.run_together(together, call)
        return await self._store.run(self._script(keys=keys, args=arguments))


@contextmanager
def redis_errors() -> Iterator[None]:
    """Failures of the server as `RedisUnavailable`, whose words hold neither URL nor keys."""
    try:
        yield
    except NoScriptError:  # the script is sent itself then
        raise
    except (RedisError, OSError, TimeoutError) as error:
        if type(error) is ResponseError and _is_ours(str(error)):
            raise
        raise _unavailable(type(error).__name__) from None


def _is_ours(said: str) -> bool:
    """Whether the command was wrong. Redis begins its own troubles with a word in capitals.

    So it does with ERR, which stands for wrong commands; redis-py takes that word away.
    """
    code = said.partition(" ")[0]
    return code == "WRONGTYPE" or not code.isupper()


def _unavailable(why: str) -> RedisUnavailable:
    said = f"redis cannot be used now ({why})"
    return RedisUnavailable(said, service="redis", retry_after="1")


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisStore]:
    """Raises `CannotStart` for a URL that is none. Redis itself may come later."""
    try:
        parsed = urlsplit(url)
        options = dict(parse_qsl(parsed.query, strict_parsing=True)) if parsed.query else {}
        client = _client(parsed, options)
    except (ValueError, RedisError, OSError) as error:
        said = str(error) if isinstance(error, _WrongUrl) else type(error).__name__
        raise CannotStart(f"the URL of Redis is wrong: {said}") from None
    together = _Together(client) if isinstance(client, Redis) else None
    store = RedisStore(client, options.get("prefix", "chatmesh"), together)
    try:
        yield store
    finally:
        await store.close()


class _WrongUrl(ValueError):
    """Its words hold nothing of the URL."""


def _client(url: SplitResult, options: Mapping[str, str]) -> Client:
    if url.scheme not in SCHEMES:
        raise _WrongUrl(f"it begins with one of {', '.join(SCHEMES)}")
    if not url.hostname:
        raise _WrongUrl("it names no host")
    if set(options) - _OPTIONS:
        raise _WrongUrl(f"known options are {', '.join(sorted(_OPTIONS))}")
    named = _named(url, options)
    if url.scheme == "redis+cluster":
        nodes = [ClusterNode(host, port) for host, port in _hosts(url, _PORT)]
        # Every node is asked in turn for what the cluster looks like, which takes its time.
        return RedisCluster(startup_nodes=nodes, max_connections=_MOST_CONNECTIONS, **named)
    if url.scheme == "redis+sentinel":
        return _by_sentinel(url, options, named)
    ((host, port),) = _hosts(url, _PORT)
    database = _database(url.path.strip("/"))
    return Redis(host=host, port=port, db=database, max_connections=_MOST_CONNECTIONS, **named)


def _by_sentinel(url: SplitResult, options: Mapping[str, str], named: dict[str, Any]) -> "Redis":
    master, _, database = url.path.strip("/").partition("/")
    if not master:
        raise _WrongUrl("it names no master, as in redis+sentinel://host:26379/<master>")
    own = {**named, "username": None, "password": options.get("sentinel_password")}
    hosts = _hosts(url, _SENTINEL_PORT)
    sentinel = Sentinel(hosts, sentinel_kwargs=own)  # type: ignore[no-untyped-call]
    found = sentinel.master_for(
        master, db=_database(database), max_connections=_MOST_CONNECTIONS, **named
    )
    assert isinstance(found, Redis)
    return found


def _sentinels_of(client: Client) -> Sequence[Redis]:
    """The clients by which it asks for the master; closing it leaves them open."""
    pool = client.connection_pool if isinstance(client, Redis) else None
    return pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else ()


def _named(url: SplitResult, options: Mapping[str, str]) -> dict[str, Any]:
    """What every kind of client is told by name."""
    named: dict[str, Any] = {
        "username": unquote(url.username) if url.username else None,
        "password": unquote(url.password) if url.password else None,
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        "retry": Retry(ConstantBackoff(0.05), _RETRIES),
    }
    if url.scheme == "rediss" or options.get("tls") == "true":
        named |= {"ssl": True, "ssl_check_hostname": True}
        if "sslrootcert" in options:
            if not Path(options["sslrootcert"]).is_file():
                raise _WrongUrl("sslrootcert names no file")
            named["ssl_ca_certs"] = options["sslrootcert"]
    return named


def _hosts(url: SplitResult, port: int) -> list[tuple[str, int]]:
    """The hosts between `@` and `/`; `urlsplit` itself knows of one alone."""
    named = url.netloc.rpartition("@")[2].split(",")
    hosts = [urlsplit(f"//{each}") for each in named]
    found = [(host.hostname, host.port or port) for host in hosts if host.hostname]
    if len(found) != len(named) or (url.scheme in {"redis", "rediss"} and len(found) != 1):
        raise _WrongUrl("a host is wrong")
    return found


def _database(path: str) -> int:
    if path and not path.isdecimal():
        raise _WrongUrl("the database is a number")
    return int(path or 0)
