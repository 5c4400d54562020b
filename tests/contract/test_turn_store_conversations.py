"""What every store of turns does with conversations and with compaction items."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path as File

import pytest

from services.context_assembly.api import KeptIds, Paging, StoredConversation, Turn
from services.context_assembly.ports import (
    ConversationGone,
    HeadMoved,
    Path,
    Summary,
    TurnStore,
)
from services.shared.conversation import Compaction, Item
from services.shared.ids import first_turn_of, make_conversation_id, make_response_id
from services.shared.scope import Scope
from tests.fakes.context_assembly import SCOPE, assistant, user
from tests.fakes.turn_trees import TURN_STORES

ELSEWHERE = [replace(SCOPE, organisation="evil"), replace(SCOPE, project="other")]
FAR = 10**6


@pytest.fixture(params=TURN_STORES)
async def store(request: pytest.FixtureRequest, tmp_path: File) -> AsyncIterator[TurnStore]:
    async with TURN_STORES[request.param](tmp_path) as turns:
        yield turns


def begun(at: int = 1, *, scope: Scope = SCOPE) -> StoredConversation:
    conversation_id = make_conversation_id()
    metadata = {"topic": "Größe \0 \"'", "": ""}
    return StoredConversation(conversation_id, scope, at, metadata, first_turn_of(conversation_id))


def first_of(conversation: StoredConversation, *items: Item) -> Turn:
    return Turn(
        id=conversation.head,
        scope=conversation.scope,
        parent_id="",
        created_at_ms=conversation.created_at_ms,
        input=items,
        output=[],
        memory_ids=[],
        document="",
        conversation_id=conversation.id,
    )


def following(conversation: StoredConversation, parent_id: str, text: str, *output: Item) -> Turn:
    return replace(
        first_of(conversation),
        id=make_response_id(parent_id),
        parent_id=parent_id,
        input=[user(text)],
        output=list(output) or [assistant(f"answer {text}")],
    )


async def started(store: TurnStore, *texts: str) -> tuple[StoredConversation, list[Turn]]:
    """A conversation, its first turn, and one more for each text."""
    conversation = begun()
    turns = [first_of(conversation, user("zero"))]
    await store.start(conversation, turns[0])
    for text in texts:
        turns.append(following(conversation, turns[-1].id, text))
        assert await store.add(turns[-1])
    return conversation, turns


async def head_of(store: TurnStore, conversation: StoredConversation) -> str:
    found = await store.conversation(SCOPE, conversation.id)
    assert found
    return found.head


async def path_to(store: TurnStore, turn: Turn) -> Path:
    path = await store.path(SCOPE, turn.id, "m", FAR)
    assert path
    return path


async def texts_to(store: TurnStore, turn: Turn) -> list[str]:
    path = await path_to(store, turn)
    return [item.text for each in path.turns for item in (*each.input, *each.output)]  # type: ignore[union-attr]


async def test_a_conversation_is_kept_with_its_first_turn(store: TurnStore) -> None:
    conversation, (first,) = await started(store)
    assert await store.conversation(SCOPE, conversation.id) == conversation
    found = await store.get(SCOPE, first.id)
    assert found
    assert list(found.input) == [user("zero")]
    assert found.conversation_id == conversation.id


async def test_starting_again_changes_nothing_not_even_after_the_end(store: TurnStore) -> None:
    conversation, (first, last) = await started(store, "one")
    await store.start(replace(conversation, metadata={}), replace(first, input=[]))
    assert await store.conversation(SCOPE, conversation.id) == replace(conversation, head=last.id)
    assert await store.erase_tree(SCOPE, conversation.id)
    await store.start(conversation, first)
    assert await store.conversation(SCOPE, conversation.id) is None
    assert await store.get(SCOPE, first.id) is None


async def test_the_head_moves_with_every_turn(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    assert await head_of(store, conversation) == turns[-1].id
    assert await texts_to(store, turns[-1]) == ["zero", "one", "answer one", "two", "answer two"]


async def test_a_turn_whose_parent_is_no_longer_the_head_is_not_added(store: TurnStore) -> None:
    conversation, (first, second) = await started(store, "one")
    late = following(conversation, first.id, "late")
    with pytest.raises(HeadMoved):
        await store.add(late)
    assert await store.get(SCOPE, late.id) is None
    assert await head_of(store, conversation) == second.id


async def test_of_many_turns_at_once_one_is_added(store: TurnStore) -> None:
    conversation, (first,) = await started(store)
    several = [following(conversation, first.id, str(n)) for n in range(10)]
    added = await asyncio.gather(*map(store.add, several), return_exceptions=True)
    assert added.count(True) == 1
    assert sum(isinstance(each, HeadMoved) for each in added) == 9
    assert await head_of(store, conversation) == several[added.index(True)].id


async def test_adding_a_turn_again_moves_nothing(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    assert await store.add(turns[1])
    assert await head_of(store, conversation) == turns[-1].id


async def test_a_branch_leaves_the_conversation_as_it_is(store: TurnStore) -> None:
    conversation, (first, second) = await started(store, "one")
    branch = replace(following(conversation, first.id, "aside"), conversation_id="")
    assert await store.add(branch)
    assert await head_of(store, conversation) == second.id


async def test_nothing_is_added_to_a_conversation_that_is_not_there(store: TurnStore) -> None:
    conversation = begun()
    with pytest.raises(ConversationGone):
        await store.add(following(conversation, conversation.head, "one"))


async def test_no_first_turn_is_added_to_a_conversation_that_is_not_there(store: TurnStore) -> None:
    conversation = begun()
    with pytest.raises(ConversationGone):
        await store.add(first_of(conversation))
    await store.start(conversation, first_of(conversation))
    assert await store.conversation(SCOPE, conversation.id) == conversation


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
async def test_nobody_reaches_the_conversations_of_another_project(
    store: TurnStore, elsewhere: Scope
) -> None:
    conversation, (_, last) = await started(store, "one")
    assert await store.conversation(elsewhere, conversation.id) is None
    assert await store.conversations(elsewhere, Paging()) == []
    assert await store.conversations(elsewhere, Paging(after=conversation.id)) is None
    assert await store.set_metadata(elsewhere, conversation.id, {}) is None
    assert not await store.erase_tree(elsewhere, conversation.id)
    assert not await store.erase_item(elsewhere, last.id, last.input[0].id)
    assert not (await store.stretch(elsewhere, last.id, 9)).turns
    with pytest.raises(ConversationGone):
        await store.add(replace(following(conversation, last.id, "x"), scope=elsewhere))
    assert await store.conversation(SCOPE, conversation.id) == replace(conversation, head=last.id)


async def test_metadata_is_replaced_whole(store: TurnStore) -> None:
    conversation, (_, last) = await started(store, "one")
    changed = await store.set_metadata(SCOPE, conversation.id, {"a": "b"})
    assert changed == replace(conversation, head=last.id, metadata={"a": "b"})
    assert await store.conversation(SCOPE, conversation.id) == changed
    assert await store.set_metadata(SCOPE, make_conversation_id(), {}) is None


async def test_conversations_are_listed_by_age_and_by_id_where_that_is_the_same(
    store: TurnStore,
) -> None:
    several = [begun(at) for at in (3, 1, 2, 2, 2)]
    for conversation in several:
        await store.start(conversation, first_of(conversation))
    oldest = sorted(several, key=lambda each: (each.created_at_ms, each.id))
    assert await store.conversations(SCOPE, Paging(newest_first=False)) == oldest
    assert await store.conversations(SCOPE, Paging()) == oldest[::-1]
    for newest_first, ordered in ((False, oldest), (True, oldest[::-1])):
        paging = Paging(limit=2, newest_first=newest_first)
        pages: list[StoredConversation] = []
        while page := await store.conversations(SCOPE, paging):
            pages += page
            paging = replace(paging, after=page[-1].id)
        assert pages == ordered
    assert await store.conversations(SCOPE, Paging(after=make_conversation_id())) is None


async def test_a_stretch_is_the_last_turns_of_a_way(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two", "three")
    stretch = await store.stretch(SCOPE, turns[3].id, 2)
    assert [each.id for each in stretch.turns] == [turns[2].id, turns[3].id]
    assert stretch.above == turns[1].id
    rest = await store.stretch(SCOPE, stretch.above, 9)
    assert [each.id for each in rest.turns] == [turns[0].id, turns[1].id]
    assert rest.above == ""
    await store.erase(SCOPE, turns[1].id)
    around = await store.stretch(SCOPE, turns[2].id, 2)
    assert ([each.id for each in around.turns], around.above) == ([turns[2].id], turns[0].id)
    assert not (await store.stretch(SCOPE, make_response_id(""), 9)).turns
    assert conversation


async def test_a_conversation_goes_on_when_its_last_turns_are_erased(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    assert await store.erase(SCOPE, turns[1].id)
    assert await head_of(store, conversation) == turns[2].id
    assert await store.erase(SCOPE, turns[2].id)
    assert await head_of(store, conversation) == turns[0].id
    under_way = following(conversation, turns[2].id, "late")
    with pytest.raises(HeadMoved):
        await store.add(under_way)
    goes_on = following(conversation, turns[0].id, "three")
    assert await store.add(goes_on)
    assert await texts_to(store, goes_on) == ["zero", "three", "answer three"]


async def test_the_first_turn_of_a_conversation_is_erased_with_it_alone(store: TurnStore) -> None:
    conversation, (first,) = await started(store)
    assert not await store.erase(SCOPE, first.id)
    assert await head_of(store, conversation) == first.id


async def test_an_item_is_erased_and_the_turn_stays(store: TurnStore) -> None:
    _, turns = await started(store, "one", "two")
    kept = Summary(turns[2].id, 2, "all of it")
    await store.keep_summary(SCOPE, "m", kept, covers=[turns[1].id], grown_from=None)
    assert await store.erase_item(SCOPE, turns[1].id, user("one").id)
    assert await texts_to(store, turns[2]) == ["zero", "answer one", "two", "answer two"]
    assert (await path_to(store, turns[2])).summary is None
    assert await store.erase_item(SCOPE, turns[1].id, assistant("answer one").id)
    assert await texts_to(store, turns[2]) == ["zero", "two", "answer two"]
    assert not await store.erase_item(SCOPE, turns[1].id, user("one").id)
    assert not await store.erase_item(SCOPE, make_response_id(""), user("one").id)


async def test_erasing_an_item_erases_the_kept_ids_that_hold_its_words(store: TurnStore) -> None:
    conversation, (first,) = await started(store)
    one = replace(following(conversation, first.id, "one"), kept_ids=KeptIds("m", 0, [1]))
    two = replace(following(conversation, one.id, "two"), kept_ids=KeptIds("m", 1, [2]))
    assert await store.add(one)
    assert await store.add(two)
    assert await store.erase_item(SCOPE, one.id, user("one").id)
    for turn in (one, two):
        found = await store.get(SCOPE, turn.id)
        assert found
        assert found.kept_ids is None
    # Its prompt was made before.
    late = replace(following(conversation, two.id, "late"), kept_ids=KeptIds("m", 0, [3]))
    assert await store.add(late)
    found = await store.get(SCOPE, late.id)
    assert found
    assert found.kept_ids is None


async def test_nothing_is_left_of_a_conversation_that_was_erased(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    branch = replace(following(conversation, turns[1].id, "aside"), conversation_id="")
    assert await store.add(branch)
    _, others = await started(store, "other")
    assert await store.erase_tree(SCOPE, conversation.id)
    assert not await store.erase_tree(SCOPE, conversation.id)
    assert await store.conversation(SCOPE, conversation.id) is None
    assert [each.id for each in await store.conversations(SCOPE, Paging()) or ()] == [
        others[0].conversation_id
    ]
    for turn in (*turns, branch):
        assert await store.get(SCOPE, turn.id) is None
        assert await store.path(SCOPE, turn.id, "m", FAR) is None
        assert not (await store.stretch(SCOPE, turn.id, 9)).turns
    assert await texts_to(store, others[-1]) == ["zero", "other", "answer other"]


async def test_a_turn_under_way_finds_its_conversation_gone(store: TurnStore) -> None:
    conversation, turns = await started(store, "one")
    await store.erase_tree(SCOPE, conversation.id)
    late = following(conversation, turns[-1].id, "late")
    with pytest.raises(ConversationGone):
        await store.add(late)
    assert not await store.add(replace(late, conversation_id=""))
    assert await store.get(SCOPE, late.id) is None


async def test_a_path_begins_at_the_last_compaction(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    compacting = following(
        conversation, turns[-1].id, "three", Compaction("cmp", "They met."), assistant("so")
    )
    last = following(conversation, compacting.id, "four")
    assert await store.add(compacting)
    assert await store.add(last)
    path = await path_to(store, last)
    assert [each.id for each in path.turns] == [compacting.id, last.id]
    assert (path.cut, path.summary) == (False, None)
    assert path.root
    assert path.root.id == turns[0].id


async def test_a_compaction_without_a_text_ends_no_path(store: TurnStore) -> None:
    conversation, turns = await started(store, "one")
    foreign = following(conversation, turns[-1].id, "two", Compaction("cmp", opaque="x"))
    assert await store.add(foreign)
    assert len((await path_to(store, foreign)).turns) == 3


@pytest.mark.parametrize("what", ["turn", "item"])
async def test_compactions_below_what_was_erased_go_with_it(store: TurnStore, what: str) -> None:
    conversation, turns = await started(store, "one", "two")
    compacting = following(
        conversation, turns[-1].id, "three", Compaction("cmp", "One and two."), assistant("so")
    )
    assert await store.add(compacting)
    if what == "turn":
        assert await store.erase(SCOPE, turns[1].id)
    else:
        assert await store.erase_item(SCOPE, turns[1].id, user("one").id)
    found = await store.get(SCOPE, compacting.id)
    assert found
    assert list(found.output) == [assistant("so")]
    texts = await texts_to(store, compacting)
    assert texts[-4:] == ["two", "answer two", "three", "so"]
    assert "one" not in texts


async def test_a_compaction_that_was_made_before_an_erasure_is_not_kept(store: TurnStore) -> None:
    conversation, turns = await started(store, "one", "two")
    known = (await path_to(store, turns[-1])).erasures_above
    await store.erase_item(SCOPE, turns[1].id, user("one").id)
    item = Compaction("cmp", "One and two.")
    late = replace(
        following(conversation, turns[-1].id, "three", item, assistant("so")), erasures_above=known
    )
    assert await store.add(late)
    found = await store.get(SCOPE, late.id)
    assert found
    assert list(found.output) == [assistant("so")]
    known = (await path_to(store, late)).erasures_above
    later = replace(following(conversation, late.id, "four", item), erasures_above=known)
    assert await store.add(later)
    found = await store.get(SCOPE, later.id)
    assert found
    assert list(found.output) == [item]
