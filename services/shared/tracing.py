"""Request ids and traces.

Both travel in a call's metadata, and every line in the logs names them. Spans are exported only
where an OTLP endpoint is configured.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

REQUEST_ID = "x-request-id"

request_id: ContextVar[str] = ContextVar("request_id", default="")
_propagator = TraceContextTextMapPropagator()


class Tracer:
    """Makes the spans of one service."""

    def __init__(self, service: str, *, otlp_endpoint: str, sample_ratio: float) -> None:
        sampler = ParentBased(TraceIdRatioBased(sample_ratio)) if otlp_endpoint else ALWAYS_OFF
        self._provider = TracerProvider(
            sampler=sampler, resource=Resource({"service.name": f"chatmesh-{service}"})
        )
        if otlp_endpoint:
            # To import it takes a tenth of a second of processor time, which most need not spend.
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )

            exporter = OTLPSpanExporter(endpoint=otlp_endpoint)
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("chatmesh")

    @contextmanager
    def span(self, name: str, carrier: Mapping[str, str]) -> Iterator[Span]:
        """The span of a served call, with its request id.

        `carrier` is the call's metadata, or HTTP headers, with names in lower case. If it names a
        span, this one becomes its child; if it names no request id, one is made.
        """
        token = request_id.set(carrier.get(REQUEST_ID) or f"req_{secrets.token_hex(12)}")
        parent = _propagator.extract(carrier)
        try:
            with self._tracer.start_as_current_span(
                name, parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            ) as span:
                yield span
        finally:
            request_id.reset(token)

    def close(self) -> None:
        """Exports the spans that are still kept."""
        self._provider.shutdown()


def outgoing() -> tuple[tuple[str, str], ...]:
    """The metadata that makes a call to another service part of this request."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    if current := request_id.get():
        carrier[REQUEST_ID] = current
    return tuple(carrier.items())


def trace_id() -> str:
    """The current trace's id in hex; empty outside a request."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else ""
