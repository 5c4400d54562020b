"""The HTTP application on a real socket, over the stand-ins."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
import openai
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from services.gateway.guard import OutputModeration
from services.gateway.http.app import application
from services.gateway.http.server import HttpServer, serving_http
from services.gateway.limits import Limits
from services.gateway.live_turns import TurnBounds
from services.shared.tracing import Tracer
from tests.fakes.mesh import BOUNDS, Script, Surroundings, surroundings

# Of a body, and of a message on a socket.
MOST_BYTES = 200_000


@dataclass(slots=True)
class Site:
    mesh: Surroundings
    server: HttpServer
    http: httpx.AsyncClient
    registry: CollectorRegistry

    @property
    def url(self) -> str:
        return self.server.url

    def socket(self, **headers: str) -> connect:
        """Opens a WebSocket of the Responses API, and closes it on leaving."""
        given = {"authorization": f"Bearer {self.mesh.key}", **headers}
        url = self.url.replace("http", "ws", 1) + "/v1/responses"
        return connect(url, additional_headers=given, compression=None, proxy=None)

    def sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.mesh.key, max_retries=0)


class OpenSite(Protocol):
    def __call__(
        self,
        *scripts: Script,
        mode: OutputModeration = ...,
        max_turns: int = ...,
        cors_origins: Sequence[str] = ...,
        socket_seconds: float = ...,
        ping_seconds: float = ...,
        bounds: TurnBounds = ...,
        limits: Limits | None = ...,
    ) -> AbstractAsyncContextManager[Site]: ...


@pytest.fixture
def site() -> OpenSite:
    return _site


@asynccontextmanager
async def _site(
    *scripts: Script,
    mode: OutputModeration = OutputModeration.BLOCK,
    max_turns: int = 8,
    cors_origins: Sequence[str] = ("*",),
    socket_seconds: float = 3600,
    ping_seconds: float = 20,
    bounds: TurnBounds = BOUNDS,
    limits: Limits | None = None,
) -> AsyncIterator[Site]:
    async with surroundings(
        *scripts,
        mode=mode,
        max_turns=max_turns,
        limits=limits,
        bounds=bounds,
    ) as mesh:
        registry = CollectorRegistry()
        app = application(
            mesh.front,
            registry,
            Tracer("test", otlp_endpoint="", sample_ratio=0),
            version="0",
            max_body_bytes=MOST_BYTES,
            body_seconds=5,
            cors_origins=cors_origins,
            socket_seconds=socket_seconds,
        )
        async with (
            serving_http(
                app, "127.0.0.1:0", max_message_bytes=MOST_BYTES, ping_seconds=ping_seconds
            ) as server,
            httpx.AsyncClient(
                base_url=server.url,
                headers={"authorization": f"Bearer {mesh.key}"},
                trust_env=False,
                verify=False,
            ) as http,
        ):
            yield Site(mesh, server, http, registry)
