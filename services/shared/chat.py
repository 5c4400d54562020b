"""The words of a conversation that several services share and none owns."""

from dataclasses import dataclass
from enum import Enum, StrEnum


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose state a call may touch; derived from the credential, never from a body.

    `user` is empty when the application named nobody: such a scope has no memory.
    """

    tenant: str
    user: str = ""


class Role(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call as the model wrote it; `arguments` is JSON text, valid or not."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a chat template sees it."""

    role: Role
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema as JSON text."""

    name: str
    description: str
    parameters: str
    strict: bool = False


class ToolMode(Enum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    NAMED = "named"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call a function; `name` belongs to NAMED."""

    mode: ToolMode = ToolMode.AUTO
    name: str = ""
