"""Decorators that count what is asked of the other services."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from services.context_assembly.api import Assembly, Context, ContextAssembly, Turn
from services.gateway.activity import Activity
from services.moderation.api import Direction, Grown, Moderation, Release, Verdict
from services.shared.scope import Scope
from services.shared.tools import Tool, ToolCall
from services.tool_runner.api import Outcome, ToolRunner


class CountedModeration:
    def __init__(self, moderation: Moderation, activity: Activity) -> None:
        self._moderation = moderation
        self._characters = activity.characters

    async def screen(self, texts: Sequence[str], direction: Direction) -> Sequence[Verdict]:
        self._characters.add(sum(map(len, texts)))
        return await self._moderation.screen(texts, direction)

    async def watch(self, reply: AsyncIterator[Grown]) -> AsyncGenerator[Release, None]:
        async with aclosing(self._moderation.watch(self._counted(reply))) as releases:
            async for release in releases:
                yield release

    async def _counted(self, reply: AsyncIterator[Grown]) -> AsyncIterator[Grown]:
        async for grown in reply:
            self._characters.add(len(grown.text))
            yield grown


class CountedContext:
    def __init__(self, context: ContextAssembly, activity: Activity) -> None:
        self._context = context
        self._tokens = activity.tokens

    async def assemble(self, assembly: Assembly) -> Context:
        context = await self._context.assemble(assembly)
        self._tokens.add(len(context.prompt_ids))
        return context

    async def record(self, turn: Turn) -> None:
        await self._context.record(turn)

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn:
        return await self._context.get_turn(scope, turn_id)

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        await self._context.delete_turn(scope, turn_id)


class CountedTools:
    def __init__(self, tools: ToolRunner, activity: Activity) -> None:
        self._tools = tools
        self._activity = activity

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return await self._tools.list_tools(scope)

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        with self._activity.tool():
            return await self._tools.run(scope, call)
