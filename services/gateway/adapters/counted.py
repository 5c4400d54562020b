"""Decorators that count what is asked of the other services."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from services.context_assembly.api import (
    Assembly,
    Compacted,
    Context,
    ContextAssembly,
    ConversationItems,
    ConversationPage,
    Paging,
    StoredConversation,
    Turn,
)
from services.gateway.activity import Activity
from services.moderation.api import Direction, Grown, Moderation, Release, Verdict
from services.shared.conversation import Item
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

    async def compact(self, assembly: Assembly) -> Compacted:
        compacted = await self._context.compact(assembly)
        self._tokens.add(compacted.usage.prompt_tokens)
        return compacted

    async def start_conversation(
        self, conversation: StoredConversation, items: Sequence[Item]
    ) -> None:
        await self._context.start_conversation(conversation, items)

    async def get_conversation(self, scope: Scope, conversation_id: str) -> StoredConversation:
        return await self._context.get_conversation(scope, conversation_id)

    async def list_conversations(self, scope: Scope, paging: Paging) -> ConversationPage:
        return await self._context.list_conversations(scope, paging)

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation:
        return await self._context.set_metadata(scope, conversation_id, metadata)

    async def delete_conversation(self, scope: Scope, conversation_id: str) -> None:
        await self._context.delete_conversation(scope, conversation_id)

    async def list_items(
        self, scope: Scope, conversation_id: str, paging: Paging
    ) -> ConversationItems:
        return await self._context.list_items(scope, conversation_id, paging)

    async def get_item(self, scope: Scope, conversation_id: str, item_id: str) -> Item:
        return await self._context.get_item(scope, conversation_id, item_id)

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str) -> None:
        await self._context.delete_item(scope, conversation_id, item_id)


class CountedTools:
    def __init__(self, tools: ToolRunner, activity: Activity) -> None:
        self._tools = tools
        self._activity = activity

    async def list_tools(self, scope: Scope) -> Sequence[Tool]:
        return await self._tools.list_tools(scope)

    async def run(self, scope: Scope, call: ToolCall) -> Outcome:
        with self._activity.tool():
            return await self._tools.run(scope, call)
