"""Conversations and their items, page by page."""

from dataclasses import replace

import pytest

from services.context_assembly.adapters.in_memory import InMemoryTurns
from services.context_assembly.api import (
    ConversationMoved,
    ConversationNotFound,
    ItemNotFound,
    Paging,
    StoredConversation,
    Turn,
)
from services.context_assembly.conversations import Conversations
from services.shared.conversation import Item, Message, Role, said
from services.shared.errors import Malformed
from services.shared.ids import (
    first_turn_of,
    make_conversation_id,
    make_item_id,
    make_response_id,
)
from tests.fakes.context_assembly import SCOPE


def begun(at: int = 1) -> StoredConversation:
    conversation_id = make_conversation_id()
    return StoredConversation(conversation_id, SCOPE, at, {}, first_turn_of(conversation_id))


def message(turn_id: str, text: str) -> Message:
    return said(make_item_id("msg", turn_id), Role.USER, text)


async def talked(turns: int, first: int = 1) -> tuple[Conversations, StoredConversation]:
    """A conversation whose items are numbers: `first` of them at once, then two a turn."""
    kept = Conversations(InMemoryTurns())
    conversation = begun()
    items = [message(conversation.head, str(number)) for number in range(first)]
    await kept.start_conversation(conversation, items)
    for number in range(first, first + 2 * turns, 2):
        head = (await kept.get_conversation(SCOPE, conversation.id)).head
        await kept.record(following(conversation, head, str(number), str(number + 1)))
    return kept, await kept.get_conversation(SCOPE, conversation.id)


def following(conversation: StoredConversation, parent_id: str, asked: str, answered: str) -> Turn:
    turn_id = make_response_id(parent_id)
    return Turn(
        id=turn_id,
        scope=SCOPE,
        parent_id=parent_id,
        created_at_ms=1,
        input=[message(turn_id, asked)],
        output=[message(turn_id, answered)],
        memory_ids=[],
        document="{}",
        conversation_id=conversation.id,
    )


def texts(items: list[Item]) -> list[str]:
    return [item.text for item in items]  # type: ignore[union-attr]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize(("turns", "first"), [(0, 0), (0, 3), (3, 1), (40, 2)])
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_pages_join_to_the_whole_conversation(
    turns: int, first: int, limit: int, newest_first: bool
) -> None:
    kept, conversation = await talked(turns, first)
    paging = Paging(limit=limit, newest_first=newest_first)
    found: list[Item] = []
    while True:
        page = await kept.list_items(SCOPE, conversation.id, paging)
        assert len(page.items) <= limit
        found += page.items
        if not page.has_more:
            break
        assert len(page.items) == limit
        paging = replace(paging, after=page.items[-1].id)
    everything = [str(number) for number in range(first + 2 * turns)]
    assert texts(found) == (everything[::-1] if newest_first else everything)


async def test_nothing_comes_behind_the_last_item() -> None:
    kept, conversation = await talked(2)
    for newest_first in (True, False):
        paging = Paging(newest_first=newest_first)
        last = (await kept.list_items(SCOPE, conversation.id, paging)).items[-1].id
        page = await kept.list_items(SCOPE, conversation.id, replace(paging, after=last))
        assert (list(page.items), page.has_more) == ([], False)


@pytest.mark.parametrize("newest_first", [True, False])
async def test_a_page_begins_behind_no_item_that_is_not_there(newest_first: bool) -> None:
    kept, conversation = await talked(2)
    paging = Paging(after="msg_other", newest_first=newest_first)
    with pytest.raises(ItemNotFound) as raised:
        await kept.list_items(SCOPE, conversation.id, paging)
    assert raised.value.details["param"] == "after"


async def test_an_item_is_read_and_erased_by_its_id() -> None:
    kept, conversation = await talked(2)
    items = (await kept.list_items(SCOPE, conversation.id, Paging(newest_first=False))).items
    for item in items:
        assert await kept.get_item(SCOPE, conversation.id, item.id) == item
    await kept.delete_item(SCOPE, conversation.id, items[1].id)
    with pytest.raises(ItemNotFound):
        await kept.get_item(SCOPE, conversation.id, items[1].id)
    with pytest.raises(ItemNotFound):
        await kept.delete_item(SCOPE, conversation.id, items[1].id)
    left = (await kept.list_items(SCOPE, conversation.id, Paging(newest_first=False))).items
    assert texts(list(left)) == ["0", "2", "3", "4"]


async def test_an_item_of_another_conversation_or_of_a_branch_is_not_there() -> None:
    kept, conversation = await talked(1)
    other = begun()
    theirs = message(other.head, "theirs")
    await kept.start_conversation(other, [theirs])
    branch = replace(following(conversation, conversation.head, "x", "y"), conversation_id="")
    await kept.record(branch)
    for item_id in (theirs.id, branch.input[0].id, "msg_1", ""):
        with pytest.raises(ItemNotFound):
            await kept.get_item(SCOPE, conversation.id, item_id)
        with pytest.raises(ItemNotFound):
            await kept.delete_item(SCOPE, conversation.id, item_id)


async def test_conversations_come_in_pages() -> None:
    kept = Conversations(InMemoryTurns())
    several = [begun(at) for at in range(5)]
    for conversation in several:
        await kept.start_conversation(conversation, [])
    page = await kept.list_conversations(SCOPE, Paging(limit=3))
    assert (list(page.conversations), page.has_more) == (several[:1:-1], True)
    page = await kept.list_conversations(SCOPE, Paging(after=several[2].id, limit=3))
    assert (list(page.conversations), page.has_more) == (several[1::-1], False)
    with pytest.raises(ConversationNotFound):
        await kept.list_conversations(SCOPE, Paging(after=make_conversation_id()))


async def test_a_conversation_begins_with_the_turn_that_its_id_names() -> None:
    kept = Conversations(InMemoryTurns())
    for wrong in (replace(begun(), head=begun().head), replace(begun(), id="conv_1", head="")):
        with pytest.raises(Malformed):
            await kept.start_conversation(wrong, [])


async def test_a_turn_that_comes_too_late_is_refused() -> None:
    kept, conversation = await talked(1)
    first = following(conversation, conversation.head, "a", "b")
    second = following(conversation, conversation.head, "c", "d")
    await kept.record(first)
    with pytest.raises(ConversationMoved):
        await kept.record(second)
    await kept.delete_conversation(SCOPE, conversation.id)
    with pytest.raises(ConversationNotFound):
        await kept.record(following(conversation, first.id, "e", "f"))


async def test_a_conversation_that_is_not_there_is_not_found() -> None:
    kept, known = await talked(1)
    await kept.delete_conversation(SCOPE, known.id)
    for missing in (known.id, make_conversation_id(), "conv_1", ""):
        for asked in (
            kept.get_conversation(SCOPE, missing),
            kept.set_metadata(SCOPE, missing, {}),
            kept.delete_conversation(SCOPE, missing),
            kept.list_items(SCOPE, missing, Paging()),
            kept.get_item(SCOPE, missing, "msg_1"),
            kept.delete_item(SCOPE, missing, "msg_1"),
        ):
            with pytest.raises(ConversationNotFound):
                await asked
