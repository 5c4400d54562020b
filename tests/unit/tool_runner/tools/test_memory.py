import pytest

from services.memory.api import FactTooLong, MemoryFull, NobodyToRemember
from services.shared.chat import Scope
from services.shared.errors import DeadlineExceeded, InternalError, MeshError, Unavailable
from services.tool_runner.api import Failure
from services.tool_runner.ports import ToolFailed
from services.tool_runner.tools.memory import Forget, Remember
from tests.fakes.tool_runner import FailingMemory, FakeMemory

ANN = Scope("acme", "ann")


async def test_every_forgotten_fact_has_a_line() -> None:
    memory = FakeMemory()
    for fact in ("My cat is Tom", "Our cat sleeps"):
        await Remember(memory).run(ANN, {"fact": fact})
    told = await Forget(memory).run(ANN, {"fact": "cat"})
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
        await tool(FakeMemory()).run(ANN, {"fact": " "})
    assert caught.value.failure is Failure.INVALID_ARGUMENTS
