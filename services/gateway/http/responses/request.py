"""What the body of `POST /v1/responses` asks of a turn."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Tag, WithJsonSchema

from services.gateway.api import Ask, Started
from services.gateway.http.fields import (
    Effort,
    FormatField,
    Function,
    SchemaFormat,
    not_yet,
    one_given,
    template_options,
)
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.items import Input, ReadInput, read_input
from services.gateway.http.responses.resources import begun
from services.gateway.http.tools import (
    Among,
    AmongChoice,
    AskedTools,
    CustomTool,
    NamedChoice,
    OtherTool,
    OwnServerTool,
    ToolChoiceField,
    asked_tools,
    echoed,
    other_than,
)
from services.gateway.http.turns import TurnRequest
from services.gateway.lanes import no_such_conversation
from services.gateway.values import (
    MOST_TOOLS,
    Body,
    CallCount,
    LikeliestTokens,
    Metadata,
    Name,
    Penalty,
    SafetyIdentifier,
    Temperature,
    TokenCount,
    TopP,
    member,
    tagged,
)
from services.inference.api import Sampling


class ResponsesFunctionTool(Function):
    type: Literal["function"]


_CALLED = {"function": "function", "custom": "custom"}
NamespaceMember = Annotated[
    Annotated[ResponsesFunctionTool, Tag("@function")]
    | Annotated[CustomTool, Tag("@custom")]
    | Annotated[OtherTool, Tag("@other"), other_than(*_CALLED)],
    tagged(lambda value: _CALLED.get(str(member("type")(value)), "other"), "a tool"),
]
# What the caller runs when the model calls it.
CallersTool = ResponsesFunctionTool | CustomTool


class NamespaceTool(Body):
    """Functions that belong together; each is offered under its own name."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["namespace"]
    name: Name
    tools: list[NamespaceMember] = Field(max_length=MOST_TOOLS)

    @property
    def functions(self) -> Sequence[CallersTool]:
        return [tool for tool in self.tools if isinstance(tool, CallersTool)]


_TOOLS = {**_CALLED, "mcp": "own_server", "namespace": "namespace"}
ToolField = Annotated[
    Annotated[ResponsesFunctionTool, Tag("@function")]
    | Annotated[CustomTool, Tag("@custom")]
    | Annotated[OwnServerTool, Tag("@own_server")]
    | Annotated[NamespaceTool, Tag("@namespace")]
    | Annotated[OtherTool, Tag("@other"), other_than(*_TOOLS)],
    tagged(lambda value: _TOOLS.get(str(member("type")(value)), "other"), "a tool"),
]


class ResponsesNamedChoice(NamedChoice):
    type: Literal["function", "custom"]  # type: ignore[assignment]
    name: Name

    @property
    def chosen(self) -> str:
        return self.name


class ResponsesAmongChoice(AmongChoice, Among):
    @property
    def among(self) -> Among:
        return self


class ResponsesSchemaFormat(SchemaFormat):
    type: Literal["json_schema"]


class TextOptions(Body):
    format: FormatField[ResponsesSchemaFormat] | None = None
    verbosity: str | None = None


class ReasoningOptions(Body):
    effort: Effort | None = None
    summary: str | None = None


# What callers call otherwise than the turn does.
_OURS = {
    "max_tokens": "max_output_tokens",
    "prompt_ids": "input",
    "pictures": "input",
    "format": "text.format",
    "template_options": "reasoning.effort",
}


class ContextManagement(Body):
    """When the turn compacts what was said before it; without a threshold where it does not fit."""

    type: Literal["compaction"]
    compact_threshold: TokenCount | None = None


class ConversationChoice(Body):
    id: str
    # Ours: what becomes of the turn while another one of the conversation is under way.
    when_busy: Literal["wait", "refuse"] = "wait"


ConversationField = Annotated[
    Annotated[str, Tag("@id")] | Annotated[ConversationChoice, Tag("@conversation")],
    tagged(
        lambda value: {str: "id", dict: "conversation", ConversationChoice: "conversation"}.get(
            type(value)
        ),
        "the id of a conversation, or an object that has it",
    ),
]
NotYet = Annotated[Any, AfterValidator(not_yet), WithJsonSchema({"enum": [None, False]})]


# What OpenAI's clients may want included. Where nothing of the kind is here, nothing is.
Includable = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]
Include = Annotated[list[Includable], Field(max_length=32)]


class ObfuscationOptions(Body):
    """Obfuscation hides how long a piece is from whoever listens on the line: there is none."""

    include_obfuscation: bool | None = None


