"""Failures in OpenAI's envelope: {"error": {"message", "type", "param", "code"}}."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from services.context_assembly.api import InputTooLong
from services.gateway.api import (
    BudgetSpent,
    ConversationBusy,
    EventsGone,
    InputBlocked,
    InvalidKey,
    KeyInUse,
    KeyReused,
    ModelNotFound,
    NotCancellable,
    RateLimited,
    ResponseNotFound,
    SteeringRefused,
    StreamInterrupted,
    TooManyConnections,
    TooManySteers,
    TooManyTurns,
)
from services.gateway.values import first_wrong
from services.shared.errors import InternalError, MeshError, OlderRelease

_log = structlog.get_logger()

_STATUS = {
    "INVALID_ARGUMENT": (400, "invalid_request_error", None),
    "FAILED_PRECONDITION": (400, "invalid_request_error", None),
    "UNAUTHENTICATED": (401, "invalid_request_error", "invalid_api_key"),
    "PERMISSION_DENIED": (403, "invalid_request_error", "forbidden"),
    "NOT_FOUND": (404, "invalid_request_error", "not_found"),
    "RESOURCE_EXHAUSTED": (503, "server_error", "overloaded"),
    "UNAVAILABLE": (503, "server_error", "service_unavailable"),
    "DEADLINE_EXCEEDED": (504, "server_error", "timeout"),
    # The turn was stopped by another of its callers, or because the gateway is shutting down.
    "CANCELLED": (409, "invalid_request_error", "turn_stopped"),
    # Another process has taken the turn over; the caller did nothing wrong.
    "ABORTED": (503, "server_error", "service_unavailable"),
}
_BUG = (500, "server_error", "internal_error")
# OpenAI's SDKs ask again after this status, unless they are told not to.
_CONFLICT = 409
_UNAUTHENTICATED, _METHOD_NOT_ALLOWED = 401, 405
_CLASSES: dict[type[MeshError], tuple[int, str, str | None]] = {
    InvalidKey: (401, "invalid_request_error", "invalid_api_key"),
    ModelNotFound: (404, "invalid_request_error", "model_not_found"),
    InputBlocked: (400, "invalid_request_error", "content_policy_violation"),
    KeyInUse: (409, "invalid_request_error", "idempotency_key_in_use"),
    KeyReused: (400, "invalid_request_error", "idempotency_key_reused"),
    InputTooLong: (400, "invalid_request_error", "context_length_exceeded"),
    TooManyTurns: (429, "rate_limit_error", "rate_limit_exceeded"),
    TooManyConnections: (429, "rate_limit_error", "rate_limit_exceeded"),
    TooManySteers: (429, "rate_limit_error", "rate_limit_exceeded"),
    RateLimited: (429, "rate_limit_error", "rate_limit_exceeded"),
    BudgetSpent: (429, "insufficient_quota", "insufficient_quota"),
    # After the first byte; the response can be asked for anew.
    StreamInterrupted: (503, "server_error", "stream_interrupted"),
    SteeringRefused: (409, "invalid_request_error", "conflict"),
    ConversationBusy: (409, "invalid_request_error", "conversation_busy"),
    EventsGone: (410, "invalid_request_error", "events_gone"),
    NotCancellable: (409, "invalid_request_error", "response_not_cancellable"),
    # JSON has no older release: two services of this mesh are of different ones.
    OlderRelease: (503, "server_error", "service_unavailable"),
}
# With these Pydantic says in which piece of the request something is wrong.
_PLACES = ("body", "query", "path")


class FieldRefused(HTTPException):
    """A field that is wrong in a way that is seen before the body is read as a request."""

    def __init__(self, param: str, said: str) -> None:
        super().__init__(400, f"{param}: {said}")
        self.param = param


@dataclass(frozen=True, slots=True)
class HttpFailure:
    """What a caller is told."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None
    # The same in milliseconds, which OpenAI's SDKs prefer.
    retry_after_ms: str | None = None

    @property
    def envelope(self) -> dict[str, dict[str, str | None]]:
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def response(self) -> JSONResponse:
        headers = {"retry-after": self.retry_after} if self.retry_after else {}
        if self.retry_after_ms:
            headers["retry-after-ms"] = self.retry_after_ms
        if self.code == "insufficient_quota":
            headers["x-should-retry"] = "false"
        if self.status == _CONFLICT:
            headers["x-should-retry"] = "true" if self.retry_after else "false"
        if self.status == _UNAUTHENTICATED:
            headers["www-authenticate"] = 'Bearer realm="chatmesh"'
        return JSONResponse(self.envelope, self.status, headers)


def failure(error: Exception) -> HttpFailure:
    """What to say of any failure; a bug is logged whole and told without its words."""
    if not isinstance(error, MeshError):
        _log.error("bug", exc_info=error)
        error = InternalError("internal error")
    status, kind, code = _CLASSES.get(type(error), _STATUS.get(error.status, _BUG))
    if isinstance(error, ResponseNotFound) and error.details.get("param", "").startswith("prev"):
        code = "previous_response_not_found"
    return HttpFailure(
        status,
        error.message,
        kind,
        error.details.get("code", code),
        error.details.get("param"),
        error.details.get("retry_after"),
        error.details.get("retry_after_ms"),
    )


async def on_mesh_error(_: Request, error: Exception) -> JSONResponse:
    return failure(error).response()


async def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code != _METHOD_NOT_ALLOWED:
        return told_of(error)
    told = Response(status_code=204) if request.method == "OPTIONS" else told_of(error)
    told.headers["allow"] = ", ".join(_allowed(request))
    return told


def _allowed(request: Request) -> list[str]:
    """The methods of all routes that have the request's path."""
    matching = (
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    methods = {method for route in matching for method in route.methods or ()}
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))


def told_of(error: HTTPException) -> JSONResponse:
    response = refusal(error).response()
    response.headers.update(error.headers or {})
    return response


def refusal(error: HTTPException) -> HttpFailure:
    told = HttpFailure(error.status_code, error.detail, "invalid_request_error")
    if isinstance(error, FieldRefused):
        told = replace(told, code="invalid_value", param=error.param)
    return told


async def on_invalid_body(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return invalid(error.errors()).response()


def invalid(errors: Sequence[Any]) -> HttpFailure:
    """Names the first field that is wrong; `errors` are Pydantic's."""
    first = errors[0]
    if first["loc"] and first["loc"][0] in _PLACES:
        first = {**first, "loc": first["loc"][1:]}
    param, said = first_wrong([first])
    message = f"{param or 'the body'}: {said}"
    if first["type"] == "json_invalid":
        param, message = None, "the body is not valid JSON"
    return HttpFailure(400, message, "invalid_request_error", "invalid_value", param)
