"""The Responses API's objects: responses and what is in them, ready to become JSON."""

import json
from base64 import b64encode
from collections.abc import Sequence

from services.gateway.api import Response, Started, Status
from services.gateway.http.errors import failure
from services.gateway.http.parts import audio_format
from services.gateway.http.presenting import JsonObject
from services.gateway.http.tools import OWN_SERVER
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import (
    Audio,
    Call,
    CallResult,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)
from services.shared.tools import text_in

# What is known of the tokens of messages, by the message's id.
Logprobs = dict[str, list[TokenLogprob]]

_INCOMPLETE = {
    Status.LENGTH: "max_output_tokens",
    Status.CONTENT_FILTER: "content_filter",
    Status.TOOL_ROUNDS: "max_tool_calls",
    Status.TOO_MANY_EVENTS: "max_output_tokens",
    Status.STEERED: "steered",
    Status.INVALID_CALL: "invalid_tool_call",
}
_CUT = {Status.LENGTH, Status.CONTENT_FILTER, Status.TOO_MANY_EVENTS, Status.INVALID_CALL}
# What a turn that has not come to its end has in common with one that never will.
_WITHOUT_END = {Status.IN_PROGRESS, Status.FAILED, Status.CANCELLED}
# Of the codes that OpenAI has for a response that failed, those that can be told here.
_FAILURES = {400: "invalid_prompt", 429: "rate_limit_exceeded"}
# What a response repeats of its request, where the request says nothing.
_REPEATED: JsonObject = {
    "frequency_penalty": 0.0,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
# What is the same of every response here; OpenAI's clients look for it all the same.
_FIXED: JsonObject = {
    "prompt": None,
    "service_tier": "default",
    "tool_usage": {
        "image_gen": {
            "input_tokens": 0,
            "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
            "output_tokens": 0,
            "total_tokens": 0,
        },
        "web_search": {"num_requests": 0},
    },
}


def begun(started: Started) -> JsonObject:
    """A response of which nothing is there yet."""
    return _response(
        started.response_id,
        started.created_at_ms,
        started.model,
        started.previous_response_id,
        started.echo,
        background=started.background,
        conversation=started.conversation,
    )


def resource(response: Response, logprobs: Logprobs | None = None) -> JsonObject:
    """A response, or what is there of it."""
    known = logprobs or response.logprobs
    reason = _INCOMPLETE.get(response.status)
    ended = response.status not in _WITHOUT_END
    return {
        **_response(
            response.id,
            response.created_at_ms,
            response.model,
            response.previous_response_id,
            response.echo,
            background=response.background,
            conversation=response.conversation,
        ),
        "completed_at": response.completed_at_ms // 1000 if ended else None,
        "status": "incomplete" if reason else response.status.value,
        "error": _error(response),
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [_shown(item, response, known.get(item.id, ())) for item in response.output],
        "usage": usage_resource(response.usage) if ended else None,
    }


def _error(response: Response) -> JsonObject | None:
    """Whoever cancels a response knows why."""
    if response.error is None or response.status is Status.CANCELLED:
        return None
    told = failure(response.error.error())
    return {"code": _FAILURES.get(told.status, "server_error"), "message": told.message}


def _item_status(item: Item, response: Response) -> str:
    """Of a response that was cut, the last item is not whole."""
    if item.id in response.unfinished:
        return "incomplete"
    cut = response.status in _CUT and item is response.output[-1]
    return "incomplete" if cut and not is_run(item) else "completed"


def is_run(item: Item) -> bool:
    """Whether it is a call that the mesh or a server runs: it is shown when it has its outcome."""
    return isinstance(item, Call) and item.run_by is not RunBy.CALLER


def _response(
    response_id: str,
    created_at_ms: int,
    model: str,
    previous: str,
    echo: str,
    *,
    background: bool,
    conversation: str,
) -> JsonObject:
    return {
        **_FIXED,
        **_repeated(echo),
        "id": response_id,
        "object": "response",
        "background": background,
        "created_at": created_at_ms // 1000,
        "completed_at": None,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": model,
        "previous_response_id": previous or None,
        "conversation": {"id": conversation} if conversation else None,
        "output": [],
        "usage": None,
    }


def _repeated(echo: str) -> JsonObject:
    """Of a turn that another protocol asked for, the echo has other names: they are not shown."""
    given: JsonObject = json.loads(echo) if echo else {}
    shown: JsonObject = {name: given.get(name, usual) for name, usual in _REPEATED.items()}
    shown["text"] = {**_REPEATED["text"], **shown["text"]}
    return shown


def _shown(item: Item, response: Response, logprobs: Sequence[TokenLogprob]) -> JsonObject:
    status = _item_status(item, response)
    return in_namespace(item_resource(item, status, logprobs=logprobs), response.echo)


def in_namespace(shown: JsonObject, echo: str) -> JsonObject:
    """An item as the caller knows it: a function of a namespace by that and its name there."""
    if shown["type"] not in {"function_call", "custom_tool_call"} or not echo:
        return shown
    namespaces = json.loads(echo).get("namespaces") or {}
    if shown["name"] not in namespaces:
        return shown
    namespace, name = namespaces[shown["name"]]
    return {**shown, "namespace": namespace, "name": name}


def item_resource(
    item: Item, status: str = "completed", *, logprobs: Sequence[TokenLogprob] = ()
) -> JsonObject:
    match item:
        case Message():
            return _message(item, status, logprobs)
        case Call():
            if item.run_by is RunBy.CALLER:
                return _callers_call(item, status)
            return _run_call(item, status)
        case CallResult():
            return _call_result(item, status)
        case Reasoning():
            return _reasoning(item, status)
        case Compaction():
            return {"id": item.id, "type": "compaction", "encrypted_content": item.opaque}


def items_resource(items: Sequence[Item], *, has_more: bool) -> JsonObject:
    return list_resource([*map(item_resource, items)], has_more=has_more)


def list_resource(shown: Sequence[JsonObject], *, has_more: bool) -> JsonObject:
    """OpenAI's SDKs want ids that are strings, of an empty list too."""
    return {
        "object": "list",
        "data": [*shown],
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": has_more,
    }


def text_resource(text: str, logprobs: Sequence[TokenLogprob] = ()) -> JsonObject:
    told = logprob_resources(logprobs)
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": told}


def logprob_resources(logprobs: Sequence[TokenLogprob]) -> list[JsonObject]:
    return [
        {**_logprob(each), "top_logprobs": [_logprob(top) for top in each.top]} for each in logprobs
    ]


def _logprob(logprob: TokenLogprob) -> JsonObject:
    token = logprob.token
    return {"token": token, "logprob": logprob.logprob, "bytes": list(token.encode())}


def usage_resource(usage: Usage) -> JsonObject:
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


def _message(item: Message, status: str, logprobs: Sequence[TokenLogprob]) -> JsonObject:
    # A message that has only begun holds nothing; its text comes in events.
    parts = () if status == "in_progress" else item.parts
    phase = {"phase": item.phase.value} if item.phase.value else {}
    return {
        "id": item.id,
        "type": "message",
        "status": status,
        "role": item.role.value,
        "content": [_part(part, item.role, logprobs) for part in parts],
        **phase,
    }


def _part(part: Part, role: Role, logprobs: Sequence[TokenLogprob] = ()) -> JsonObject:
    """A part in the words in which a caller gives it."""
    match part:
        case Text():
            if role is Role.ASSISTANT:
                return text_resource(part.text, logprobs)
            return {"type": "input_text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Picture():
            return {
                "type": "input_image",
                "detail": part.detail or "auto",
                "file_id": part.file_id or None,
                "image_url": _location(part),
            }
        case File():
            return _file(part)
        case Audio():
            data = b64encode(part.content).decode()
            sound = {"data": data, "format": audio_format(part.media_type)}
            return {"type": "input_audio", "input_audio": sound}


def _file(file: File) -> JsonObject:
    shown = {"type": "input_file", "filename": file.name or None, "file_id": file.file_id or None}
    return {**shown, ("file_data" if file.content else "file_url"): _location(file)}


def _location(part: Picture | File) -> str | None:
    """The content as it was given, as a data URL or bare; else the address."""
    if not part.content:
        return part.url or None
    encoded = b64encode(part.content).decode()
    return f"data:{part.media_type};base64,{encoded}" if part.media_type else encoded


def _reasoning(item: Reasoning, status: str) -> JsonObject:
    """What the model thought is its summary, where it has no other.

    Of the events of reasoning, only those of summaries are known to all clients.
    """
    summary = item.summary or ((item.text,) if item.text else ())
    shown = {
        "id": item.id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text} for text in summary],
        "status": status,
    }
    if item.text != "\n".join(summary):
        shown["content"] = [{"type": "reasoning_text", "text": item.text}]
    if item.opaque:
        shown["encrypted_content"] = item.opaque
    return shown


