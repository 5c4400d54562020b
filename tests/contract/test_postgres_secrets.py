"""The password of a URL is in nothing that is logged, raised, shown or measured."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import StringIO

import httpx
import psycopg
import pytest
import structlog

from services.memory.adapters.postgres import open_postgres_facts
from services.memory.client import connect_memory
from services.memory.config import MemoryConfig
from services.memory.wiring import SERVICE
from services.shared import logs
from services.shared.errors import CannotStart, MeshError, Unavailable
from services.shared.postgres import PostgresDatabase, open_postgres
from services.shared.postgres_schema import migrate_postgres
from services.shared.process import running
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl
from tests.servers.postgres import empty_database, fresh_database, server

EXPECTED = (CannotStart, MeshError, psycopg.Error)
_KILL = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture
def said() -> Iterator[StringIO]:
    """All that we and every library log, down to what nobody turns on."""
    written = StringIO()
    everything = logging.StreamHandler(written)
    structlog_before, root = structlog.get_config(), logging.getLogger()
    handlers_before, level_before = root.handlers[:], root.level
    logs.configure("DEBUG", written)
    root.addHandler(everything)
    root.setLevel(logging.DEBUG)
    try:
        yield written
    finally:
        structlog.configure(**structlog_before)
        root.handlers[:] = handlers_before
        root.setLevel(level_before)


def told_of(error: BaseException | None) -> str:
    """The error with its stack, and what it was raised in."""
    if error is None:
        return ""
    stack = "".join(traceback.format_exception(error))
    return f"{error!r} {error} {stack} {told_of(error.__context__)}"


async def failed(attempt: Awaitable[object]) -> str:
    try:
        await attempt
    except EXPECTED as error:
        structlog.get_logger().error("it failed", exc_info=error)
        logging.getLogger("somebody").exception("it failed")
        return told_of(error)
    raise AssertionError("it did not fail")


async def opened(url: StoreUrl, *scripts: str) -> None:
    async with open_postgres(url, "notes", scripts):
        pass


def replaced(url: StoreUrl, old: str, new: str) -> StoreUrl:
    return StoreUrl(url.get_secret_value().replace(old, new))


@asynccontextmanager
async def notes() -> AsyncIterator[tuple[StoreUrl, PostgresDatabase]]:
    async with empty_database() as url:
        await migrate_postgres(url, "notes", ["SELECT 1"])
        small = StoreUrl(f"{url.get_secret_value()}?pool_size=1")
        async with open_postgres(small, "notes", ["SELECT 1"]) as database:
            yield url, database


async def test_no_failure_tells_the_password(
    said: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.shared.postgres._WAIT_SECONDS", 0.1)
    async with notes() as (url, database):
        name = url.get_secret_value().rpartition("/")[2]
        attempts: list[Callable[[], Awaitable[object]]] = [
            lambda: opened(replaced(url, f"/{name}", "/nothing"), "SELECT 1"),
            lambda: opened(replaced(url, "//mesh:", "//nobody:"), "SELECT 1"),
            lambda: opened(replaced(url, "127.0.0.1:", "127.0.0.1:1"), "SELECT 1"),
            lambda: opened(replaced(url, f":{server().port}/", ":1/"), "SELECT 1"),
            lambda: opened(replaced(url, "@", "@["), "SELECT 1"),
            lambda: opened(url, "SELECT 1", "SELECT 2"),
            lambda: migrate_postgres(url, "notes", ["SELECT 1", "SELECT nothing"]),
            lambda: database.run("acme", "SELECT nothing"),
            lambda: killed(database, name),
            lambda: exhausted(database),
        ]
        failures = [await failed(attempt()) for attempt in attempts]
        shown = f"{database!r} {vars(database)!r} {database._pool.get_stats()}"
    assert all(failures)
    assert "psycopg.errors.UndefinedColumn" in "".join(failures)
    assert "it failed" in said.getvalue()
    everything = "\n".join([*failures, shown, said.getvalue()])
    assert server().password not in everything
    # The control: what was looked through would have shown it.
    structlog.get_logger().error("careless", url=url.get_secret_value())
    logging.getLogger("somebody").debug("careless %s", url.get_secret_value())
    assert said.getvalue().count(server().password) == 2
    assert server().password in told_of(ValueError(url.get_secret_value()))


async def killed(database: PostgresDatabase, name: str) -> None:
    async with database.transaction("acme") as writing:
        await writing.rows("SELECT 1")
        with server().superuser() as superuser:
            assert superuser.execute(_KILL, (name,)).fetchall()
        await writing.rows("SELECT 1")


async def exhausted(database: PostgresDatabase) -> None:
    async with AsyncExitStack() as held:
        await held.enter_async_context(database.transaction("acme"))
        await database.run("acme", "SELECT 1")


async def test_a_service_measures_and_logs_no_password(said: StringIO) -> None:
    async with fresh_database() as url:
        config = MemoryConfig(address="127.0.0.1:0", store_url=url, log_level="DEBUG")
        async with (
            running(SERVICE, config) as endpoint,
            connect_memory(endpoint.address, timeout=10) as memory,
            httpx.AsyncClient() as http,
        ):
            ann = Scope("acme", "main", "ann")
            await memory.remember(ann, "my canary is called Tweety")
            with server().superuser() as superuser:
                superuser.execute(_KILL, (url.get_secret_value().rpartition("/")[2],))
            # Some may meet a connection that is just being ended.
            asked = (memory.list_facts(ann) for _ in range(5))
            for each in await asyncio.gather(*asked, return_exceptions=True):
                assert not isinstance(each, BaseException) or isinstance(each, Unavailable)
            metrics = (await http.get(endpoint.metrics_url)).text
        async with open_postgres_facts(url) as facts:
            assert len((await facts.read(ann)).embedded) == 1
        shown = f"{config!r} {config.model_dump_json()}"
    assert "chatmesh_rpc_seconds" in metrics
    assert server().password not in metrics + shown + said.getvalue()
