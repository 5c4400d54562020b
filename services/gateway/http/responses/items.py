"""The items that the input of a response may have."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from services.gateway.http.fields import one_given
from services.gateway.http.parts import Content, parts_of
from services.gateway.http.tools import OWN_SERVER
from services.gateway.values import MOST_ITEMS, Body, filled, member, tagged
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
from services.shared.tools import text_arguments

_HOSTED_CALLS = {
    *("apply_patch_call", "code_interpreter_call", "computer_call", "file_search_call"),
    *("image_generation_call", "local_shell_call", "shell_call", "tool_search_call"),
    *("program", "web_search_call"),
}
_HOSTED_RESULTS = {
    *("apply_patch_call_output", "computer_call_output", "local_shell_call_output"),
    *("program_output", "shell_call_output", "tool_search_output"),
}
_UNREAD = {"mcp_approval_request", "mcp_approval_response", "mcp_list_tools"}


def _one_of(kinds: set[str]) -> Any:
    return Field(json_schema_extra={"enum": [*sorted(kinds)]})


# Only an assistant may have said nothing: it gives such messages back.
_SAYS_SOMETHING: dict[str, Any] = {
    "anyOf": [
        {"properties": {"role": {"const": "assistant"}}},
        {"properties": {"content": {"minItems": 1}}},
    ]
}


# What is named by its id may leave its type out; then it has no role.
_NAMED_ALONE: dict[str, Any] = {
    "anyOf": [
        {"properties": {"type": {"const": "item_reference"}}, "required": ["type"]},
        {"properties": {"role": {"type": "null"}}},
    ]
}


class InputMessage(Body):
    model_config = ConfigDict(json_schema_extra=_SAYS_SOMETHING)

    type: Literal["message"] | None = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    phase: Literal["commentary", "final_answer"] | None = None
    id: str | None = None

    @field_validator("content")
    @classmethod
    def _some(cls, content: Content, known: ValidationInfo) -> Content:
        return content if known.data.get("role") == "assistant" else filled(content)

    def item(self) -> Item:
        phase = Phase(self.phase or "") if self.role == "assistant" else Phase.UNSAID
        item_id = self.id or ""
        return Message(item_id, Role(self.role), parts_of(self.content), phase)


class InputFunctionCall(Body):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    namespace: str | None = None

    def item(self) -> Item:
        return Call(self.id or "", self.call_id, self.name, self.arguments)


class InputFunctionResult(Body):
    type: Literal["function_call_output"]
    call_id: str
    output: Content
    id: str | None = None

    def item(self) -> Item:
        return CallResult(self.id or "", self.call_id, parts_of(self.output))


class InputRunCall(Body):
    """A call that the mesh or a server ran in an earlier response, given back by the caller."""

    type: Literal["mcp_call"]
    id: str
    server_label: str
    name: str
    arguments: str
    output: str | None = None
    error: Any = None

    def item(self) -> Item:
        error = (
            self.error if self.error is None or isinstance(self.error, str) else _json(self.error)
        )
        text = self.output or error or ""
        return Call(
            self.id,
            self.id,
            self.name,
            self.arguments,
            run_by=RunBy.MESH if self.server_label == OWN_SERVER else RunBy.SERVER,
            server_label=self.server_label,
            outcome=CallOutcome((Text(text),), failed=error is not None),
        )


class InputCustomCall(Body):
    """The model reads it as a call with one argument."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    id: str | None = None
    namespace: str | None = None

    def item(self) -> Item:
        arguments = text_arguments(self.input)
        return Call(self.id or "", self.call_id, self.name, arguments, text_input=True)


class InputCustomResult(InputFunctionResult):
    type: Literal["custom_tool_call_output"]  # type: ignore[assignment]

    def item(self) -> Item:
        return CallResult(self.id or "", self.call_id, parts_of(self.output), text_input=True)


