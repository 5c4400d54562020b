import pytest

from services.shared.conversation import Parts, Picture, Refusal, Text
from services.shared.scope import Scope
from services.shared.tools import ToolCall
from services.tool_runner.api import Failure, Outcome
from services.tool_runner.ports import Arguments, Declaration, Permission, ToolFailed
from services.tool_runner.runner import Runner, ToolLimits
from tests.fakes.tool_runner import EchoTool, said, words

ANN = Scope("acme", "main", "ann")
LIMITS = ToolLimits(timeout_seconds=5, max_arguments_chars=1000, max_output_chars=100)


class FailingTool:
    declaration = Declaration("fail", "Fail.", {"type": "object"})

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        raise ToolFailed(Failure.REFUSED, "no " * 100)


class DrawingTool:
    """Answers in several parts; the texts have 10 characters each."""

    declaration = Declaration("draw", "Draw.", {"type": "object"})
    parts: Parts = (Text("a" * 10), Picture("image/png", b"png"), Refusal("b" * 10))

    async def run(self, scope: Scope, arguments: Arguments) -> Parts:
        return self.parts


class BrokenTool:
    declaration = Declaration("broken", "Break.", {"type": "object"})

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        raise LookupError("CANARY")


async def test_every_tool_has_its_own_limits() -> None:
    wide = ToolLimits(timeout_seconds=5, max_arguments_chars=1000, max_output_chars=300)
    runner = Runner([(EchoTool("narrow"), LIMITS), (EchoTool("wide"), wide)])
    told = '{"text": "' + "a" * 200 + '"}'
    narrow = await runner.run(ANN, ToolCall("1", "narrow", told))
    assert words(narrow) == "a" * 57 + "\n[cut: the whole result has 200 characters]"
    assert await runner.run(ANN, ToolCall("2", "wide", told)) == said("a" * 200)


async def test_an_output_as_long_as_its_bound_is_whole() -> None:
    runner = Runner([(EchoTool(), LIMITS)])
    outcome = await runner.run(ANN, ToolCall("1", "echo", '{"text": "' + "a" * 100 + '"}'))
    assert outcome == said("a" * 100)


async def test_a_failures_sentence_is_bounded_too() -> None:
    outcome = await Runner([(FailingTool(), LIMITS)]).run(ANN, ToolCall("1", "fail", ""))
    assert outcome.failure is Failure.REFUSED
    assert words(outcome).startswith("error: no no")
    assert len(words(outcome)) == 100


async def test_a_tool_may_answer_in_parts() -> None:
    outcome = await Runner([(DrawingTool(), LIMITS)]).run(ANN, ToolCall("1", "draw", ""))
    assert outcome == Outcome(DrawingTool.parts)


async def test_of_parts_the_texts_are_cut_together_and_the_others_stay() -> None:
    long = DrawingTool()
    long.parts = (Text("a" * 60), Picture("image/png", b"png"), Refusal("b" * 60))
    outcome = await Runner([(long, LIMITS)]).run(ANN, ToolCall("1", "draw", ""))
    cut, picture = outcome.parts
    assert cut == Text("a" * 57 + "\n[cut: the whole result has 121 characters]")
    assert picture == Picture("image/png", b"png")


async def test_a_bug_is_not_an_outcome() -> None:
    with pytest.raises(LookupError):
        await Runner([(BrokenTool(), LIMITS)]).run(ANN, ToolCall("1", "broken", ""))


async def test_lists_only_what_the_scope_may_run() -> None:
    tools = [EchoTool("open"), EchoTool("personal", Permission.PEOPLE)]
    runner = Runner([(tool, LIMITS) for tool in tools])
    assert [tool.name for tool in await runner.list_tools(ANN)] == ["open", "personal"]
    assert [tool.name for tool in await runner.list_tools(Scope("acme", "main"))] == ["open"]


async def test_the_schema_is_listed_as_json_text() -> None:
    (tool,) = await Runner([(EchoTool(), LIMITS)]).list_tools(ANN)
    assert tool.parameters == (
        '{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}'
    )
