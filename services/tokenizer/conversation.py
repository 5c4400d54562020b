"""A conversation as chat templates read it: what vLLM's renderer would pass to them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from services.shared.chat import Message, Role, Tool, ToolCall
from services.shared.errors import Malformed
from services.tokenizer.shield import Shield


def template_messages(
    messages: Sequence[Message], shield: Shield, *, as_parts: bool, developers: bool
) -> list[dict[str, Any]]:
    """`as_parts`: texts become lists of one part. `developers`: the template knows their role."""
    entries = [_entry(message, shield, as_parts=as_parts) for message in messages]
    if developers or all(message.role is not Role.DEVELOPER for message in messages):
        return entries
    return _without_developers(entries)


def template_tools(tools: Sequence[Tool], shield: Shield) -> list[dict[str, Any]] | None:
    return [_tool(tool, shield) for tool in tools] or None


def template_options(options: Mapping[str, str], shield: Shield) -> dict[str, Any]:
    return {name: _json(text, shield, "template_options") for name, text in options.items()}


def _entry(message: Message, shield: Shield, *, as_parts: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"role": message.role.value}
    text = shield.text(message.text)
    if not as_parts or message.role is Role.TOOL:
        entry["content"] = text
    else:
        # An assistant that only calls tools has no content, not an empty one.
        parts = [{"type": "text", "text": text}]
        entry["content"] = parts if text or not message.tool_calls else []
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


def _tool_call(call: ToolCall, shield: Shield) -> dict[str, Any]:
    # In the order in which vLLM keeps the keys: some templates write the whole call as JSON.
    function = {"arguments": _arguments(call, shield), "name": shield.text(call.name)}
    return {"id": shield.text(call.id), "function": function, "type": "function"}


def _arguments(call: ToolCall, shield: Shield) -> dict[str, Any]:
    """Templates want an object; what is none became history, and may not break every later turn."""
    try:
        arguments = shield.value(json.loads(call.arguments))
    except (ValueError, RecursionError):
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
        return shield.value(json.loads(text))
    except (ValueError, RecursionError):
        raise Malformed(f"{param}: a text is not JSON or too deep", param=param) from None


def _without_developers(entries: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Developers speak as the system, and the system speaks once and first."""
    system = [entry for entry in entries if entry["role"] in ("system", "developer")]
    others = [entry for entry in entries if entry["role"] not in ("system", "developer")]
    if len(system) == 1 and entries[0] is system[0]:
        return [{"role": "system", "content": system[0]["content"]}, *others]
    texts = filter(None, (_plain(entry["content"]) for entry in system))
    return [{"role": "system", "content": "\n\n".join(texts)}, *others]


def _plain(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content)