class InputHostedCall(Body):
    """A call of a tool that OpenAI runs, or that it has the caller run.

    The model reads its words. What it brought may stand in it, or in an item of its own, which
    then has its `call_id`.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Annotated[str, _one_of(_HOSTED_CALLS)]
    id: str | None = None
    call_id: str | None = None

    def item(self) -> Item:
        item_id = self.id or ""
        given = self.model_extra or {}
        asked = {name: given[name] for name in given if name not in _NOT_ASKED}
        brought = {name: given[name] for name in given if name in _BROUGHT and given[name]}
        name = self.type.removesuffix("_call")
        if self.call_id:
            return Call(item_id, self.call_id, name, _json(asked))
        outcome = CallOutcome((Text(_json(brought) if brought else "done"),))
        return Call(item_id, item_id, name, _json(asked), RunBy.SERVER, outcome=outcome)


class InputHostedResult(Body):
    """What such a call brought, where the caller runs it; pictures are left out."""

    # A local shell's has the call's id alone.
    model_config = ConfigDict(json_schema_extra=one_given("call_id", "id"))

    type: Annotated[str, _one_of(_HOSTED_RESULTS)]
    call_id: str | None = None
    output: Any = None
    # What a program and a search for tools bring.
    result: Any = None
    tools: Any = None
    id: str | None = None

    @model_validator(mode="after")
    def _answers_a_call(self) -> "InputHostedResult":
        if not (self.call_id or self.id):
            raise ValueError("needs a call_id")
        return self

    def item(self) -> Item:
        brought = (self.output, self.result, self.tools)
        output = next((each for each in brought if each is not None), None)
        if isinstance(output, dict):
            output = {name: output[name] for name in output if name not in _PICTURES}
        text = output if isinstance(output, str) else _json(output)
        return CallResult(self.id or "", self.call_id or self.id or "", (Text(text),))


class InputUnread(Body):
    """What only clients and OpenAI tell each other. The model reads nothing of it."""

    type: Annotated[str, _one_of(_UNREAD)]


class InputReference(Body):
    """An item of a stored response, by its id alone."""

    model_config = ConfigDict(json_schema_extra=_NAMED_ALONE)

    type: Literal["item_reference"] | None = None
    id: str

    def item(self) -> Item:
        """Stands in the place of the stored one, until the turn finds that."""
        return Message(self.id, Role.ASSISTANT, ())


class InputCompactionTrigger(Body):
    """Has the turn compact what was said, and say nothing else. It is the last item."""

    type: Literal["compaction_trigger"]


class Thought(Body):
    """A paragraph of reasoning, or of its summary."""

    text: str


class InputReasoning(Body):
    type: Literal["reasoning"]
    id: str | None = None
    summary: list[Thought] | None = None
    content: list[Thought] | None = None
    encrypted_content: str | None = None

    def item(self) -> Item:
        """What the model reads again is the reasoning itself, or its summary where that is all."""
        return Reasoning(
            self.id or "",
            text="\n".join(thought.text for thought in self.content or self.summary or ()),
            summary=tuple(thought.text for thought in self.summary or ()),
            opaque=self.encrypted_content or "",
        )


class InputCompaction(Body):
    type: Literal["compaction"]
    id: str | None = None
    encrypted_content: str

    def item(self) -> Item:
        return Compaction(self.id or "", opaque=self.encrypted_content)


# Of a hosted call, what it has brought, and what besides is no question.
_BROUGHT = {"outputs", "output", "results"}
_NOT_ASKED = {*_BROUGHT, "status", "result", "pending_safety_checks", "container_id", "fingerprint"}
_PICTURES = {"image_url", "file_id"}


def _kind(value: Any) -> str:
    """A reference may leave its type out; it has no role. OpenAI's own search tells no ids."""
    kind = str(member("type")(value) or "")
    if not kind:
        named = member("role")(value) is None and member("id")(value) is not None
        return "item_reference" if named else "message"
    if kind == "tool_search_output" and not (member("call_id")(value) or member("id")(value)):
        return "unread"
    for name, kinds in (
        ("hosted_call", _HOSTED_CALLS),
        ("hosted_result", _HOSTED_RESULTS),
        ("unread", _UNREAD),
    ):
        if kind in kinds:
            return name
    return kind


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


