"""What context-assembly promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.inference.api import Usage
from services.shared.conversation import Item, Picture
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.tools import Tool


class TurnNotFound(MeshError):
    """No such turn, or it is another project's, which is the same."""

    status = "NOT_FOUND"


class ConversationNotFound(MeshError):
    """No such conversation, or it is another project's, which is the same."""

    status = "NOT_FOUND"


class ItemNotFound(MeshError):
    """The conversation has no such item."""

    status = "NOT_FOUND"


class ConversationMoved(MeshError):
    """Another turn was added to the conversation since its last turn was read."""

    status = "ABORTED"


class SummaryUnavailable(MeshError):
    """The model wrote no summary, or not in time."""

    status = "UNAVAILABLE"


class InputTooLong(MeshError):
    """The request alone is longer than the window; `tokens` and `max_tokens` say by how much."""

    status = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Model:
    """What assembling must know of the model; `context_tokens` is prompt and reply together."""

    id: str
    context_tokens: int
    summarises: bool
    # Whether it can look at pictures.
    sees: bool = False


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is known of a turn whose context is asked for."""

    scope: Scope
    model: Model
    input: Sequence[Item]
    # Tokens to keep free for the reply.
    output_tokens: int
    # The turn that this one continues; empty: none.
    parent_id: str = ""
    # The application's instructions, for this turn alone.
    instructions: str = ""
    # What the account's owner wants in every conversation.
    custom_instructions: str = ""
    tools: Sequence[Tool] = ()
    # The calls and results of this turn's earlier rounds.
    produced: Sequence[Item] = ()
    # Whether the request's own items may be dropped, oldest first, instead of refused.
    truncate_input: bool = False
    # Memories that an earlier round was given, shown again; None: look for some.
    memory_ids: Sequence[str] | None = None
    # Whether what is remembered of the person may be read; if not, memory is not asked at all.
    reads_memory: bool = False
    # Variables of the chat template: JSON text by name.
    template_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the model reads next."""

    prompt_ids: Sequence[int]
    # What memory found for this turn.
    memory_ids: Sequence[str] = ()
    # Every fact of the person's memory that stands in the prompt, preferences and those of earlier
    # turns among them.
    fact_ids: Sequence[str] = ()
    # The last of memory's erasures that was handled here when these facts were read.
    erasures_known: int = 0
    # How many of the prompt's first ids are the parent turn's kept ones.
    inherited_ids: int = 0
    # What a model that sees is shown, in the order in which the pictures stand in the prompt.
    pictures: Sequence[Picture] = ()
    # Whether anything of the conversation did not fit and was left out.
    left_out: bool = False
    # How often anything at the parent turn or above it had been erased when it was read.
    erasures_above: int = 0


@dataclass(frozen=True, slots=True)
class Compacted:
    """A summary that may stand in the place of all that was said."""

    summary: str
    # What stays beside it: the application's first instructions, and the user's messages.
    kept: Sequence[Item]
    # Of all the calls of the model that the summary took.
    usage: Usage
    # As in `Context`.
    erasures_above: int = 0


@dataclass(frozen=True, slots=True)
class KeptIds:
    """The token ids that the engine read and wrote in a turn, for a later turn to continue from.

    Only those that are new since the turn's parent; none of a round in which anything was masked or
    withheld, beyond what the engine read.
    """

    # Whose vocabulary they are of.
    model: str
    # How many ids of the parent's come before these.
    inherited: int
    ids: Sequence[int]
    # The facts of the person's memory that stand in the turn's prompt. Erasing one erases the ids.
    fact_ids: Sequence[str] = ()
    # The last of memory's erasures that was handled when the facts were read. A fact with a later
    # one may stand here with words that are erased.
    erasures_known: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """A node of a conversation's tree."""

    id: str
    scope: Scope
    parent_id: str
    # Milliseconds since the epoch.
    created_at_ms: int
    input: Sequence[Item]
    output: Sequence[Item]
    # Ids, so that an erased memory is gone here too.
    memory_ids: Sequence[str]
    # What the gateway keeps of its own reply, as JSON text; opaque here.
    document: str
    # None: none were kept, or they have been erased.
    kept_ids: KeptIds | None = None
    # The conversation whose last turn this becomes; empty: none.
    conversation_id: str = ""
    # From `Context` or `Compacted`. Where more has been erased by now, the turn is kept without its
    # compaction items: they may hold words of what was erased.
    erasures_above: int = 0


@dataclass(frozen=True, slots=True)
class StoredConversation:
    """A name for one way through a tree of turns, which goes on with every turn that is added."""

    id: str
    scope: Scope
    # Milliseconds since the epoch.
    created_at_ms: int
    # What the application keeps with it.
    metadata: Mapping[str, str]
    # The id of its last turn.
    head: str


@dataclass(frozen=True, slots=True)
class ConversationPage:
    conversations: Sequence[StoredConversation]
    has_more: bool


@dataclass(frozen=True, slots=True)
class ConversationItems:
    items: Sequence[Item]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Paging:
    """Which part of a list is wanted."""

    # The id behind which the part begins; empty: the list's beginning.
    after: str = ""
    limit: int = 20
    newest_first: bool = True


class ContextAssembly(Protocol):
    """Keeps conversations as trees of turns, and lays out what the model reads next."""

    async def assemble(self, assembly: Assembly) -> Context:
        """Changes nothing, so it may be repeated."""

    async def compact(self, assembly: Assembly) -> Compacted:
        """Has the model summarise the conversation through the input, however long it is.

        Changes nothing. `tools` and memory have no part in it. Raises `SummaryUnavailable`.
        """

    async def record(self, turn: Turn) -> None:
        """Writes the turn under its parent; repeating it with the same id changes nothing.

        A turn of a conversation has the conversation's head as its parent, and becomes the head.
        Raises `ConversationMoved` where the head is another turn by now, `ConversationNotFound`, or
        `TurnNotFound` for a parent that is not there.
        """

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn: ...

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        """Erases the turn's content, and the kept ids of all turns that follow it; these stay.

        Where it was the last turn of a conversation, that goes on from the turn before.
        """

    async def start_conversation(
        self, conversation: StoredConversation, items: Sequence[Item]
    ) -> None:
        """Begins a conversation with these items; its `head` is the first turn.

        Repeating it with the same id changes nothing.
        """

    async def get_conversation(self, scope: Scope, conversation_id: str) -> StoredConversation: ...

    async def list_conversations(self, scope: Scope, paging: Paging) -> ConversationPage:
        """Those of the scope's project, by age. Raises `ConversationNotFound` for `after`."""

    async def set_metadata(
        self, scope: Scope, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation: ...

    async def delete_conversation(self, scope: Scope, conversation_id: str) -> None:
        """Erases the conversation and all turns of its tree, those of its branches too."""

    async def list_items(
        self, scope: Scope, conversation_id: str, paging: Paging
    ) -> ConversationItems:
        """What was said in it, in order. Raises `ItemNotFound` for `after`."""

    async def get_item(self, scope: Scope, conversation_id: str, item_id: str) -> Item: ...

    async def delete_item(self, scope: Scope, conversation_id: str, item_id: str) -> None:
        """Erases one item, and all summaries and kept ids that may hold its words."""
