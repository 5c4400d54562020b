"""All seven services in this process, over gRPC; only the engine and the weather are scripted."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from services.gateway.config import GatewayConfig
from services.gateway.ports import Account, AccountKind
from services.gateway.wiring import open_authenticator
from services.inference.config import DEMO_DIRECTORY
from services.local.mesh import Mesh, Settings, mesh
from services.local.preflight import free_port
from services.shared.process import Endpoint
from tests.fakes.inference import CARD, ScriptedBackend
from tests.fakes.logs import logged_to
from tests.fakes.scripted_mesh import Play, scripted_services
from tests.fakes.tool_runner import OpenMeteoServer, open_meteo_server

# Asks for the mesh's own tools and for memory.
OWN: Any = {"type": "mcp", "server_label": "chatmesh"}


@dataclass(slots=True)
class Running:
    """The mesh, and what a test may do to it."""

    url: str
    grpc_address: str
    key: str
    model: str
    play: Play
    backend: ScriptedBackend
    weather: OpenMeteoServer
    services: dict[str, Endpoint]
    log: Path
    config: GatewayConfig
    clients: AsyncExitStack

    def sdk(self, key: str = "") -> openai.AsyncOpenAI:
        """OpenAI's client; it is closed with the mesh."""
        url = f"{self.url}/v1"
        made = openai.AsyncOpenAI(base_url=url, api_key=key or self.key, max_retries=0)
        self.clients.push_async_exit(made)
        return made

    def http(self, key: str = "") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key or self.key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    async def make_key(self, name: str, kind: AccountKind, instructions: str = "") -> str:
        async with open_authenticator(self.config) as authenticator:
            account = Account(f"acct_{name}", name, kind, instructions, memory_write=True)
            return await authenticator.create_key(account)


@pytest.fixture(scope="session")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One mesh for all tests of the suite; they keep apart by keys and people."""
    data = tmp_path_factory.mktemp("mesh")
    play = Play()
    host = "127.0.0.1"
    settings = Settings(data, host, free_port(host), free_port(host), str(DEMO_DIRECTORY), CARD.id)
    async with AsyncExitStack() as stack:
        log = stack.enter_context((data / "chatmesh.log").open("a", buffering=1))
        stack.enter_context(logged_to(log))
        weather = await stack.enter_async_context(open_meteo_server())
        backends: list[ScriptedBackend] = []
        services = scripted_services(play, backends, CARD)
        configs = settings.configs()
        configs["tool-runner"] = configs["tool-runner"].model_copy(
            update={
                "weather_geocoding_url": weather.url,
                "weather_forecast_url": weather.url,
            }
        )
        made: Mesh = await stack.enter_async_context(mesh(lambda *_: None))
        endpoints = await made.start(configs, lambda *_: None, services)
        gateway = configs["gateway"]
        assert isinstance(gateway, GatewayConfig)
        here = Running(
            url=f"http://{settings.host}:{settings.port}",
            grpc_address=endpoints["gateway"].address,
            key="",
            model=CARD.id,
            play=play,
            backend=backends[0],
            weather=weather,
            services=endpoints,
            log=data / "chatmesh.log",
            config=gateway,
            clients=await stack.enter_async_context(AsyncExitStack()),
        )
        here.key = await here.make_key("ada", AccountKind.PERSONAL)
        await _ready(here)
        yield here


async def _ready(here: Running) -> None:
    async with asyncio.timeout(30), here.http() as http:
        while (await http.get("/readyz")).status_code != 200:
            pass
