"""What the body of `POST /v1/chat/completions` asks of a turn."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag, WithJsonSchema

from services.gateway.api import Ask
from services.gateway.http.fields import (
    Effort,
    FormatField,
    Function,
    SchemaFormat,
    template_options,
)
from services.gateway.http.parts import Content, FilledContent, parts_of
from services.gateway.http.tools import (
    Among,
    AmongChoice,
    AskedTools,
    NamedChoice,
    NamedFunction,
    OtherTool,
    OwnServerTool,
    ToolChoiceField,
    asked_tools,
    other_than,
)
from services.gateway.http.turns import TurnRequest
from services.gateway.values import (
    MOST_ITEMS,
    MOST_STOPS,
    MOST_TOKENS,
    MOST_TOOLS,
    AsWhole,
    Body,
    LikeliestTokens,
    Penalty,
    SafetyIdentifier,
    StopString,
    Temperature,
    TokenCount,
    TopP,
    member,
    tagged,
)
from services.inference.api import OutputFormat, Sampling
from services.shared.conversation import Call, CallResult, Item, Message, Reasoning, Refusal, Role


class ApplicationMessage(Body):
    """What the application or its user says."""

    role: Literal["system", "developer", "user"]
    content: FilledContent

    def items(self) -> list[Item]:
        return [Message("", Role(self.role), parts_of(self.content))]


class CalledFunction(Body):
    name: str
    arguments: str = "{}"


class ToolCallOfMessage(Body):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction

    def item(self) -> Item:
        return Call("", self.id, self.function.name, self.function.arguments)


class CalledCustomTool(Body):
    name: str
    input: str = ""


class CustomCallOfMessage(Body):
    """A call of a custom tool. The model reads it as a call with one argument."""

    id: str
    type: Literal["custom"]
    custom: CalledCustomTool

    def item(self) -> Item:
        arguments = json.dumps({"input": self.custom.input}, ensure_ascii=False)
        return Call("", self.id, self.custom.name, arguments)


CallOfMessage = Annotated[
    Annotated[ToolCallOfMessage, Tag("@function")] | Annotated[CustomCallOfMessage, Tag("@custom")],
    tagged(
        lambda value: "custom" if member("type")(value) == "custom" else "function",
        "a call of a function or of a custom tool",
    ),
]


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: Content | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[CallOfMessage] | None = None

    def items(self) -> list[Item]:
        items: list[Item] = []
        if self.reasoning_content:
            items.append(Reasoning("", self.reasoning_content))
        refusal = (Refusal(self.refusal),) if self.refusal else ()
        if self.content or refusal or not self.tool_calls:
            parts = (*parts_of(self.content), *refusal)
            items.append(Message("", Role.ASSISTANT, parts))
        items += [call.item() for call in self.tool_calls or ()]
        return items


class ToolMessage(Body):
    role: Literal["tool"]
    tool_call_id: str
    content: Content

    def items(self) -> list[Item]:
        return [CallResult("", self.tool_call_id, parts_of(self.content))]


_APPLICATION_ROLES = {"system", "developer", "user"}
MessageField = Annotated[
    Annotated[ApplicationMessage, Tag("@application")]
    | Annotated[AssistantMessage, Tag("@assistant")]
    | Annotated[ToolMessage, Tag("@tool")],
    tagged(
        lambda value: (
            "application" if (role := str(member("role")(value))) in _APPLICATION_ROLES else role
        ),
        "a message whose `role` is system, developer, user, assistant or tool",
    ),
]


class ChatFunctionTool(Body):
    type: Literal["function"]
    function: Function


_TOOLS = {"function": "function", "mcp": "own_server"}
ChatToolField = Annotated[
    Annotated[ChatFunctionTool, Tag("@function")]
    | Annotated[OwnServerTool, Tag("@own_server")]
    | Annotated[OtherTool, Tag("@other"), other_than(*_TOOLS)],
    tagged(lambda value: _TOOLS.get(str(member("type")(value)), "other"), "a tool"),
]


class ChatAmongChoice(AmongChoice):
    allowed_tools: Among

    @property
    def among(self) -> Among:
        return self.allowed_tools


class ChatNamedChoice(NamedChoice):
    function: NamedFunction

    @property
    def chosen(self) -> str:
        return self.function.name


class ChatSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: SchemaFormat

    def output_format(self) -> OutputFormat:
        return self.json_schema.output_format()


Stop = Annotated[
    Annotated[StopString, Tag("@one")]
    | Annotated[list[StopString], Field(max_length=MOST_STOPS), Tag("@several")],
    tagged(lambda value: {str: "one", list: "several"}.get(type(value)), "a string or several"),
]


def _biases(biases: dict[str, float]) -> dict[str, float]:
    for token, bias in biases.items():
        known = re.fullmatch(r"[0-9]{1,10}", token) and int(token) <= MOST_TOKENS
        if not known or not -_MOST_BIAS <= bias <= _MOST_BIAS:
            raise ValueError("must map token ids to numbers from -100 to 100")
    return biases


_MOST_BIAS = 100
Biases = Annotated[
    dict[str, float],
    Field(
        max_length=1024,
        json_schema_extra={
            "propertyNames": {"pattern": "^[0-9]{1,9}$"},  # of ten digits not all are token ids
            "additionalProperties": {
                "type": "number",
                "minimum": -_MOST_BIAS,
                "maximum": _MOST_BIAS,
            },
        },
    ),
    AfterValidator(_biases),
]


# What callers call otherwise than the turn does.
_OURS = {
    "input": "messages",
    "prompt_ids": "messages",
    "pictures": "messages",
    "format": "response_format",
    "instructions": "messages",
    "template_options": "chat_template_kwargs",
}


def _older(value: Any) -> Any:
    if value not in (None, "none", "auto"):
        raise ValueError("is not supported: use `tools` and `tool_choice`")
    return value


Older = Annotated[
    Any, AfterValidator(_older), WithJsonSchema({"enum": [None, "none", "auto"]}, mode="validation")
]


# The document has numbers that a double holds, so that the largest seeds are not in it.
Seed = Annotated[
    int,
    Field(ge=-(2**63), lt=2**63),
    AsWhole,
    WithJsonSchema({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1024}),
]


class StreamOptions(Body):
    include_usage: bool = False


class ChatCompletionRequest(TurnRequest):
    """Answers a conversation. The mesh's own tools, where asked for, run inside; only the answer
    shows.

    Fields that are not listed are ignored.
    """

    model: str
    messages: list[MessageField] = Field(min_length=1, max_length=MOST_ITEMS)
    stream_options: StreamOptions | None = None
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=-1, le=MOST_TOKENS), AsWhole] | None = None
    min_p: float | None = Field(default=None, ge=0, le=1)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    seed: Seed | None = None
    stop: Stop | None = None
    n: Annotated[int, Field(ge=1, le=16), AsWhole] | None = 1
    logprobs: bool | None = False
    top_logprobs: LikeliestTokens | None = None
    logit_bias: Biases | None = None
    tools: list[ChatToolField] | None = Field(default=None, max_length=MOST_TOOLS)
    tool_choice: ToolChoiceField[ChatNamedChoice, ChatAmongChoice] | None = None
    parallel_tool_calls: bool | None = True
    response_format: FormatField[ChatSchemaFormat] | None = None
    reasoning_effort: Effort | None = None
    safety_identifier: SafetyIdentifier | None = None
    user: SafetyIdentifier | None = None
    store: bool | None = False
    chat_template_kwargs: dict[str, Any] | None = None
    functions: Older = None
    function_call: Older = None

    def ask(self) -> Ask:
        asked = self._asked_tools()
        return Ask(
            model=self.model,
            input=tuple(item for message in self.messages for item in message.items()),
            functions=asked.functions,
            own_tools=asked.own_tools,
            choice=asked.choice,
            parallel_calls=self.parallel_tool_calls is not False,
            store=bool(self.store),
            sampling=self._sampling(),
            format=self.response_format.output_format() if self.response_format else None,
            safety_identifier=self.safety_identifier or self.user or "",
            template_options=template_options(
                self.chat_template_kwargs or {}, self.reasoning_effort
            ),
            # A chat completion is one answer, with one end.
            steerable=False,
            echo=json.dumps({"include_usage": self._include_usage}),
        )

    def field(self, param: str) -> str:
        if param == "max_tokens" and self.max_completion_tokens:
            return "max_completion_tokens"
        if param in _OURS:
            return _OURS[param]
        match = re.fullmatch(r"input\[(\d+)\]", param)
        if not match:
            return param
        messages = [n for n, message in enumerate(self.messages) for _ in message.items()]
        return f"messages[{messages[int(match[1])]}]"

    def _asked_tools(self) -> AskedTools:
        tools = self.tools or ()
        return asked_tools(
            [tool.function for tool in tools if isinstance(tool, ChatFunctionTool)],
            [tool for tool in tools if isinstance(tool, OwnServerTool)],
            self.tool_choice,
        )

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

    @property
    def _include_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)
