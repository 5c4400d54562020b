"""The tools that a request brings, asks for and chooses among: what all protocols share of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, Tag, WithJsonSchema

from services.gateway.api import OwnTools
from services.gateway.http.fields import Function, not_yet
from services.gateway.values import MOST_NAMES, Body, Grammar, Name, member, tagged
from services.shared.tools import (
    TEXT_PARAMETERS,
    TextInput,
    TextSyntax,
    Tool,
    ToolChoice,
    ToolMode,
)

# The name under which the mesh's own tools appear, as OpenAI names an MCP server.
OWN_SERVER = "chatmesh"
# Kinds of tools that real clients choose and this mesh does not have.
_HOSTED = {
    *("apply_patch", "code_interpreter", "computer", "computer_use_preview", "custom"),
    *("file_search", "image_generation", "local_shell", "shell", "tool_search"),
    *("web_search", "web_search_2025_08_26", "web_search_preview"),
    "web_search_preview_2025_03_11",
}


def _never(value: Any) -> Any:
    if value not in (None, "never"):
        raise ValueError('must be "never": a call cannot wait for an approval yet')
    return value


class ToolFilter(Body):
    """The longer form of `allowed_tools`."""

    tool_names: list[str] | None = Field(default=None, max_length=MOST_NAMES)
    read_only: Annotated[
        bool | None, AfterValidator(not_yet), WithJsonSchema({"enum": [None, False]})
    ] = None


AllowedTools = Annotated[
    Annotated[list[str], Field(max_length=MOST_NAMES), Tag("@names")]
    | Annotated[ToolFilter, Tag("@filter")],
    tagged(
        lambda value: "names" if isinstance(value, list) else "filter",
        "a list of names, or an object with `tool_names`",
    ),
]


class OwnServerTool(Body):
    """Asks for the mesh's own tools, and for the person's memory to be read."""

    type: Literal["mcp"]
    server_label: Literal["chatmesh"]
    allowed_tools: AllowedTools | None = None
    require_approval: Annotated[
        Any, AfterValidator(_never), WithJsonSchema({"enum": [None, "never"]})
    ] = None

    @property
    def names(self) -> Sequence[str] | None:
        """None: all of them."""
        if isinstance(self.allowed_tools, ToolFilter):
            return self.allowed_tools.tool_names
        return self.allowed_tools


class OtherTool(Body):
    """A kind of tool that real clients send and this mesh does not have: it is not offered."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str


def other_than(*kinds: str) -> WithJsonSchema:
    """How the document has `OtherTool`, where tools of these kinds are known."""
    kind = {"type": "string", "not": {"enum": [*kinds]}}
    return WithJsonSchema({"type": "object", "properties": {"type": kind}, "required": ["type"]})


class NamedFunction(Body):
    name: Name


class TextFormat(Body):
    """Any text."""

    type: Literal["text"]

    def text_input(self) -> TextInput:
        return TextInput()


class TextGrammar(Body):
    type: Literal["grammar"]
    syntax: Literal["lark", "regex"]
    definition: Grammar

    def text_input(self) -> TextInput:
        return TextInput(TextSyntax(self.syntax), self.definition)


class CustomTool(Body):
    """A function that takes one text."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["custom"]
    name: Name
    description: str | None = None
    format: (
        Annotated[
            Annotated[TextFormat, Tag("@text")] | Annotated[TextGrammar, Tag("@grammar")],
            tagged(
                lambda value: "grammar" if member("type")(value) == "grammar" else "text",
                "a format whose `type` is text or grammar",
            ),
        ]
        | None
    ) = None

    def tool(self) -> Tool:
        taken = (self.format or TextFormat(type="text")).text_input()
        return Tool(self.name, self.description or "", TEXT_PARAMETERS, text_input=taken)


class Reference(Body):
    """Names one of the request's tools; in chat completions, a function's name stands deeper."""

    type: str
    name: str | None = None
    function: NamedFunction | None = None
    server_label: str | None = None

    @property
    def called(self) -> str | None:
        return self.function.name if self.function else self.name


class Among(Body):
    """A choice among some of the request's tools; the model is shown no others."""

    mode: Literal["auto", "required"] = "auto"
    tools: list[Reference] = Field(max_length=MOST_NAMES)

    def functions(self, functions: Sequence[Tool]) -> Sequence[Tool]:
        names = {each.called for each in self.tools if each.type in {"function", "custom"}}
        return [function for function in functions if function.name in names]

    def own_tools(self, asked: OwnTools | None) -> OwnTools | None:
        if asked is None:
            return None
        servers = [each for each in self.tools if each.server_label == OWN_SERVER]
        names = {each.called for each in servers}
        if None in names:
            return asked
        return OwnTools(frozenset(name for name in names if name and asked.include(name)))


