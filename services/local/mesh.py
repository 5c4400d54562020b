"""All seven services in one process, over loopback gRPC, as each would run alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.context_assembly.wiring import SERVICE as CONTEXT_ASSEMBLY
from services.gateway.fleet import Pool
from services.gateway.wiring import SERVICE as GATEWAY
from services.inference.wiring import SERVICE as INFERENCE
from services.local.preflight import free_port
from services.memory.wiring import SERVICE as MEMORY
from services.moderation.wiring import SERVICE as MODERATION
from services.shared.config import ServiceConfig
from services.shared.process import Endpoint, Service, running
from services.tokenizer.wiring import SERVICE as TOKENIZER
from services.tool_runner.wiring import SERVICE as TOOL_RUNNER

# In the order in which they start; they stop in the opposite one, the gateway first.
SERVICES: Sequence[Service[Any]] = (
    INFERENCE,
    TOKENIZER,
    MODERATION,
    MEMORY,
    TOOL_RUNNER,
    CONTEXT_ASSEMBLY,
    GATEWAY,
)
_HOST = "127.0.0.1"
Told = Callable[[str, str], None]
_log = structlog.get_logger()


class ServiceEnded(Exception):
    """A service ended before it was told to."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from the services' own defaults on one machine."""

    data: Path
    host: str
    port: int
    grpc_port: int
    # A directory or hub id, and the name that callers use.
    model: str
    model_name: str

    def configs(self) -> dict[str, ServiceConfig]:
        """Every service's configuration; its environment variables count too, unless set here."""
        at = {service.name: f"{_HOST}:{free_port(_HOST)}" for service in SERVICES}
        at["gateway"] = f"{self.host}:{self.grpc_port}"
        addresses = {f"{name.replace('-', '_')}_address": where for name, where in at.items()}
        own: Mapping[str, dict[str, Any]] = {
            "inference": {"model": self.model, "served_name": self.model_name},
            "tokenizer": {"models": {self.model_name: self.model}},
            "memory": {"store_url": f"sqlite:{self.data}/memory.sqlite"},
            "context-assembly": {
                "turns_url": f"sqlite:{self.data}/context-assembly.sqlite",
                "inference_addresses": {"": at["inference"]},
            },
            "gateway": {
                "inference_pools": (Pool("local", at["inference"]),),
                "http_address": f"{self.host}:{self.port}",
                "accounts_url": f"sqlite:{self.data}/gateway.sqlite",
                "pepper_file": self.data / "pepper",
            },
        }
        return {
            service.name: service.config(
                **_known(service, addresses), **own.get(service.name, {}), address=at[service.name]
            )
            for service in SERVICES
        }


def _known(service: Service[Any], values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key in service.config.model_fields}


class _Hosted:
    """One service in a task of its own, from its start to its end."""

    def __init__(self, service: Service[Any], config: ServiceConfig) -> None:
        self.name = service.name
        self._service = service
        self._config = config
        self._stop = asyncio.Event()
        self.ready: asyncio.Future[Endpoint] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._host(), name=self.name)

    async def _host(self) -> None:
        async with running(self._service, self._config) as endpoint:
            self.ready.set_result(endpoint)
            await self._stop.wait()

    async def until_ready(self) -> Endpoint:
        """Raises what it ended with, if it ends instead."""
        both: set[asyncio.Future[Any]] = {self.ready, self.task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.until_ended()
        return self.ready.result()

    async def until_ended(self) -> None:
        """Raises what it ended with, or that it did."""
        await asyncio.wait([self.task])
        self.task.result()
        raise ServiceEnded(f"{self.name} ended by itself")

    async def stop(self) -> None:
        """Drains it if it is up, and gives it up if it is not."""
        if self.ready.done():
            self._stop.set()
        else:
            self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (failure := self.task.exception()):
            _log.error("service failed", name=self.name, exc_info=failure)


class Mesh:
    """The services that were started so far."""

    def __init__(self) -> None:
        self._hosted: list[_Hosted] = []

    async def start(
        self,
        configs: Mapping[str, ServiceConfig],
        told: Told,
        services: Sequence[Service[Any]] = SERVICES,
    ) -> dict[str, Endpoint]:
        """Starts all at once: the engine takes longest, and nobody needs it to start."""
        began = time.monotonic()
        self._hosted = [_Hosted(service, configs[service.name]) for service in services]

        async def ready(hosted: _Hosted) -> tuple[str, Endpoint]:
            endpoint = await hosted.until_ready()
            told(hosted.name, f"ready after {time.monotonic() - began:.1f} s")
            return hosted.name, endpoint

        return dict(await asyncio.gather(*map(ready, self._hosted)))

    async def ended(self) -> None:
        """Raises when a service ends before it is told to."""
        await asyncio.gather(*(hosted.until_ended() for hosted in self._hosted))

    async def stop(self, told: Told) -> None:
        for hosted in reversed(self._hosted):
            await hosted.stop()
            told(hosted.name, "stopped")


@asynccontextmanager
async def mesh(told: Told) -> AsyncIterator[Mesh]:
    """A mesh to start; leaving drains what was started."""
    made = Mesh()
    try:
        yield made
    finally:
        await made.stop(told)
