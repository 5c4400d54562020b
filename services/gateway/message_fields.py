"""What a message of `chatmesh.gateway.v1` may hold, field by field, by the rules of `values.py`.

Messages come as plain values (`codec.plain`): of what may be of several kinds, `kind` says which.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from services.gateway.values import (
    MOST_ADDED,
    MOST_ITEMS,
    MOST_NAMES,
    MOST_STOPS,
    MOST_TOOLS,
    MOST_WORDS,
    Body,
    CallCount,
    Detail,
    EventNumber,
    FileName,
    Grammar,
    JsonSchema,
    LikeliestTokens,
    Metadata,
    Name,
    PageLimit,
    PageStart,
    Penalty,
    SafetyIdentifier,
    SoundFormat,
    StopString,
    Temperature,
    TokenCount,
    TopP,
    filled,
    first_wrong,
    idempotency_key,
    is_picture,
    member,
    tagged,
    web_address,
)
from services.shared.errors import Malformed
from services.shared.json_text import read_json


def _kinds(*known: str) -> Any:
    """What is of another kind is refused where the message is read."""

    def kind(value: Any) -> str:
        found = str(member("kind")(value))
        return found if found in known else "other"

    return tagged(kind, "of a known kind")


def _unless_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    """An empty field was not set."""
    return lambda value: check(value) if value else value


class _Other(Body):
    """Of a kind that has no rules."""


class _Source(Body):
    """Of something that the message holds, or that it names."""

    content: bytes = b""
    url: Annotated[str, AfterValidator(_unless_empty(web_address))] = ""
    file_id: str = ""

    @model_validator(mode="after")
    def _is_somewhere(self) -> "_Source":
        if not (self.content or self.url or self.file_id):
            raise ValueError("needs content, a url or a file_id")
        return self


class _Picture(_Source):
    media_type: str = ""
    detail: Detail = ""

    @field_validator("media_type")
    @classmethod
    def _is_picture(cls, media_type: str, known: ValidationInfo) -> str:
        if known.data.get("content") and not is_picture(media_type):
            raise ValueError("must be of a picture: image/...")
        return media_type


class _File(_Source):
    name: FileName = ""


def _sound_format(media_type: str) -> str:
    return media_type.removeprefix("audio/")


class _Sound(Body):
    media_type: Annotated[SoundFormat, BeforeValidator(_sound_format)]
    content: Annotated[bytes, Field(min_length=1)]


_Part = Annotated[
    Annotated[_Picture, Tag("@picture")]
    | Annotated[_File, Tag("@file")]
    | Annotated[_Sound, Tag("@audio")]
    | Annotated[_Other, Tag("@other")],
    _kinds("picture", "file", "audio"),
]
# Of the contract's `Role`: system, developer and user.
_APPLICATION = (1, 2, 3)


class _Message(Body):
    role: int
    parts: list[_Part]

    @field_validator("parts")
    @classmethod
    def _some(cls, parts: list[_Part], known: ValidationInfo) -> list[_Part]:
        return filled(parts) if known.data.get("role") in _APPLICATION else parts


class _CallResult(Body):
    parts: list[_Part]


class _Outcome(Body):
    parts: list[_Part]


class _Call(Body):
    outcome: _Outcome | None = None


ItemFields = Annotated[
    Annotated[_Message, Tag("@message")]
    | Annotated[_Call, Tag("@call")]
    | Annotated[_CallResult, Tag("@call_result")]
    | Annotated[_Other, Tag("@other")],
    _kinds("message", "call", "call_result"),
]


def _schema(text: Any) -> Any:
    """Raises `ValueError` for a text that is no JSON."""
    try:
        return read_json(text or "{}")
    except ValueError:
        raise ValueError("is not JSON, or is nested too deeply") from None


_SchemaText = Annotated[JsonSchema, BeforeValidator(_schema)]


class _TextInput(Body):
    regex: Grammar | None = None
    lark: Grammar | None = None


class _Function(Body):
    name: Name
    parameters: _SchemaText = Field(default_factory=dict)
    text_input: _TextInput | None = None

    @model_validator(mode="before")
    @classmethod
    def _takes_a_text(cls, given: Any) -> Any:
        """Then its parameters are not read."""
        if isinstance(given, Mapping) and given.get("text_input") is not None:
            return {**given, "parameters": ""}
        return given


class _OwnTools(Body):
    names: list[str] = Field(max_length=MOST_NAMES)


class RespondFields(Body):
    functions: list[_Function] = Field(max_length=MOST_TOOLS)
    own_tools: _OwnTools | None = None
    max_output_tokens: TokenCount | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    stop: list[StopString] = Field(max_length=MOST_STOPS)
    json_schema: _SchemaText = Field(default_factory=dict)
    safety_identifier: SafetyIdentifier
    input: list[ItemFields] = Field(max_length=MOST_ITEMS)
    top_logprobs: LikeliestTokens | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    max_tool_calls: CallCount | None = None
    regex: Grammar | None = None
    lark: Grammar | None = None
    ebnf: Grammar | None = None
    idempotency_key: Annotated[str, AfterValidator(_unless_empty(idempotency_key))]
    compact_threshold: CallCount | None = None


class _Compact(Body):
    input: list[ItemFields] = Field(max_length=MOST_ITEMS)


class _Steer(Body):
    input: list[ItemFields] = Field(min_length=1, max_length=MOST_WORDS)


class _Follow(Body):
    after: EventNumber | None = None


class _Paging(Body):
    after: PageStart
    limit: PageLimit | None = None


class _Listing(Body):
    paging: _Paging | None = None


class _CreateConversation(Body):
    items: list[ItemFields] = Field(max_length=MOST_ADDED)
    metadata: Metadata


class _UpdateConversation(Body):
    metadata: Metadata


class _AddItems(Body):
    items: list[ItemFields] = Field(min_length=1, max_length=MOST_ADDED)


# By the name of the message; the others hold nothing that could be wrong.
_MESSAGES: Mapping[str, type[Body]] = {
    "RespondRequest": RespondFields,
    "CompactRequest": _Compact,
    "SteerRequest": _Steer,
    "FollowRequest": _Follow,
    "ListInputItemsRequest": _Paging,
    "ListConversationsRequest": _Listing,
    "ListItemsRequest": _Listing,
    "CreateConversationRequest": _CreateConversation,
    "UpdateConversationRequest": _UpdateConversation,
    "AddItemsRequest": _AddItems,
}


def has_rules(message: str) -> bool:
    """Whether anything in a message of that name could be wrong."""
    return message in _MESSAGES


def checked(message: str, fields: Mapping[str, Any]) -> BaseModel:
    """The fields of a message of that name, for `SchemaChecks`. Raises `Malformed`."""
    try:
        return _MESSAGES[message].model_validate(fields)
    except ValidationError as wrong:
        param, said = first_wrong(wrong.errors())
        told = f"{param}: {said}" if param else said
        raise Malformed(told, param=param or "", code="invalid_value") from None
