"""`/v1/responses`: the turn as OpenAI's Responses API, and what was stored of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from services.gateway.api import Completed, Started, TurnEvent
from services.gateway.http.carriers import EventStream, started, unless_left
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.resources import pending, resource
from services.gateway.http.response_events import ResponseEvents
from services.gateway.http.response_requests import ResponseRequest

router = APIRouter(route_class=GuardedRoute)


@router.post("/v1/responses", response_model=None)
async def create_response(body: ResponseRequest, request: Request) -> Response:
    """Runs a turn. The mesh's own tools show as `mcp_call` items of the server `chatmesh`."""
    events = session_of(request).respond(body.ask())
    start = await started(request, events)
    if body.stream:
        writer = _writer(body, start)
        return EventStream(_streamed(writer, start, events), writer.fail)
    async with aclosing(events):
        return JSONResponse(await unless_left(request, _collected(events)))


@router.get("/v1/responses/{response_id}", response_model=None)
async def get_response(response_id: str, request: Request) -> dict[str, Any]:
    """A response that was stored."""
    return resource(await session_of(request).get_response(response_id))


@router.delete("/v1/responses/{response_id}", response_model=None)
async def delete_response(response_id: str, request: Request) -> dict[str, Any]:
    """Erases what was stored of a response; those that continue it stay."""
    await session_of(request).delete_response(response_id)
    return {"id": response_id, "object": "response", "deleted": True}


def _writer(body: ResponseRequest, start: Started) -> ResponseEvents:
    previous = body.previous_response_id or ""
    return ResponseEvents(
        pending(start.response_id, start.created_at_ms, body.model, previous, body.echo())
    )


async def _streamed(
    writer: ResponseEvents, start: Started, events: AsyncGenerator[TurnEvent, None]
) -> AsyncGenerator[bytes, None]:
    yield writer.write(start)
    async with aclosing(events):
        async for event in events:
            if written := writer.write(event):
                yield written


async def _collected(events: AsyncGenerator[TurnEvent, None]) -> dict[str, Any]:
    """The stream, collected at the edge."""
    async for event in events:
        if isinstance(event, Completed):
            return resource(event.response)
    raise AssertionError("a turn that did not fail ends with Completed")