class NamedChoice(Body):
    """The choice of one function. Where its name stands, each protocol says."""

    type: Literal["function"]

    @property
    def chosen(self) -> str:
        raise NotImplementedError


class AmongChoice(Body):
    """Where the choice among some tools stands, each protocol says."""

    type: Literal["allowed_tools"]

    @property
    def among(self) -> Among:
        raise NotImplementedError


class OwnServerChoice(Body):
    """One of the mesh's own tools must be called: the one that is named, or any."""

    type: Literal["mcp"]
    server_label: Literal["chatmesh"]
    name: str | None = None


class HostedChoice(Body):
    """The choice of a kind of tool that this mesh does not have. Nothing else is chosen by it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(_HOSTED)})]


_CHOICES = {"function": "named", "allowed_tools": "among", "mcp": "own_server"}


def _kind_of_choice(value: Any) -> str | None:
    if isinstance(value, str):
        return "mode"
    kind = str(member("type")(value))
    if kind == "custom" and member("name")(value) is not None:
        return "named"
    return "hosted" if kind in _HOSTED else _CHOICES.get(kind)


Named = TypeVar("Named", bound=NamedChoice)
Some = TypeVar("Some", bound=AmongChoice)
ToolChoiceField = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("@mode")]
    | Annotated[Named, Tag("@named")]
    | Annotated[Some, Tag("@among")]
    | Annotated[OwnServerChoice, Tag("@own_server")]
    | Annotated[HostedChoice, Tag("@hosted")],
    tagged(_kind_of_choice, "auto, none, required, a function or `allowed_tools`"),
]
Choice = str | NamedChoice | AmongChoice | OwnServerChoice | HostedChoice | None


@dataclass(frozen=True, slots=True)
class AskedTools:
    """What a request's tools and its choice among them ask of the turn."""

    functions: tuple[Tool, ...]
    own_tools: OwnTools | None
    choice: ToolChoice


def asked_tools(
    functions: Iterable[Function | CustomTool], servers: Sequence[OwnServerTool], choice: Choice
) -> AskedTools:
    offered = tuple(function.tool() for function in functions)
    own = _own_tools(servers)
    match choice:
        case NamedChoice():
            return AskedTools(offered, own, ToolChoice(ToolMode.NAMED, choice.chosen))
        case AmongChoice(among=among):
            mode = ToolChoice(ToolMode(among.mode))
            return AskedTools(tuple(among.functions(offered)), among.own_tools(own), mode)
        case OwnServerChoice(name=str(name)):
            # A function of the caller's that has this name is none of the server's.
            others = tuple(tool for tool in offered if tool.name != name)
            return AskedTools(others, own, ToolChoice(ToolMode.NAMED, name))
        case OwnServerChoice():
            return AskedTools((), own, ToolChoice(ToolMode.REQUIRED))
        case HostedChoice():
            return AskedTools(offered, own, ToolChoice())
    return AskedTools(offered, own, ToolChoice(ToolMode(choice or "auto")))


def echoed(choice: Choice) -> Any:
    """The choice as a response repeats it."""
    return choice.model_dump(exclude_none=True) if isinstance(choice, Body) else choice


def _own_tools(servers: Sequence[OwnServerTool]) -> OwnTools | None:
    if not servers:
        return None
    chosen = [server.names for server in servers]
    if None in chosen:
        return OwnTools()
    return OwnTools(frozenset(name for names in chosen for name in names or ()))
