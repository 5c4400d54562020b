"""What every HTTP request gets, in one place: an id, a span, metrics, and bounds on its body."""

import asyncio
import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.http.errors import HttpFailure
from services.shared.metrics import LATENCY_BUCKETS
from services.shared.tracing import REQUEST_ID, Tracer, request_id

_TRACE_HEADERS = ("traceparent", "tracestate")


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
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        carrier = {key: headers[key] for key in _TRACE_HEADERS if key in headers}
        with self._tracer.span(f"{scope['method']} http", carrier):
            exchange = _Exchange(send, request_id.get())
            try:
                await self._handle(scope, receive, exchange, headers)
            finally:
                route = scope.get("route")
                self._metrics.answered(getattr(route, "path", "none"), exchange)

    async def _handle(
        self, scope: Scope, receive: Receive, exchange: "_Exchange", headers: dict[str, str]
    ) -> None:
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body_bytes:
            response = self._too_large().response()
            await response(scope, receive, exchange.send)
            return
        body = _BoundedBody(receive, self._max_body_bytes, self._body_seconds)
        await self._app(scope, body.receive, exchange.send)

    def _too_large(self) -> HttpFailure:
        limit = self._max_body_bytes
        return HttpFailure(413, f"the body has more than {limit} bytes", "invalid_request_error")


class _Exchange:
    """One answer on its way out. It gets the request's id; its status and times are noted."""

    def __init__(self, send: Send, ident: str) -> None:
        self._send = send
        self._ident = ident.encode()
        self.began = time.perf_counter()
        self.first_byte = 0.0
        # Stays so when the caller leaves before there is an answer.
        self.status = 499

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], (REQUEST_ID.encode(), self._ident)]
        elif not self.first_byte and message.get("body"):
            self.first_byte = time.perf_counter()
        await self._send(message)


class _BoundedBody:
    """A body as it arrives. A longer one is refused, and so is one that takes more `seconds`."""

    def __init__(self, receive: Receive, max_bytes: int, seconds: float) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._due = asyncio.get_running_loop().time() + seconds
        self._read = 0
        self._whole = False

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._due):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the body took too long to arrive") from None
        self._read += len(message.get("body", b""))
        if self._read > self._max_bytes:
            raise HTTPException(413, f"the body has more than {self._max_bytes} bytes")
        self._whole = not message.get("more_body", False)
        return message
