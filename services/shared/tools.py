"""The functions that a model may call, as every service names them."""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema as JSON text."""

    name: str
    description: str
    parameters: str
    strict: bool = False
    # Of the mesh's own tools: whether running it changes what is remembered of a person.
    writes_memory: bool = False


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call as the model wrote it; `arguments` is JSON text, valid or not."""

    id: str
    name: str
    arguments: str


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
