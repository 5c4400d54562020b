"""What `POST /v1/responses` accepts, and what it asks of the turn."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag

from services.context_assembly.api import Call, CallResult, Item, Reasoning, Text
from services.gateway.api import Ask
from services.gateway.http.fields import (
    Body,
    Function,
    Name,
    Part,
    SchemaFormat,
    joined,
    member,
    tagged,
)
from services.gateway.ids import make_id
from services.inference.api import FormatKind, OutputFormat, Sampling
from services.shared.chat import Role, ToolChoice, ToolMode

# The name under which the mesh's own tools appear, as OpenAI names an MCP server.
OWN_SERVER = "chatmesh"

Content = Annotated[
    Annotated[str, Tag("@text")] | Annotated[list[Part], Tag("@parts")],
    tagged(
        lambda value: {str: "text", list: "parts"}.get(type(value)), "a string or a list of parts"
    ),
]


class InputMessage(Body):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    id: str | None = None

    def item(self) -> Item:
        return Text(self.id or make_id("msg"), Role(self.role), joined(self.content))


class InputFunctionCall(Body):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None

    def item(self) -> Item:
        return Call(self.id or make_id("fc"), self.call_id, self.name, self.arguments)


class InputFunctionResult(Body):
    type: Literal["function_call_output"]
    call_id: str
    output: Content
    id: str | None = None

    def item(self) -> Item:
        return CallResult(self.id or make_id("fco"), self.call_id, joined(self.output))


class InputOwnCall(Body):
    """A call that the mesh ran in an earlier response, given back by the caller."""

    type: Literal["mcp_call"]
    id: str
    server_label: Literal["chatmesh"]
    name: str
    arguments: str
    output: str | None = None
    error: str | None = None

    def item(self) -> Item:
        outcome = self.output or self.error or ""
        failed = self.error is not None
        return Call(
            self.id, self.id, self.name, self.arguments, own=True, output=outcome, failed=failed
        )


class InputReasoning(Body):
    type: Literal["reasoning"]
    id: str | None = None
    summary: tuple[Part, ...] = ()

    def item(self) -> Item:
        return Reasoning(self.id or make_id("rs"), joined(self.summary))


InputItem = Annotated[
    Annotated[InputMessage, Tag("@message")]
    | Annotated[InputFunctionCall, Tag("@function_call")]
    | Annotated[InputFunctionResult, Tag("@function_call_output")]
    | Annotated[InputOwnCall, Tag("@mcp_call")]
    | Annotated[InputReasoning, Tag("@reasoning")],
    tagged(
        lambda value: member("type")(value) or "message",
        "an item: message, function_call, function_call_output, reasoning or mcp_call",
    ),
]
Input = Annotated[
    Annotated[str, Tag("@text")]
    | Annotated[list[InputItem], Field(min_length=1, max_length=2048), Tag("@items")],
    tagged(
        lambda value: {str: "text", list: "items"}.get(type(value)), "a string or a list of items"
    ),
]


class FunctionTool(Function):
    type: Literal["function"]


class OwnServerTool(Body):
    """Chooses among the mesh's own tools; without one of these, all are there."""

    type: Literal["mcp"]
    server_label: Literal["chatmesh"]
    allowed_tools: list[str] | None = None


class OtherTool(Body):
    """A kind of tool that real clients send and this mesh does not have: it is not offered."""

    type: str


_TOOLS = {"function": "function", "mcp": "own_server"}
ToolField = Annotated[
    Annotated[FunctionTool, Tag("@function")]
    | Annotated[OwnServerTool, Tag("@own_server")]
    | Annotated[OtherTool, Tag("@other")],
    tagged(lambda value: _TOOLS.get(str(member("type")(value)), "other"), "a tool"),
]


class NamedChoice(Body):
    type: Literal["function"]
    name: Name


ToolChoiceField = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("@mode")]
    | Annotated[NamedChoice, Tag("@named")],
    tagged(
        lambda value: "mode" if isinstance(value, str) else "named",
        "auto, none, required or a function",
    ),
]


class PlainFormat(Body):
    type: Literal["text", "json_object"]


class JsonSchemaFormat(SchemaFormat):
    type: Literal["json_schema"]


Format = Annotated[
    Annotated[PlainFormat, Tag("@plain")] | Annotated[JsonSchemaFormat, Tag("@json_schema")],
    tagged(
        lambda value: "json_schema" if member("type")(value) == "json_schema" else "plain",
        "a format whose `type` is text, json_object or json_schema",
    ),
]


