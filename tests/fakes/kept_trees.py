"""A store of turns with one of everything in it, and all that a store answers of its turns."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.context_assembly.api import KeptIds, Paging, StoredConversation, Turn
from services.context_assembly.ports import Summary, TurnRecord, TurnStore
from services.memory.api import Erasure
from services.shared.conversation import Compaction
from services.shared.ids import first_turn_of
from services.shared.moving import plain
from services.shared.scope import Scope
from tests.fakes.context_assembly import SCOPE, assistant, user
from tests.fakes.turn_trees import chain, id_of, turn

ELSEWHERE = replace(SCOPE, organisation="umbrella", person="")
TALK, GONE = (f"conv_{digit * 32}" for digit in "12")
_FAR, _NEAR = 10**6, 60


async def fill(store: TurnStore) -> None:
    """Trees with branches, erased turns and items, summaries, kept ids, and conversations."""
    await chain(store, "a", "b", "c", "d")
    await store.add(turn("e", "b", kept_ids=KeptIds("m", 0, [1, 2**32 - 1], ["mem_1"], 3)))
    await store.add(turn("f", "e", kept_ids=KeptIds("m", 2, [7])))
    await store.add(turn("g", "a", kept_ids=KeptIds("m", 0, [5], ["mem_2", "mem_1"])))
    # Below each other, without a character, against the order of their ids.
    for name, parent in (("z", "a"), ("y", "z"), ("x", "y")):
        await store.add(replace(turn(name, parent), input=[], output=[]))
    await store.add(turn("a", scope=ELSEWHERE, answered="theirs \0 Größe"))
    for name, covers in (("a", ["a"]), ("e", ["a", "b", "e"])):
        summary = Summary(id_of(name), 1, f"until {name}")
        covered = [id_of(each) for each in covers]
        for model in ("m", "n"):
            await store.keep_summary(SCOPE, model, summary, covers=covered, grown_from=None)
    await store.erase(SCOPE, id_of("c"))
    await store.forget_facts(Erasure(4, SCOPE, ("mem_2",)))
    await _converse(store)


async def _converse(store: TurnStore) -> None:
    for number, conversation_id in enumerate((TALK, GONE)):
        first = _first(conversation_id)
        begun = StoredConversation(conversation_id, SCOPE, number, {"topic": "tea"}, first.id)
        await store.start(begun, first)
        head = first.id
        for text in ("one", "two", "three"):
            following = following_in(conversation_id, head, text)
            assert await store.add(following)
            head = following.id
    await store.erase_item(SCOPE, head_of_talk("one"), "item one")
    await store.erase(SCOPE, head_of_talk("three"))
    await store.erase_tree(SCOPE, GONE)


def _first(conversation_id: str) -> Turn:
    first_id = first_turn_of(conversation_id)
    compaction = Compaction("cmp_1", "what was said", "sealed")
    return replace(
        turn("a"), id=first_id, input=[compaction], output=[], conversation_id=conversation_id
    )


def following_in(conversation_id: str, parent_id: str, text: str) -> Turn:
    turn_id = first_turn_of(conversation_id) + text.encode().hex().rjust(32, "0")
    item = replace(user(text), id=f"item {text}")
    return replace(
        turn("a"),
        id=turn_id,
        parent_id=parent_id,
        input=[item],
        output=[assistant(text)],
        conversation_id=conversation_id,
    )


def head_of_talk(text: str) -> str:
    return first_turn_of(TALK) + text.encode().hex().rjust(32, "0")


async def answers(store: TurnStore, records: Sequence[TurnRecord]) -> dict[str, Any]:
    """What the store says of each turn, and of each project's conversations."""
    said: dict[str, Any] = {"handled": await store.erasures_handled()}
    for record in records:
        scope = Scope(record.organisation, record.project)
        of = f"{record.organisation} {record.id} "
        said[f"{of} whole"] = await store.get(scope, record.id)
        said[f"{of} stretch"] = await store.stretch(scope, record.id, 2)
        for model in ("m", "n"):
            for reach in (_FAR, _NEAR):
                path = await store.path(scope, record.id, model, reach)
                said[f"{of} path {model} {reach}"] = path
    for scope in (SCOPE, ELSEWHERE):
        said[f"list {scope}"] = await store.conversations(scope, Paging())
    for conversation_id in (TALK, GONE):
        said[conversation_id] = await store.conversation(SCOPE, conversation_id)
    return {name: plain(each) for name, each in said.items()}
