"""`/v1/responses/{id}`: what was stored of a response."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from services.gateway.api import EventsGone, Numbered, TurnEvent
from services.gateway.front import KeySession
from services.gateway.http.fields import MOST_TOKENS
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.leaving import unless_left
from services.gateway.http.presenting import JsonObject, PresentedTurn
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.http.responses.resources import resource
from services.gateway.http.responses.steering import SteeringRequest
from services.gateway.http.sse import EventStream
from services.gateway.retelling import retold

router = APIRouter(route_class=GuardedRoute)
# The `sequence_number` of an event.
EventNumber = Annotated[int | None, Query(ge=0, le=MOST_TOKENS)]


class LaterEvents(ResponsesPresenter):
    """Leaves out the events that the reader has seen."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        shown = super().present(event)
        return [each for each in shown if each["sequence_number"] > self._after]


@router.get("/v1/responses/{response_id}", response_model=None)
async def get_response(
    response_id: str,
    request: Request,
    stream: bool = False,
    starting_after: EventNumber = None,
) -> HttpResponse:
    """A response that was stored; with `stream`, the events of one that may still be under way."""
    session = session_of(request)
    if not stream:
        return JSONResponse(resource(await session.get_response(response_id)))
    after = -1 if starting_after is None else starting_after
    async with AsyncExitStack() as stack:
        turn = PresentedTurn(_followed(session, response_id, after), LaterEvents(after))
        await stack.enter_async_context(aclosing(turn))
        await unless_left(request, turn.begin())
        stack.pop_all()  # from here on the stream closes the turn
        return EventStream(turn)


@router.post("/v1/responses/{response_id}/steer", response_model=None)
async def steer_response(response_id: str, body: SteeringRequest, request: Request) -> JsonObject:
    """Gives a response that is being made words to take in, and waits until it has.

    It does so when tools of the mesh's have run, or when its reply ends. Then another response,
    whose id this answers, goes on with them.
    """
    steering = session_of(request).steer(response_id, body.words())
    steered = await unless_left(request, steering)
    return {
        "id": steered.id,
        "object": "response.steer",
        "previous_response_id": response_id,
        "response_id": steered.response_id,
    }


@router.delete("/v1/responses/{response_id}", response_model=None)
async def delete_response(response_id: str, request: Request) -> JsonObject:
    """Erases what was stored of a response; those that continue it stay."""
    await session_of(request).delete_response(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def _followed(
    session: KeySession, response_id: str, after: int
) -> AsyncGenerator[Numbered, None]:
    """The events of a turn under way, or of a stored response.

    Where its events are gone, a stored response is told again from its beginning. What comes after
    a number cannot be told then: raises `EventsGone`.
    """
    if not session.under_way(response_id):
        await session.get_response(response_id)  # what was not stored, or was erased, is not there
    begun = False
    try:
        async with aclosing(session.follow(response_id)) as events:
            async for numbered in events:
                begun = True
                yield numbered
        return
    except EventsGone:
        if begun or after >= 0:
            raise
    for number, event in enumerate(retold(await session.get_response(response_id))):
        yield Numbered(number, event)
