"""Failures in OpenAI's envelope: {"error": {"message", "type", "param", "code"}}."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.context_assembly.api import InputTooLong
from services.gateway.api import (
    InputBlocked,
    InvalidKey,
    ModelNotFound,
    ResponseNotFound,
    TooManyTurns,
)
from services.shared.errors import InternalError, MeshError

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
}
_BUG = (500, "server_error", "internal_error")
_CLASSES: dict[type[MeshError], tuple[int, str, str | None]] = {
    InvalidKey: (401, "invalid_request_error", "invalid_api_key"),
    ModelNotFound: (404, "invalid_request_error", "model_not_found"),
    InputBlocked: (400, "invalid_request_error", "content_policy_violation"),
    InputTooLong: (400, "invalid_request_error", "context_length_exceeded"),
    TooManyTurns: (429, "rate_limit_error", "rate_limit_exceeded"),
}
# Where a protocol's field is not called as in `Ask`.
_FIELDS = {
    "/v1/chat/completions": {"input": "messages"},
    "/v1/responses": {"max_tokens": "max_output_tokens"},
}
# Pydantic's names for where in a body something is wrong, which are not names in the body.
_PLACES = ("body", "query", "path")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told."""

    status: int
    message: str
    type: str
    code: str | None = None
    param: str | None = None
    retry_after: str | None = None

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
        return JSONResponse(self.envelope, self.status, headers)


def failure(error: Exception) -> Failure:
    """What to say of any failure; a bug is logged whole and told without its words."""
    if not isinstance(error, MeshError):
        _log.error("bug", exc_info=error)
        error = InternalError("internal error")
    status, kind, code = _CLASSES.get(type(error), _STATUS.get(error.status, _BUG))
    if isinstance(error, ResponseNotFound) and error.details.get("param", "").startswith("prev"):
        code = "previous_response_not_found"
    return Failure(
        status,
        error.message,
        kind,
        error.details.get("code", code),
        error.details.get("param"),
        error.details.get("retry_after"),
    )


async def on_mesh_error(request: Request, error: Exception) -> JSONResponse:
    told = failure(error)
    fields = _FIELDS.get(request.url.path, {})
    return replace(told, param=fields.get(told.param or "", told.param)).response()


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    told = Failure(error.status_code, error.detail, "invalid_request_error")
    return told.response()


async def on_invalid_body(_: Request, error: Exception) -> JSONResponse:
    """Names the first field that is wrong; never repeats what was in it."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = field_path(first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    message = f"{param}: {said}" if param else said
    if first["type"] == "json_invalid":
        param, message = None, "the body is not valid JSON"
    told = Failure(400, message, "invalid_request_error", "invalid_value", param)
    return told.response()


def field_path(loc: Sequence[Any]) -> str | None:
    """`("body", "messages", 0, "user", "content")` as `messages[0].content`.

    Pydantic names the branch of a union after the place where it stands; such names are left out.
    """
    path = ""
    for part in loc[1:] if loc and loc[0] in _PLACES else loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith("@"):
            path += f".{part}" if path else part
    return path or None
