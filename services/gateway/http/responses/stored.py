"""`/v1/responses/{id}`: a response that is stored or under way; and what a request would read."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse
from starlette.responses import Response as HttpResponse

from services.context_assembly.api import Paging
from services.gateway.api import EventsGone, Numbered, TurnEvent
from services.gateway.front import KeySession
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.leaving import unless_left
from services.gateway.http.presenting import JsonObject, PresentedTurn
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.http.responses.request import CountRequest, Includable
from services.gateway.http.responses.resources import items_resource, resource
from services.gateway.http.responses.steering import SteeringRequest
from services.gateway.http.sse import EventStream
from services.gateway.http.turns import named
from services.gateway.retelling import retold
from services.gateway.schemas import SchemaChecks
from services.gateway.values import EventNumber, PageLimit, PageStart
from services.shared.errors import MeshError


class Included(BaseModel):
    """What is to be included. OpenAI's SDKs write such a list as `include[]=a&include[]=b`."""

    include: list[Includable] = Field(default=[], max_length=32)
    include_: list[Includable] = Field(default=[], max_length=32, alias="include[]")

    def includes(self, what: Includable) -> bool:
        return what in (*self.include, *self.include_)


class ResponseQuery(Included):
    stream: bool = False
    # The `sequence_number` of an event.
    starting_after: EventNumber | None = None


class ItemsQuery(Included):
    """Whatever can be included is shown anyway."""

    after: PageStart = ""
    limit: PageLimit = 20
    order: Literal["asc", "desc"] = "desc"


class LaterEvents(ResponsesPresenter):
    """Leaves out the events that the reader has seen."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        shown = super().present(event)
        return [each for each in shown if each["sequence_number"] > self._after]


def response_routes() -> APIRouter:
    router = APIRouter(route_class=GuardedRoute)
    schemas = SchemaChecks()

    @router.post("/v1/responses/input_tokens", response_model=None)
    async def count_input_tokens(body: CountRequest, request: Request) -> JsonObject:
        """How many tokens the model would read; nothing is run, moderated or kept."""
        await unless_left(request, schemas.check(body))
        try:
            count = await session_of(request).count_input(body.ask())
        except MeshError as error:
            raise named(error, body.field) from None
        return {"object": "response.input_tokens", "input_tokens": count}

    one = "/v1/responses/{response_id}"
    router.add_api_route(one, get_response, methods=["GET"], response_model=None)
    router.add_api_route(one, delete_response, methods=["DELETE"], response_model=None)
    router.add_api_route(f"{one}/cancel", cancel_response, methods=["POST"], response_model=None)
    router.add_api_route(f"{one}/steer", steer_response, methods=["POST"], response_model=None)
    router.add_api_route(f"{one}/input_items", list_input_items, response_model=None)
    return router


async def get_response(
    response_id: str, request: Request, query: Annotated[ResponseQuery, Query()]
) -> HttpResponse:
    """A response that was stored or is under way; with `stream`, its events."""
    session = session_of(request)
    if not query.stream:
        response = await session.get_response(response_id)
        if query.includes("reasoning.encrypted_content"):
            response = session.sealed(response)
        return JSONResponse(resource(response))
    starting_after = query.starting_after
    after = -1 if starting_after is None else starting_after
    async with AsyncExitStack() as stack:
        turn = PresentedTurn(_followed(session, response_id, after), LaterEvents(after))
        await stack.enter_async_context(aclosing(turn))
        await unless_left(request, turn.begin())
        stack.pop_all()  # from here on the stream closes the turn
        return EventStream(turn)


async def cancel_response(response_id: str, request: Request) -> JsonObject:
    """Stops a response in the background; it keeps what it has said."""
    return resource(await session_of(request).cancel(response_id))


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


async def delete_response(response_id: str, request: Request) -> JsonObject:
    """Erases a response, and stops it if it is under way; those that continue it stay."""
    await session_of(request).delete_response(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


async def list_input_items(
    response_id: str, request: Request, query: Annotated[ItemsQuery, Query()]
) -> JsonObject:
    """What the request of a response brought; not what it continues."""
    page = Paging(query.after, query.limit, newest_first=query.order == "desc")
    found = await session_of(request).list_input_items(response_id, page)
    return items_resource(found.items, has_more=found.has_more)


async def _followed(
    session: KeySession, response_id: str, after: int
) -> AsyncGenerator[Numbered, None]:
    """The events of a turn under way, or of a stored response.

    Where its events are gone, a stored response is told again from its beginning. What comes after
    a number cannot be told then: raises `EventsGone`.
    """
    if not session.under_way(response_id):
        # What was not stored, or was erased, is not there.
        await session.check_response(response_id)
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
