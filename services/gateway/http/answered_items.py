"""The items of responses and conversations, as the OpenAPI document describes them.

As in `answers.py`, nothing is built from these models.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class Answer(BaseModel):
    """What callers may rely on; there may be more."""

    model_config = ConfigDict(extra="allow")


class OutputTextAnswer(Answer):
    type: Literal["output_text"]
    text: str
    annotations: list[dict[str, Any]]
    logprobs: list[dict[str, Any]] = Field(description="empty, unless they were asked for")


class InputTextAnswer(Answer):
    type: Literal["input_text"]
    text: str


class RefusalAnswer(Answer):
    type: Literal["refusal"]
    refusal: str


class PictureAnswer(Answer):
    type: Literal["input_image"]
    detail: str
    file_id: str | None
    image_url: str | None


class FileAnswer(Answer):
    type: Literal["input_file"]
    filename: str | None
    file_id: str | None


class AudioAnswer(Answer):
    type: Literal["input_audio"]
    input_audio: dict[str, str]


InputPartAnswer = InputTextAnswer | PictureAnswer | FileAnswer | AudioAnswer


class MessageAnswer(Answer):
    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Literal["user", "assistant", "system", "developer"]
    content: list[OutputTextAnswer | RefusalAnswer | InputPartAnswer]


class FunctionCallAnswer(Answer):
    """A call for the caller to run."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str = Field(description="JSON of the function's schema")


class CustomCallAnswer(Answer):
    """The same, of a function that takes one text."""

    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    input: str


class RunCallAnswer(Answer):
    """A call that the mesh has run, or a server."""

    id: str
    type: Literal["mcp_call"]
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    server_label: str
    name: str
    arguments: str
    output: str | None
    error: str | None


class CallResultAnswer(Answer):
    """What a function of the caller's has returned."""

    id: str
    type: Literal["function_call_output", "custom_tool_call_output"]
    status: ItemStatus
    call_id: str
    output: str | list[InputPartAnswer | RefusalAnswer]


class SummaryTextAnswer(Answer):
    type: Literal["summary_text"]
    text: str


class ReasoningAnswer(Answer):
    """What the model thought."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryTextAnswer]


class CompactionAnswer(Answer):
    """Stands for the items that it replaced."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


ItemAnswer = (
    MessageAnswer
    | FunctionCallAnswer
    | CustomCallAnswer
    | RunCallAnswer
    | CallResultAnswer
    | ReasoningAnswer
    | CompactionAnswer
)


class OneItemAnswer(RootModel[ItemAnswer]):
    """One item, by its `type`."""
