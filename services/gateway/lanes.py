"""The turns of a conversation, one after the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from services.context_assembly.api import (
    ContextAssembly,
    ConversationNotFound,
    StoredConversation,
)
from services.gateway.api import Ask, ConversationBusy, NoSuchConversation
from services.shared.scope import Scope


@dataclass(slots=True)
class _Lane:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    # How many are in it or wait for it.
    users: int = 0


class Lanes:
    """Lets one turn at a time into each conversation; who comes first is first.

    It knows the turns of this process alone. Where two gateways have a turn each in one
    conversation, the store takes the first of them that ends (`ConversationMoved`).
    """

    def __init__(self, context: ContextAssembly) -> None:
        self._context = context
        # By organisation, project and conversation.
        self._lanes: dict[tuple[str, str, str], _Lane] = {}

    @asynccontextmanager
    async def entered(
        self, scope: Scope, conversation_id: str, *, waits: bool
    ) -> AsyncIterator[StoredConversation]:
        """The conversation as it is when the turn's time has come; nobody else is in it meanwhile.

        Who is cancelled while waiting gives the place up. Raises `NoSuchConversation`, and
        `ConversationBusy` instead of waiting.
        """
        await found(self._context, scope, conversation_id)
        key = (scope.organisation, scope.project, conversation_id)
        lane = self._lanes.setdefault(key, _Lane())
        if lane.users and not waits:
            raise ConversationBusy(
                "another turn of the conversation is under way", param="conversation"
            )
        lane.users += 1
        try:
            async with lane.turn:
                yield await found(self._context, scope, conversation_id)
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[key]

    @asynccontextmanager
    async def continued(self, scope: Scope, ask: Ask) -> AsyncIterator[Ask]:
        """The ask as the next turn of its conversation, if it names one."""
        if not ask.conversation:
            yield ask
            return
        async with self.entered(scope, ask.conversation, waits=ask.waits) as conversation:
            yield replace(ask, parent_id=conversation.head)

    async def from_its_head(self, scope: Scope, ask: Ask) -> Ask:
        """The ask as it would continue its conversation now; nobody waits for anybody."""
        if not ask.conversation:
            return ask
        conversation = await found(self._context, scope, ask.conversation)
        return replace(ask, parent_id=conversation.head)


async def found(context: ContextAssembly, scope: Scope, conversation_id: str) -> StoredConversation:
    """Raises `NoSuchConversation`."""
    try:
        return await context.get_conversation(scope, conversation_id)
    except ConversationNotFound:
        raise no_such_conversation() from None


def no_such_conversation() -> NoSuchConversation:
    return NoSuchConversation("there is no such conversation", param="conversation")
