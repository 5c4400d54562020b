"""A turn's events as the Responses API streams them, numbered from 0 without gaps."""

from typing import Any

import orjson

from services.context_assembly.api import Call, Item, Reasoning, Text
from services.gateway.api import (
    CallDelta,
    CallStarted,
    ChoiceEnded,
    Completed,
    ItemDone,
    ReasoningDelta,
    Started,
    TextDelta,
    TurnEvent,
)
from services.gateway.http.errors import Failure
from services.gateway.http.resources import item_resource, resource, text_part
from services.inference.api import TokenLogprob
from services.shared.chat import Role


class ResponseEvents:
    """Writes one response's stream. Each call returns whole events, blank lines included."""

    def __init__(self, pending: dict[str, Any]) -> None:
        self._pending = pending
        self._number = 0
        # Output index of every item, in the order in which they began.
        self._places: dict[str, int] = {}

    def write(self, event: TurnEvent) -> bytes:
        return b"".join(self._written(event))

    def _written(self, event: TurnEvent) -> list[bytes]:  # noqa: PLR0911 - one for each kind
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._reasoning(event)
            case CallStarted(call=call):
                return self._call_started(call)
            case CallDelta(item_id=item_id, arguments=arguments):
                return [self._of_item("function_call_arguments.delta", item_id, delta=arguments)]
            case ItemDone(item=item):
                return self._item_done(item)
            case Completed(response=response):
                whole = resource(response)
                return [self._event(f"response.{whole['status']}", response=whole)]
            case Started():
                return [
                    self._event("response.created", response=self._pending),
                    self._event("response.in_progress", response=self._pending),
                ]
            case ChoiceEnded():
                return []

    def fail(self, failure: Failure) -> bytes:
        """What is said when the turn fails after its first event."""
        error = {"code": failure.code or "server_error", "message": failure.message}
        failed = {**self._pending, "status": "failed", "error": error}
        told = self._event("error", **error, param=failure.param)
        return told + self._event("response.failed", response=failed)

    def _text(self, event: TextDelta) -> list[bytes]:
        events = self._begin(Text(event.item_id, Role.ASSISTANT, ""))
        logprobs = [_logprob(each) for each in event.logprobs]
        events.append(
            self._of_item(
                "output_text.delta",
                event.item_id,
                content_index=0,
                delta=event.text,
                logprobs=logprobs,
            )
        )
        return events

    def _reasoning(self, event: ReasoningDelta) -> list[bytes]:
        events = self._begin(Reasoning(event.item_id, ""))
        delta = self._of_item(
            "reasoning_summary_text.delta", event.item_id, summary_index=0, delta=event.text
        )
        return [*events, delta]

    def _call_started(self, call: Call) -> list[bytes]:
        events = self._begin(call)
        if not call.own:
            return events
        return [
            *events,
            self._of_item("mcp_call.in_progress", call.id),
            self._of_item("mcp_call_arguments.delta", call.id, delta=call.arguments),
            self._of_item("mcp_call_arguments.done", call.id, arguments=call.arguments),
        ]

    def _begin(self, item: Item) -> list[bytes]:
        if item.id in self._places:
            return []
        place = self._places[item.id] = len(self._places)
        shown = item_resource(item, "in_progress")
        events = [self._event("response.output_item.added", output_index=place, item=shown)]
        if isinstance(item, Text):
            part = text_part("")
            events.append(self._of_item("content_part.added", item.id, content_index=0, part=part))
        if isinstance(item, Reasoning):
            part = {"type": "summary_text", "text": ""}
            events.append(
                self._of_item("reasoning_summary_part.added", item.id, summary_index=0, part=part)
            )
        return events

    def _item_done(self, item: Item) -> list[bytes]:
        place = {"output_index": self._places.get(item.id, len(self._places))}
        return [
            *self._begin(item),
            *self._last_words(item),
            self._event("response.output_item.done", **place, item=item_resource(item)),
        ]

    def _last_words(self, item: Item) -> list[bytes]:
        if isinstance(item, Text):
            whole = {"content_index": 0}
            return [
                self._of_item("output_text.done", item.id, **whole, text=item.text, logprobs=[]),
                self._of_item("content_part.done", item.id, **whole, part=text_part(item.text)),
            ]
        if isinstance(item, Reasoning):
            whole = {"summary_index": 0}
            part = {"type": "summary_text", "text": item.text}
            return [
                self._of_item("reasoning_summary_text.done", item.id, **whole, text=item.text),
                self._of_item("reasoning_summary_part.done", item.id, **whole, part=part),
            ]
        if isinstance(item, Call) and item.own:
            ending = "failed" if item.failed else "completed"
            return [self._of_item(f"mcp_call.{ending}", item.id)]
        if isinstance(item, Call):
            arguments = {"name": item.name, "arguments": item.arguments}
            return [self._of_item("function_call_arguments.done", item.id, **arguments)]
        return []

    def _of_item(self, event: str, item_id: str, /, **fields: Any) -> bytes:
        place = self._places[item_id]
        return self._event(f"response.{event}", item_id=item_id, output_index=place, **fields)

    def _event(self, name: str, /, **fields: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        body = orjson.dumps({"type": name, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (name.encode(), body)


def _logprob(logprob: TokenLogprob) -> dict[str, Any]:
    top = [{"token": each.token, "logprob": each.logprob} for each in logprob.top]
    return {"token": logprob.token, "logprob": logprob.logprob, "top_logprobs": top}
