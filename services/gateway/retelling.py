"""A turn's events and its response, each made of the other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    ChoiceEnded,
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
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import Call, Item, Message, Reasoning, Role, RunBy, said
from services.shared.tools import text_arguments, text_in

_FINISHES = {
    Status.COMPLETED: Finish.STOP,
    Status.LENGTH: Finish.LENGTH,
    Status.CONTENT_FILTER: Finish.CONTENT_FILTER,
    Status.TOOL_ROUNDS: Finish.TOOL_ROUNDS,
    Status.TOO_MANY_EVENTS: Finish.TOO_MANY_EVENTS,
    Status.STEERED: Finish.STEERED,
    Status.INVALID_CALL: Finish.INVALID_CALL,
}


def retold(response: Response) -> Iterator[TurnEvent]:
    """The events of a turn that is over, told again from its stored response.

    Each text comes in one piece, so the numbers are not those of the stream at that time.
    """
    yield Started(
        response.id,
        response.created_at_ms,
        response.model,
        response.previous_response_id,
        response.echo,
        background=response.background,
        conversation=response.conversation,
    )
    for item in response.output:
        yield from _growth(item, response.logprobs.get(item.id, ()))
        if item.id not in response.unfinished:
            yield ItemDone(0, item)
    if response.error:
        yield response.error
        return
    yield ChoiceEnded(0, _FINISHES[response.status])
    yield Completed(response)


def _growth(item: Item, logprobs: Sequence[TokenLogprob]) -> Iterator[TurnEvent]:
    match item:
        case Message():
            yield TextDelta(0, item.id, item.text, tuple(logprobs))
        case Reasoning():
            yield ReasoningDelta(0, item.id, item.text)
        case Call(run_by=RunBy.MESH):
            yield CallStarted(0, replace(item, outcome=None))
        case Call():
            yield CallStarted(0, replace(item, arguments=""))
            arguments = text_in(item.arguments) if item.text_input else item.arguments
            yield ArgumentsDelta(0, item.id, arguments)


class SoFar:
    """What the first choice of a turn has said in the events that were heard."""

    def __init__(self) -> None:
        self.started: Started | None = None
        # By id, in the order in which they began.
        self._items: dict[str, Item] = {}
        # Of each item that is not whole: the pieces that it has.
        self._pieces: dict[str, list[str]] = {}
        self._logprobs: dict[str, list[TokenLogprob]] = {}

    def hear(self, event: TurnEvent) -> None:
        match event:
            case Started():
                self.started = event
            case TextDelta(index=0, item_id=item_id, text=text, logprobs=logprobs):
                self._grow(item_id, text, said(item_id, Role.ASSISTANT, ""))
                if logprobs:
                    self._logprobs.setdefault(item_id, []).extend(logprobs)
            case ReasoningDelta(index=0, item_id=item_id, text=text):
                self._grow(item_id, text, Reasoning(item_id))
            case CallStarted(index=0, call=call):
                self._grow(call.id, call.arguments, call)
            case ArgumentsDelta(index=0, item_id=item_id, arguments=arguments):
                self._pieces[item_id].append(arguments)
            case ItemDone(index=0, item=item):
                self._items[item.id] = item
                self._pieces.pop(item.id, None)

    def _grow(self, item_id: str, piece: str, begun: Item) -> None:
        self._items.setdefault(item_id, begun)
        self._pieces.setdefault(item_id, []).append(piece)

    def under_way(self) -> Response:
        """The response of a turn that goes on, with the items that are whole."""
        return self._response(Status.IN_PROGRESS, self._whole())

    def failed(self, error: Failed) -> Response:
        """The response of a turn that failed or was cancelled, with all that it has said."""
        half = {
            item_id: _with_text(self._items[item_id], "".join(pieces))
            for item_id, pieces in self._pieces.items()
        }
        response = self._response(error.ends_as, tuple({**self._items, **half}.values()))
        return replace(response, error=error, unfinished=frozenset(half))

    def _whole(self) -> tuple[Item, ...]:
        return tuple(item for item in self._items.values() if item.id not in self._pieces)

    def _response(self, status: Status, output: tuple[Item, ...]) -> Response:
        assert self.started
        return Response(
            id=self.started.response_id,
            model=self.started.model,
            previous_response_id=self.started.previous_response_id,
            created_at_ms=self.started.created_at_ms,
            completed_at_ms=0,
            status=status,
            output=output,
            usage=Usage(),
            echo=self.started.echo,
            background=self.started.background,
            conversation=self.started.conversation,
            logprobs={item_id: tuple(told) for item_id, told in self._logprobs.items()},
        )


def is_last(event: TurnEvent) -> bool:
    return isinstance(event, Completed | Continued | Failed)


def so_far(events: Iterable[TurnEvent]) -> SoFar:
    heard = SoFar()
    for event in events:
        heard.hear(event)
    return heard


def _with_text(item: Item, text: str) -> Item:
    match item:
        case Message():
            return said(item.id, item.role, text)
        case Reasoning():
            return replace(item, text=text)
        case Call():
            return replace(item, arguments=text_arguments(text) if item.text_input else text)
    return item
