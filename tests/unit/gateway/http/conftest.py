"""The HTTP application on a real socket, over the stand-ins."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import httpx
import openai
import pytest
from prometheus_client import CollectorRegistry

from services.gateway.guard import OutputModeration
from services.gateway.http.app import application
from services.gateway.http.server import serving_http
from services.shared.tracing import Tracer
from tests.fakes.mesh import Script, Surroundings, surroundings


@dataclass(slots=True)
class Site:
    mesh: Surroundings
    url: str
    http: httpx.AsyncClient

    def sdk(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=self.mesh.key, max_retries=0)


class OpenSite(Protocol):
    def __call__(
        self,
        *scripts: Script,
        mode: OutputModeration = ...,
        max_turns: int = ...,
        max_background_turns: int = ...,
    ) -> AbstractAsyncContextManager[Site]: ...


@pytest.fixture
def site() -> OpenSite:
    return _site


@asynccontextmanager
async def _site(
    *scripts: Script,
    mode: OutputModeration = OutputModeration.BLOCK,
    max_turns: int = 8,
    max_background_turns: int = 8,
) -> AsyncIterator[Site]:
    async with surroundings(
        *scripts, mode=mode, max_turns=max_turns, max_background_turns=max_background_turns
    ) as mesh:
        app = application(
            mesh.front,
            CollectorRegistry(),
            Tracer("test", otlp_endpoint="", sample_ratio=0),
            version="0",
            max_body_bytes=200_000,
            body_seconds=5,
        )
        async with (
            serving_http(app, "127.0.0.1:0") as server,
            httpx.AsyncClient(
                base_url=server.url,
                headers={"authorization": f"Bearer {mesh.key}"},
                trust_env=False,
                verify=False,
            ) as http,
        ):
            yield Site(mesh, server.url, http)
