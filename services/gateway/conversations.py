"""Conversations as callers see them: begun, added to, listed and erased."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from services.context_assembly.api import (
    ConversationItems,
    ConversationMoved,
    ConversationNotFound,
    ItemNotFound,
    Paging,
    StoredConversation,
    Turn,
)
from services.gateway.api import (
    Ask,
    ConversationBusy,
    ConversationCard,
    ConversationCards,
    InvalidRequest,
    NoSuchItem,
)
from services.gateway.attachments import with_read_files
from services.gateway.authenticator import Principal
from services.gateway.compacting import unsealed
from services.gateway.intake import with_ids, with_unsealed
from services.gateway.lanes import Lanes, found, no_such_conversation
from services.gateway.ports import Neighbours
from services.gateway.references import with_referenced
from services.gateway.screening import Screening
from services.shared.conversation import Item
from services.shared.ids import first_turn_of
from services.shared.scope import Scope

# How often items are added anew behind a turn of another process that came first.
_ATTEMPTS = 5


class ConversationKeeper:
    """Conversations belong to the key's project, whoever the person is."""

    def __init__(self, neighbours: Neighbours, lanes: Lanes) -> None:
        self._context = neighbours.context
        self._screening = Screening(neighbours.moderation)
        self._lanes = lanes

    async def create(
        self, principal: Principal, added: Ask, metadata: Mapping[str, str], conversation_id: str
    ) -> ConversationCard:
        scope = principal.account.scope("")
        taken = await self._taken_in(principal, scope, added)
        root = first_turn_of(conversation_id)
        conversation = StoredConversation(conversation_id, scope, _now_ms(), metadata, root)
        items = with_ids(taken, root, all_anew=True).input
        await self._context.start_conversation(conversation, items)
        return _card(conversation)

    async def get(self, scope: Scope, conversation_id: str) -> ConversationCard:
        return _card(await found(self._context, scope, conversation_id))

    async def list(self, scope: Scope, paging: Paging) -> ConversationCards:
        with _told(paging):
            page = await self._context.list_conversations(scope, paging)
        return ConversationCards(tuple(map(_card, page.conversations)), page.has_more)

    async def update(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> ConversationCard:
        with _told():
            return _card(await self._context.set_metadata(scope, conversation_id, metadata))

    async def delete(self, scope: Scope, conversation_id: str) -> None:
        with _told():
            await self._context.delete_conversation(scope, conversation_id)

    async def add(
        self, principal: Principal, conversation_id: str, added: Ask, turn_id: str
    ) -> Sequence[Item]:
        """Adds the items as a turn of that id."""
        scope = principal.account.scope("")
        await found(self._context, scope, conversation_id)
        taken = await self._taken_in(principal, scope, added)
        for _ in range(_ATTEMPTS):
            async with self._lanes.entered(scope, conversation_id, waits=True) as conversation:
                turn = _turn_of_items(conversation, taken, turn_id)
                try:
                    await self._context.record(turn)
                except ConversationMoved:
                    continue
                except ConversationNotFound:
                    raise no_such_conversation() from None
                return turn.input
        raise ConversationBusy("other turns are added all the time", param="conversation")

    async def items(self, scope: Scope, conversation_id: str, paging: Paging) -> ConversationItems:
        with _told(paging):
            return await self._context.list_items(scope, conversation_id, paging)

    async def item(self, scope: Scope, conversation_id: str, item_id: str) -> Item:
        with _told():
            return await self._context.get_item(scope, conversation_id, item_id)

    async def delete_item(
        self, scope: Scope, conversation_id: str, item_id: str
    ) -> ConversationCard:
        with _told():
            await self._context.delete_item(scope, conversation_id, item_id)
        return await self.get(scope, conversation_id)

    async def _taken_in(self, principal: Principal, scope: Scope, added: Ask) -> Ask:
        """The items as a turn would take them in: found, opened, read and moderated."""
        opened = with_unsealed(added, principal.sealer)
        whole = await with_referenced(opened, self._context, scope)
        read = with_read_files(unsealed(whole, principal.sealer))
        return await self._screening.screen(read)


def _turn_of_items(conversation: StoredConversation, taken: Ask, turn_id: str) -> Turn:
    """A turn in which nothing was answered."""
    return Turn(
        id=turn_id,
        scope=conversation.scope,
        parent_id=conversation.head,
        created_at_ms=_now_ms(),
        input=with_ids(taken, turn_id, all_anew=True).input,
        output=(),
        memory_ids=(),
        document="",
        conversation_id=conversation.id,
    )


def _card(conversation: StoredConversation) -> ConversationCard:
    return ConversationCard(conversation.id, conversation.created_at_ms, conversation.metadata)


@contextmanager
def _told(paging: Paging | None = None) -> Iterator[None]:
    """What is not there, in the gateway's own errors."""
    try:
        yield
    except (ConversationNotFound, ItemNotFound) as absent:
        if paging and absent.details.get("param") == "after":
            raise InvalidRequest(
                "after: names nothing that is in this list", param="after"
            ) from None
        if isinstance(absent, ItemNotFound):
            raise NoSuchItem("there is no such item", param="item_id") from None
        raise no_such_conversation() from None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
