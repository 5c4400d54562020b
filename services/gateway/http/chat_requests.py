"""What `POST /v1/chat/completions` accepts, and what it asks of the turn."""

import json
import re
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

Content = Annotated[
    Annotated[str, Tag("@text")] | Annotated[list[Part], Tag("@parts")],
    tagged(
        lambda value: {str: "text", list: "parts"}.get(type(value)), "a string or a list of parts"
    ),
]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: Content

    def items(self) -> list[Item]:
        return [Text(make_id("msg"), Role(self.role), joined(self.content))]


class UserMessage(Body):
    role: Literal["user"]
    content: Content

    def items(self) -> list[Item]:
        return [Text(make_id("msg"), Role.USER, joined(self.content))]


class CalledFunction(Body):
    name: str
    arguments: str = "{}"


class ToolCallOfMessage(Body):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: Content | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallOfMessage] | None = None

    def items(self) -> list[Item]:
        items: list[Item] = []
        if self.reasoning_content:
            items.append(Reasoning(make_id("rs"), self.reasoning_content))
        if self.content or not self.tool_calls:
            items.append(Text(make_id("msg"), Role.ASSISTANT, joined(self.content)))
        for call in self.tool_calls or ():
            called = call.function
            items.append(Call(make_id("fc"), call.id, called.name, called.arguments))
        return items


class ToolMessage(Body):
    role: Literal["tool"]
    tool_call_id: str
    content: Content

    def items(self) -> list[Item]:
        return [CallResult(make_id("fco"), self.tool_call_id, joined(self.content))]


_ROLES = {"system": "system", "developer": "system"}
Message = Annotated[
    Annotated[SystemMessage, Tag("@system")]
    | Annotated[UserMessage, Tag("@user")]
    | Annotated[AssistantMessage, Tag("@assistant")]
    | Annotated[ToolMessage, Tag("@tool")],
    tagged(
        lambda value: _ROLES.get(str(role := member("role")(value)), role),
        "a message whose `role` is system, developer, user, assistant or tool",
    ),
]


class FunctionTool(Body):
    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    name: Name


class NamedChoice(Body):
    type: Literal["function"]
    function: NamedFunction


ToolChoiceField = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("@mode")]
    | Annotated[NamedChoice, Tag("@named")],
    tagged(
        lambda value: "mode" if isinstance(value, str) else "named",
        "auto, none, required or a function",
    ),
]


class TextFormat(Body):
    type: Literal["text"]


class JsonObjectFormat(Body):
    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: SchemaFormat


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("@text")]
    | Annotated[JsonObjectFormat, Tag("@json_object")]
    | Annotated[JsonSchemaFormat, Tag("@json_schema")],
    tagged(member("type"), "a format whose `type` is text, json_object or json_schema"),
]


Stop = Annotated[
    Annotated[str, Tag("@one")] | Annotated[list[str], Field(max_length=16), Tag("@several")],
    tagged(lambda value: {str: "one", list: "several"}.get(type(value)), "a string or several"),
]


def _biases(biases: dict[str, float] | None) -> dict[str, float] | None:
    for token, bias in (biases or {}).items():
        if not token.isdecimal() or not -100 <= bias <= 100:
            raise ValueError("must map token ids to numbers from -100 to 100")
    return biases


class StreamOptions(Body):
    include_usage: bool = False


class ChatCompletionRequest(Body):
    """A chat completion. Fields that are not listed are ignored."""

    model: str
    messages: list[Message] = Field(min_length=1, max_length=2048)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: Stop | None = None
    n: int | None = Field(default=1, ge=1, le=16)
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    logit_bias: Annotated[dict[str, float] | None, AfterValidator(_biases)] = None
    tools: list[FunctionTool] | None = Field(default=None, max_length=128)
    tool_choice: ToolChoiceField | None = None
    parallel_tool_calls: bool | None = True
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = Field(default=None, max_length=32)
    safety_identifier: str | None = Field(default=None, max_length=256)
    store: bool | None = False
    chat_template_kwargs: dict[str, Any] | None = None

    def ask(self) -> Ask:
        return Ask(
            model=self.model,
            input=tuple(item for message in self.messages for item in message.items()),
            functions=tuple(tool.function.tool() for tool in self.tools or ()),
            choice=_choice(self.tool_choice),
            parallel_calls=self.parallel_tool_calls is not False,
            store=bool(self.store),
            sampling=self._sampling(),
            format=_format(self.response_format),
            safety_identifier=self.safety_identifier or "",
            template_options=self._template_options(),
        )

    def field(self, param: str) -> str:
        """Where the caller wrote what the turn calls `input[n]`."""
        match = re.fullmatch(r"input\[(\d+)\]", param)
        if not match:
            return param
        messages = [n for n, message in enumerate(self.messages) for _ in message.items()]
        return f"messages[{messages[int(match[1])]}]"

    def _sampling(self) -> Sampling:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Sampling(
            max_tokens=self.max_completion_tokens or self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
            stop=tuple(stop),
            n=self.n or 1,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            logit_bias={int(token): bias for token, bias in (self.logit_bias or {}).items()},
        )

    def _template_options(self) -> dict[str, str]:
        options = dict(self.chat_template_kwargs or {})
        if self.reasoning_effort:
            options.setdefault("reasoning_effort", self.reasoning_effort)
        return {name: json.dumps(value) for name, value in options.items()}


def _choice(choice: str | NamedChoice | None) -> ToolChoice:
    if isinstance(choice, NamedChoice):
        return ToolChoice(ToolMode.NAMED, choice.function.name)
    return ToolChoice(ToolMode(choice or "auto"))


def _format(
    wanted: TextFormat | JsonObjectFormat | JsonSchemaFormat | None,
) -> OutputFormat | None:
    if isinstance(wanted, JsonSchemaFormat):
        return wanted.json_schema.output_format()
    if isinstance(wanted, JsonObjectFormat):
        return OutputFormat(FormatKind.JSON_OBJECT)
    return None
