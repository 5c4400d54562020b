import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.adapters.sqlite import open_fact_store
from services.memory.api import Kind
from services.memory.ports import EmbeddedFact, FactStore
from services.shared.embedder import open_embedder
from services.shared.scope import Scope
from tests.fakes.memory import BusyStore, CountedFeed, WordEmbedder, keeper, lines, pairs

ANN = Scope("acme", "main", "ann")


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[FactStore]:
    async with open_fact_store(f"sqlite:{tmp_path}/memory.sqlite") as store:
        yield store


async def test_a_person_without_facts_costs_no_embedding(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    assert not (await memory.recall(ANN, query="What is my dog called?")).found
    assert not await memory.search(ANN, "my dog", 3)
    assert not await memory.forget(ANN, query="my dog")
    assert embedder.asked == []


async def test_nor_does_one_who_has_only_preferences(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    await memory.remember(ANN, "always answer in French")
    assert (await memory.recall(ANN, query="What is my dog called?")).preferences
    assert embedder.asked == ["always answer in French"]


async def test_nor_does_a_recall_without_a_query(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    fact = (await memory.remember(ANN, "my dog is called Rex")).fact
    assert (await memory.recall(ANN, query=" ", fact_ids=[fact.id])).named == [fact]
    assert embedder.asked == ["my dog is called Rex"]


async def test_a_long_query_is_looked_at_from_both_ends(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder, query_chars=20)
    await memory.remember(ANN, "my dog is called Rex")
    await memory.recall(ANN, query="the dog " + "x" * 1_000 + " is lost")
    assert embedder.asked[-1] == "the dog xx xx is lost"


async def test_a_fact_becomes_one_clean_line(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    kept = await memory.remember(ANN, "  my dog\n- is\x00 called\tRex\x1b ")
    assert kept.fact.text == "my dog - is called Rex"


async def test_a_write_that_came_between_is_seen_before_deciding_again(
    embedder: WordEmbedder,
) -> None:
    other = keeper(InMemoryFactStore(), embedder)
    theirs = (await other.remember(ANN, "I live in Oslo")).fact
    store = BusyStore(between=[EmbeddedFact(theirs, embedder.embed_now([theirs.text])[0])])
    memory = keeper(store, embedder)
    kept = await memory.remember(ANN, "I live in Bergen")
    assert kept.replaced == "I live in Oslo"
    assert await memory.list_facts(ANN) == [kept.fact]


async def test_the_same_said_many_times_at_once_is_kept_once(sqlite: FactStore) -> None:
    memory = keeper(sqlite, WordEmbedder())
    said = ("my dog is called Rex", "my dog is called Max")
    await asyncio.gather(*(memory.remember(ANN, said[n % 2]) for n in range(10)))
    (fact,) = await memory.list_facts(ANN)
    assert fact.text in said


async def test_facts_of_before_that_say_the_same_become_one(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    first = (await memory.remember(ANN, "my dog is called Rex")).fact
    second = (await memory.remember(ANN, "I like tea")).fact
    await memory.update(ANN, second.id, "my dog's name is Bo")
    kept = await memory.remember(ANN, "my dog is called Max")
    assert kept.replaced == "my dog is called Rex; my dog's name is Bo"
    assert kept.fact.id == first.id
    assert await memory.list_facts(ANN) == [kept.fact]


async def test_said_again_it_is_news_but_replaces_nothing(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    first = await memory.remember(ANN, "my dog is called Rex")
    again = await memory.remember(ANN, "my dog is called Rex", Kind.PREFERENCE)
    assert again.replaced == ""
    assert again.fact.id == first.fact.id
    assert again.fact.kind is Kind.PREFERENCE
    assert again.fact.updated_at_ms > first.fact.updated_at_ms


async def test_what_takes_a_preferences_place_is_one(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder)
    await memory.remember(ANN, "my title is Dr", Kind.PREFERENCE)
    assert (await memory.remember(ANN, "my title is Professor")).fact.kind is Kind.PREFERENCE


async def test_shows_no_more_than_has_room(embedder: WordEmbedder) -> None:
    memory = keeper(InMemoryFactStore(), embedder, preference_chars=50, found_chars=50)
    for number in range(5):
        await memory.remember(ANN, f"never ask for shell {'abcde'[number]}")
        await memory.remember(ANN, f"I own the shell {'abcde'[number]}")
    recalled = await memory.recall(ANN, query="the shell that I own")
    # The newest wishes, and what of the rest bears most on the query.
    assert [fact.text[-1] for fact in recalled.preferences] == ["e", "d"]
    assert len(recalled.found) == 2
    assert not {fact.kind for fact in recalled.found} - {Kind.FACT}


async def test_another_process_sees_the_same(sqlite: FactStore, embedder: WordEmbedder) -> None:
    ours, theirs = keeper(sqlite, embedder), keeper(sqlite, embedder)
    fact = (await ours.remember(ANN, "my dog is called Rex")).fact
    assert await theirs.list_facts(ANN) == [fact]
    await ours.forget(ANN, fact_id=fact.id)
    assert await theirs.list_facts(ANN) == []
    assert not await theirs.search(ANN, "Rex", 1)


async def test_another_process_hears_what_was_erased(
    sqlite: FactStore, embedder: WordEmbedder
) -> None:
    ours = keeper(sqlite, embedder)
    theirs = keeper(sqlite, embedder, CountedFeed(sqlite, reread_seconds=0.01))
    async with aclosing(theirs.watch_erased(0)) as watch:
        heard = asyncio.ensure_future(anext(watch))
        fact = (await ours.remember(ANN, "my dog is called Rex")).fact
        await ours.forget(ANN, fact_id=fact.id)
        assert (await asyncio.wait_for(heard, 5)).fact_ids == (fact.id,)


async def test_said_again_in_the_same_words_a_fact_is_not_told_as_erased(
    embedder: WordEmbedder,
) -> None:
    store = InMemoryFactStore()
    memory = keeper(store, embedder)
    for text in ("my dog is called Rex", "my dog is called Rex", "my dog is called Max"):
        fact = (await memory.remember(ANN, text)).fact
    assert [erasure.fact_ids for erasure in await store.erasures(0, 10)] == [(fact.id,)]


async def test_all_facts_whose_place_a_new_one_takes_are_told_at_once(
    embedder: WordEmbedder,
) -> None:
    store = InMemoryFactStore()
    memory = keeper(store, embedder)
    first = (await memory.remember(ANN, "my dog is called Rex")).fact
    second = (await memory.remember(ANN, "I like tea")).fact
    await memory.update(ANN, second.id, "my dog's name is Bo")
    await memory.remember(ANN, "my dog is called Max")
    told = [erasure.fact_ids for erasure in await store.erasures(0, 10)]
    assert told == [(second.id,), (first.id, second.id)]


async def test_chains_of_updates_leave_the_last_value() -> None:
    chains = [
        [f"my {pet} is called {name}" for name in "Rex Max Bo Kim Loki".split()]
        for pet in "dog cat parrot hamster horse goldfish turtle".split()
    ]
    chains += [[f"I live in {town}" for town in "Oslo Rome Paris Lima Cork".split()]]
    with open_embedder() as embedder:
        memory = keeper(InMemoryFactStore(), embedder)
        for links in zip(*chains, strict=True):
            for text in links:
                await memory.remember(ANN, text)
        kept = {fact.text for fact in await memory.list_facts(ANN)}
    assert kept == {chain[-1] for chain in chains}


async def test_what_is_recalled_bears_on_the_message() -> None:
    """The measure by which the threshold was chosen: what is missed against what is in the way."""
    with open_embedder() as embedder:
        memory = keeper(InMemoryFactStore(), embedder)
        for text in lines("person"):
            await memory.remember(ANN, text, Kind.FACT)
        assert len(await memory.list_facts(ANN)) == len(lines("person"))
        shares, shown = [], 0
        for message, beginnings in pairs("asked"):
            found = [fact.text for fact in (await memory.recall(ANN, query=message)).found]
            wanted = tuple(beginnings.split("; "))
            shares.append(sum(text.startswith(wanted) for text in found) / len(wanted))
            shown += len(found)
        disturbed = [
            bool((await memory.recall(ANN, query=message)).found) for message in lines("unrelated")
        ]
    assert len(shares) >= 48
    assert sum(shares) / len(shares) >= 0.95
    assert shown / len(shares) <= 2
    assert len(disturbed) >= 40
    assert sum(disturbed) / len(disturbed) <= 0.15
