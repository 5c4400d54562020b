"""Whether a release answers: `python -m services.cluster.release_test HOST`, for `helm test`.

Asks the gateway as a stranger does, without a key: it makes none, and no turn is paid for.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_CALL_SECONDS = 10
# How long the release may take until it is ready, and how often it is asked meanwhile.
_READY_SECONDS = 120
_AGAIN_SECONDS = 2


class NotAsItShouldBe(Exception):
    """The sentence says what was asked, and what came."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    body: bytes


def check(host: str, http_port: int, grpc_port: int, ready_seconds: float) -> Iterator[str]:
    """Says what is as it should be, one after the other. Raises NotAsItShouldBe."""

    def ask(path: str) -> HttpAnswer:
        return _ask(host, http_port, path)

    _wait_ready(ask, ready_seconds)
    yield "/readyz: a turn can be served"
    refused = ask("/v1/models")
    if refused.status != 401 or not _is_error(refused.body):
        raise NotAsItShouldBe(f"/v1/models without a key: {refused.status}, and not 401")
    yield "/v1/models: nobody is served without a key"
    if (told := ask("/metrics").status) != 404:
        raise NotAsItShouldBe(f"/metrics: {told}, and not 404: it is public")
    yield "/metrics: not public"
    status = _health(f"{host}:{grpc_port}")
    if status != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        raise NotAsItShouldBe(f"grpc.health.v1: {name}, and not SERVING")
    yield "grpc.health.v1: serving"


def _wait_ready(ask: Callable[[str], HttpAnswer], seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            answer = ask("/readyz")
            if answer.status == 200:
                return
            said = f"{answer.status} {answer.body.decode(errors='replace')[:200]}"
        except NotAsItShouldBe as error:
            said = str(error)
        if time.monotonic() > end:
            raise NotAsItShouldBe(f"/readyz, asked for {seconds:g} s: {said}")
        time.sleep(_AGAIN_SECONDS)


def _ask(host: str, port: int, path: str) -> HttpAnswer:
    connection = HTTPConnection(host, port, timeout=_CALL_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return HttpAnswer(response.status, response.read())
    except (OSError, HTTPException) as error:
        raise NotAsItShouldBe(f"{path}: no answer from {host}: {error}") from None
    finally:
        connection.close()


def _is_error(body: bytes) -> bool:
    try:
        return bool(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return False


def _health(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            raise NotAsItShouldBe(f"grpc.health.v1: no answer from {address}: {error}") from None
    return int(answer.status)


def main() -> None:
    (host,) = sys.argv[1:]
    try:
        for line in check(host, 80, 50050, _READY_SECONDS):
            print(line, flush=True)
    except NotAsItShouldBe as error:
        sys.exit(f"the release is not as it should be: {error}")


if __name__ == "__main__":
    main()
