"""Writes to a store of turns as values, so that two stores can be asked the same."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.context_assembly.api import KeptIds, Paging, StoredConversation, Turn
from services.context_assembly.ports import ConversationGone, HeadMoved, Summary, TurnStore
from services.memory.api import Erasure
from services.shared.conversation import Compaction
from services.shared.ids import first_turn_of
from services.shared.moving import plain
from services.shared.scope import Scope
from tests.fakes.context_assembly import assistant, recorded, user

# What the store says, or how it refuses.
Write = Callable[[TurnStore], Awaitable[object]]
MODELS = ("m", "n")
FACTS = ("fact 1", "fact 2", "fact 3")
_FAR, _NEAR = 10**6, 120


@dataclass(slots=True)
class Known:
    """The names that were used in one organisation, which begins with nothing."""

    scope: Scope
    # Every turn that was ever written or tried.
    turns: dict[str, Turn] = field(default_factory=dict)
    conversations: list[StoredConversation] = field(default_factory=list)
    summaries: list[tuple[str, Summary]] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)

    def next_id(self, parent_id: str) -> str:
        digits = f"{len(self.turns) + 1:032x}"
        return f"{parent_id[: len('resp_') + 32]}{digits}" if parent_id else f"resp_{digits}"

    def turn(self, parent_id: str, *, words: int, compacts: bool) -> Turn:
        turn_id = self.next_id(parent_id)
        name = turn_id[-4:]
        asked = [replace(user(f"question {name}"), id=f"item {name}")]
        said = [assistant(f"answer {name} " + "word " * words)]
        if compacts:
            said.insert(0, Compaction(f"cmp {name}", f"until {name}", "sealed"))  # type: ignore[arg-type]
        made = replace(recorded(turn_id, parent_id, asked, said), scope=self.scope)
        self.turns[turn_id] = made
        return made

    def conversation(self, at: int) -> tuple[StoredConversation, Turn]:
        conversation_id = f"conv_{1000 + len(self.conversations):032x}"
        first_id = first_turn_of(conversation_id)
        begun = StoredConversation(conversation_id, self.scope, at, {"at": str(at)}, first_id)
        first = replace(
            recorded(first_id, "", [user("begin")], []),
            scope=self.scope,
            conversation_id=conversation_id,
        )
        self.conversations.append(begun)
        self.turns[first_id] = first
        return begun, first


def adding(turn: Turn) -> Write:
    async def add(store: TurnStore) -> object:
        try:
            return await store.add(turn)
        except (HeadMoved, ConversationGone) as error:
            return type(error).__name__

    return add


def kept(turn: Turn, ids: KeptIds | None, erasures_above: int) -> Turn:
    return replace(turn, kept_ids=ids, erasures_above=erasures_above)


async def told(store: TurnStore, known: Known) -> dict[str, Any]:
    """All that a store says of an organisation."""
    scope = known.scope
    said: dict[str, Any] = {"conversations": await store.conversations(scope, Paging(limit=1000))}
    for conversation in known.conversations:
        said[conversation.id] = await store.conversation(scope, conversation.id)
    for turn_id in known.turns:
        said |= await told_of_turn(store, scope, turn_id)
    return {name: plain(each) for name, each in said.items()}


async def told_of_turn(store: TurnStore, scope: Scope, turn_id: str) -> dict[str, Any]:
    said: dict[str, Any] = {
        f"{turn_id} whole": await store.get(scope, turn_id),
        f"{turn_id} stretch": await store.stretch(scope, turn_id, 3),
    }
    for model in MODELS:
        said[f"{turn_id} path {model}"] = await store.path(scope, turn_id, model, _FAR)
    said[f"{turn_id} near"] = await store.path(scope, turn_id, MODELS[0], _NEAR)
    return {name: plain(each) for name, each in said.items()}


def way_to(known: Known, turn_id: str) -> Sequence[str]:
    """The ids from the root to a turn, as far as they are known."""
    way: list[str] = []
    while turn_id in known.turns:
        way.insert(0, turn_id)
        turn_id = known.turns[turn_id].parent_id
    return way
