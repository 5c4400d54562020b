from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.api import Fact, FactTooLong, MemoryFull, NobodyToRemember, Remembered
from services.memory.keeper import Keeper
from services.shared.errors import DeadlineExceeded, InternalError, MeshError, Unavailable
from services.shared.scope import Scope
from services.tool_runner.api import Failure
from services.tool_runner.ports import ToolFailed
from services.tool_runner.runner import Runner, ToolLimits
from services.tool_runner.tools.clock import Clock
from services.tool_runner.tools.memory import Forget, Remember
from tests.fakes.memory import WordEmbedder, keeper

ANN = Scope("acme", "main", "ann")


def memory() -> Keeper:
    return keeper(InMemoryFactStore(), WordEmbedder())


class FailingMemory:
    def __init__(self, error: MeshError) -> None:
        self._error = error

    async def remember(self, scope: Scope, text: str) -> Remembered:
        raise self._error

    async def forget(self, scope: Scope, *, query: str) -> Sequence[Fact]:
        raise self._error


async def test_who_lists_these_tools_reads_that_they_write_memory() -> None:
    limits = ToolLimits(timeout_seconds=5, max_arguments_chars=100, max_output_chars=100)
    tools = [
        (tool, limits)
        for tool in (Remember(memory()), Forget(memory()), Clock(lambda: datetime.now(UTC)))
    ]
    listed = await Runner(tools).list_tools(ANN)
    assert [tool.writes_memory for tool in listed] == [True, True, False]


async def test_every_forgotten_fact_has_a_line() -> None:
    kept = memory()
    for fact in ("My cat is Tom", "Our cat sleeps"):
        await Remember(kept).run(ANN, {"fact": fact})
    told = await Forget(kept).run(ANN, {"fact": "cat"})
    assert told == "Forgotten: My cat is Tom\nForgotten: Our cat sleeps"


@pytest.mark.parametrize(
    ("error", "failure", "sentence"),
    [
        (Unavailable("m"), Failure.UNREACHABLE, "the memory cannot be reached"),
        (DeadlineExceeded("m"), Failure.TIMED_OUT, "the memory took too long"),
        (FactTooLong("m"), Failure.INVALID_ARGUMENTS, "the fact is too long"),
        (
            MemoryFull("m"),
            Failure.REFUSED,
            "the memory is full; something must be forgotten first",
        ),
        (NobodyToRemember("m"), Failure.FAILED, "the memory failed"),
        (InternalError("m"), Failure.FAILED, "the memory failed"),
    ],
)
@pytest.mark.parametrize("tool", [Remember, Forget])
async def test_what_memory_raises_is_said_in_plain_words(
    tool: type[Remember] | type[Forget], error: MeshError, failure: Failure, sentence: str
) -> None:
    with pytest.raises(ToolFailed) as caught:
        await tool(FailingMemory(error)).run(ANN, {"fact": "My cat is Tom"})
    assert (caught.value.failure, caught.value.sentence) == (failure, sentence)


@pytest.mark.parametrize("tool", [Remember, Forget])
async def test_an_empty_fact_is_refused(tool: type[Remember] | type[Forget]) -> None:
    with pytest.raises(ToolFailed) as caught:
        await tool(memory()).run(ANN, {"fact": " "})
    assert caught.value.failure is Failure.INVALID_ARGUMENTS
