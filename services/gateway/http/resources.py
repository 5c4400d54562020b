"""The Responses API's objects: responses and their items, as plain JSON values."""

import json
from typing import Any

from services.context_assembly.api import Call, CallResult, Item, Reasoning, Text
from services.gateway.api import Response, Status
from services.gateway.http.response_requests import OWN_SERVER
from services.inference.api import Usage
from services.shared.chat import Role

_INCOMPLETE = {
    Status.LENGTH: "max_output_tokens",
    Status.CONTENT_FILTER: "content_filter",
    Status.TOOL_ROUNDS: "max_tool_calls",
}
# What has no meaning here and must be there all the same.
_FIXED = {
    "background": False,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "service_tier": "default",
    "user": None,
}


def pending(
    response_id: str, created_at_ms: int, model: str, previous: str, echo: dict[str, Any]
) -> dict[str, Any]:
    """A response of which nothing is there yet."""
    return {
        **_FIXED,
        **echo,
        "id": response_id,
        "object": "response",
        "created_at": created_at_ms // 1000,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "previous_response_id": previous or None,
        "output": [],
        "usage": None,
    }


def resource(response: Response) -> dict[str, Any]:
    echo = json.loads(response.echo) if response.echo else {}
    reason = _INCOMPLETE.get(response.status)
    return {
        **pending(
            response.id,
            response.created_at_ms,
            response.model,
            response.previous_response_id,
            echo,
        ),
        "completed_at": response.completed_at_ms // 1000,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [item_resource(item) for item in response.output],
        "usage": usage_resource(response.usage),
    }


def item_resource(item: Item, status: str = "completed") -> dict[str, Any]:
    if isinstance(item, Text):
        return _message(item, status)
    if isinstance(item, Call):
        return _own_call(item, status) if item.own else _function_call(item, status)
    if isinstance(item, Reasoning):
        summary = [{"type": "summary_text", "text": item.text}] if item.text else []
        return {"id": item.id, "type": "reasoning", "summary": summary, "status": status}
    assert isinstance(item, CallResult)
    return {
        "id": item.id,
        "type": "function_call_output",
        "call_id": item.call_id,
        "output": item.output,
        "status": status,
    }


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage_resource(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": 0,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _message(item: Text, status: str) -> dict[str, Any]:
    part = text_part(item.text)
    if item.role is not Role.ASSISTANT:
        part = {"type": "input_text", "text": item.text}
    return {
        "id": item.id,
        "type": "message",
        "status": status,
        "role": item.role.value,
        "content": [part] if item.text or status == "completed" else [],
    }


def _function_call(item: Call, status: str) -> dict[str, Any]:
    return {
        "id": item.id,
        "type": "function_call",
        "status": status,
        "call_id": item.call_id,
        "name": item.name,
        "arguments": item.arguments,
    }


def _own_call(item: Call, status: str) -> dict[str, Any]:
    over = status == "completed"
    return {
        "id": item.id,
        "type": "mcp_call",
        "status": "failed" if item.failed else status,
        "server_label": OWN_SERVER,
        "name": item.name,
        "arguments": item.arguments,
        "output": item.output if over and not item.failed else None,
        "error": item.output if item.failed else None,
        "approval_request_id": None,
    }
