"""What the body of `POST /v1/responses` asks of a turn."""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag, ValidationInfo, field_validator

from services.gateway.api import Ask
from services.gateway.http.fields import (
    MOST_TOKENS,
    Body,
    Effort,
    FormatField,
    Function,
    Name,
    NamedChoice,
    SafetyIdentifier,
    SchemaFormat,
    TokenCount,
    ToolChoiceField,
    member,
    tagged,
    template_options,
    tool_choice,
)
from services.gateway.http.parts import Content, filled, parts_of
from services.gateway.http.responses.resources import OWN_SERVER
from services.gateway.http.turns import TurnRequest
from services.inference.api import Sampling
from services.shared.conversation import (
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    Item,
    Message,
    Phase,
    Reasoning,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.ids import make_id


class InputMessage(Body):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None
    id: str | None = None

    @field_validator("content")
    @classmethod
    def _some(cls, content: Content, known: ValidationInfo) -> Content:
        """Only an assistant may have said nothing: it gives such messages back."""
        return content if known.data.get("role") == "assistant" else filled(content)

    def item(self) -> Item:
        phase = Phase(self.phase or "") if self.role == "assistant" else Phase.UNSAID
        item_id = self.id or make_id("msg")
        return Message(item_id, Role(self.role), parts_of(self.content), phase)


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
        return CallResult(self.id or make_id("fco"), self.call_id, parts_of(self.output))


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
        text = self.output or self.error or ""
        return Call(
            self.id,
            self.id,
            self.name,
            self.arguments,
            run_by=RunBy.MESH,
            server_label=OWN_SERVER,
            outcome=CallOutcome((Text(text),), failed=self.error is not None),
        )


class Thought(Body):
    """A paragraph of reasoning, or of its summary."""

    text: str


class InputReasoning(Body):
    type: Literal["reasoning"]
    id: str | None = None
    summary: tuple[Thought, ...] = ()
    content: tuple[Thought, ...] | None = None
    encrypted_content: str | None = None

    def item(self) -> Item:
        """What the model reads again is the reasoning itself, or its summary where that is all."""
        return Reasoning(
            self.id or make_id("rs"),
            text="\n".join(thought.text for thought in self.content or self.summary),
            summary=tuple(thought.text for thought in self.summary),
            opaque=self.encrypted_content or "",
        )


class InputCompaction(Body):
    type: Literal["compaction"]
    id: str | None = None
    encrypted_content: str

    def item(self) -> Item:
        return Compaction(self.id or make_id("cmp"), opaque=self.encrypted_content)


InputItem = Annotated[
    Annotated[InputMessage, Tag("@message")]
    | Annotated[InputFunctionCall, Tag("@function_call")]
    | Annotated[InputFunctionResult, Tag("@function_call_output")]
    | Annotated[InputOwnCall, Tag("@mcp_call")]
    | Annotated[InputReasoning, Tag("@reasoning")]
    | Annotated[InputCompaction, Tag("@compaction")],
    tagged(
        lambda value: member("type")(value) or "message",
        "an item: message, function_call, function_call_output, reasoning, compaction or mcp_call",
    ),
]
Input = Annotated[
    Annotated[str, Tag("@text")]
    | Annotated[list[InputItem], Field(min_length=1, max_length=2048), Tag("@items")],
    tagged(
        lambda value: {str: "text", list: "items"}.get(type(value)), "a string or a list of items"
    ),
]


class ResponsesFunctionTool(Function):
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
    Annotated[ResponsesFunctionTool, Tag("@function")]
    | Annotated[OwnServerTool, Tag("@own_server")]
    | Annotated[OtherTool, Tag("@other")],
    tagged(lambda value: _TOOLS.get(str(member("type")(value)), "other"), "a tool"),
]


class ResponsesNamedChoice(NamedChoice):
    name: Name

    @property
    def chosen(self) -> str:
        return self.name


class ResponsesSchemaFormat(SchemaFormat):
    type: Literal["json_schema"]


class TextOptions(Body):
    format: FormatField[ResponsesSchemaFormat] | None = None
    verbosity: str | None = None