InputItem = Annotated[
    Annotated[InputMessage, Tag("@message")]
    | Annotated[InputFunctionCall, Tag("@function_call")]
    | Annotated[InputFunctionResult, Tag("@function_call_output")]
    | Annotated[InputCustomCall, Tag("@custom_tool_call")]
    | Annotated[InputCustomResult, Tag("@custom_tool_call_output")]
    | Annotated[InputRunCall, Tag("@mcp_call")]
    | Annotated[InputHostedCall, Tag("@hosted_call")]
    | Annotated[InputHostedResult, Tag("@hosted_result")]
    | Annotated[InputUnread, Tag("@unread")]
    | Annotated[InputReference, Tag("@item_reference")]
    | Annotated[InputReasoning, Tag("@reasoning")]
    | Annotated[InputCompaction, Tag("@compaction")]
    | Annotated[InputCompactionTrigger, Tag("@compaction_trigger")],
    tagged(
        _kind,
        "an item: message, function_call, function_call_output, item_reference, reasoning,"
        " compaction, compaction_trigger, mcp_call, or one of a tool of OpenAI's",
    ),
]


def _some_read(items: list[InputItem]) -> list[InputItem]:
    if all(isinstance(item, InputUnread) for item in items):
        raise ValueError("has no item that the model reads")
    if any(isinstance(item, InputCompactionTrigger) for item in items[:-1]):
        raise ValueError("has a compaction_trigger that is not the last item")
    return items


# Not all of the list is of what the model does not read, as the document has it.
SOME_READ: dict[str, Any] = {
    "not": {
        "minItems": 1,
        "items": {"properties": {"type": {"enum": sorted(_UNREAD)}}, "required": ["type"]},
    }
}
InputItems = Annotated[
    list[InputItem],
    Field(min_length=1, max_length=MOST_ITEMS, json_schema_extra=SOME_READ),
    AfterValidator(_some_read),
]
Input = Annotated[
    Annotated[str, Tag("@text")] | Annotated[InputItems, Tag("@items")],
    tagged(
        lambda value: {str: "text", list: "items"}.get(type(value)), "a string or a list of items"
    ),
]


@dataclass(frozen=True, slots=True)
class ReadInput:
    """The items of an input as the turn has them."""

    items: tuple[Item, ...]
    # Of each item, its place in the caller's list.
    places: tuple[int, ...]
    # The places, among `items`, of those that are named by their ids alone.
    references: tuple[int, ...]
    # Whether the turn compacts what was said, and says nothing else.
    only_compacts: bool = False


def _shell_ids(given: Sequence[Any]) -> dict[str, str]:
    """Of calls that have two ids, the one by which their results are known, by the other."""
    calls = (each for each in given if isinstance(each, InputHostedCall))
    return {call.id: call.call_id for call in calls if call.id and call.call_id}


def read_input(
    given: str | list[InputItem], called: Mapping[tuple[str, str], str] | None = None
) -> ReadInput:
    """`called` is under which name the model calls a function, by its namespace and name there."""
    if isinstance(given, str):
        return ReadInput((said("", Role.USER, given),), (0,), ())
    read = [
        (place, each)
        for place, each in enumerate(given)
        if not isinstance(each, InputUnread | InputCompactionTrigger)
    ]
    ids = _shell_ids(given)
    return ReadInput(
        tuple(_as_called(each, called or {}, ids) for _, each in read),
        tuple(place for place, _ in read),
        tuple(n for n, (_, each) in enumerate(read) if isinstance(each, InputReference)),
        only_compacts=any(isinstance(each, InputCompactionTrigger) for each in given),
    )


def _as_called(given: Any, called: Mapping[tuple[str, str], str], ids: Mapping[str, str]) -> Item:
    item: Item = given.item()
    if isinstance(item, CallResult) and isinstance(given, InputHostedResult):
        return item if given.call_id else replace(item, call_id=ids.get(item.call_id, item.call_id))
    if isinstance(item, Call) and isinstance(given, InputFunctionCall | InputCustomCall):
        return replace(item, name=called.get((given.namespace or "", item.name), item.name))
    return item