class TextOptions(Body):
    format: Format | None = None
    verbosity: str | None = None


class ReasoningOptions(Body):
    effort: str | None = Field(default=None, max_length=32)
    summary: str | None = None


def _few(metadata: dict[str, str] | None) -> dict[str, str] | None:
    for key, value in (metadata or {}).items():
        if len(key) > 64 or len(value) > 512:
            raise ValueError("has a key over 64 or a value over 512 characters")
    return metadata


def _not_yet(value: Any) -> Any:
    if value:
        raise ValueError("is not supported yet: leave it out")
    return value


class ResponseRequest(Body):
    """A response. Fields that are not listed are ignored."""

    model: str
    input: Input
    instructions: str | None = None
    previous_response_id: str | None = None
    stream: bool | None = False
    store: bool | None = True
    max_output_tokens: int | None = Field(default=None, ge=1)
    max_tool_calls: int | None = Field(default=None, ge=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = None
    tools: list[ToolField] | None = Field(default=None, max_length=128)
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = True
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[str, str] | None, Field(max_length=16), AfterValidator(_few)] = None
    safety_identifier: str | None = Field(default=None, max_length=256)
    prompt_cache_key: str | None = None
    background: Annotated[bool | None, AfterValidator(_not_yet)] = None
    conversation: Annotated[Any, AfterValidator(_not_yet)] = None

    def ask(self) -> Ask:
        return Ask(
            model=self.model,
            input=self._items(),
            instructions=self.instructions or "",
            previous_response_id=self.previous_response_id or "",
            functions=tuple(tool.tool() for tool in self._functions()),
            choice=self._choice(),
            parallel_calls=self.parallel_tool_calls is not False,
            own_tools=self._own_tools(),
            tool_rounds=self.max_tool_calls,
            store=self.store is not False,
            sampling=Sampling(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                top_logprobs=self._top_logprobs(),
            ),
            format=self._format(),
            truncate=self.truncation == "auto",
            safety_identifier=self.safety_identifier or "",
            template_options=self._template_options(),
            echo=json.dumps(self.echo()),
        )

    def echo(self) -> dict[str, Any]:
        """What a response repeats of its request, defaults filled in."""
        text = self.text.model_dump(by_alias=True, exclude_none=True) if self.text else {}
        return {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": {
                "effort": self.reasoning.effort if self.reasoning else None,
                "summary": self.reasoning.summary if self.reasoning else None,
            },
            "safety_identifier": self.safety_identifier,
            "store": self.store is not False,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "text": {"format": {"type": "text"}, **text},
            "tool_choice": self._echoed_choice(),
            "tools": [tool.model_dump() for tool in self.tools or ()],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "truncation": self.truncation or "disabled",
        }

    def _echoed_choice(self) -> str | dict[str, str]:
        if isinstance(self.tool_choice, NamedChoice):
            return {"type": "function", "name": self.tool_choice.name}
        return self.tool_choice or "auto"

    def _items(self) -> tuple[Item, ...]:
        if isinstance(self.input, str):
            return (Text(make_id("msg"), Role.USER, self.input),)
        return tuple(item.item() for item in self.input)

    def _functions(self) -> list[FunctionTool]:
        return [tool for tool in self.tools or () if isinstance(tool, FunctionTool)]

    def _own_tools(self) -> frozenset[str] | None:
        chosen = [tool for tool in self.tools or () if isinstance(tool, OwnServerTool)]
        if not chosen or chosen[0].allowed_tools is None:
            return None
        return frozenset(chosen[0].allowed_tools)

    def _choice(self) -> ToolChoice:
        if isinstance(self.tool_choice, NamedChoice):
            return ToolChoice(ToolMode.NAMED, self.tool_choice.name)
        return ToolChoice(ToolMode(self.tool_choice or "auto"))

    def _top_logprobs(self) -> int | None:
        wanted = "message.output_text.logprobs" in (self.include or ())
        return (self.top_logprobs or 0) if wanted or self.top_logprobs else None

    def _format(self) -> OutputFormat | None:
        wanted = self.text.format if self.text else None
        if isinstance(wanted, JsonSchemaFormat):
            return wanted.output_format()
        if wanted and wanted.type == "json_object":
            return OutputFormat(FormatKind.JSON_OBJECT)
        return None

    def _template_options(self) -> dict[str, str]:
        effort = self.reasoning.effort if self.reasoning else None
        return {"reasoning_effort": json.dumps(effort)} if effort else {}
