"""What the tokenizer promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.shared.conversation import Role
from services.shared.errors import MeshError
from services.shared.tools import Tool, ToolCall


class NoTokenizer(MeshError):
    """The model is none of those whose texts are tokenized here."""

    status = "NOT_FOUND"


class TemplateRefused(MeshError):
    """The model's chat template does not accept these messages."""

    status = "INVALID_ARGUMENT"


class ContextTooLong(MeshError):
    """What may not be dropped does not fit; `tokens` and `max_tokens` say by how much."""

    status = "INVALID_ARGUMENT"


class UnknownToken(MeshError):
    """An id is outside the model's vocabulary."""

    status = "INVALID_ARGUMENT"


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """One message as a chat template reads it."""

    role: Role
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    # Where pictures stand in the text: before which of its characters, in ascending order.
    pictures: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that shall be read if it fits.

    Candidates of one unit are dropped together, the lowest unit first; unit 0 is never dropped.
    """

    message: TemplateMessage
    unit: int = 0


@dataclass(frozen=True, slots=True)
class FitRequest:
    model: str
    candidates: Sequence[Candidate]
    tools: Sequence[Tool]
    max_tokens: int
    # Dropping goes on to the next multiple of this, so that the prefix stays for several turns;
    # not where that would drop every unit.
    drop_step_tokens: int
    # Stands where the dropped units stood, unless the template takes no such message there.
    left_out: TemplateMessage | None = None
    # Further variables of the chat template, such as `enable_thinking`: JSON text by name.
    template_options: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    ids: Sequence[int]
    # Every unit up to this one was dropped; 0 when none was.
    dropped_through_unit: int


class Tokenizer(Protocol):
    """Turns conversations into the ids that a model was trained to read, and back."""

    async def fit(self, request: FitRequest) -> Fitted:
        """Renders what fits with the model's chat template, generation prompt included."""

    async def encode(self, model: str, text: str) -> Sequence[int]:
        """Ids of plain text; special tokens in it stay text, and none are added."""

    async def decode(self, model: str, ids: Sequence[int]) -> str:
        """Text of ids, special tokens included."""
