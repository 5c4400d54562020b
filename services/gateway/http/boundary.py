"""What every HTTP request gets, in one place: an id, a span, metrics, bounds on its body, and an
answer whatever happens.
"""

import re
import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.bodies import BoundedBody, unpacking
from services.gateway.http.errors import HttpFailure, failure, told_of
from services.gateway.http.rates import rate_headers
from services.gateway.limits import Standing, told_standing
from services.shared.background import failure_of
from services.shared.metrics import LATENCY_BUCKETS
from services.shared.tracing import REQUEST_ID, Tracer, request_id

_TRACE_HEADERS = ("traceparent", "tracestate")
# An id that the caller has given the request, which OpenAI's API repeats.
_CLIENT_ID = "x-client-request-id"
# With these messages an answer begins.
_ANSWERS = {"http.response.start", "websocket.accept", "websocket.http.response.start"}
_SWITCHING_PROTOCOLS, _FORBIDDEN = 101, 403


class HttpMetrics:
    """Requests, errors and durations by route; also how long the first byte of an answer takes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handled = Counter(
            "chatmesh_http_requests", "Requests ended.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "chatmesh_http_request_seconds",
            "Time from a request's arrival to its end.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "chatmesh_http_first_byte_seconds",
            "Time from a request's arrival to the first byte of its answer's body.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )

    def answered(self, route: str, exchange: "_Exchange") -> None:
        self._handled.labels(route, str(exchange.status)).inc()
        self._seconds.labels(route).observe(time.perf_counter() - exchange.began)
        if exchange.first_byte:
            self._first_byte.labels(route).observe(exchange.first_byte - exchange.began)


class HttpBoundary:
    """ASGI middleware around the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tracer: Tracer,
        metrics: HttpMetrics,
        max_body_bytes: int,
        body_seconds: float,
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        carrier = {key: headers[key] for key in _TRACE_HEADERS if key in headers}
        span = self._tracer.span(f"{scope.get('method', 'GET')} {scope['type']}", carrier)
        with span, told_standing() as standing:
            exchange = _Exchange(send, request_id.get(), headers.get(_CLIENT_ID, ""), standing)
            answer = self._answer if scope["type"] == "http" else self._open
            try:
                await answer(_as_routed(scope), receive, exchange, headers)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                socket = scope["type"] == "websocket"
                self._metrics.answered(f"{route} (socket)" if socket else route, exchange)

    async def _open(
        self, scope: Scope, receive: Receive, exchange: "_Exchange", _: dict[str, str]
    ) -> None:
        """A WebSocket, from its upgrade to its end. What the application sends on it is its own."""
        error = await failure_of(self._app(scope, receive, exchange.send))
        if error and not exchange.answered:
            await failure(error).response()(scope, receive, exchange.send)

    async def _answer(
        self, scope: Scope, receive: Receive, exchange: "_Exchange", headers: dict[str, str]
    ) -> None:
        """A bug is told as one, and the connection lives. In the middle of an answer it cannot."""
        error = await failure_of(self._handle(scope, receive, exchange, headers))
        if error and exchange.answered:
            raise error
        if error:
            await failure(error).response()(scope, receive, exchange.send)

    async def _handle(
        self, scope: Scope, receive: Receive, exchange: "_Exchange", headers: dict[str, str]
    ) -> None:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            response = self._too_large().response()
            await response(scope, receive, exchange.send)
            return
        try:
            packed = unpacking(headers.get("content-encoding", ""))
        except HTTPException as refusal:
            await told_of(refusal)(scope, receive, exchange.send)
            return
        body = BoundedBody(
            receive, packed, max_bytes=self._max_body_bytes, seconds=self._body_seconds
        )
        await self._app(scope, body.receive, exchange.send)

    def _too_large(self) -> HttpFailure:
        limit = self._max_body_bytes
        return HttpFailure(413, f"the body has more than {limit} bytes", "invalid_request_error")


class _Exchange:
    """One answer on its way out. It gets the request's id; its status and times are noted."""

    def __init__(self, send: Send, ident: str, client_id: str, standing: Standing) -> None:
        self._send = send
        self._standing = standing
        self._headers = [(REQUEST_ID.encode(), ident.encode())]
        if re.fullmatch(r"[!-~]{1,512}", client_id):
            self._headers.append((_CLIENT_ID.encode(), client_id.encode()))
        self.began = time.perf_counter()
        self.first_byte = 0.0
        self.answered = False
        # Stays so when the caller leaves before there is an answer.
        self.status = 499

    async def send(self, message: Message) -> None:
        if message["type"] in _ANSWERS:
            self.answered = True
            self.status = message.get("status", _SWITCHING_PROTOCOLS)
            took = f"{(time.perf_counter() - self.began) * 1000:.0f}".encode()
            timed = (b"openai-processing-ms", took)
            told = rate_headers(self._standing.verdict)
            message["headers"] = [*message.get("headers", ()), *self._headers, timed, *told]
        elif message["type"] == "websocket.close" and not self.answered:
            self.status = _FORBIDDEN  # so the server tells it
        elif not self.first_byte and message.get("body"):
            self.first_byte = time.perf_counter()
        await self._send(message)


def _as_routed(scope: Scope) -> Scope:
    """HEAD is answered as GET is, without a body, which the server leaves out. A slash at the end
    of a path means nothing.
    """
    scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
    return {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope
