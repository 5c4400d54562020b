"""Every store of accounts, keys and usage."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.adapters.postgres import open_postgres_accounts
from services.gateway.adapters.sqlite import open_sqlite_accounts
from tests.fakes.moving import AccountStore
from tests.servers.postgres import fresh_database


@asynccontextmanager
async def _in_memory(_folder: Path) -> AsyncIterator[AccountStore]:
    yield InMemoryAccounts()


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[AccountStore]:
    async with open_sqlite_accounts(f"sqlite:{folder}/gateway.sqlite") as accounts:
        yield accounts


@asynccontextmanager
async def _postgres(_folder: Path) -> AsyncIterator[AccountStore]:
    async with fresh_database() as url, open_postgres_accounts(url) as accounts:
        yield accounts


ACCOUNT_STORES: dict[str, Callable[[Path], AbstractAsyncContextManager[AccountStore]]] = {
    "in memory": _in_memory,
    "sqlite": _sqlite,
    "postgresql": _postgres,
}
