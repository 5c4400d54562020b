"""Every store of turns, and turns of one tree to put into it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.cassandra import open_cassandra_turns
from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.adapters.metered import MeteredTurns, StepTimer
from services.context_assembly.adapters.mongodb import open_mongodb_turns
from services.context_assembly.adapters.postgres import open_postgres_turns
from services.context_assembly.adapters.sqlite import open_sqlite_turns
from services.context_assembly.api import KeptIds, Turn
from services.context_assembly.ports import TurnStore
from services.shared.scope import Scope
from tests.fakes.context_assembly import SCOPE, assistant, recorded, user
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents
from tests.servers.postgres import database_of


@asynccontextmanager
async def _in_memory(_folder: Path) -> AsyncIterator[TurnStore]:
    yield InMemoryTurns()


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[TurnStore]:
    async with open_sqlite_turns(f"sqlite:{folder}/turns.sqlite") as turns:
        yield turns


@asynccontextmanager
async def _postgres(folder: Path) -> AsyncIterator[TurnStore]:
    async with open_postgres_turns(await database_of(folder)) as turns:
        yield turns


@asynccontextmanager
async def _cassandra(_folder: Path) -> AsyncIterator[TurnStore]:
    url = await empty_keyspace()
    async with open_cassandra_turns(url, erased_within_seconds=60) as turns:
        yield turns


@asynccontextmanager
async def _mongodb(_folder: Path) -> AsyncIterator[TurnStore]:
    url = await fresh_documents()
    async with open_mongodb_turns(url, erased_within_seconds=60) as turns:
        yield turns


@asynccontextmanager
async def _metered(_folder: Path) -> AsyncIterator[TurnStore]:
    registry = CollectorRegistry()
    yield MeteredTurns(InMemoryTurns(), StepTimer(registry), registry)


TURN_STORES: dict[str, Callable[[Path], AbstractAsyncContextManager[TurnStore]]] = {
    "in memory": _in_memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
    "cassandra": _cassandra,
    # As FerretDB speaks MongoDB's protocol.
    "mongodb": _mongodb,
    "metered": _metered,
}


def id_of(name: str) -> str:
    """As `make_response_id` makes ids, since a store may rely on that; `a` and `t00` are roots."""
    root = "t00" if name.startswith("t") else "a"
    digits = [each.encode().hex().rjust(32, "0") for each in dict.fromkeys((root, name))]
    return "resp_" + "".join(digits)


def name_of(turn_id: str) -> str:
    return bytes.fromhex(turn_id[-32:]).decode().strip("\0")


def turn(
    name: str,
    parent: str = "",
    *,
    answered: str = "",
    scope: Scope = SCOPE,
    kept_ids: KeptIds | None = None,
) -> Turn:
    answer = assistant(answered or f"answer {name}")
    parent_id = id_of(parent) if parent else ""
    written = recorded(id_of(name), parent_id, [user(f"question {name}")], [answer])
    return replace(written, scope=scope, kept_ids=kept_ids)


async def chain(store: TurnStore, *names: str) -> None:
    """Each turn continues the one before."""
    for parent, name in zip(("", *names), names, strict=False):
        assert await store.add(turn(name, parent))
