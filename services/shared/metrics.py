"""How many rpcs ended, how, after how long; and the endpoint where Prometheus reads that."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

# In seconds: the least is a cached tokenization, the most a long stream.
LATENCY_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1, 2.5, 5, 10, 30, 60, 120, 300),
)


class RpcMetrics:
    """Rate, errors and duration of one service's rpcs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._handled = Counter(
            "chatmesh_rpc_handled", "Calls ended.", ["method", "code"], registry=registry
        )
        self._seconds = Histogram(
            "chatmesh_rpc_seconds",
            "Time from a call's arrival to its end.",
            ["method"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self._running = Gauge(
            "chatmesh_rpc_running", "Calls now being handled.", ["method"], registry=registry
        )

    def started(self, method: str) -> None:
        self._running.labels(method).inc()

    def ended(self, method: str, code: str, seconds: float) -> None:
        self._running.labels(method).dec()
        self._handled.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)


@contextmanager
def exposed(registry: CollectorRegistry, address: str) -> Iterator[str]:
    """Serves `registry` at http://`address`/metrics and yields that URL. Port 0 is any free one."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), host.strip("[]"), registry)
    try:
        yield f"http://{host}:{server.server_port}/metrics"
    finally:
        _stop(server, thread)


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()
