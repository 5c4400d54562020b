"""`/v1/responses/{id}`: what was stored of a response."""

from fastapi import APIRouter, Request

from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.presenting import JsonObject
from services.gateway.http.responses.resources import resource

router = APIRouter(route_class=GuardedRoute)


@router.get("/v1/responses/{response_id}", response_model=None)
async def get_response(response_id: str, request: Request) -> JsonObject:
    """A response that was stored."""
    return resource(await session_of(request).get_response(response_id))


@router.delete("/v1/responses/{response_id}", response_model=None)
async def delete_response(response_id: str, request: Request) -> JsonObject:
    """Erases what was stored of a response; those that continue it stay."""
    await session_of(request).delete_response(response_id)
    return {"id": response_id, "object": "response", "deleted": True}
