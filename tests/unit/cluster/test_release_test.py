"""What `helm test` says of a release."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.cluster.release_test import NotAsItShouldBe, check

ERROR = (401, b'{"error": {"message": "no key"}}')
WELL = {"/readyz": (200, b"{}"), "/v1/models": ERROR, "/metrics": (404, b"")}
SERVING = health_pb2.HealthCheckResponse.SERVING


@contextmanager
def http(answers: Mapping[str, tuple[int, bytes]]) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def healthy(status: int = SERVING) -> Iterator[int]:
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def said(answers: Mapping[str, tuple[int, bytes]], status: int = SERVING) -> list[str]:
    with http(answers) as http_port, healthy(status) as grpc_port:
        return list(check("127.0.0.1", http_port, grpc_port, 0))


def test_a_release_that_is_well_is_said_to_be() -> None:
    assert len(said(WELL)) == 4


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"/readyz": (503, b"no replica")}, "503 no replica"),
        ({"/v1/models": (200, b"{}")}, "/v1/models without a key: 200"),
        ({"/v1/models": (401, b"<html>")}, "/v1/models"),
        ({"/metrics": (200, b"x 1")}, "it is public"),
    ],
)
def test_what_is_wrong_is_said(wrong: Mapping[str, tuple[int, bytes]], words: str) -> None:
    with pytest.raises(NotAsItShouldBe, match=words):
        said({**WELL, **wrong})


def test_a_gateway_that_serves_no_grpc_is_said() -> None:
    with pytest.raises(NotAsItShouldBe, match="NOT_SERVING"):
        said(WELL, health_pb2.HealthCheckResponse.NOT_SERVING)


def test_one_that_does_not_answer_is_said() -> None:
    with http(WELL) as port:
        pass
    with pytest.raises(NotAsItShouldBe, match="no answer"):
        list(check("127.0.0.1", port, port, 0))