class ResponseRequest(TurnRequest):
    """Runs a turn. The mesh's own tools, where asked for, show as `mcp_call` items of `chatmesh`.

    Fields that are not listed are ignored.
    """

    model: str
    input: Input
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = True
    max_output_tokens: TokenCount | None = None
    max_tool_calls: CallCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_logprobs: LikeliestTokens | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    include: Include | None = None
    stream_options: ObfuscationOptions | None = None
    tools: list[ToolField] | None = Field(default=None, max_length=MOST_TOOLS)
    tool_choice: ToolChoiceField[ResponsesNamedChoice, ResponsesAmongChoice] | None = None
    parallel_tool_calls: bool | None = True
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Metadata | None = None
    safety_identifier: SafetyIdentifier | None = None
    user: SafetyIdentifier | None = None
    prompt_cache_key: Annotated[str | None, Field(max_length=1024)] = None
    service_tier: Annotated[str | None, Field(max_length=32)] = None
    background: bool | None = None
    conversation: ConversationField | None = None
    prompt: NotYet = None
    context_management: list[ContextManagement] | None = Field(default=None, max_length=1)

    def answer_at_once(self, started: Started) -> JsonObject | None:
        return begun(started) if self.background else None

    def given(self) -> ReadInput:
        """Calls that are given back have the names that the model knows."""
        named = self._namespaces().items()
        called = {(namespace, name): theirs for theirs, (namespace, name) in named}
        return read_input(self.input, called)

    def ask(self) -> Ask:
        wanted = self.text.format if self.text else None
        options = self.reasoning or ReasoningOptions()
        asked, given = self._asked_tools(), self.given()
        conversation = self._conversation()
        return Ask(
            model=self.model,
            input=given.items,
            references=given.references,
            instructions=self.instructions or "",
            previous_response_id=self.previous_response_id or "",
            conversation=conversation.id if conversation else "",
            waits=conversation is None or conversation.when_busy == "wait",
            compact_threshold=self._compact_threshold(),
            only_compacts=given.only_compacts,
            functions=asked.functions,
            choice=asked.choice,
            parallel_calls=self.parallel_tool_calls is not False,
            own_tools=asked.own_tools,
            max_tool_calls=self.max_tool_calls,
            store=self.store is not False,
            sampling=Sampling(
                max_tokens=self.max_output_tokens,
                temperature=self.temperature,
                top_p=self.top_p,
                presence_penalty=self.presence_penalty,
                frequency_penalty=self.frequency_penalty,
                top_logprobs=self._top_logprobs(),
            ),
            format=wanted.output_format() if wanted else None,
            truncate=self.truncation == "auto",
            safety_identifier=self.safety_identifier or self.user or "",
            template_options=template_options({}, options.effort),
            background=bool(self.background),
            seals_reasoning="reasoning.encrypted_content" in (self.include or ()),
            echo=json.dumps(self._echo()),
        )

    def field(self, param: str) -> str:
        return field_of(param, None if isinstance(self.input, str) else self.given())

    def _echo(self) -> dict[str, Any]:
        """What a response repeats of its request; `resources.py` has what stands for the rest."""
        fields = {
            "frequency_penalty": self.frequency_penalty,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": self.max_tool_calls,
            "metadata": self.metadata,
            "namespaces": self._namespaces() or None,
            "parallel_tool_calls": self.parallel_tool_calls,
            "presence_penalty": self.presence_penalty,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": self.reasoning and self.reasoning.model_dump(),
            "safety_identifier": self.safety_identifier,
            "store": self.store,
            "temperature": self.temperature,
            "text": self.text and self.text.model_dump(by_alias=True, exclude_none=True),
            "tool_choice": echoed(self.tool_choice),
            "tools": [tool.model_dump() for tool in self.tools or ()],
            "top_logprobs": self.top_logprobs,
            "top_p": self.top_p,
            "truncation": self.truncation,
            "user": self.user,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _conversation(self) -> ConversationChoice | None:
        """An empty id names a conversation that is not there, and not none."""
        named = self.conversation
        if isinstance(named, str):
            named = ConversationChoice(id=named)
        if named and not named.id:
            raise no_such_conversation()
        return named

    def _compact_threshold(self) -> int | None:
        """In tokens; 0: only where the prompt does not fit."""
        if not self.context_management:
            return None
        return self.context_management[0].compact_threshold or 0

    def _asked_tools(self) -> AskedTools:
        functions = [
            given.model_copy(update={"name": name})
            for name, (_, given) in self._functions().items()
        ]
        servers = [tool for tool in self.tools or () if isinstance(tool, OwnServerTool)]
        return asked_tools(functions, servers, self.tool_choice)

    def _functions(self) -> Mapping[str, tuple[str, CallersTool]]:
        """The functions by the names under which they are offered, each with its namespace.

        A name that is taken already is offered with its namespace's before it.
        """
        offered: dict[str, tuple[str, CallersTool]] = {}
        for tool in self.tools or ():
            if isinstance(tool, CallersTool):
                offered[tool.name] = ("", tool)
        for space in self.tools or ():
            if not isinstance(space, NamespaceTool):
                continue
            for function in space.functions:
                taken = function.name in offered
                name = f"{space.name}__{function.name}" if taken else function.name
                offered[name] = (space.name, function)
        return offered

    def _namespaces(self) -> dict[str, list[str]]:
        """Of functions in a namespace, by the name that the model calls: namespace and name."""
        return {
            name: [namespace, function.name]
            for name, (namespace, function) in self._functions().items()
            if namespace
        }

    def _top_logprobs(self) -> int | None:
        wanted = "message.output_text.logprobs" in (self.include or ())
        return (self.top_logprobs or 0) if wanted or self.top_logprobs else None


def field_of(param: str, given: ReadInput | None) -> str:
    """Where the caller of a response wrote what the turn calls `param`; None: a text was given."""
    param = _OURS.get(param, param)
    match = re.fullmatch(r"input\[(\d+)\](.*)", param)
    if not match:
        return param
    return f"input[{given.places[int(match[1])]}]{match[2]}" if given else "input"


class CountRequest(ResponseRequest):
    """Counts the tokens of a request, which may continue a response without saying anything."""

    model_config = ConfigDict(
        json_schema_extra=one_given("input", "previous_response_id", "conversation")
    )

    input: Input | None = None  # type: ignore[assignment]

    def given(self) -> ReadInput:
        return ReadInput((), (), ()) if self.input is None else super().given()
