"""`POST /v1/chat/completions`: the turn as OpenAI's chat completions."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from services.gateway.api import (
    CallDelta,
    CallStarted,
    ChoiceEnded,
    Completed,
    Finish,
    ReasoningDelta,
    Started,
    TextDelta,
    TurnEvent,
)
from services.gateway.http.carriers import EventStream, started, unless_left
from services.gateway.http.chat_requests import ChatCompletionRequest
from services.gateway.http.errors import Failure
from services.gateway.http.guarded import GuardedRoute, session_of
from services.inference.api import TokenLogprob, Usage
from services.shared.errors import Malformed

router = APIRouter(route_class=GuardedRoute)

_FINISHES = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.FUNCTION_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.TOOL_ROUNDS: "length",
}


@router.post("/v1/chat/completions", response_model=None)
async def create_chat_completion(body: ChatCompletionRequest, request: Request) -> Response:
    """Answers a conversation. The mesh's own tools run inside; only the answer shows."""
    events = session_of(request).respond(body.ask())
    try:
        head = _Head(await started(request, events), body.model)
    except Malformed as error:
        raise Malformed(error.message, param=body.field(error.details.get("param", ""))) from None
    if body.stream:
        include_usage = bool(body.stream_options and body.stream_options.include_usage)
        chunks = _chunks(head, events, include_usage=include_usage)
        return EventStream(chunks, _failed)
    async with aclosing(events):
        return JSONResponse(await unless_left(request, _collected(head, events)))


class _Head:
    """What every chunk repeats."""

    def __init__(self, start: Started, model: str) -> None:
        self.id = start.response_id.replace("resp_", "chatcmpl-")
        self.created = start.created_at_ms // 1000
        self.model = model
        self._fields = orjson.dumps(self.fields("chat.completion.chunk"))[:-1]

    def fields(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def chunk(
        self, index: int, delta: bytes, *, logprobs: bytes = b"null", finish: bytes = b"null"
    ) -> bytes:
        return (
            b'data: %b,"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]}\n\n'
            % (self._fields, index, delta, logprobs, finish)
        )

    def usage_chunk(self, usage: Usage) -> bytes:
        return b'data: %b,"choices":[],"usage":%b}\n\n' % (
            self._fields,
            orjson.dumps(_usage(usage)),
        )


async def _chunks(
    head: _Head, events: AsyncGenerator[TurnEvent, None], *, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    choices: dict[int, _StreamedChoice] = {}
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Completed):
                if include_usage:
                    yield head.usage_chunk(event.response.usage)
            elif (index := getattr(event, "index", None)) is not None:
                choice = choices.setdefault(index, _StreamedChoice(head, index))
                if chunk := choice.chunk(event):
                    yield chunk


def _failed(failure: Failure) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(failure.envelope)


class _StreamedChoice:
    """Turns one choice's events into chunks."""

    def __init__(self, head: _Head, index: int) -> None:
        self._head = head
        self._index = index
        self._calls: list[str] = []
        self._role = b'"role":"assistant",'

    def chunk(self, event: TurnEvent) -> bytes | None:
        """None for what chat completions do not show: the mesh's own calls, and whole items."""
        if isinstance(event, TextDelta):
            logprobs = orjson.dumps(_logprobs(event.logprobs)) if event.logprobs else b"null"
            return self._delta(b'"content":%b' % orjson.dumps(event.text), logprobs)
        if isinstance(event, ReasoningDelta):
            text = orjson.dumps(event.text)
            return self._delta(b'"reasoning_content":%b,"reasoning":%b' % (text, text))
        if isinstance(event, CallStarted) and not event.call.own:
            self._calls.append(event.call.id)
            function = {"name": event.call.name, "arguments": ""}
            call = {"id": event.call.call_id, "type": "function", "function": function}
            return self._call(len(self._calls) - 1, call)
        if isinstance(event, CallDelta):
            place = self._calls.index(event.item_id)
            return self._call(place, {"function": {"arguments": event.arguments}})
        if isinstance(event, ChoiceEnded):
            finish = b'"%b"' % _FINISHES[event.finish].encode()
            return self._head.chunk(self._index, b"{}", finish=finish)
        return None

    def _call(self, place: int, call: dict[str, Any]) -> bytes:
        return self._delta(b'"tool_calls":[%b]' % orjson.dumps({"index": place, **call}))

    def _delta(self, fields: bytes, logprobs: bytes = b"null") -> bytes:
        role, self._role = self._role, b""
        return self._head.chunk(self._index, b"{%b%b}" % (role, fields), logprobs=logprobs)


@dataclass(slots=True)
class _CollectedChoice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str = "stop"

    def take(self, event: TurnEvent) -> None:
        if isinstance(event, TextDelta):
            self.text.append(event.text)
            self.logprobs += event.logprobs
        elif isinstance(event, ReasoningDelta):
            self.reasoning.append(event.text)
        elif isinstance(event, CallStarted) and not event.call.own:
            function = {"name": event.call.name, "arguments": ""}
            call = {"id": event.call.call_id, "type": "function", "function": function}
            self.calls[event.call.id] = call
        elif isinstance(event, CallDelta):
            self.calls[event.item_id]["function"]["arguments"] += event.arguments
        elif isinstance(event, ChoiceEnded):
            self.finish = _FINISHES[event.finish]

    def choice(self, index: int) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(self.text) if self.text or not self.calls else None,
            "refusal": None,
        }
        if self.reasoning:
            thought = "".join(self.reasoning)
            message |= {"reasoning_content": thought, "reasoning": thought}
        if self.calls:
            message["tool_calls"] = list(self.calls.values())
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(self.logprobs) if self.logprobs else None,
            "finish_reason": self.finish,
        }


async def _collected(head: _Head, events: AsyncIterator[TurnEvent]) -> dict[str, Any]:
    """The stream, collected at the edge."""
    choices: dict[int, _CollectedChoice] = {}
    usage = Usage()
    async for event in events:
        if isinstance(event, Completed):
            usage = event.response.usage
        elif (index := getattr(event, "index", None)) is not None:
            choices.setdefault(index, _CollectedChoice()).take(event)
    return {
        **head.fields("chat.completion"),
        "choices": [choice.choice(index) for index, choice in sorted(choices.items())],
        "usage": _usage(usage),
        "system_fingerprint": None,
        "service_tier": "default",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _logprobs(logprobs: list[TokenLogprob] | tuple[TokenLogprob, ...]) -> dict[str, Any]:
    return {
        "content": [
            {**_logprob(each), "top_logprobs": [_logprob(top) for top in each.top]}
            for each in logprobs
        ],
        "refusal": None,
    }


def _logprob(logprob: TokenLogprob) -> dict[str, Any]:
    return {
        "token": logprob.token,
        "logprob": logprob.logprob,
        "bytes": list(logprob.token.encode()),
    }
