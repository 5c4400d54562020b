"""What assembling needs from outside."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.context_assembly.api import KeptIds, Model, Paging, StoredConversation, Turn
from services.inference.api import Generation, Piece, Usage
from services.memory.api import Erasure, Recollection
from services.shared.conversation import Item
from services.shared.moving import RecordKind
from services.shared.scope import Scope
from services.tokenizer.api import FitRequest, Fitted


@dataclass(frozen=True, slots=True)
class PastTurn:
    """What later turns need of a turn."""

    id: str
    input: Sequence[Item]
    output: Sequence[Item]
    memory_ids: Sequence[str]
    kept_ids: KeptIds | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Stands for the beginning of a path, up to and into a turn."""

    turn_id: str
    # How many of that turn's items it covers, counted through its input and then its output.
    items: int
    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """The turns from the root of a tree to one of its nodes; erased ones are left out."""

    turns: Sequence[PastTurn] = ()
    # Stands for all that was said before `turns`, and for the beginning of the first of them.
    summary: Summary | None = None
    # The first turn of the conversation, wherever `turns` begins; None when it is erased. It comes
    # without its kept ids, unless it is the first of `turns`.
    root: PastTurn | None = None
    # Whether there are older turns that were not read and that no summary covers.
    cut: bool = False
    # How often anything at the last turn or above it has been erased.
    erasures_above: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Turns that follow each other, the oldest first; erased ones are left out."""

    turns: Sequence[PastTurn]
    # The turn above the oldest one that was read; empty: that one is the root.
    above: str


class HeadMoved(Exception):
    """The parent is not the last turn of the conversation (any more)."""


class ConversationGone(Exception):
    """There is no such conversation."""


class TurnStore(Protocol):
    """Keeps trees of turns, for any number of processes at once.

    A turn belongs to the organisation and the project of its scope, and its id is unique there. To
    everybody else it is as if it did not exist. The person of a scope is kept, and decides nothing.

    A store may keep each tree in a place of its own, named by its root's id. It then finds a turn
    by the turn's id alone: `root_of(id)` names the place (services/shared/ids.py). Only ids of
    release 0.1.0 hold no root. They are in no other store than SQLite's, which looks them up whole.
    """

    async def path(self, scope: Scope, turn_id: str, model: str, max_chars: int) -> Path | None:
        """The path to a turn; None: there is no such turn.

        It begins at the last turn that has a summary by `model` or holds a compaction item with a
        text. Turns more than `max_chars` characters back are not read. That limit moves in blocks,
        so that for many turns in a row the path begins at the same turn.
        """

    async def add(self, turn: Turn) -> bool:
        """False: the parent is not there. A turn that was there before stays as it was.

        The turn is kept without its `kept_ids` where these may hold words that have been erased:

        - one of their facts has an erasure that was handled later than their `erasures_known`;
        - a turn above it was erased, before or after the turn's prompt was made;
        - they continue ids of the parent which the parent no longer has, or which another model
          wrote.

        And without its compaction items, where anything above it was erased after its prompt was
        made: more often than its `erasures_above` says.

        With a `conversation_id`, the turn is added and the conversation's head moves from the
        turn's parent to the turn, both or neither. Raises `HeadMoved` or `ConversationGone`. The
        head stands in the tree's own place, so that no store has to change two places at once:
        where a tree is one partition or one document, the head is a field of it, and moves by
        comparing and setting.
        """

    async def get(self, scope: Scope, turn_id: str) -> Turn | None: ...

    async def erase(self, scope: Scope, turn_id: str) -> bool:
        """Erases what a turn holds, and keeps its place in the tree.

        Every summary that covers the turn is erased too, and so are the kept ids of all turns below
        it: their prompts were made with its words. So are the compaction items below it. False:
        there is no such turn, or it is the first of a conversation, which `erase_tree` erases. When
        this returns, nobody reads any of it. It is gone from the store's files within the time that
        it was opened with, also when the process ends before.

        A conversation whose head it was goes on from the nearest turn above that is not erased.
        """

    async def erase_item(self, scope: Scope, turn_id: str, item_id: str) -> bool:
        """Erases one item of a turn's input or output; the turn stays.

        With it go what `erase` takes below a turn: summaries, kept ids and compaction items, also
        the turn's own. False: there is no such item.
        """

    async def erase_tree(self, scope: Scope, conversation_id: str) -> bool:
        """Erases the conversation and every turn of its tree, as with `erase`.

        False: there is no such conversation. From the moment on in which the conversation is gone,
        nothing is added to the tree. A store that cannot do all at once erases the conversation
        first; whoever calls again finishes.
        """

    async def start(self, conversation: StoredConversation, first: Turn) -> None:
        """Keeps a conversation and the root of its tree, which is its head.

        Nothing changes where the conversation is there already.
        """

    async def conversation(
        self, scope: Scope, conversation_id: str
    ) -> StoredConversation | None: ...

    async def conversations(
        self, scope: Scope, paging: Paging
    ) -> Sequence[StoredConversation] | None:
        """At most `paging.limit` of a project's, by age; None: `paging.after` is not there.

        They stand in many places of a store that keeps each tree in one of its own. Such a store
        keeps a list of them beside the trees, which may lag behind for a moment; what it names and
        is not there is left out.
        """

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None: ...

    async def stretch(self, scope: Scope, turn_id: str, most: int) -> Stretch:
        """The last `most` turns up to this one, erased ones counted; without kept ids."""

    async def keep_summary(
        self,
        scope: Scope,
        model: str,
        summary: Summary,
        *,
        covers: Sequence[str],
        grown_from: Summary | None,
    ) -> bool:
        """Keeps a summary in place of the one for the same turn and model, if there is one.

        False, and nothing is kept: a turn that was read for it has been erased meanwhile, or the
        summary that it continues.
        """

    async def forget_facts(self, erasure: Erasure) -> None:
        """Erases the kept ids of every turn that read one of the facts, and of all turns below it.

        As soon as nobody reads them any more, and not before, the erasure's number counts as
        handled; from the files they go as with `erase`. The same erasure may be given again, by any
        process, and the number never goes back.
        """

    async def erasures_handled(self) -> int:
        """The highest number that `forget_facts` has handled here; 0: none yet.

        Cheap, since every assembly asks for it. It may lag behind what another process has handled:
        then a turn loses its kept ids without need, and no erased word is kept.
        """


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A turn's place in its tree, and all that is kept of the turn. It comes after its parent."""

    organisation: str
    project: str
    id: str
    # Empty: it is the root.
    parent_id: str
    root_id: str
    # Of the path from the root through this turn, erased turns too (adapters/reach.py).
    chars: int
    # How often it or anything above it has been erased.
    erasures: int
    # None: erased.
    turn: Turn | None
    # By the model that wrote them.
    summaries: Mapping[str, Summary]


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    conversation: StoredConversation
    root_id: str


