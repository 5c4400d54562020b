"""The routes that start turns, one for each protocol.

A protocol is two classes: a `TurnRequest` (`request.py`) says what a body asks of the turn, and a
`Presenter` (`events.py`) what the turn's events look like. `app.py` lists them.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from inspect import getdoc

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from services.gateway import holding
from services.gateway.api import Ask, Started
from services.gateway.http.guarded import GuardedRoute, session_of
from services.gateway.http.leaving import unless_left
from services.gateway.http.once import once_of
from services.gateway.http.presenting import JsonObject, PresentedTurn, Presenter
from services.gateway.http.sse import EventStream
from services.gateway.schemas import SchemaChecks
from services.gateway.values import Body
from services.shared.errors import MeshError

# How long the status of a stream waits for the turn's second event, in seconds. A replica that is
# full says so within this time. A turn that is held for want of a replica does not wait for it.
_SECONDS_TO_STATUS = 1.0


class TurnRequest(Body):
    """The body that starts a turn."""

    stream: bool | None = False

    def answer_at_once(self, started: Started) -> JsonObject | None:  # noqa: ARG002
        """The answer of a turn that goes on without its caller; None: it waits for the turn."""
        return None

    def ask(self) -> Ask:
        raise NotImplementedError

    def field(self, param: str) -> str:
        """Where the caller wrote what the turn calls `param`."""
        return param


@dataclass(frozen=True, slots=True)
class TurnProtocol:
    path: str
    request: type[TurnRequest]
    presenter: Callable[[], Presenter]


def turn_routes(protocols: Iterable[TurnProtocol]) -> APIRouter:
    router = APIRouter(route_class=GuardedRoute)
    schemas = SchemaChecks()
    for protocol in protocols:
        router.add_api_route(
            protocol.path,
            _endpoint(protocol, schemas),
            methods=["POST"],
            name=protocol.request.__name__,
            description=getdoc(protocol.request),
            response_model=None,
        )
    return router


def _endpoint(protocol: TurnProtocol, schemas: SchemaChecks) -> Callable[..., Awaitable[Response]]:
    async def respond(
        body: protocol.request,  # type: ignore[name-defined]
        request: Request,
    ) -> Response:
        await unless_left(request, schemas.check(body))
        return await _respond(protocol, body, request)

    return respond


async def _respond(protocol: TurnProtocol, body: TurnRequest, request: Request) -> Response:
    """A failure before anything was said is told by the status; a later one in the stream."""
    once = await once_of(request)
    ask = replace(body.ask(), once=once, tells_id=bool(body.stream))
    held = holding.watched()
    turn = PresentedTurn(session_of(request).respond(ask), protocol.presenter())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(aclosing(turn))
        try:
            await unless_left(request, turn.begin())
            if not body.stream and (begun := body.answer_at_once(turn.started)):
                return JSONResponse(begun)
            if not body.stream:
                return JSONResponse(await unless_left(request, turn.whole()))
            await unless_left(request, turn.go_on(_SECONDS_TO_STATUS, held))
        except MeshError as error:
            raise named(error, body.field) from None
        stack.pop_all()  # from here on the stream closes the turn
        return EventStream(turn)


def named(error: MeshError, field: Callable[[str], str]) -> MeshError:
    """The error, with the name by which the caller knows the field.

    It stands in the message too, as many clients show nothing else.
    """
    if "param" not in error.details:
        return error
    param = field(error.details["param"])
    message = error.message if param in error.message else f"{param}: {error.message}"
    return type(error)(message, **{**error.details, "param": param})
