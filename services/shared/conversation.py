"""What is said in a conversation: the one vocabulary of all services.

Each public protocol's words become these in its own `request.py`; `conversation_codec.py` puts them
on the wire.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum


class Role(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    # Of messages that a chat template reads; no item has it.
    TOOL = "tool"


class Phase(StrEnum):
    """What an assistant's message was for."""

    UNSAID = ""
    COMMENTARY = "commentary"
    FINAL_ANSWER = "final_answer"


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture: its bytes, or where they are. One of `content`, `url` and `file_id` is set."""

    # Such as image/png; empty where only the address is known.
    media_type: str = ""
    content: bytes = b""
    url: str = ""
    file_id: str = ""
    # How closely the caller wants it looked at: low, high, auto; empty: nothing was said.
    detail: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """A document: its bytes, or where they are. One of `content`, `url` and `file_id` is set."""

    name: str = ""
    media_type: str = ""
    content: bytes = b""
    url: str = ""
    file_id: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    # Such as audio/wav.
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an assistant said instead of an answer."""

    text: str


Part = Text | Picture | File | Audio | Refusal
Parts = tuple[Part, ...]


def text_of(parts: Iterable[Part]) -> str:
    """What can be read of the parts, a line break between two."""
    return "\n".join(part.text for part in parts if isinstance(part, Text | Refusal))


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    role: Role
    parts: Parts
    phase: Phase = Phase.UNSAID

    @property
    def text(self) -> str:
        return text_of(self.parts)


def said(item_id: str, role: Role, text: str) -> Message:
    """A message of one text."""
    return Message(item_id, role, (Text(text),))


class RunBy(Enum):
    """Who runs a call."""

    CALLER = "caller"
    MESH = "mesh"
    # An MCP server, which `Call.server_label` names.
    SERVER = "server"


class Approval(Enum):
    """Whether a person has to agree before a call is run, and what they said."""

    NOT_NEEDED = "not_needed"
    AWAITED = "awaited"
    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What a call that the mesh or a server ran has brought."""

    parts: Parts
    failed: bool = False

    @property
    def text(self) -> str:
        return text_of(self.parts)


@dataclass(frozen=True, slots=True)
class Call:
    """A function call of the model; `arguments` is JSON text.

    The outcome of a caller's call is an item of its own, a `CallResult`; that of every other call
    stands in the call, and None means that it has not been run.
    """

    id: str
    call_id: str
    name: str
    arguments: str
    run_by: RunBy = RunBy.CALLER
    server_label: str = ""
    approval: Approval = Approval.NOT_NEEDED
    outcome: CallOutcome | None = None
    # Made in the same message of the model as the call before it. A caller's calls that follow each
    # other without a result between them count as such anyway.
    parallel: bool = False
    # Whether its function takes one text, as OpenAI's custom tools do: `text_arguments`.
    text_input: bool = False


@dataclass(frozen=True, slots=True)
class CallResult:
    """What the caller's function returned."""

    id: str
    call_id: str
    parts: Parts
    # As in the call.
    text_input: bool = False

    @property
    def text(self) -> str:
        return text_of(self.parts)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """What the model thought before it spoke.

    `text` is what the model reads again; `summary` is what a caller gave back as such; `opaque` is
    content that only whoever wrote it can read.
    """

    id: str
    text: str = ""
    summary: tuple[str, ...] = ()
    opaque: str = ""


@dataclass(frozen=True, slots=True)
class Compaction:
    """Stands for the items that it replaced.

    `text` is what the model reads in their place; `opaque` is content that only whoever wrote it
    can read.
    """

    id: str
    text: str = ""
    opaque: str = ""


# A piece of a conversation, as the Responses API counts them.
Item = Message | Call | CallResult | Reasoning | Compaction
