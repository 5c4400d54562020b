import pytest
from prometheus_client import CollectorRegistry

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.adapters.metered import (
    MeteredMemory,
    MeteredSummariser,
    MeteredTokenizer,
    MeteredTurns,
    StepTimer,
)
from services.context_assembly.ports import Summary, SummaryFailed
from services.memory.api import Erasure
from services.shared.conversation import Role
from services.shared.errors import Unavailable
from services.tokenizer.api import Candidate, FitRequest, TemplateMessage
from tests.fakes.context_assembly import (
    SCOPE,
    SUMMARISING,
    FactMemory,
    FailingMemory,
    WordTokenizer,
    Writer,
    recorded,
    summariser,
)


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"chatmesh_context_assembly_{name}", labels)


async def test_reused_summaries_are_counted() -> None:
    registry = CollectorRegistry()
    turns = MeteredTurns(InMemoryTurns(), StepTimer(registry), registry)
    await turns.add(recorded("a"))
    await turns.path(SCOPE, "a", "m", 1000)
    assert value(registry, "summaries_reused_total") == 0
    summary = Summary("a", 1, "They met.")
    assert await turns.keep_summary(SCOPE, "m", summary, covers=["a"], grown_from=None)
    await turns.path(SCOPE, "a", "m", 1000)
    assert value(registry, "summaries_reused_total") == 1
    assert value(registry, "step_seconds_count", step="read") == 2
    assert value(registry, "step_seconds_count", step="write") == 1
    await turns.forget_facts(Erasure(1, SCOPE, ["mem_1"]))
    assert value(registry, "step_seconds_count", step="forget") == 1


async def test_turns_without_memory_are_counted() -> None:
    registry = CollectorRegistry()
    timer = StepTimer(registry)
    failing = MeteredMemory(FailingMemory(Unavailable("away")), timer, registry)
    with pytest.raises(Unavailable):
        await failing.recall(SCOPE, query="hi")
    assert value(registry, "memory_failures_total") == 1
    assert value(registry, "step_seconds_count", step="recall") == 1


async def test_recalls_that_succeed_are_no_failures() -> None:
    registry = CollectorRegistry()
    memory = FactMemory()
    memory.keep("m1", "rex is a dog")
    recalled = await MeteredMemory(memory, StepTimer(registry), registry).recall(SCOPE, query="rex")
    assert [fact.id for fact in recalled.found] == ["m1"]
    assert value(registry, "memory_failures_total") == 0


async def test_dropped_exchanges_are_counted() -> None:
    registry = CollectorRegistry()
    tokenizer = MeteredTokenizer(WordTokenizer(), StepTimer(registry), registry)
    candidates = [Candidate(TemplateMessage(Role.USER, "hi"), unit) for unit in (1, 2, 3, 0)]
    await tokenizer.fit(FitRequest("m", candidates, (), max_tokens=8, drop_step_tokens=0))
    assert value(registry, "dropped_exchanges_total") == 2
    assert value(registry, "step_seconds_count", step="fit") == 1


async def test_summaries_are_counted_by_outcome() -> None:
    registry = CollectorRegistry()
    writer = Writer()
    metered = MeteredSummariser(summariser(writer), StepTimer(registry), registry)
    assert await metered.summarise(SUMMARISING, SCOPE, "", "User: hi") == "They spoke."
    writer.text = ""
    with pytest.raises(SummaryFailed):
        await metered.summarise(SUMMARISING, SCOPE, "", "User: hi")
    assert value(registry, "summaries_total", outcome="made") == 1
    assert value(registry, "summaries_total", outcome="failed") == 1
