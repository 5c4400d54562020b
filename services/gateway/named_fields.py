"""The fields of the public gRPC contract, where the turn has another word for one."""

from collections.abc import Collection
from dataclasses import replace

from services.gateway.api import Failed, Numbered
from services.shared.errors import MeshError

_THEIRS = {
    "conversation": "conversation_id",
    "max_tokens": "max_output_tokens",
    "pictures": "input",
    "prompt_ids": "input",
    "tool_choice": "function_choice",
    "tools": "functions",
}


def named(error: MeshError, fields: Collection[str]) -> MeshError:
    """The error as it is told to whoever sent a message that has these fields."""
    param = error.details.get("param", "")
    theirs = _THEIRS.get(param, param)
    if theirs.startswith("input") and "input" not in fields and "items" in fields:
        theirs = f"items{theirs.removeprefix('input')}"
    if theirs == param:
        return error
    return type(error)(error.message, **{**error.details, "param": theirs})


def with_named(numbered: Numbered) -> Numbered:
    """An event of a turn, which tells of the fields of `RespondRequest`."""
    if not isinstance(numbered.event, Failed):
        return numbered
    error = named(numbered.event.error(), ("input",))
    return replace(numbered, event=replace(numbered.event, details=error.details))
