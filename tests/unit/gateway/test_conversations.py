"""Conversations as callers see them; `http/conversations/test_routes.py` has the rest."""

from collections.abc import Sequence

import pytest

from services.context_assembly.api import ConversationMoved, Paging, Turn
from services.gateway.api import (
    Ask,
    ConversationBusy,
    ConversationCard,
    InputBlocked,
    InvalidRequest,
    NoSuchConversation,
    NoSuchItem,
)
from services.gateway.authenticator import Principal
from services.gateway.conversations import ConversationKeeper
from services.gateway.lanes import Lanes
from services.gateway.ports import Neighbours
from services.gateway.sealing import Sealer
from services.shared.conversation import Compaction, Item, Message, Role, said
from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_response_id,
    response_of,
)
from tests.fakes.mesh import PERSON, FewTools, ScriptedInference, WordContext
from tests.fakes.moderation import WordModeration

ADA = Principal(PERSON, "key1", Sealer(b"secret", PERSON.id))
SCOPE = PERSON.scope("")


class CrowdedContext(WordContext):
    """Another gateway's turn comes first, so many times."""

    def __init__(self, others: int) -> None:
        super().__init__()
        self.others = others

    async def record(self, turn: Turn) -> None:
        if self.others:
            self.others -= 1
            raise ConversationMoved("another turn was added")
        await super().record(turn)


def keeper(context: WordContext) -> ConversationKeeper:
    neighbours = Neighbours(WordModeration(), context, ScriptedInference(), FewTools())
    return ConversationKeeper(neighbours, Lanes(context))


def asks(*items: Item) -> Ask:
    return Ask("", items)


async def create(kept: ConversationKeeper, items: Ask) -> ConversationCard:
    return await kept.create(ADA, items, {}, make_conversation_id())


async def add(kept: ConversationKeeper, conversation_id: str, items: Ask) -> Sequence[Item]:
    turn_id = make_response_id(first_turn_of(conversation_id))
    return await kept.add(ADA, conversation_id, items, turn_id)


def user(text: str, item_id: str = "") -> Message:
    return said(item_id, Role.USER, text)


async def texts(kept: ConversationKeeper, conversation_id: str) -> Sequence[str]:
    page = await kept.items(SCOPE, conversation_id, Paging(newest_first=False))
    return [item.text for item in page.items]  # type: ignore[union-attr]


async def test_items_get_ids_that_tell_their_turns() -> None:
    kept = keeper(WordContext())
    chat = await create(kept, asks(user("one", "msg_mine")))
    added = await add(kept, chat.id, asks(user("two", "msg_mine"), user("three", "msg_mine")))
    page = await kept.items(SCOPE, chat.id, Paging(newest_first=False))
    ids = [item.id for item in page.items]
    assert len({*ids}) == 3
    assert ids[1:] == [item.id for item in added]
    assert len({response_of(item_id) for item_id in ids}) == 2
    assert await kept.item(SCOPE, chat.id, ids[2]) == added[1]


async def test_items_are_added_behind_the_turns_of_other_gateways() -> None:
    context = CrowdedContext(2)
    kept = keeper(context)
    chat = await create(kept, asks())
    await add(kept, chat.id, asks(user("one")))
    assert await texts(kept, chat.id) == ["one"]
    context.others = 99
    with pytest.raises(ConversationBusy):
        await add(kept, chat.id, asks(user("two")))


async def test_what_may_not_be_said_is_not_added() -> None:
    kept = keeper(WordContext())
    chat = await create(kept, asks())
    bad = asks(user("a forbidden word"))
    for adding in (create(kept, bad), add(kept, chat.id, bad)):
        with pytest.raises(InputBlocked):
            await adding
    foreign = asks(Compaction("", opaque="x"))
    with pytest.raises(InvalidRequest):
        await add(kept, chat.id, foreign)
    assert await texts(kept, chat.id) == []


async def test_sealed_compactions_are_added_with_what_they_say() -> None:
    kept = keeper(WordContext())
    sealed = Compaction("cmp_1", opaque=ADA.sealer.seal("compaction", "They met."))
    chat = await create(kept, asks(sealed))
    assert await texts(kept, chat.id) == ["They met."]


async def test_what_is_not_there_is_told_by_its_name() -> None:
    kept = keeper(WordContext())
    chat = await create(kept, asks(user("one")))
    missing = make_conversation_id()
    for asked in (
        kept.get(SCOPE, missing),
        kept.update(SCOPE, missing, {}),
        kept.delete(SCOPE, missing),
        add(kept, missing, asks(user("x"))),
        kept.items(SCOPE, missing, Paging()),
        kept.item(SCOPE, missing, "msg_1"),
        kept.delete_item(SCOPE, missing, "msg_1"),
    ):
        with pytest.raises(NoSuchConversation):
            await asked
    for of_item in (kept.item(SCOPE, chat.id, "msg_1"), kept.delete_item(SCOPE, chat.id, "msg_1")):
        with pytest.raises(NoSuchItem):
            await of_item
    for listed in (
        kept.items(SCOPE, chat.id, Paging(after="msg_1")),
        kept.list(SCOPE, Paging(after=missing)),
    ):
        with pytest.raises(InvalidRequest) as raised:
            await listed
        assert raised.value.details["param"] == "after"
