"""What a chat template is given for a conversation: the same as vLLM's renderer would give it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from services.shared.conversation import Role
from services.shared.errors import Malformed
from services.shared.json_text import read_json
from services.shared.tools import Tool, ToolCall
from services.tokenizer.api import TemplateMessage, TemplateRefused
from services.tokenizer.shield import Shield


@dataclass(frozen=True, slots=True)
class TemplateAbilities:
    """What a chat template can read."""

    # A message's content as a list of parts; every other template wants one string.
    parts: bool
    # Pictures among the parts.
    pictures: bool
    # Messages of the role `developer`; for every other template they become system messages.
    developers: bool


def template_messages(
    messages: Sequence[TemplateMessage], shield: Shield, abilities: TemplateAbilities
) -> list[dict[str, Any]]:
    """Raises `TemplateRefused` where the template cannot read what a message holds."""
    entries = [_entry(message, shield, abilities) for message in messages]
    if abilities.developers or all(message.role is not Role.DEVELOPER for message in messages):
        return entries
    return _without_developers(entries)


def template_tools(tools: Sequence[Tool], shield: Shield) -> list[dict[str, Any]] | None:
    return [_tool(tool, shield) for tool in tools] or None


def template_options(options: Mapping[str, str], shield: Shield) -> dict[str, Any]:
    return {name: _json(text, shield, "template_options") for name, text in options.items()}


def _entry(
    message: TemplateMessage, shield: Shield, abilities: TemplateAbilities
) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "role": message.role.value,
        "content": _content(message, shield, abilities),
    }
    if message.role is Role.ASSISTANT:
        if message.tool_calls:
            entry["tool_calls"] = [_tool_call(call, shield) for call in message.tool_calls]
        if message.reasoning:
            entry["reasoning"] = entry["reasoning_content"] = shield.text(message.reasoning)
    elif message.role is Role.TOOL and message.tool_call_id:
        entry["tool_call_id"] = shield.text(message.tool_call_id)
    elif message.role is Role.DEVELOPER:
        entry["tools"] = None
    return entry


def _content(
    message: TemplateMessage, shield: Shield, abilities: TemplateAbilities
) -> str | list[dict[str, str]]:
    if message.pictures:
        parts = [*_texts_and_pictures(message, shield)]
        if not abilities.pictures:
            raise TemplateRefused("the model's chat template takes no pictures", param="input")
        return parts
    text = shield.text(message.text)
    if not abilities.parts or message.role is Role.TOOL:
        return text
    # An assistant that only calls tools has no content, not an empty one.
    return [{"type": "text", "text": text}] if text or not message.tool_calls else []


def _texts_and_pictures(message: TemplateMessage, shield: Shield) -> Iterator[dict[str, str]]:
    """Each stretch of text is shielded by itself: templates may join them without the picture."""
    bounds = [0, *message.pictures, len(message.text)]
    if bounds != sorted(bounds):
        raise Malformed("pictures stand outside the text or out of order", param="pictures")
    for number, (begin, end) in enumerate(pairwise(bounds)):
        if number:
            yield {"type": "image"}
        if begin < end:
            yield {"type": "text", "text": shield.text(message.text[begin:end])}


def _tool_call(call: ToolCall, shield: Shield) -> dict[str, Any]:
    # Some templates write the whole call as JSON, so the keys stand in the order that vLLM uses.
    function = {"arguments": _arguments(call, shield), "name": shield.text(call.name)}
    return {"id": shield.text(call.id), "function": function, "type": "function"}


def _arguments(call: ToolCall, shield: Shield) -> dict[str, Any]:
    """The arguments as an object, which templates want; an empty one where the text is no object.

    The model itself wrote such a text, in an earlier turn. A refusal would end the conversation.
    """
    try:
        arguments = shield.value(read_json(call.arguments))
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _tool(tool: Tool, shield: Shield) -> dict[str, Any]:
    parameters = _json(tool.parameters, shield, "tools") if tool.parameters else None
    if not isinstance(parameters, dict | None):
        raise Malformed("a tool's parameters are not a JSON object", param="tools")
    function: dict[str, Any] = {
        "name": shield.text(tool.name),
        "description": shield.text(tool.description) or None,
        "parameters": parameters,
    }
    if tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _json(text: str, shield: Shield, param: str) -> Any:
    try:
        return shield.value(read_json(text))
    except ValueError:
        raise Malformed(f"{param}: a text is not JSON or too deep", param=param) from None


def _without_developers(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Makes one system message, the first, of what all systems and developers said."""
    system = [entry for entry in entries if entry["role"] in ("system", "developer")]
    others = [entry for entry in entries if entry["role"] not in ("system", "developer")]
    if len(system) == 1 and entries[0] is system[0]:
        return [{"role": "system", "content": system[0]["content"]}, *others]
    texts = filter(None, (_plain(entry["content"]) for entry in system))
    return [{"role": "system", "content": "\n\n".join(texts)}, *others]


def _plain(content: str | list[dict[str, str]]) -> str:
    if isinstance(content, str):
        return content
    if any(part["type"] == "image" for part in content):
        raise TemplateRefused(
            "the model's chat template takes no pictures from systems beside a developer's message",
            param="input",
        )
    return "\n".join(part["text"] for part in content)
