from contextlib import aclosing

from prometheus_client import CollectorRegistry

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.adapters.metered import MeteredEmbedder, MeteredMemory
from services.shared.scope import Scope
from tests.fakes.memory import WordEmbedder, keeper

ANN = Scope("acme", "main", "ann")


async def test_counts_what_is_remembered_found_and_forgotten() -> None:
    registry = CollectorRegistry()
    embedder = MeteredEmbedder(WordEmbedder(), registry)
    memory = MeteredMemory(keeper(InMemoryFactStore(), embedder), registry)
    for text in ("my dog is called Rex", "my dog is called Max", "I live in Oslo"):
        fact = (await memory.remember(ANN, text)).fact
    await memory.recall(ANN, query="Max is my dog")
    await memory.forget(ANN, query="my dog is called Max")
    await memory.forget(ANN, fact_id=fact.id)
    await memory.remember(ANN, "I live in Oslo")
    await memory.erase(ANN)
    counted = {
        (sample.name.removeprefix("chatmesh_memory_"), *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }
    assert counted["remembered_total", "kept"] == 3
    assert counted["remembered_total", "replaced"] == 1
    assert [counted["forgotten_total", by] for by in ("query", "id", "erase")] == [1, 1, 1]
    assert (counted["found_count",], counted["found_sum",]) == (1, 1)
    # Four facts, a recall and a query.
    assert counted["embedding_seconds_count",] == 6


async def test_counts_who_watches_for_erasures() -> None:
    registry = CollectorRegistry()
    memory = MeteredMemory(keeper(InMemoryFactStore(), WordEmbedder()), registry)
    fact = (await memory.remember(ANN, "I live in Oslo")).fact
    await memory.forget(ANN, fact_id=fact.id)
    async with aclosing(memory.watch_erased(0)) as watch:
        assert (await anext(watch)).fact_ids == (fact.id,)
        assert registry.get_sample_value("chatmesh_memory_erasure_watchers") == 1
    assert registry.get_sample_value("chatmesh_memory_erasure_watchers") == 0
