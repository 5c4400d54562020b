"""Three replicas of memory and of context-assembly on one store: none answers with what is gone."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.context_assembly.adapters.cassandra import open_cassandra_turns
from services.context_assembly.adapters.mongodb import open_mongodb_turns
from services.context_assembly.adapters.postgres import open_postgres_turns
from services.context_assembly.api import (
    ContextAssembly,
    ConversationNotFound,
    KeptIds,
    Paging,
    StoredConversation,
    TurnNotFound,
)
from services.context_assembly.assembler import Assembler
from services.context_assembly.forgetting import Forgetter
from services.context_assembly.ports import TurnStore
from services.memory.adapters.cassandra import open_cassandra_facts
from services.memory.adapters.postgres import open_postgres_facts
from services.memory.erasure_feed import ErasureFeed
from services.memory.keeper import Keeper
from services.memory.ports import FactStore, ScopeFacts
from services.shared.background import in_background
from services.shared.ids import first_turn_of, make_conversation_id, make_item_id
from tests.fakes.context_assembly import SCOPE, Desk, WordTokenizer, asked, recorded, user
from tests.fakes.gateways import eventually
from tests.fakes.memory import WordEmbedder, keeper
from tests.fakes.turn_trees import turn
from tests.servers.cassandra import empty_keyspace
from tests.servers.ferretdb import fresh_documents
from tests.servers.postgres import fresh_database

Stores = Callable[[], AbstractAsyncContextManager[Sequence[FactStore]]]
REX, TOM = "my dog is called Rex", "my brother is called Tom"


@asynccontextmanager
async def facts_in_postgres() -> AsyncIterator[Sequence[FactStore]]:
    async with fresh_database() as url, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_postgres_facts(url)) for _ in range(3)]


@asynccontextmanager
async def facts_in_cassandra() -> AsyncIterator[Sequence[FactStore]]:
    url = await empty_keyspace()
    async with AsyncExitStack() as stack:
        opening = [open_cassandra_facts(url, erased_within_seconds=60) for _ in range(3)]
        yield [await stack.enter_async_context(each) for each in opening]


@asynccontextmanager
async def turns_in_postgres() -> AsyncIterator[Sequence[TurnStore]]:
    async with fresh_database() as url, AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_postgres_turns(url)) for _ in range(3)]


@asynccontextmanager
async def turns_in_cassandra() -> AsyncIterator[Sequence[TurnStore]]:
    url = await empty_keyspace()
    async with AsyncExitStack() as stack:
        opening = [open_cassandra_turns(url, erased_within_seconds=60) for _ in range(3)]
        yield [await stack.enter_async_context(each) for each in opening]


@asynccontextmanager
async def turns_in_mongodb() -> AsyncIterator[Sequence[TurnStore]]:
    url = await fresh_documents()
    async with AsyncExitStack() as stack:
        opening = [open_mongodb_turns(url, erased_within_seconds=60) for _ in range(3)]
        yield [await stack.enter_async_context(each) for each in opening]


FACTS = {"postgresql": facts_in_postgres, "cassandra": facts_in_cassandra}
TURNS = {
    "postgresql": turns_in_postgres,
    "cassandra": turns_in_cassandra,
    "mongodb": turns_in_mongodb,
}


class Forgetful:
    """A store that is not asked for its revision again: an index is believed for ever."""

    def __init__(self, store: FactStore) -> None:
        self._store = store
        self._revision = 0

    async def revision(self, scope: object) -> int:
        self._revision = self._revision or await self._store.revision(SCOPE)
        return self._revision

    async def read(self, scope: object) -> ScopeFacts:
        return await self._store.read(SCOPE)


def replicas_of(stores: Sequence[FactStore]) -> list[Keeper]:
    return [
        keeper(store, WordEmbedder(), ErasureFeed(store, reread_seconds=0.01), name=name)
        for name, store in zip("abc", stores, strict=True)
    ]


@pytest.fixture(params=FACTS)
async def memories(request: pytest.FixtureRequest) -> AsyncIterator[Sequence[Keeper]]:
    async with FACTS[request.param]() as stores:
        yield replicas_of(stores)


async def said_by(memory: Keeper) -> set[str]:
    """All that it answers with, in every way that there is."""
    recalled = await memory.recall(SCOPE, query="dog brother Rex Tom Max")
    found = [*recalled.preferences, *recalled.named, *recalled.found]
    found += [match.fact for match in await memory.search(SCOPE, "dog brother Rex Tom Max", 9)]
    return {fact.text for fact in (*found, *await memory.list_facts(SCOPE))}


async def check_all_say(memories: Sequence[Keeper], *texts: str) -> None:
    for memory in memories:
        assert await said_by(memory) == set(texts)


async def test_what_one_memory_remembers_changes_or_erases_all_know(
    memories: Sequence[Keeper],
) -> None:
    first, second, third = memories
    dog = (await first.remember(SCOPE, REX)).fact
    await check_all_say(memories, REX)
    await second.remember(SCOPE, TOM)
    await check_all_say(memories, REX, TOM)
    await third.update(SCOPE, dog.id, "my dog is called Max")
    await check_all_say(memories, "my dog is called Max", TOM)
    await second.forget(SCOPE, fact_id=dog.id)
    await check_all_say(memories, TOM)
    assert await third.erase(SCOPE) == 1
    await check_all_say(memories)
    await first.remember(SCOPE, REX)
    await check_all_say(memories, REX)


async def test_an_index_that_is_believed_for_ever_tells_what_is_gone() -> None:
    """The test above sees it when a replica does not look at the store."""
    async with facts_in_postgres() as stores:
        first = replicas_of(stores)[0]
        stale = keeper(Forgetful(stores[1]), WordEmbedder())  # type: ignore[arg-type]
        dog = (await first.remember(SCOPE, REX)).fact
        assert await said_by(stale) == {REX}
        await first.forget(SCOPE, fact_id=dog.id)
        assert await said_by(stale) == {REX}


@dataclass(slots=True)
class Replicas:
    """Each context-assembly asks a memory of its own."""

    contexts: Sequence[Assembler]
    memories: Sequence[Keeper]
    tokenizer: WordTokenizer
    stores: Sequence[TurnStore]

    async def shown_by(self, context: ContextAssembly) -> str:
        assembled = await context.assemble(asked("what is my dog called"))
        return self.tokenizer.text(assembled.prompt_ids)


@pytest.fixture(params=TURNS)
async def replicas(request: pytest.FixtureRequest) -> AsyncIterator[Replicas]:
    async with (
        TURNS[request.param]() as stores,
        facts_in_postgres() as facts,
        AsyncExitStack() as stack,
    ):
        memories, tokenizer = replicas_of(facts), WordTokenizer()
        pairs = [*zip(stores, memories, strict=True)]
        for store, memory in pairs:
            forgetter = Forgetter(memory, store, retry_seconds=0.01)
            await stack.enter_async_context(in_background(forgetter.run))
        desks = [Desk(store, memory, tokenizer) for store, memory in pairs]
        yield Replicas([desk.assembler() for desk in desks], memories, tokenizer, stores)


async def test_a_fact_that_one_memory_erases_is_in_no_prompt(replicas: Replicas) -> None:
    dog = (await replicas.memories[0].remember(SCOPE, REX)).fact
    for context in replicas.contexts:
        assert "Rex" in await replicas.shown_by(context)
    kept = KeptIds("plain", 0, [1, 2, 3], [dog.id])
    await replicas.contexts[0].record(recorded("resp_1", memory_ids=[dog.id], kept_ids=kept))
    await replicas.memories[1].forget(SCOPE, fact_id=dog.id)
    for context in replicas.contexts:
        assert "Rex" not in await replicas.shown_by(context)

    # The ids of the prompt that had it go too, whichever replica hears of it first.
    async def forgotten() -> bool:
        turns = [await each.get_turn(SCOPE, "resp_1") for each in replicas.contexts]
        return all(turn.kept_ids is None for turn in turns)

    await eventually(forgotten)


async def test_a_conversation_that_one_replica_erases_is_in_no_answer(replicas: Replicas) -> None:
    first, second, third = replicas.contexts
    conversation_id = make_conversation_id()
    head = first_turn_of(conversation_id)
    chat = StoredConversation(conversation_id, SCOPE, 5, {}, head)
    item = replace(user("hello"), id=make_item_id("msg", head))
    await first.start_conversation(chat, [item])
    for context in replicas.contexts:
        assert await context.get_conversation(SCOPE, chat.id) == chat
        assert (await context.list_items(SCOPE, chat.id, Paging())).items == [item]
        await context.assemble(asked("and now", parent_id=head))
    await second.delete_conversation(SCOPE, chat.id)
    for context in (first, second, third):
        with pytest.raises(ConversationNotFound):
            await context.get_conversation(SCOPE, chat.id)
        with pytest.raises(ConversationNotFound):
            await context.list_items(SCOPE, chat.id, Paging())
        with pytest.raises(TurnNotFound):
            await context.get_turn(SCOPE, head)
        with pytest.raises(TurnNotFound):
            await context.assemble(asked("and now", parent_id=head))
        assert (await context.list_conversations(SCOPE, Paging())).conversations == []


async def test_a_turn_that_one_replica_records_goes_on_at_another(replicas: Replicas) -> None:
    first, second, third = replicas.contexts
    await first.record(turn("a"))
    await second.record(turn("b", "a"))
    assert await third.get_turn(SCOPE, turn("b").id) == turn("b", "a")
    await third.delete_turn(SCOPE, turn("a").id)
    for context in (first, second):
        with pytest.raises(TurnNotFound):
            await context.get_turn(SCOPE, turn("a").id)
