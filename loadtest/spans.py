"""A collector of spans: what the services export by OTLP while it is open."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc


@dataclass(frozen=True, slots=True)
class Span:
    """One call that a service answered; times in seconds since the epoch."""

    service: str
    # Of the method alone, as `Assemble`; of an HTTP request, as `POST http`.
    name: str
    begin: float
    end: float


class Collector(pb_grpc.TraceServiceServicer):
    """Keeps spans by the hex id of their trace."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._changed = threading.Condition()
        self._traces: defaultdict[str, list[Span]] = defaultdict(list)

    def Export(  # noqa: N802 - gRPC's name
        self,
        request: pb.ExportTraceServiceRequest,
        context: object,  # noqa: ARG002
    ) -> pb.ExportTraceServiceResponse:
        with self._changed:
            for resource in request.resource_spans:
                service = next(
                    attribute.value.string_value
                    for attribute in resource.resource.attributes
                    if attribute.key == "service.name"
                )
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        name = span.name.rpartition("/")[2]
                        begin, end = span.start_time_unix_nano, span.end_time_unix_nano
                        kept = Span(service, name, begin / 1e9, end / 1e9)
                        self._traces[span.trace_id.hex()].append(kept)
            self._changed.notify_all()
        return pb.ExportTraceServiceResponse()

    def wait(self, trace_ids: set[str], names: set[str], seconds: float) -> dict[str, list[Span]]:
        """The traces, once each has spans of all these names."""

        def whole() -> bool:
            return all(
                names <= {span.name for span in self._traces.get(ident, ())} for ident in trace_ids
            )

        with self._changed:
            if not self._changed.wait_for(whole, seconds):
                raise TimeoutError(f"spans are missing after {seconds} s: {_told(self._traces)}")
            return {ident: self._traces[ident] for ident in trace_ids}


def _told(traces: dict[str, list[Span]]) -> str:
    names = {f"{span.service} {span.name}" for spans in traces.values() for span in spans}
    return f"{len(traces)} traces with {', '.join(sorted(names))}"


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serves at `endpoint`, in threads of its own: who exports last may do so while we wait."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(grace=None).wait()
