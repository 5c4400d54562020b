"""The public HTTP application: its routes, and who may reach them."""

from collections.abc import Callable, Coroutine, Sequence
from functools import cache, partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from services.gateway.front import Front
from services.gateway.http.boundary import HttpBoundary, HttpMetrics
from services.gateway.http.chat.events import ChatPresenter
from services.gateway.http.chat.request import ChatCompletionRequest
from services.gateway.http.conversations.routes import router as conversations
from services.gateway.http.errors import on_http_error, on_invalid_body, on_mesh_error
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.openapi import document
from services.gateway.http.rates import RATE_HEADERS
from services.gateway.http.responses.compact import CompactionPresenter, CompactRequest
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.http.responses.request import ResponseRequest
from services.gateway.http.responses.socket import open_responses_talk
from services.gateway.http.responses.stored import response_routes
from services.gateway.http.turns import TurnProtocol, turn_routes
from services.gateway.http.websocket import SocketEndpoint, SocketMetrics
from services.gateway.schemas import SchemaChecks
from services.inference.api import ModelCard
from services.shared.errors import MeshError
from services.shared.tracing import Tracer

# The protocols that a turn can be asked for in.
PROTOCOLS = (
    TurnProtocol("/v1/chat/completions", ChatCompletionRequest, ChatPresenter),
    TurnProtocol("/v1/responses", ResponseRequest, ResponsesPresenter),
)
# A turn that only compacts has one answer, and no events.
_COMPACTION = TurnProtocol("/v1/responses/compact", CompactRequest, CompactionPresenter)

models = APIRouter(route_class=GuardedRoute)
# The only routes that ask for no key.
public = APIRouter()


@models.get("/v1/models", response_model=None)
async def list_models(request: Request) -> dict[str, object]:
    """The models that are served."""
    cards = await session_of(request).list_models()
    return {"object": "list", "data": [_model(card) for card in cards]}


@models.get("/v1/models/{model:path}", response_model=None)
async def get_model(model: str, request: Request) -> dict[str, object]:
    """One model that is served."""
    return _model(await session_of(request).get_model(model))


@public.get("/healthz", response_model=None)
async def healthz() -> dict[str, str]:
    """Answers as long as this process runs; no other service is asked."""
    return {"status": "ok"}


@public.get("/readyz", response_model=None)
async def readyz(request: Request) -> JSONResponse:
    """Whether a turn can be served now."""
    front: Front = request.app.state.front
    reason = front.not_ready()
    told = {"status": reason or "ready"}
    if lacking := front.lacking():
        told["lacking"] = lacking
    return JSONResponse(told, 503 if reason else 200)


def application(
    front: Front,
    registry: CollectorRegistry,
    tracer: Tracer,
    *,
    version: str,
    max_body_bytes: int,
    body_seconds: float,
    cors_origins: Sequence[str] = ("*",),
    socket_seconds: float = 3600,
    protocols: Sequence[TurnProtocol] = PROTOCOLS,
) -> FastAPI:
    app = FastAPI(
        title="chatmesh",
        version=version,
        description="A ChatGPT-class chat backend that a team runs itself.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=_HANDLERS,
    )
    app.state.front = front
    open_talk = partial(open_responses_talk, schemas=SchemaChecks(), max_bytes=max_body_bytes)
    sockets = SocketEndpoint(
        open_talk, tracer, SocketMetrics(registry), origins=cors_origins, seconds=socket_seconds
    )
    turns = turn_routes((*protocols, _COMPACTION))
    for router in (turns, response_routes(), conversations, models, public):
        app.include_router(router)
    app.add_api_websocket_route("/v1/responses", sockets.serve)
    app.openapi = cache(partial(document, app))  # type: ignore[method-assign]
    app.add_middleware(
        HttpBoundary,
        tracer=tracer,
        metrics=HttpMetrics(registry),
        max_body_bytes=max_body_bytes,
        body_seconds=body_seconds,
    )
    _let_browsers_in(app, cors_origins)
    return app


def _let_browsers_in(app: FastAPI, origins: Sequence[str]) -> None:
    """Around all else, so that a browser can also read what was refused."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE", "HEAD", "OPTIONS"),
        allow_headers=("*",),
        expose_headers=("x-request-id", "retry-after", *RATE_HEADERS),
    )


async def _on_left(_: Request, __: Exception) -> Response:
    """Nobody reads this answer any more. Its status, which is nginx's, is for the metrics."""
    return Response(status_code=499)


_HANDLERS: dict[int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    MeshError: on_mesh_error,
    HTTPException: on_http_error,
    RequestValidationError: on_invalid_body,
    ClientDisconnect: _on_left,
    Exception: on_mesh_error,
}


def _model(card: ModelCard) -> dict[str, object]:
    return {
        "id": card.id,
        "object": "model",
        "created": card.created_at,
        "owned_by": "chatmesh",
        "context_window": card.context_tokens,
        "capabilities": {"tools": card.calls_tools, "reasoning": card.reasons},
    }
