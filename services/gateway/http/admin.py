"""The administration of API keys on HTTP. It has a port of its own, which the public route lacks.

Every request shows the admin token in `x-chatmesh-admin-token`. It is not in `Authorization`, since
Kubernetes' API server, through which `kubectl chatmesh key` comes, takes that header out.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.gateway import keys
from services.gateway.admin_token import AdminToken
from services.gateway.http.boundary import HttpBoundary, HttpMetrics
from services.gateway.http.errors import (
    HttpFailure,
    on_http_error,
    on_invalid_body,
    on_mesh_error,
)
from services.gateway.http.guarded import StrictRequest, check_content_type
from services.gateway.key_issuer import KeyIssuer, KeyRefused, KeyWish
from services.gateway.ports import AccountKind, StoredKey
from services.shared.errors import MeshError
from services.shared.tracing import Tracer

TOKEN_HEADER = "x-chatmesh-admin-token"  # noqa: S105 - the header's name
_MAX_BODY_BYTES = 256 * 1024
_BODY_SECONDS = 10.0
_log = structlog.get_logger()
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class KeyRequest(_Body):
    """For whom a key is made; null leaves an account that is there as it is."""

    name: _Name
    kind: Literal["personal", "application"] | None = None
    # Also where the account is of the other kind.
    change_kind: bool = False
    # Whether the model may remember and forget for the account's requests.
    memory: bool | None = None
    instructions: Annotated[str, Field(max_length=32_000)] | None = None

    def wish(self) -> KeyWish:
        kind = None if self.kind is None else AccountKind(self.kind)
        return KeyWish(
            self.name, kind, self.instructions, self.memory, changes_kind=self.change_kind
        )


class Revocation(_Body):
    """Either one key, by its id or as a whole, or all keys of the account of a name."""

    key: _Name | None = None
    account: _Name | None = None

    @model_validator(mode="after")
    def _one(self) -> "Revocation":
        if (self.key is None) == (self.account is None):
            raise ValueError("name either `key` or `account`")
        return self


class _AdminRoute(APIRoute):
    """Recognises the administrator before a byte of the body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            token: AdminToken = request.app.state.token
            token.check(request.headers.get(TOKEN_HEADER, ""))
            check_content_type(request)
            return await handle(StrictRequest(request.scope, request.receive))

        return guarded


_router = APIRouter(route_class=_AdminRoute, prefix="/admin/v1")


@_router.post("/keys", response_model=None)
async def create(body: KeyRequest, request: Request) -> JSONResponse:
    """Makes a key; the answer is the only one that ever holds it whole."""
    key = await _issuer(request).create(body.wish())
    key_id = keys.parse(key).id
    _log.info("key made", key_id=key_id)
    return JSONResponse({"id": key_id, "account": body.name, "key": key}, 201)


@_router.get("/keys", response_model=None)
async def list_keys(request: Request) -> dict[str, object]:
    """All keys, also revoked ones; of a key only its id."""
    return {"keys": [_told(key) for key in await _issuer(request).list_keys()]}


@_router.post("/keys/revoke", response_model=None)
async def revoke(body: Revocation, request: Request) -> dict[str, object]:
    """Revokes what the body names. Says what was valid until now."""
    issuer = _issuer(request)
    revoked: Sequence[StoredKey]
    if body.account is not None:
        revoked = await issuer.revoke_all(body.account)
    else:
        revoked = [await issuer.revoke(body.key or "")]
    for key in revoked:
        _log.info("key revoked", key_id=key.id)
    return {"revoked": [{"id": key.id, "account": key.account.name} for key in revoked]}


def admin_application(issuer: KeyIssuer, token: AdminToken, tracer: Tracer) -> FastAPI:
    app = FastAPI(
        title="chatmesh administration",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={
            KeyRefused: _on_refused,
            MeshError: on_mesh_error,
            HTTPException: on_http_error,
            RequestValidationError: on_invalid_body,
            Exception: on_mesh_error,
        },
    )
    app.state.issuer = issuer
    app.state.token = token
    app.include_router(_router)
    # Its requests are no part of the mesh's work, nor of its metrics.
    metrics = HttpMetrics(CollectorRegistry())
    app.add_middleware(
        HttpBoundary,
        tracer=tracer,
        metrics=metrics,
        max_body_bytes=_MAX_BODY_BYTES,
        body_seconds=_BODY_SECONDS,
    )
    return app


async def _on_refused(_: Request, error: Exception) -> JSONResponse:
    return HttpFailure(409, str(error), "invalid_request_error", "key_refused").response()


def _issuer(request: Request) -> KeyIssuer:
    issuer: KeyIssuer = request.app.state.issuer
    return issuer


def _told(key: StoredKey) -> dict[str, object]:
    return {
        "id": key.id,
        "account": key.account.name,
        "kind": key.account.kind.value,
        "created_at": key.created_at_ms // 1000,
        "revoked": key.revoked,
    }
