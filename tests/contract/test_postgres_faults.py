"""A PostgreSQL that is killed and comes back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from services.gateway.adapters.postgres import (
    PostgresAccounts,
    migrate_postgres_accounts,
    open_postgres_accounts,
)
from services.gateway.adapters.remembering import BufferedLedger
from services.gateway.ports import Ledger, LedgerEntry
from services.inference.api import Usage
from services.shared.deadline import due_in
from services.shared.errors import Unavailable
from services.shared.scope import Scope
from services.shared.store_url import StoreUrl
from tests.servers.postgres import ROLE, PostgresServer, start_server

WRITERS = 8
SCOPE = Scope("acct_1", "main", "ada")


@pytest.fixture(scope="module")
def own_server() -> PostgresServer:
    """It keeps what it has acknowledged when it is killed."""
    return start_server(synchronous_commit="on")


@pytest.fixture
async def url(own_server: PostgresServer) -> StoreUrl:
    with own_server.superuser() as superuser:
        superuser.execute("DROP DATABASE IF EXISTS faults WITH (FORCE)")
        superuser.execute(f"CREATE DATABASE faults OWNER {ROLE}")
    found = own_server.url("faults")
    await migrate_postgres_accounts(found)
    return found


def entry(number: int) -> LedgerEntry:
    return LedgerEntry(f"resp_{number}", SCOPE, "key1", "demo", number, Usage(1, 1, 1, 1))


@dataclass
class Load:
    """Writers that each write entry after entry, and each one until it is acknowledged."""

    ledger: Ledger
    numbers: "count[int]" = field(default_factory=count)
    acknowledged: int = 0
    refused: int = 0
    failing: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self) -> None:
        while not self.stop.is_set():
            await self.until_acknowledged(entry(next(self.numbers)))

    async def until_acknowledged(self, one: LedgerEntry) -> None:
        while True:
            try:
                await self.ledger.add([one])
            except Unavailable:
                self.refused += 1
                self.failing.set()
                continue
            self.acknowledged += 1
            return

    async def reaches(self, acknowledged: int) -> None:
        while self.acknowledged < acknowledged:  # noqa: ASYNC110 - writers run meanwhile
            await asyncio.sleep(0)


@asynccontextmanager
async def writing(ledger: Ledger) -> AsyncIterator[Load]:
    load = Load(ledger)
    async with asyncio.TaskGroup() as writers:
        for _ in range(WRITERS):
            writers.create_task(load.write())
        await asyncio.wait_for(load.reaches(50), 30)
        yield load
        load.stop.set()


async def restarted(server: PostgresServer, load: Load) -> None:
    """Killed, and started again only when somebody has noticed."""
    await asyncio.to_thread(server.stop, "immediate")
    await asyncio.wait_for(load.failing.wait(), 30)
    await asyncio.to_thread(server.start)


async def counted(accounts: PostgresAccounts) -> int:
    return (await accounts.total(SCOPE.organisation)).prompt_tokens


async def test_a_restart_under_load_loses_no_entry_and_doubles_none(
    own_server: PostgresServer, url: StoreUrl
) -> None:
    async with open_postgres_accounts(url) as accounts:
        async with writing(accounts) as load:
            await restarted(own_server, load)
            await asyncio.wait_for(load.reaches(load.acknowledged + 100), 60)
        assert load.refused > 0
        assert await counted(accounts) == load.acknowledged == next(load.numbers)


class RenamingLedger:
    """Writes an entry under a new name each time, as nothing should: the count must see that."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._names = count(10**6)

    async def add(self, entries: Sequence[LedgerEntry]) -> None:
        renamed = [replace(each, response_id=f"resp_{next(self._names)}") for each in entries]
        await self._ledger.add(renamed)
        if next(self._names) % 10 == 0:
            raise Unavailable("it was kept, and nobody heard")

    async def total(self, organisation: str) -> Usage:
        return await self._ledger.total(organisation)


async def test_an_entry_that_was_kept_twice_would_be_counted(url: StoreUrl) -> None:
    """The control of the test above."""
    async with open_postgres_accounts(url) as accounts:
        async with writing(RenamingLedger(accounts)) as load:
            pass
        assert load.refused > 0
        assert await counted(accounts) == load.acknowledged + load.refused


async def test_a_buffered_ledger_writes_what_it_could_not_when_the_server_is_back(
    own_server: PostgresServer, url: StoreUrl
) -> None:
    async with open_postgres_accounts(url) as accounts:
        ledger = BufferedLedger(accounts)
        await ledger.add([entry(1)])
        await ledger.flush()
        await asyncio.to_thread(own_server.stop, "immediate")
        await ledger.add([entry(2), entry(3)])
        with pytest.raises(Unavailable, match="cannot be reached"):
            await ledger.flush()
        await asyncio.to_thread(own_server.start)
        await ledger.add([entry(4)])
        await until_flushed(ledger)
        assert await counted(accounts) == 4


async def until_flushed(ledger: BufferedLedger) -> None:
    while True:
        try:
            return await asyncio.wait_for(ledger.flush(), 30)
        except Unavailable:
            continue


async def test_idle_connections_that_the_server_closed_are_nobodys_error(
    own_server: PostgresServer, url: StoreUrl
) -> None:
    async with open_postgres_accounts(url) as accounts:
        await asyncio.gather(*(accounts.total("acct_1") for _ in range(50)))
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        assert len(await asyncio.gather(*(accounts.total("acct_1") for _ in range(50)))) == 50


@contextmanager
def hanging(server: PostgresServer) -> Iterator[int]:
    """How many processes of the server hang, which have a client in the database."""
    found = "SELECT pid FROM pg_stat_activity WHERE datname = 'faults'"
    with server.superuser() as watching:
        pids = [pid for (pid,) in watching.execute(found)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield len(pids)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_who_asks_a_process_that_hangs_hears_it_in_time_and_the_next_asks_another(
    own_server: PostgresServer, url: StoreUrl
) -> None:
    async with open_postgres_accounts(url) as accounts:
        assert await accounts.total("acct_1")
        refused = 0
        with hanging(own_server) as hung:
            while True:
                try:
                    # A new connection, which the last one needs, takes its time too.
                    with due_in(4):
                        await accounts.total("acct_1")
                    break
                except Unavailable:
                    refused += 1
        assert 0 < refused <= hung