class ReasoningOptions(Body):
    effort: Effort | None = None
    summary: str | None = None


def _few(metadata: dict[str, str] | None) -> dict[str, str] | None:
    for key, value in (metadata or {}).items():
        if len(key) > 64 or len(value) > 512:
            raise ValueError("has a key over 64 or a value over 512 characters")
    return metadata


# What callers call otherwise than the turn does.
_OURS = {
    "max_tokens": "max_output_tokens",
    "prompt_ids": "input",
    "pictures": "input",
    "format": "text.format",
}


def _not_yet(value: Any) -> Any:
    if value:
        raise ValueError("is not supported yet: leave it out")
    return value


class ResponseRequest(TurnRequest):
    """Runs a turn. The mesh's own tools show as `mcp_call` items of the server `chatmesh`.

    Fields that are not listed are ignored.
    """

    model: str
    input: Input
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = True
    max_output_tokens: TokenCount | None = None
    max_tool_calls: int | None = Field(default=None, ge=0, le=MOST_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = None
    tools: list[ToolField] | None = Field(default=None, max_length=128)
    tool_choice: ToolChoiceField[ResponsesNamedChoice] | None = None
    parallel_tool_calls: bool | None = True
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[str, str] | None, Field(max_length=16), AfterValidator(_few)] = None
    safety_identifier: SafetyIdentifier | None = None
    prompt_cache_key: str | None = None
    background: Annotated[bool | None, AfterValidator(_not_yet)] = None
    conversation: Annotated[Any, AfterValidator(_not_yet)] = None

    def ask(self) -> Ask:
        wanted = self.text.format if self.text else None
        options = self.reasoning or ReasoningOptions()
        return Ask(
            model=self.model,
            input=self._items(),
            instructions=self.instructions or "",
            previous_response_id=self.previous_response_id or "",
            functions=tuple(tool.tool() for tool in self._functions()),
            choice=tool_choice(self.tool_choice),
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
            format=wanted.output_format() if wanted else None,
            truncate=self.truncation == "auto",
            safety_identifier=self.safety_identifier or "",
            template_options=template_options({}, options.effort),
            echo=json.dumps(self._echo()),
        )

    def field(self, param: str) -> str:
        param = _OURS.get(param, param)
        return "input" if isinstance(self.input, str) and param.startswith("input[") else param

    def _echo(self) -> dict[str, Any]:
        """What a response repeats of its request; `resources.py` has what stands for the rest."""
        fields = {
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "metadata": self.metadata,
            "parallel_tool_calls": self.parallel_tool_calls,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": self.reasoning and self.reasoning.model_dump(),
            "safety_identifier": self.safety_identifier,
            "store": self.store,
            "temperature": self.temperature,
            "text": self.text and self.text.model_dump(by_alias=True, exclude_none=True),
            "tool_choice": _echoed(self.tool_choice),
            "tools": [tool.model_dump() for tool in self.tools or ()],
            "top_logprobs": self.top_logprobs,
            "top_p": self.top_p,
            "truncation": self.truncation,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _items(self) -> tuple[Item, ...]:
        if isinstance(self.input, str):
            return (said(make_id("msg"), Role.USER, self.input),)
        return tuple(item.item() for item in self.input)

    def _functions(self) -> list[ResponsesFunctionTool]:
        return [tool for tool in self.tools or () if isinstance(tool, ResponsesFunctionTool)]

    def _own_tools(self) -> frozenset[str] | None:
        chosen = [tool for tool in self.tools or () if isinstance(tool, OwnServerTool)]
        if not chosen or chosen[0].allowed_tools is None:
            return None
        return frozenset(chosen[0].allowed_tools)

    def _top_logprobs(self) -> int | None:
        wanted = "message.output_text.logprobs" in (self.include or ())
        return (self.top_logprobs or 0) if wanted or self.top_logprobs else None


def _echoed(choice: str | ResponsesNamedChoice | None) -> str | dict[str, str] | None:
    if isinstance(choice, ResponsesNamedChoice):
        return {"type": "function", "name": choice.name}
    return choice
