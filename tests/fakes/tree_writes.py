"""Writes to a store of turns as values, so that two stores can be asked the same."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
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


def questions(known: Known) -> Mapping[str, Write]:
    """All that a store can be asked about an organisation."""
    scope = known.scope
    asked: dict[str, Write] = {
        "conversations": lambda store: store.conversations(scope, Paging(limit=1000))
    }
    for each in known.conversations:
        asked[each.id] = partial(_conversation, scope=scope, conversation_id=each.id)
    for turn_id in known.turns:
        asked |= questions_of_turn(scope, turn_id)
    return asked


def questions_of_turn(scope: Scope, turn_id: str) -> Mapping[str, Write]:
    asked: dict[str, Write] = {
        f"{turn_id} whole": lambda store: store.get(scope, turn_id),
        f"{turn_id} stretch": lambda store: store.stretch(scope, turn_id, 3),
        f"{turn_id} near": lambda store: store.path(scope, turn_id, MODELS[0], _NEAR),
    }
    for model in MODELS:
        asked[f"{turn_id} path {model}"] = partial(_path, scope=scope, turn_id=turn_id, model=model)
    return asked


async def _conversation(store: TurnStore, *, scope: Scope, conversation_id: str) -> object:
    return await store.conversation(scope, conversation_id)


async def _path(store: TurnStore, *, scope: Scope, turn_id: str, model: str) -> object:
    return await store.path(scope, turn_id, model, _FAR)


async def told(store: TurnStore, asked: Mapping[str, Write]) -> dict[str, Any]:
    """What the store answers, by the question's name."""
    return {name: plain(await question(store)) for name, question in asked.items()}


def way_to(known: Known, turn_id: str) -> Sequence[str]:
    """The ids from the root to a turn, as far as they are known."""
    way: list[str] = []
    while turn_id in known.turns:
        way.insert(0, turn_id)
        turn_id = known.turns[turn_id].parent_id
    return way
