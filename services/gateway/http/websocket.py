"""WebSockets: who may open one, how messages travel, when it closes. It knows no protocol.

What messages mean, a protocol's `Talk` knows, such as `responses/socket.py`.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from services.gateway.api import InvalidKey
from services.gateway.connections import Connection
from services.gateway.front import Front, KeySession
from services.gateway.http.errors import HttpFailure, failure, refusal
from services.gateway.http.guarded import strict_json
from services.gateway.http.presenting import JsonObject
from services.gateway.keys import bearer
from services.shared.background import end
from services.shared.errors import Forbidden, Malformed, MeshError
from services.shared.metrics import LATENCY_BUCKETS
from services.shared.tracing import Tracer

_POLICY_VIOLATED, _SERVICE_RESTARTS, _NORMAL = 1008, 1012, 1000


class Line(Protocol):
    """One socket, as a protocol writes on it."""

    async def send(self, shown: JsonObject) -> None:
        """One text message; nothing happens when the socket has closed."""

    def answering(self, kind: str) -> AbstractContextManager["Answering"]:
        """Around the work for one message of that kind: its span, its request id, its metrics."""


@dataclass(slots=True)
class Answering:
    """What is known of the work for one message."""

    status: int = 200
    # When the first event of its answer was sent.
    first_event: float = 0.0


class Talk(Protocol):
    """What is said on one socket, in one protocol."""

    async def hear(self, message: JsonObject, size: int) -> None:
        """Takes the next message, of so many bytes, and lets others do the work that it asks."""

    async def tell(self, told: HttpFailure) -> None:
        """Tells of a message that could not be read."""

    def refuse(self, why: MeshError) -> None:
        """Begins nothing more."""

    async def idle(self) -> None:
        """Returns when nothing is under way."""


class OpenTalk(Protocol):
    def __call__(self, session: KeySession, line: Line) -> AbstractAsyncContextManager[Talk]:
        """Leaving it stops what is under way."""


class TooOld(MeshError):
    """The socket has been open for as long as it may be."""

    status = "FAILED_PRECONDITION"


class SocketMetrics:
    """Sockets that are open, and messages by kind and status, each with how long it took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge("chatmesh_sockets", "WebSockets that are open.", registry=registry)
        self._handled = Counter(
            "chatmesh_socket_messages",
            "Messages whose work has ended.",
            ["kind", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "chatmesh_socket_message_seconds",
            "Time from a message's turn to the end of its answer.",
            ["kind"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._first_event = Histogram(
            "chatmesh_socket_first_event_seconds",
            "Time from a message's turn to the first event of its answer.",
            ["kind"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    @contextmanager
    def watched(self, kind: str) -> Iterator[Answering]:
        answering, began = Answering(), time.perf_counter()
        try:
            yield answering
        except BaseException:
            answering.status = 499  # nobody waits for it any more
            raise
        finally:
            self._handled.labels(kind, str(answering.status)).inc()
            self._seconds.labels(kind).observe(time.perf_counter() - began)
            if answering.first_event:
                self._first_event.labels(kind).observe(answering.first_event - began)


class _OpenLine:
    """`Line` of a socket that was accepted."""

    def __init__(self, websocket: WebSocket, tracer: Tracer, metrics: SocketMetrics) -> None:
        self._websocket = websocket
        self._tracer = tracer
        self._metrics = metrics
        self._closed = False

    async def send(self, shown: JsonObject) -> None:
        if self._closed:
            return
        try:
            await self._websocket.send_text(orjson.dumps(shown).decode())
        except (WebSocketDisconnect, WebSocketDisconnected):
            self._closed = True  # whoever reads the socket learns of it too

    @contextmanager
    def answering(self, kind: str) -> Iterator[Answering]:
        with self._tracer.span(f"{kind} websocket", {}), self._metrics.watched(kind) as answering:
            yield answering

    async def close(self, code: int) -> None:
        self._closed = True
        with suppress(WebSocketDisconnect, WebSocketDisconnected):  # it may have closed already
            await self._websocket.close(code)


class SocketEndpoint:
    """The sockets of one path."""

    def __init__(
        self,
        open_talk: OpenTalk,
        tracer: Tracer,
        metrics: SocketMetrics,
        *,
        origins: Sequence[str],
        seconds: float,
    ) -> None:
        """`origins` are the pages whose scripts may call; `seconds` is how long one stays open."""
        self._open_talk = open_talk
        self._tracer = tracer
        self._metrics = metrics
        self._origins = origins
        self._seconds = seconds

    async def serve(self, websocket: WebSocket) -> None:
        """Recognises the caller before the upgrade is answered; a refusal is a usual HTTP one."""
        front: Front = websocket.app.state.front
        with ExitStack() as held:
            try:
                _check_origin(websocket, self._origins)
                key = bearer(websocket.headers.get("authorization", ""))
                session = await front.session(key)
                connection = held.enter_context(front.connections.opened(session.key_id))
            except MeshError as error:
                await websocket.send_denial_response(failure(error).response())
                return
            await websocket.accept()
            held.enter_context(self._metrics.open.track_inprogress())
            await self._serve(websocket, session, connection)

    async def _serve(
        self, websocket: WebSocket, session: KeySession, connection: Connection
    ) -> None:
        line = _OpenLine(websocket, self._tracer, self._metrics)
        code = _SERVICE_RESTARTS
        try:
            async with self._open_talk(session, line) as talk:
                reading = asyncio.create_task(_read(websocket, talk))
                try:
                    code = await self._until_over(reading, connection, talk)
                finally:
                    await end(reading)
        finally:
            await line.close(code)

    async def _until_over(
        self, reading: "asyncio.Task[None]", connection: Connection, talk: Talk
    ) -> int:
        """Returns with which code to close it."""
        ending = connection.ending
        await asyncio.wait(
            (reading, ending), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED
        )
        if reading.done():
            reading.result()
            return _NORMAL
        why = ending.result() if ending.done() else _too_old(self._seconds)
        if isinstance(why, InvalidKey):
            return _POLICY_VIOLATED
        talk.refuse(why)
        idle = asyncio.create_task(talk.idle())
        try:
            await asyncio.wait((reading, idle), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(idle)
        if isinstance(why, TooOld):
            await talk.tell(failure(why))
            return _NORMAL
        return _SERVICE_RESTARTS


async def _read(websocket: WebSocket, talk: Talk) -> None:
    """Returns when the caller has closed the socket."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        body = (text or "").encode()
        try:
            if text is None:
                raise _unread("must be a text, not bytes")
            read = _object(body)
        except HTTPException as error:
            await talk.tell(refusal(error))
        except MeshError as error:
            await talk.tell(failure(error))
        else:
            await talk.hear(read, len(body))


def _object(body: bytes) -> JsonObject:
    """Raises `Malformed` and `FieldRefused`."""
    try:
        read = strict_json(body)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise _unread("must be a JSON object")
    return read


def _unread(said: str) -> Malformed:
    return Malformed(f"a message {said}", code="invalid_value")


def _check_origin(websocket: WebSocket, origins: Sequence[str]) -> None:
    """A browser asks nobody before it opens a socket for a page of another origin, and sends
    its cookies. So pages are held to what CORS lets them do. Raises `Forbidden`.
    """
    origin = websocket.headers.get("origin")
    if origin is None or "*" in origins or origin in origins:
        return
    if urlsplit(origin).netloc != websocket.headers.get("host"):
        raise Forbidden("pages of this origin may not call")


def _too_old(seconds: float) -> TooOld:
    return TooOld(
        f"this socket has been open for {seconds / 60:g} minutes: open another one",
        code="websocket_connection_limit_reached",
    )
