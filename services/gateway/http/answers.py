"""What the public routes answer, as the OpenAPI document describes it.

Nothing is built from these models: presenters make the answers. Tests hold real answers against
them. They have what callers may rely on; an answer may have more.
"""

from typing import Any, Literal

from pydantic import Field

from services.gateway.http.answered_items import Answer, ItemAnswer


class ErrorWords(Answer):
    message: str
    type: str
    param: str | None = Field(description="the field that is wrong, as the caller wrote it")
    code: str | None


class ErrorEnvelope(Answer):
    """Whatever failed, the answer is such an object."""

    error: ErrorWords


class ModelAnswer(Answer):
    """A model that is served."""

    id: str
    object: Literal["model"]
    created: int = Field(description="seconds since 1970")
    owned_by: str
    context_window: int = Field(description="tokens")
    capabilities: dict[str, bool]


class ModelListAnswer(Answer):
    object: Literal["list"]
    data: list[ModelAnswer]


class ErasedAnswer(Answer):
    id: str
    object: Literal["response", "conversation.deleted"]
    deleted: Literal[True]


class CalledFunctionAnswer(Answer):
    name: str
    arguments: str = Field(description="JSON of the function's schema")


class ToolCallAnswer(Answer):
    id: str
    type: Literal["function"]
    function: CalledFunctionAnswer


class ChatMessageAnswer(Answer):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCallAnswer] | None = None


class ChatChoiceAnswer(Answer):
    index: int
    message: ChatMessageAnswer
    logprobs: dict[str, Any] | None
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]


class ChatUsageAnswer(Answer):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletionAnswer(Answer):
    """A chat completion; streamed, `chat.completion.chunk` objects and then `[DONE]`."""

    id: str
    object: Literal["chat.completion"]
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[ChatChoiceAnswer]
    usage: ChatUsageAnswer


class ItemListAnswer(Answer):
    """A page of items; `after=last_id` asks for the next one."""

    object: Literal["list"]
    data: list[ItemAnswer]
    first_id: str
    last_id: str
    has_more: bool


class ConversationAnswer(Answer):
    """A conversation, beside its items."""

    id: str
    object: Literal["conversation"]
    created_at: int = Field(description="seconds since 1970")
    metadata: dict[str, str]


class ConversationListAnswer(Answer):
    """A page of conversations, as of items."""

    object: Literal["list"]
    data: list[ConversationAnswer]
    first_id: str
    last_id: str
    has_more: bool


class SteeredAnswer(Answer):
    """Words that were taken in; `response_id` is of the response that answers them."""

    id: str
    object: Literal["response.steer"]
    previous_response_id: str
    response_id: str


class InputTokensAnswer(Answer):
    object: Literal["response.input_tokens"]
    input_tokens: int


class ResponseFailureAnswer(Answer):
    code: str
    message: str


class IncompleteAnswer(Answer):
    reason: str


class ResponseUsageAnswer(Answer):
    input_tokens: int
    output_tokens: int
    total_tokens: int


class CompactedAnswer(Answer):
    """A conversation made short: `output` is the input of the request that goes on."""

    id: str
    object: Literal["response.compaction"]
    created_at: int = Field(description="seconds since 1970")
    output: list[ItemAnswer]
    usage: ResponseUsageAnswer


class ResponseAnswer(Answer):
    """A response, whole or as it began; streamed, `response.*` events and then `[DONE]`."""

    id: str
    object: Literal["response"]
    status: Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
    created_at: int = Field(description="seconds since 1970")
    completed_at: int | None
    error: ResponseFailureAnswer | None
    incomplete_details: IncompleteAnswer | None
    model: str
    previous_response_id: str | None
    output: list[ItemAnswer]
    usage: ResponseUsageAnswer | None
    instructions: str | None
    tools: list[dict[str, Any]]
    tool_choice: str | dict[str, Any]
    parallel_tool_calls: bool
    max_tool_calls: int | None
    max_output_tokens: int | None
    reasoning: dict[str, Any]
    text: dict[str, Any]
    truncation: Literal["auto", "disabled"]
    temperature: float
    top_p: float
    top_logprobs: int
    presence_penalty: float
    frequency_penalty: float
    metadata: dict[str, str]
    store: bool
    background: bool
    service_tier: str
    safety_identifier: str | None
    prompt_cache_key: str | None


class HealthAnswer(Answer):
    status: str
