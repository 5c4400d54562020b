"""A turn's events as chat completions: as chunks, or as one completion."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    ChoiceEnded,
    CompactionStarted,
    Completed,
    Continued,
    Failed,
    Finish,
    ItemDone,
    ReasoningDelta,
    Started,
    TextDelta,
    TurnEvent,
)
from services.gateway.http.errors import failure
from services.gateway.http.presenting import JsonObject
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import Call, RunBy

_FINISHES = {
    Finish.STOP: "stop",
    Finish.LENGTH: "length",
    Finish.FUNCTION_CALLS: "tool_calls",
    Finish.CONTENT_FILTER: "content_filter",
    Finish.TOOL_ROUNDS: "length",
    Finish.TOO_MANY_EVENTS: "length",
    Finish.STEERED: "stop",
    Finish.INVALID_CALL: "length",
}

# What brings a choice on.
ChoiceEvent = TextDelta | ReasoningDelta | CallStarted | ArgumentsDelta | ItemDone | ChoiceEnded


class ChatPresenter:
    """A chunk for each event of the answer. The mesh's own calls do not show."""

    resumes = False

    def __init__(self) -> None:
        # What every chunk begins with.
        self._head: JsonObject = {}
        self._include_usage = False
        self._choices: dict[int, _Chunks] = {}

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        match event:
            case TextDelta() | ReasoningDelta() | CallStarted() | ArgumentsDelta():
                return self._of_choice(event)
            case ItemDone() | ChoiceEnded():
                return self._of_choice(event)
            case Started():
                self._head = _head(event, "chat.completion.chunk")
                self._include_usage = bool(json.loads(event.echo or "{}").get("include_usage"))
                return ()
            case Completed():
                usage = {**self._head, "choices": [], "usage": _usage(event.response.usage)}
                return [usage] if self._include_usage else ()
            case CompactionStarted() | Continued():
                return ()
            case Failed():
                return [failure(event.error()).envelope]

    @staticmethod
    def whole(events: Iterable[TurnEvent]) -> JsonObject:
        head: JsonObject = {}
        choices: dict[int, _Answer] = {}
        usage = Usage()
        for event in events:
            match event:
                case Started():
                    head = _head(event, "chat.completion")
                case Completed():
                    usage = event.response.usage
                case Continued():
                    pass
                case Failed():
                    raise event.error()
                case CompactionStarted():
                    pass
                case _:
                    choices.setdefault(event.index, _Answer()).take(event)
        return {
            **head,
            "choices": [choice.choice(index) for index, choice in sorted(choices.items())],
            "usage": _usage(usage),
            "system_fingerprint": None,
            "service_tier": "default",
        }

    def _of_choice(self, event: ChoiceEvent) -> Sequence[JsonObject]:
        index = event.index
        if index not in self._choices:
            self._choices[index] = _Chunks()
        choice = self._choices[index].choice(event)
        return [{**self._head, "choices": [choice]}] if choice else ()


class _Chunks:
    """What chunks say of one choice."""

    def __init__(self) -> None:
        # The ids of its calls; a call's place here is its index in the chunks.
        self._calls: list[str] = []
        # Comes with the first chunk.
        self._role: JsonObject = {"role": "assistant"}

    def choice(self, event: ChoiceEvent) -> JsonObject | None:
        """None for what chat completions do not show: the mesh's own calls, and whole items."""
        match event:
            case TextDelta():
                logprobs = _logprobs(event.logprobs) if event.logprobs else None
                return self._delta(event, {"content": event.text}, logprobs)
            case ReasoningDelta():
                return self._delta(event, _thought(event.text))
            case CallStarted(call=call) if call.run_by is RunBy.CALLER:
                self._calls.append(call.id)
                return self._call(event, len(self._calls) - 1, _called(call))
            case ArgumentsDelta() if event.item_id in self._calls:
                place = self._calls.index(event.item_id)
                return self._call(event, place, {"function": {"arguments": event.arguments}})
            case ChoiceEnded():
                return _streamed(event.index, {}, finish=_FINISHES[event.finish])
        return None

    def _call(self, event: ChoiceEvent, place: int, call: JsonObject) -> JsonObject:
        return self._delta(event, {"tool_calls": [{"index": place, **call}]})

    def _delta(
        self, event: ChoiceEvent, delta: JsonObject, logprobs: JsonObject | None = None
    ) -> JsonObject:
        if self._role:
            delta, self._role = {**self._role, **delta}, {}
        return _streamed(event.index, delta, logprobs=logprobs)


@dataclass(slots=True)
class _Answer:
    """What a completion says of one choice."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    # By the id of the item.
    calls: dict[str, JsonObject] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str = "stop"

    def take(self, event: ChoiceEvent) -> None:
        match event:
            case TextDelta():
                self.text.append(event.text)
                self.logprobs += event.logprobs
            case ReasoningDelta():
                self.reasoning.append(event.text)
            case ItemDone(item=Call() as call) if call.run_by is RunBy.CALLER:
                self.calls[call.id] = _called(call, call.arguments)
            case ChoiceEnded():
                self.finish = _FINISHES[event.finish]

    def choice(self, index: int) -> JsonObject:
        message: JsonObject = {
            "role": "assistant",
            "content": "".join(self.text) if self.text or not self.calls else None,
            "refusal": None,
        }
        if self.reasoning:
            message |= _thought("".join(self.reasoning))
        if self.calls:
            message["tool_calls"] = [*self.calls.values()]
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(self.logprobs) if self.logprobs else None,
            "finish_reason": self.finish,
        }


def _head(started: Started, kind: str) -> JsonObject:
    return {
        "id": started.response_id.replace("resp_", "chatcmpl-"),
        "object": kind,
        "created": started.created_at_ms // 1000,
        "model": started.model,
    }


def _streamed(
    index: int, delta: JsonObject, *, logprobs: JsonObject | None = None, finish: str | None = None
) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _thought(text: str) -> JsonObject:
    """Some clients look for one of these names, some for the other."""
    return {"reasoning_content": text, "reasoning": text}


def _called(call: Call, arguments: str = "") -> JsonObject:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _usage(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _logprobs(logprobs: Sequence[TokenLogprob]) -> JsonObject:
    return {
        "content": [
            {**_logprob(each), "top_logprobs": [_logprob(top) for top in each.top]}
            for each in logprobs
        ],
        "refusal": None,
    }


def _logprob(logprob: TokenLogprob) -> JsonObject:
    return {
        "token": logprob.token,
        "logprob": logprob.logprob,
        "bytes": list(logprob.token.encode()),
    }
