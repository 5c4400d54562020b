"""The events of a turn that is over, told again from its stored response."""

from collections.abc import Iterator
from dataclasses import replace

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    ChoiceEnded,
    Completed,
    Finish,
    ItemDone,
    ReasoningDelta,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.shared.conversation import Call, Item, Message, Reasoning, RunBy

_FINISHES = {
    Status.COMPLETED: Finish.STOP,
    Status.LENGTH: Finish.LENGTH,
    Status.CONTENT_FILTER: Finish.CONTENT_FILTER,
    Status.TOOL_ROUNDS: Finish.TOOL_ROUNDS,
    Status.TOO_MANY_EVENTS: Finish.TOO_MANY_EVENTS,
    Status.INVALID_CALL: Finish.INVALID_CALL,
}


def retold(response: Response) -> Iterator[TurnEvent]:
    """Each text comes in one piece, so the numbers are not those of the stream at that time."""
    yield Started(
        response.id,
        response.created_at_ms,
        response.model,
        response.previous_response_id,
        response.echo,
        conversation=response.conversation,
    )
    for item in response.output:
        yield from _growth(item)
        yield ItemDone(0, item)
    yield ChoiceEnded(0, _FINISHES[response.status])
    yield Completed(response)


def _growth(item: Item) -> Iterator[TurnEvent]:
    match item:
        case Message():
            yield TextDelta(0, item.id, item.text)
        case Reasoning():
            yield ReasoningDelta(0, item.id, item.text)
        case Call(run_by=RunBy.MESH):
            yield CallStarted(0, replace(item, outcome=None))
        case Call():
            yield CallStarted(0, replace(item, arguments=""))
            yield ArgumentsDelta(0, item.id, item.arguments)
