"""What context-assembly promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.shared.chat import Message, Role, Scope, Tool
from services.shared.errors import MeshError


class TurnNotFound(MeshError):
    """No such turn, or it is another tenant's, which is the same."""

    status = "NOT_FOUND"


class InputTooLong(MeshError):
    """The request alone is longer than the window; `tokens` and `max_tokens` say by how much."""

    status = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class Text:
    id: str
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function call; an own one was run by the mesh and carries its outcome."""

    id: str
    call_id: str
    name: str
    arguments: str
    own: bool = False
    output: str = ""
    failed: bool = False
    # Made in the same message of the model as the call before it. A caller's calls that follow each
    # other without a result between them count as such anyway.
    parallel: bool = False


@dataclass(frozen=True, slots=True)
class CallResult:
    """What the caller's function returned."""

    id: str
    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    id: str
    text: str


# A piece of a conversation, as the Responses API counts them.
Item = Text | Call | CallResult | Reasoning


@dataclass(frozen=True, slots=True)
class Model:
    """What assembling must know of the model; `context_tokens` is prompt and reply together."""

    id: str
    context_tokens: int
    summarises: bool


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
    # Variables of the chat template: JSON text by name.
    template_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Context:
    """What the model reads next."""

    messages: Sequence[Message]
    prompt_ids: Sequence[int]
    memory_ids: Sequence[str]


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


class ContextAssembly(Protocol):
    """Keeps conversations as trees of turns, and lays out what the model reads next."""

    async def assemble(self, assembly: Assembly) -> Context:
        """Changes nothing, so it may be repeated."""

    async def record(self, turn: Turn) -> None:
        """Writes the turn under its parent; repeating it with the same id changes nothing."""

    async def get_turn(self, scope: Scope, turn_id: str) -> Turn: ...

    async def delete_turn(self, scope: Scope, turn_id: str) -> None:
        """Erases the turn's content; turns that follow it stay."""
