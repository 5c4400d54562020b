"""Routes that are denied to whoever shows no valid key."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import HTTPException
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.front import Front, KeySession
from services.gateway.http.errors import FieldRefused
from services.gateway.keys import bearer
from services.shared.nesting import MOST_LEVELS, too_deep


class StrictRequest(Request):
    """Takes only JSON that can be written again: no NaN, no half of a surrogate pair, and no field
    that is nested too deeply.
    """

    async def json(self) -> Any:
        return strict_json(await self.body())


def strict_json(body: bytes) -> Any:
    """Raises `JSONDecodeError` or `FieldRefused`."""
    read = orjson.loads(body)
    # Counting brackets is cheap, and tells of nearly all bodies that they are not deep.
    if isinstance(read, dict) and body.count(b"[") + body.count(b"{") > MOST_LEVELS:
        for name, value in read.items():
            if too_deep(value):
                raise FieldRefused(name, f"is nested more than {MOST_LEVELS} levels deep")
    return read


class GuardedRoute(APIRoute):
    """Recognises the caller before a byte of the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            front: Front = request.app.state.front
            request.state.session = await front.session(
                bearer(request.headers.get("authorization", ""))
            )
            check_content_type(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return guarded


def check_content_type(request: Request) -> None:
    """Only JSON is sent here; what has no body, has no type either."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
        return
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and not re.fullmatch(r"application/(.+\+)?json", kind):
        raise HTTPException(415, "Content-Type must be application/json")


def session_of(request: Request) -> KeySession:
    session: KeySession = request.state.session
    return session
