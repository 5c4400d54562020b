"""A turn's events as the Responses API has them: each with its number, or as one response."""

from collections.abc import Iterable, Sequence

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
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.http.errors import failure
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.resources import (
    Logprobs,
    begun,
    in_namespace,
    is_run,
    item_resource,
    logprob_resources,
    resource,
    text_resource,
)
from services.gateway.retelling import SoFar
from services.shared.conversation import (
    Call,
    Compaction,
    Item,
    Message,
    Reasoning,
    Role,
    RunBy,
    said,
)
from services.shared.tools import text_in

_CUT = {Finish.LENGTH, Finish.CONTENT_FILTER, Finish.TOO_MANY_EVENTS, Finish.INVALID_CALL}

# How the events are called that a call's arguments come with: a function's, and one text.
_ARGUMENTS = ("function_call_arguments", "custom_tool_call_input")


class ResponsesPresenter:
    """Several events for one of the turn's: an item has to begin before it grows, for instance.

    The end of an item is told with the turn's next event, which says whether the item was cut.
    """

    resumes = True

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        """Nothing of a response was told yet."""
        self._echo = ""
        # What a response that fails has to show.
        self._said = SoFar()
        # The `sequence_number` of the next event: from 0 without gaps.
        self._number = 0
        # Output index of every item, in the order in which they began.
        self._places: dict[str, int] = {}
        # The calls whose functions take one text, by id.
        self._takers_of_text: set[str] = set()
        self._logprobs: Logprobs = {}
        # It has ended, and nobody was told.
        self._ended: Item | None = None

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        self._said.hear(event)
        cut = isinstance(event, ChoiceEnded) and event.finish in _CUT
        return [*self._ending("incomplete" if cut else "completed"), *self._present(event)]

    def _present(self, event: TurnEvent) -> Sequence[JsonObject]:  # noqa: PLR0911 - one for each kind
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._reasoning(event)
            case CallStarted(call=call):
                return self._call_started(call)
            case ArgumentsDelta(item_id=item_id, arguments=arguments):
                kind = _ARGUMENTS[item_id in self._takers_of_text]
                return [self._of_item(f"{kind}.delta", item_id, delta=arguments)]
            case ItemDone(item=item):
                return self._item_done(item)
            case ChoiceEnded():
                return ()
            case Started():
                return self._started(event)
            case Continued():
                self._forget()  # what follows are the events of another response
                return ()
            case CompactionStarted(item_id=item_id):
                begun = self._begin(Compaction(item_id))
                return [*begun, self._of_item("compaction.compacting", item_id)]
            case Completed(response=response):
                whole = resource(response, self._logprobs)
                return [self._event(f"response.{whole['status']}", response=whole)]
            case Failed():
                return self._failed(event)

    @staticmethod
    def whole(events: Iterable[TurnEvent]) -> JsonObject:
        logprobs: Logprobs = {}
        response: Response | None = None
        for event in events:
            if isinstance(event, TextDelta):
                _note(logprobs, event)
            if isinstance(event, Completed):
                response = event.response
        assert response is not None, "a turn that did not fail ends with Completed"
        return resource(response, logprobs)

    def _started(self, event: Started) -> list[JsonObject]:
        self._echo = event.echo
        return [
            self._event(f"response.{stage}", response=begun(event))
            for stage in ("created", "in_progress")
        ]

    def _failed(self, event: Failed) -> list[JsonObject]:
        """That a response was cancelled is no error to those who read it."""
        failed = self._said.failed(event) if self._said.started else None
        events = self._stopping(failed) if failed else []
        if event.ends_as is not Status.CANCELLED:
            events.append(self._error(event))
        if failed:
            shown = resource(failed, self._logprobs)
            events.append(self._event("response.failed", response=shown))
        return events

    def _stopping(self, failed: Response) -> list[JsonObject]:
        """What ends the items that will never be whole."""
        events: list[JsonObject] = []
        for item in failed.output:
            if item.id in failed.unfinished:
                self._ended = item
                events += self._ending("incomplete")
        return events

    def _error(self, event: Failed) -> JsonObject:
        """OpenAI's types want the error flat, those of Open Responses in `error`: it is both.

        OpenAI's SDKs raise their `APIError` for it.
        """
        told = failure(event.error())
        error = {"code": told.code or "server_error", "message": told.message, "param": told.param}
        return self._event("error", **error, error={"type": told.type, **error})

    def _text(self, event: TextDelta) -> list[JsonObject]:
        known = event.item_id in self._places
        began = [] if known else self._begin(said(event.item_id, Role.ASSISTANT, ""))
        _note(self._logprobs, event)
        delta = self._of_item(
            "output_text.delta",
            event.item_id,
            content_index=0,
            delta=event.text,
            logprobs=logprob_resources(event.logprobs),
        )
        return [*began, delta]

    def _reasoning(self, event: ReasoningDelta) -> list[JsonObject]:
        known = event.item_id in self._places
        began = [] if known else self._begin(Reasoning(event.item_id))
        delta = self._of_item(
            "reasoning_summary_text.delta", event.item_id, summary_index=0, delta=event.text
        )
        return [*began, delta]

    def _call_started(self, call: Call) -> list[JsonObject]:
        events = self._begin(call)
        if call.text_input:
            self._takers_of_text.add(call.id)
        if call.run_by is RunBy.CALLER:
            return events
        return [
            *events,
            self._of_item("mcp_call.in_progress", call.id),
            self._of_item("mcp_call_arguments.delta", call.id, delta=call.arguments),
            self._of_item("mcp_call_arguments.done", call.id, arguments=call.arguments),
        ]

    def _begin(self, item: Item) -> list[JsonObject]:
        """What comes before the first of an item; nothing when it has begun already."""
        if item.id in self._places:
            return []
        place = self._places[item.id] = len(self._places)
        shown = in_namespace(item_resource(item, "in_progress"), self._echo)
        events = [self._event("response.output_item.added", output_index=place, item=shown)]
        if isinstance(item, Message):
            part = text_resource("")
            events.append(self._of_item("content_part.added", item.id, content_index=0, part=part))
        if isinstance(item, Reasoning):
            part = {"type": "summary_text", "text": ""}
            events.append(
                self._of_item("reasoning_summary_part.added", item.id, summary_index=0, part=part)
            )
        return events

    def _item_done(self, item: Item) -> list[JsonObject]:
        begun = self._begin(item)
        self._ended = item
        return [*begun, *self._ending("completed")] if is_run(item) else begun

    def _ending(self, status: str) -> list[JsonObject]:
        """What ends the item that has ended, if there is one."""
        item, self._ended = self._ended, None
        if item is None:
            return []
        logprobs = self._logprobs.get(item.id, ())
        shown = in_namespace(item_resource(item, status, logprobs=logprobs), self._echo)
        done = {"output_index": self._places[item.id], "item": shown}
        # Half of a call is not announced as done: clients read its arguments as JSON.
        half = isinstance(item, Call) and status == "incomplete"
        return [
            *([] if half else self._stages(item)),
            self._event("response.output_item.done", **done),
        ]

    def _stages(self, item: Item) -> list[JsonObject]:
        """What is told of an item before its end."""
        if isinstance(item, Message):
            whole = {"content_index": 0}
            part = text_resource(item.text, self._logprobs.get(item.id, ()))
            text = {"text": item.text, "logprobs": part["logprobs"]}
            return [
                self._of_item("output_text.done", item.id, **whole, **text),
                self._of_item("content_part.done", item.id, **whole, part=part),
            ]
        if isinstance(item, Reasoning):
            whole = {"summary_index": 0}
            part = {"type": "summary_text", "text": item.text}
            return [
                self._of_item("reasoning_summary_text.done", item.id, **whole, text=item.text),
                self._of_item("reasoning_summary_part.done", item.id, **whole, part=part),
            ]
        if isinstance(item, Call) and item.text_input:
            text = {"input": text_in(item.arguments)}
            return [self._of_item("custom_tool_call_input.done", item.id, **text)]
        if isinstance(item, Call) and item.run_by is RunBy.CALLER:
            name = in_namespace(item_resource(item), self._echo)["name"]
            arguments = {"name": name, "arguments": item.arguments}
            return [self._of_item("function_call_arguments.done", item.id, **arguments)]
        if isinstance(item, Call):
            ending = "failed" if item.outcome and item.outcome.failed else "completed"
            return [self._of_item(f"mcp_call.{ending}", item.id)]
        return []

    def _of_item(self, event: str, item_id: str, /, **fields: object) -> JsonObject:
        place = self._places[item_id]
        return self._event(f"response.{event}", item_id=item_id, output_index=place, **fields)

    def _event(self, name: str, /, **fields: object) -> JsonObject:
        number, self._number = self._number, self._number + 1
        return {"type": name, "sequence_number": number, **fields}


def _note(logprobs: Logprobs, event: TextDelta) -> None:
    logprobs.setdefault(event.item_id, []).extend(event.logprobs)
