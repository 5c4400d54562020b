"""All seven services in one process. They call each other over gRPC on the loopback address."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from services.context_assembly.wiring import SERVICE as CONTEXT_ASSEMBLY
from services.gateway.fleet import Pool
from services.gateway.wiring import SERVICE as GATEWAY
from services.inference.wiring import SERVICE as INFERENCE
from services.local.preflight import free_port
from services.local.stores import kept_in
from services.memory.wiring import SERVICE as MEMORY
from services.moderation.wiring import SERVICE as MODERATION
from services.shared.config import ServiceConfig
from services.shared.process import Endpoint, Service, running
from services.tokenizer.wiring import SERVICE as TOKENIZER
from services.tool_runner.wiring import SERVICE as TOOL_RUNNER

# They stop in the opposite order: the gateway first, so that its turns can end.
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
# Called with a service's name and what has become of it.
Announce = Callable[[str, str], None]
_log = structlog.get_logger()


class ServiceEnded(Exception):
    """A service ended before it was told to."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `make up` sets; everything else has its service's own default."""

    data: Path
    host: str
    port: int
    grpc_port: int
    # A directory or hub id, and the name that callers use.
    model: str
    model_name: str
    # The URL of a server that keeps everything; empty: files in `data` do.
    stores: str = field(default="", repr=False)

    def configs(self) -> dict[str, ServiceConfig]:
        """Every service's configuration. What is not set here, its environment may set."""
        at = {service.name: f"{_HOST}:{free_port(_HOST)}" for service in SERVICES}
        at["gateway"] = f"{self.host}:{self.grpc_port}"
        addresses = {f"{name.replace('-', '_')}_address": where for name, where in at.items()}
        kept = kept_in(self.data, self.stores)
        own: Mapping[str, dict[str, Any]] = {
            "inference": {"model": self.model, "served_name": self.model_name},
            "tokenizer": {"models": {self.model_name: self.model}},
            "memory": kept["memory"],
            "context-assembly": {
                **kept["context-assembly"],
                "inference_addresses": {"": at["inference"]},
            },
            "gateway": {
                "inference_pools": (Pool("local", at["inference"]),),
                "http_address": f"{self.host}:{self.port}",
                **kept["gateway"],
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


class _HostedService:
    """One service, which runs in a task of its own."""

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
        """Returns when the service takes calls. If it ends before, raises what it ended with."""
        both: set[asyncio.Future[Any]] = {self.ready, self.task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self.task.done():
            await self.until_ended()
        return self.ready.result()

    async def until_ended(self) -> None:
        """Waits until the service ends. Raises its failure, or ServiceEnded if it had none."""
        await asyncio.wait([self.task])
        self.task.result()
        raise ServiceEnded(f"{self.name} ended by itself")

    async def stop(self) -> None:
        """Drains the service if it is ready, and cancels it if it is still starting."""
        if self.ready.done():
            self._stop.set()
        else:
            self.task.cancel()
        await asyncio.wait([self.task])
        if not self.task.cancelled() and (failure := self.task.exception()):
            _log.error("service failed", name=self.name, exc_info=failure)


class Mesh:
    """The services of this process."""

    def __init__(self) -> None:
        self._hosted: list[_HostedService] = []

    async def start(
        self,
        configs: Mapping[str, ServiceConfig],
        announce: Announce,
        services: Sequence[Service[Any]] = SERVICES,
    ) -> dict[str, Endpoint]:
        """Starts all at once, and returns when all are ready.

        The engine takes longest. The others do not need it to start.
        """
        began = time.monotonic()
        self._hosted = [_HostedService(service, configs[service.name]) for service in services]

        async def ready(hosted: _HostedService) -> tuple[str, Endpoint]:
            endpoint = await hosted.until_ready()
            announce(hosted.name, f"ready after {time.monotonic() - began:.1f} s")
            return hosted.name, endpoint

        return dict(await asyncio.gather(*map(ready, self._hosted)))

    async def ended(self) -> None:
        """Waits until a service ends that nobody has stopped, and raises why."""
        await asyncio.gather(*(hosted.until_ended() for hosted in self._hosted))

    async def stop(self, announce: Announce) -> None:
        for hosted in reversed(self._hosted):
            await hosted.stop()
            announce(hosted.name, "stopped")


@asynccontextmanager
async def mesh(announce: Announce) -> AsyncIterator[Mesh]:
    """A mesh in which nothing has been started yet. Leaving drains what was."""
    made = Mesh()
    try:
        yield made
    finally:
        await made.stop(announce)
