"""Conversations: a way through a tree of turns that goes on, and the items along it."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from services.context_assembly.api import (
    ConversationItems,
    ConversationMoved,
    ConversationNotFound,
    ConversationPage,
    ItemNotFound,
    Paging,
    StoredConversation,
    Turn,
    TurnNotFound,
)
from services.context_assembly.ports import ConversationGone, HeadMoved, TurnStore
from services.shared.conversation import Item
from services.shared.errors import Malformed
from services.shared.ids import first_turn_of, response_of
from services.shared.scope import Scope

# So many turns are read at a time, from the conversation's end on.
_TURNS_AT_A_TIME = 32


class Conversations:
    """Of `ContextAssembly`, what has to do with turns and conversations as they are kept.

    The id of an item tells its turn (services/shared/ids.py), so that one item is read or erased
    without looking for it.
    """

    def __init__(self, store: TurnStore) -> None:
        self._store = store

    async def record(self, turn: Turn) -> None:
        if not turn.id:
            raise Malformed("the turn has no id", param="turn.id")
        try:
            is_there = await self._store.add(turn)
        except HeadMoved:
            raise ConversationMoved("another turn was added to the conversation") from None
        except ConversationGone:
            raise _absent() from None
        if not is_there:
            raise turn_absent()

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn:
        turn = await self._store.get(scope, turn_id)
        if turn is None:
            raise turn_absent()
        return turn

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        if not await self._store.erase(scope, turn_id):
            raise turn_absent()

    async def start_conversation(
        self, conversation: StoredConversation, items: Sequence[Item]
    ) -> None:
        if not conversation.head or conversation.head != first_turn_of(conversation.id):
            raise Malformed("the head is not the conversation's first turn", param="head")
        first = Turn(
            id=conversation.head,
            scope=conversation.scope,
            parent_id="",
            created_at_ms=conversation.created_at_ms,
            input=items,
            output=(),
            memory_ids=(),
            document="",
            conversation_id=conversation.id,
        )
        await self._store.start(conversation, first)

    async def get_conversation(self, scope: Scope, conversation_id: str) -> StoredConversation:
        found = await self._store.conversation(scope, conversation_id)
        if found is None:
            raise _absent()
        return found

    async def list_conversations(self, scope: Scope, paging: Paging) -> ConversationPage:
        one_more = replace(paging, limit=paging.limit + 1)
        found = await self._store.conversations(scope, one_more)
        if found is None:
            raise _absent("after")
        return ConversationPage(found[: paging.limit], len(found) > paging.limit)

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation:
        changed = await self._store.set_metadata(scope, conversation_id, metadata)
        if changed is None:
            raise _absent()
        return changed

    async def delete_conversation(self, scope: Scope, conversation_id: str) -> None:
        if not await self._store.erase_tree(scope, conversation_id):
            raise _absent()

    async def list_items(
        self, scope: Scope, conversation_id: str, paging: Paging
    ) -> ConversationItems:
        """The newest first is read from the conversation's end on, as far as is needed.

        The oldest first takes reading all that comes behind the page's beginning.
        """
        conversation = await self.get_conversation(scope, conversation_id)
        async with aclosing(self._backwards(scope, conversation.head)) as items:
            if paging.newest_first:
                found = await _newest(items, paging)
            else:
                found = await _oldest(items, paging)
        return ConversationItems(found[: paging.limit], len(found) > paging.limit)

    async def get_item(self, scope: Scope, conversation_id: str, item_id: str) -> Item:
        turn = await self._turn_of(scope, conversation_id, item_id)
        for item in (*turn.input, *turn.output):
            if item.id == item_id:
                return item
        raise _item_absent()

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str) -> None:
        turn = await self._turn_of(scope, conversation_id, item_id)
        if not await self._store.erase_item(scope, turn.id, item_id):
            raise _item_absent()

    async def _turn_of(self, scope: Scope, conversation_id: str, item_id: str) -> Turn:
        await self.get_conversation(scope, conversation_id)
        turn = await self._store.get(scope, response_of(item_id))
        if turn is None or turn.conversation_id != conversation_id:
            raise _item_absent()
        return turn

    async def _backwards(self, scope: Scope, turn_id: str) -> AsyncGenerator[Item, None]:
        """All items up to a turn's last one, the newest first."""
        while turn_id:
            stretch = await self._store.stretch(scope, turn_id, _TURNS_AT_A_TIME)
            for turn in reversed(stretch.turns):
                for item in reversed((*turn.input, *turn.output)):
                    yield item
            turn_id = stretch.above


async def _newest(items: AsyncGenerator[Item, None], paging: Paging) -> Sequence[Item]:
    """One more than the page has, if there are as many. Raises `ItemNotFound` for `after`."""
    found: list[Item] = []
    begun = not paging.after
    async for item in items:
        if begun:
            found.append(item)
        if len(found) > paging.limit:
            break
        begun = begun or item.id == paging.after
    if not begun:
        raise _item_absent("after")
    return found


async def _oldest(items: AsyncGenerator[Item, None], paging: Paging) -> Sequence[Item]:
    """As `_newest`, in the other order."""
    found: list[Item] = []
    async for item in items:
        if item.id == paging.after:
            break
        found.append(item)
    else:
        if paging.after:
            raise _item_absent("after")
    return found[: -paging.limit - 2 : -1]


def turn_absent() -> TurnNotFound:
    return TurnNotFound("there is no such turn")


def _absent(param: str = "conversation_id") -> ConversationNotFound:
    return ConversationNotFound("there is no such conversation", param=param)


def _item_absent(param: str = "item_id") -> ItemNotFound:
    return ItemNotFound("the conversation has no such item", param=param)
