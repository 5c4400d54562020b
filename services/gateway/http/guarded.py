"""Routes that are denied to whoever shows no valid key."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.front import Front, KeySession
from services.gateway.keys import bearer


class StrictRequest(Request):
    """Takes only JSON that can be written again: no NaN, no half of a surrogate pair."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class GuardedRoute(APIRoute):
    """Recognises the caller before a byte of the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            front: Front = request.app.state.front
            request.state.session = await front.session(
                bearer(request.headers.get("authorization", ""))
            )
            return await handle(StrictRequest(request.scope, request.receive))

        return guarded


def session_of(request: Request) -> KeySession:
    session: KeySession = request.state.session
    return session
