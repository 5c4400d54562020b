"""Two processes that write to one PostgreSQL at once, one of them held just before its commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest
from psycopg.rows import DictRow

from services.context_assembly.adapters.postgres import PostgresTurns, open_postgres_turns
from services.context_assembly.api import KeptIds, StoredConversation, Turn
from services.context_assembly.ports import ConversationGone, HeadMoved, Summary
from services.memory.adapters.postgres import PostgresFactStore, open_postgres_facts
from services.memory.api import Erasure
from services.memory.ports import Outdated
from services.shared.conversation import Compaction
from services.shared.postgres import Parameters, PostgresDatabase, Tenant, Transaction
from services.shared.postgres_connection import Connection
from services.shared.store_url import StoreUrl
from tests.contract.test_fact_store import ANN, BOB, kept
from tests.fakes.context_assembly import SCOPE
from tests.fakes.turn_trees import id_of, turn
from tests.servers.postgres import fresh_database, server

_Done = TypeVar("_Done")
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


class HeldDatabase(PostgresDatabase):
    """Commits nothing before it is told to."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database._pool, database._schema)
        self.written = asyncio.Event()
        self.commit = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, tenant: Tenant) -> AsyncIterator[Transaction]:
        async with super().transaction(tenant) as writing:
            yield writing
            await writing.rows("SELECT 1")
            self.written.set()
            await self.commit.wait()


@pytest.fixture
async def url() -> AsyncIterator[StoreUrl]:
    async with fresh_database() as fresh:
        yield fresh


async def overlapping(
    url: StoreUrl, held: HeldDatabase, first: Awaitable[object], second: Awaitable[_Done]
) -> _Done:
    """What the second says, which begins before the first commits and has to wait for it."""
    writing = asyncio.ensure_future(first)
    await asyncio.wait_for(held.written.wait(), 10)
    waiting = asyncio.ensure_future(second)
    name = url.get_secret_value().rpartition("/")[2]
    with server().superuser() as watching:
        while not watching.execute(WAITING, (name,)).fetchall():
            assert not waiting.done(), "it did not wait"
            await asyncio.sleep(0)
    held.commit.set()
    await writing
    return await waiting


@asynccontextmanager
async def turns_of_two(url: StoreUrl) -> AsyncIterator[tuple[HeldDatabase, PostgresTurns]]:
    async with AsyncExitStack() as stack:
        ours, theirs = [await stack.enter_async_context(open_postgres_turns(url)) for _ in range(2)]
        yield HeldDatabase(ours._database), theirs


def with_ids(name: str, parent: str = "", fact: str = "mem_1") -> Turn:
    return turn(name, parent, kept_ids=KeptIds("m", 0, [1, 2], [fact]))


CONVERSATION = StoredConversation("conv_1", SCOPE, 1, {}, id_of("a"))


def in_conversation(name: str, parent: str) -> Turn:
    return replace(turn(name, parent), conversation_id=CONVERSATION.id)


