"""The functions that a model may call, as every service names them."""

import json
from dataclasses import dataclass
from enum import Enum

from services.shared.json_text import read_json

# The parameters of every tool that takes one text: this is what the model reads and writes.
TEXT_PARAMETERS = (
    '{"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"],'
    ' "additionalProperties": false}'
)


def text_arguments(text: str) -> str:
    """The arguments of a call whose tool takes one text."""
    return json.dumps({"input": text}, ensure_ascii=False)


def text_in(arguments: str) -> str:
    """The text in such arguments; what is no such thing, is the text itself."""
    try:
        read = read_json(arguments)
    except ValueError:
        return arguments
    text = read.get("input") if isinstance(read, dict) else None
    return text if isinstance(text, str) else arguments


class TextSyntax(Enum):
    """In what a text's grammar is written."""

    # There is none: any text will do.
    ANY = "any"
    REGEX = "regex"
    LARK = "lark"


@dataclass(frozen=True, slots=True)
class TextInput:
    """What the one text of a tool must look like, from its beginning to its end."""

    syntax: TextSyntax = TextSyntax.ANY
    grammar: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON Schema as JSON text.

    With `text_input` it is one of OpenAI's custom tools: it takes one text instead of arguments,
    and `parameters` is `TEXT_PARAMETERS`.
    """

    name: str
    description: str
    parameters: str
    strict: bool = False
    # Of the mesh's own tools: whether running it changes what is remembered of a person.
    writes_memory: bool = False
    text_input: TextInput | None = None


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
