"""One service as a process: configured, served until SIGTERM or Ctrl-C, then drained."""

import argparse
import asyncio
import gc
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
import uvloop
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from pydantic_settings import SettingsError

from services.shared import logs
from services.shared.boundary import Boundary
from services.shared.config import ServiceConfig
from services.shared.errors import CannotStart, MeshError
from services.shared.metrics import RpcMetrics, exposed
from services.shared.server import MAX_MESSAGE_BYTES, Served, serving
from services.shared.tracing import Tracer

_log = structlog.get_logger()
Config = TypeVar("Config", bound=ServiceConfig)


@dataclass(frozen=True, slots=True)
class Service(Generic[Config]):
    """What `services/<name>/wiring.py` declares."""

    name: str
    config: type[Config]
    # Opens the adapters and yields what is served: gRPC servicers, and endpoints of its own beside
    # them. By the time that it is left, all of these have drained; it closes what it opened.
    build: Callable[[Config, CollectorRegistry], AbstractAsyncContextManager[Sequence[Served]]]
    # Opens what it keeps; None: it keeps nothing.
    store: Callable[[Config], AbstractAsyncContextManager[object]] | None = None
    # Brings that to this release's schema, which opening does for files alone.
    migrate: Callable[[Config], Coroutine[Any, Any, None]] | None = None
    # The size of the largest gRPC message that it accepts.
    max_message_bytes: Callable[[Config], int] = lambda _: MAX_MESSAGE_BYTES


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a running service is found."""

    address: str
    metrics_url: str


@asynccontextmanager
async def running(service: Service[Config], config: Config) -> AsyncIterator[Endpoint]:
    """The service, built and served. Leaving drains it, then closes what it opened."""
    logs.service_name.set(service.name)
    registry = CollectorRegistry()
    tracer = Tracer(
        service.name, otlp_endpoint=config.otlp_endpoint, sample_ratio=config.trace_sample_ratio
    )
    boundary = Boundary(service.name, tracer, RpcMetrics(registry))
    try:
        with exposed(registry, config.metrics_address) as metrics_url:
            async with (
                service.build(config, registry) as served,
                serving(
                    served,
                    config.address,
                    grace=config.grace_seconds,
                    drain=config.drain_seconds,
                    interceptors=[boundary],
                    max_message_bytes=service.max_message_bytes(config),
                ) as port,
            ):
                host = config.address.rpartition(":")[0]
                yield Endpoint(f"{host}:{port}", metrics_url)
    finally:
        tracer.close()


def main(service: Service[Config]) -> None:
    """`python -m services.<name>`. With `--migrate` it only brings its store up to date."""
    arguments = argparse.ArgumentParser(
        prog=f"python -m services.{service.name.replace('-', '_')}",
        description=f"The service {service.name}, until SIGTERM; configured by its environment.",
    )
    if service.migrate:
        told = "only bring its store to this release's schema"
        arguments.add_argument("--migrate", action="store_true", help=told)
    given = vars(arguments.parse_args())
    _run_with_config(service, _migrate if given.get("migrate") else _serve_until_told)


def run(service: Service[Config]) -> None:
    """Returns when the process was told to stop and the service has drained."""
    _run_with_config(service, _serve_until_told)


def _run_with_config(
    service: Service[Config], act: Callable[[Service[Config], Config], Coroutine[Any, Any, None]]
) -> None:
    config = read(service.config)
    logs.configure(config.log_level)
    try:
        uvloop.run(act(service, config))
    except (CannotStart, MeshError) as error:
        sys.exit(f"{service.name}: {error}")


async def _migrate(service: Service[Config], config: Config) -> None:
    assert service.migrate
    await service.migrate(config)
    _log.info("the store has this release's schema", service=service.name)


def read(kind: type[Config], **told: object) -> Config:
    """The configuration from the environment, except for what is told.

    A wrong value ends the process and names the knob.
    """
    try:
        return kind(**told)  # type: ignore[arg-type]
    except SettingsError as error:
        sys.exit(str(error))
    except ValidationError as error:
        prefix = kind.model_config.get("env_prefix", "")
        lines = [
            f"{prefix}{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()
        ]
        sys.exit("\n".join(lines))


async def _serve_until_told(service: Service[Config], config: Config) -> None:
    async with running(service, config) as endpoint:
        _log.info("serving", address=endpoint.address, metrics=endpoint.metrics_url)
        # What was imported stays. Looking for garbage in it would stop all calls for a moment.
        gc.collect()
        gc.freeze()
        await told_to_stop()
        _log.info("draining")
    _log.info("stopped")


async def told_to_stop() -> None:
    """Returns at SIGTERM or SIGINT."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await told.wait()
