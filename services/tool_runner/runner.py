"""Runs a tool inside its limits, or says why not."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from services.shared.conversation import Parts, Refusal, Text, text_of
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Failure, Outcome, UnknownTool
from services.tool_runner.arguments import ArgumentReader
from services.tool_runner.ports import Declaration, RunnableTool, ToolFailed

_CUT = "\n[cut: the whole result has {} characters]"


@dataclass(frozen=True, slots=True)
class ToolLimits:
    timeout_seconds: float
    max_arguments_chars: int
    # Of all texts of an output together; not less than the note takes that says what was cut.
    max_output_chars: int


class Runner:
    """The tools by name; they are listed in the order in which they were given."""

    def __init__(self, tools: Sequence[tuple[RunnableTool, ToolLimits]]) -> None:
        self._registered = {
            tool.declaration.name: _Registered(tool, limits) for tool, limits in tools
        }

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return [one.described for one in self._registered.values() if one.open_to(scope)]

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        registered = self._registered.get(call.name)
        if registered is None or not registered.open_to(scope):
            raise UnknownTool("there is no such tool for this scope")
        return await registered.run(scope, call.arguments)


class _Registered:
    """A tool with its limits; what its schema is needed for is made of it once."""

    def __init__(self, tool: RunnableTool, limits: ToolLimits) -> None:
        self._tool = tool
        self._limits = limits
        self._reader = ArgumentReader(
            tool.declaration.parameters, max_chars=limits.max_arguments_chars
        )
        self.described = _described(tool.declaration)

    def open_to(self, scope: Scope) -> bool:
        return self._tool.declaration.permission.granted_to(scope)

    async def run(self, scope: Scope, arguments: str) -> Outcome:
        try:
            output = await self._output(scope, arguments)
        except ToolFailed as error:
            return Outcome(self._cut((Text(f"error: {error.sentence}"),)), error.failure)
        except TimeoutError:
            return Outcome((Text("error: the tool took too long"),), Failure.TIMED_OUT)
        return Outcome(self._cut(output))

    async def _output(self, scope: Scope, arguments: str) -> Parts:
        read = self._reader.read(arguments)
        async with asyncio.timeout(self._limits.timeout_seconds):
            output = await self._tool.run(scope, read)
        return (Text(output),) if isinstance(output, str) else output

    def _cut(self, output: Parts) -> Parts:
        """The same, or, where its texts are too long, one cut text and then the other parts."""
        text = text_of(output)
        if len(text) <= self._limits.max_output_chars:
            return output
        note = _CUT.format(len(text))
        cut = text[: self._limits.max_output_chars - len(note)] + note
        return (Text(cut), *(part for part in output if not isinstance(part, Text | Refusal)))


def _described(declaration: Declaration) -> Tool:
    parameters = json.dumps(declaration.parameters, ensure_ascii=False)
    return Tool(
        declaration.name,
        declaration.description,
        parameters,
        writes_memory=declaration.writes_memory,
    )