@dataclass(frozen=True, slots=True)
class ErasedFactRecord:
    """A fact that turns may have read before, and the number of its last erasure."""

    organisation: str
    project: str
    fact_id: str
    number: int


@dataclass(frozen=True, slots=True)
class HandledRecord:
    """What `erasures_handled` says; a store that says 0 has no such record."""

    number: int


# What a `TurnStore` keeps, for `Movable`.
RECORD_KINDS: Sequence[RecordKind[Any]] = (
    RecordKind("turns", TurnRecord, lambda turn: (turn.organisation, turn.project, turn.id)),
    RecordKind(
        "conversations",
        ConversationRecord,
        lambda each: (
            *(each.conversation.scope.organisation, each.conversation.scope.project),
            each.conversation.id,
        ),
    ),
    RecordKind(
        "erased facts",
        ErasedFactRecord,
        lambda fact: (fact.organisation, fact.project, fact.fact_id),
    ),
    RecordKind("erasures handled", HandledRecord, lambda _: ()),
)


class Memory(Protocol):
    """What assembling needs of `services.memory.api.Memory`."""

    async def recall(
        self, scope: Scope, *, query: str = "", fact_ids: Sequence[str] = ()
    ) -> Recollection: ...

    def watch_erased(self, after: int) -> AsyncGenerator[Erasure, None]: ...


class Tokenizer(Protocol):
    """What assembling needs of `services.tokenizer.api.Tokenizer`."""

    async def fit(self, request: FitRequest) -> Fitted: ...


class Inference(Protocol):
    """What summarising needs of `services.inference.api.Inference`."""

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]: ...


class SummaryFailed(Exception):
    """The conversation goes on without one."""


@dataclass(frozen=True, slots=True)
class Written:
    """A summary, and what its writing used."""

    text: str
    usage: Usage


class Summariser(Protocol):
    async def summarise(self, model: Model, scope: Scope, earlier: str, transcript: str) -> str:
        """A summary of an earlier summary (or none) and of what was said since.

        Raises `SummaryFailed`.
        """

    async def summarise_whole(
        self, model: Model, scope: Scope, earlier: str, transcript: str
    ) -> Written:
        """The same, also of a transcript that no window holds. Raises `SummaryFailed`."""