async def test_of_two_turns_after_the_same_one_the_later_finds_another_head(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        await theirs.start(CONVERSATION, in_conversation("a", ""))
        first = PostgresTurns(held).add(in_conversation("b", "a"))
        with pytest.raises(HeadMoved):
            await overlapping(url, held, first, theirs.add(in_conversation("c", "a")))
        assert await theirs.get(SCOPE, id_of("c")) is None
        found = await theirs.conversation(SCOPE, CONVERSATION.id)
        assert found
        assert found.head == id_of("b")


async def test_a_turn_that_two_add_is_there_once(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        await theirs.start(CONVERSATION, in_conversation("a", ""))
        first = PostgresTurns(held).add(in_conversation("b", "a"))
        assert await overlapping(url, held, first, theirs.add(in_conversation("b", "a")))


async def test_nothing_is_added_below_a_turn_that_is_being_erased(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        await theirs.add(turn("a"))
        first = PostgresTurns(held).erase(SCOPE, id_of("a"))
        assert not await overlapping(url, held, first, theirs.add(turn("b", "a")))


async def test_an_erasure_finds_a_turn_that_is_being_added_below(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        await theirs.add(turn("a"))
        below = with_ids("b", "a")
        below = replace(below, output=[*below.output, Compaction("cmp", "what was said")])
        first = PostgresTurns(held).add(below)
        assert await overlapping(url, held, first, theirs.erase(SCOPE, id_of("a")))
        assert await theirs.get(SCOPE, id_of("b")) == turn("b", "a")


async def test_facts_that_are_being_forgotten_are_in_no_ids_that_come_then(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        first = PostgresTurns(held).forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        assert await overlapping(url, held, first, theirs.add(with_ids("a")))
        assert await theirs.get(SCOPE, id_of("a")) == turn("a")


async def test_forgetting_facts_finds_ids_that_are_being_kept(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        first = PostgresTurns(held).add(with_ids("a"))
        forgetting = theirs.forget_facts(Erasure(7, SCOPE, ["mem_1"]))
        await overlapping(url, held, first, forgetting)
        assert await theirs.get(SCOPE, id_of("a")) == turn("a")


async def test_of_two_summaries_that_continue_one_the_later_is_not_kept(url: StoreUrl) -> None:
    async with turns_of_two(url) as (held, theirs):
        await theirs.add(turn("a"))
        begun, ours, other = (Summary(id_of("a"), 1, text) for text in ("begun", "ours", "other"))
        await theirs.keep_summary(SCOPE, "m", begun, covers=[], grown_from=None)
        first = PostgresTurns(held).keep_summary(SCOPE, "m", ours, covers=[], grown_from=begun)
        second = theirs.keep_summary(SCOPE, "m", other, covers=[], grown_from=begun)
        assert not await overlapping(url, held, first, second)
        path = await theirs.path(SCOPE, id_of("a"), "m", 1000)
        assert path
        assert path.summary == ours


@asynccontextmanager
async def facts_of_two(url: StoreUrl) -> AsyncIterator[tuple[HeldDatabase, PostgresFactStore]]:
    async with AsyncExitStack() as stack:
        ours, theirs = [await stack.enter_async_context(open_postgres_facts(url)) for _ in range(2)]
        yield HeldDatabase(ours._database), theirs


def of(held: HeldDatabase, store: PostgresFactStore) -> PostgresFactStore:
    return PostgresFactStore(held, store._vectors)


async def test_of_two_first_facts_of_a_scope_the_later_is_outdated(url: StoreUrl) -> None:
    async with facts_of_two(url) as (held, theirs):
        first = of(held, theirs).write(ANN, 0, keep=[kept("a", "Oslo")], drop=[])
        with pytest.raises(Outdated):
            await overlapping(
                url, held, first, theirs.write(ANN, 0, keep=[kept("b", "tea")], drop=[])
            )


async def test_erasures_are_numbered_in_the_order_in_which_they_can_be_read(url: StoreUrl) -> None:
    """A number that is read before a lower one would be taken for the last: that one was lost."""
    async with facts_of_two(url) as (held, theirs):
        for scope in (ANN, BOB):
            await theirs.write(scope, 0, keep=[kept("a", "Oslo")], drop=[])

        async def erased_then_read() -> list[int]:
            await theirs.erase(BOB)
            return [each.number for each in await theirs.erasures(0, 10)]

        first = of(held, theirs).erase(ANN)
        assert await overlapping(url, held, first, erased_then_read()) == [1, 2]
        assert [each.scope for each in await theirs.erasures(0, 10)] == [ANN, BOB]


class InterruptedDatabase(PostgresDatabase):
    """Lets somebody else do something after the first answer of a transaction."""

    def __init__(self, database: PostgresDatabase, between: Callable[[], Awaitable[None]]) -> None:
        super().__init__(database._pool, database._schema)
        self._between = between

    @asynccontextmanager
    async def transaction(self, tenant: Tenant) -> AsyncIterator[Transaction]:
        async with super().transaction(tenant) as writing:
            yield _Interrupted(writing._connection, self._between)


class _Interrupted(Transaction):
    def __init__(self, connection: Connection, between: Callable[[], Awaitable[None]]) -> None:
        super().__init__(connection)
        self._between: Callable[[], Awaitable[None]] | None = between

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[DictRow]:
        found = await super().rows(sql, parameters)
        between, self._between = self._between, None
        if between:
            await between()
        return found


async def test_a_turn_beside_the_beginning_of_its_conversation_comes_before_it(
    url: StoreUrl,
) -> None:
    async with turns_of_two(url) as (held, theirs):
        first = replace(turn("a"), conversation_id="conv_1")
        second = replace(turn("b", "a"), conversation_id="conv_1")
        begins = InterruptedDatabase(held, lambda: theirs.start(CONVERSATION, first))
        with pytest.raises(ConversationGone):
            await PostgresTurns(begins).add(second)
        assert await theirs.conversation(SCOPE, "conv_1") == CONVERSATION
        assert await theirs.add(second)