def _callers_call(item: Call, status: str) -> JsonObject:
    shown = {"id": item.id, "status": status, "call_id": item.call_id, "name": item.name}
    if item.text_input:
        # One that has only begun holds nothing; its text comes in events.
        text = text_in(item.arguments) if item.arguments else ""
        return {**shown, "type": "custom_tool_call", "input": text}
    return {**shown, "type": "function_call", "arguments": item.arguments}


def _run_call(item: Call, status: str) -> JsonObject:
    """A call that the mesh or a server runs."""
    outcome = item.outcome
    failed = outcome is not None and outcome.failed
    text = outcome.text if outcome else None
    return {
        "id": item.id,
        "type": "mcp_call",
        "status": "failed" if failed else status,
        "server_label": OWN_SERVER if item.run_by is RunBy.MESH else item.server_label,
        "name": item.name,
        "arguments": item.arguments,
        "output": None if failed else text,
        "error": text if failed else None,
        "approval_request_id": None,
    }


def _call_result(item: CallResult, status: str) -> JsonObject:
    """One text is shown bare, as most callers give it."""
    match item.parts:
        case (Text(text=text),):
            output: object = text
        case parts:
            output = [_part(part, Role.USER) for part in parts]
    return {
        "id": item.id,
        "type": f"{'custom_tool' if item.text_input else 'function'}_call_output",
        "call_id": item.call_id,
        "output": output,
        "status": status,
    }
