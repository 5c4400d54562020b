import pytest

from services.shared.chat import Scope, ToolCall
from services.tool_runner.api import Failure, Outcome
from services.tool_runner.ports import Arguments, Declaration, Permission, ToolFailed
from services.tool_runner.runner import Limits, Runner
from tests.fakes.tool_runner import EchoTool

ANN = Scope("acme", "ann")
LIMITS = Limits(timeout_seconds=5, max_arguments_chars=1000, max_output_chars=100)


class FailingTool:
    declaration = Declaration("fail", "Fail.", {"type": "object"})

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        raise ToolFailed(Failure.REFUSED, "no " * 100)


class BrokenTool:
    declaration = Declaration("broken", "Break.", {"type": "object"})

    async def run(self, scope: Scope, arguments: Arguments) -> str:
        raise LookupError("CANARY")


async def test_every_tool_has_its_own_limits() -> None:
    wide = Limits(timeout_seconds=5, max_arguments_chars=1000, max_output_chars=300)
    runner = Runner([(EchoTool("narrow"), LIMITS), (EchoTool("wide"), wide)])
    said = '{"text": "' + "a" * 200 + '"}'
    narrow = await runner.run(ANN, ToolCall("1", "narrow", said))
    assert narrow.output == "a" * 57 + "\n[cut: the whole result has 200 characters]"
    assert await runner.run(ANN, ToolCall("2", "wide", said)) == Outcome("a" * 200)


async def test_an_output_as_long_as_its_bound_is_whole() -> None:
    runner = Runner([(EchoTool(), LIMITS)])
    outcome = await runner.run(ANN, ToolCall("1", "echo", '{"text": "' + "a" * 100 + '"}'))
    assert outcome == Outcome("a" * 100)


async def test_a_failures_sentence_is_bounded_too() -> None:
    outcome = await Runner([(FailingTool(), LIMITS)]).run(ANN, ToolCall("1", "fail", ""))
    assert outcome.failure is Failure.REFUSED
    assert outcome.output.startswith("error: no no")
    assert len(outcome.output) == 100


async def test_a_bug_is_not_an_outcome() -> None:
    with pytest.raises(LookupError):
        await Runner([(BrokenTool(), LIMITS)]).run(ANN, ToolCall("1", "broken", ""))


async def test_lists_only_what_the_scope_may_run() -> None:
    tools = [EchoTool("open"), EchoTool("personal", Permission.USERS)]
    runner = Runner([(tool, LIMITS) for tool in tools])
    assert [tool.name for tool in await runner.list_tools(ANN)] == ["open", "personal"]
    assert [tool.name for tool in await runner.list_tools(Scope("acme"))] == ["open"]


async def test_the_schema_is_listed_as_json_text() -> None:
    (tool,) = await Runner([(EchoTool(), LIMITS)]).list_tools(ANN)
    assert tool.parameters == (
        '{"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}'
    )
