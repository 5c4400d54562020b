"""One engine, and what stands around it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Never

from prometheus_client import CollectorRegistry

from services.inference.adapters.metered import MeteredInference
from services.inference.adapters.vllm_start import Served, started
from services.inference.admission import QueueLimits
from services.inference.api import ModelCard
from services.inference.config import InferenceConfig
from services.inference.engine import Bounds, Engine
from services.inference.server import InferenceServer
from services.shared.process import Service
from services.shared.server import Servable

_CHECK_SECONDS = 1


@asynccontextmanager
async def build(
    config: InferenceConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    async with started(config) as served:
        engine = Engine(
            served.backend,
            served.dialect,
            _card(config, served),
            bounds=_bounds(config, served),
            clock=time.monotonic,
        )
        async with ended_by(engine.guard()):
            yield [InferenceServer(MeteredInference(engine, registry), engine.drain)]


def _card(config: InferenceConfig, served: Served) -> ModelCard:
    return ModelCard(
        id=config.name,
        context_tokens=served.context_tokens,
        calls_tools=bool(served.family.tool_parser),
        reasons=bool(served.family.reasoning_parser),
        summarises=served.family.summarises,
        created_at=int(time.time()),
    )


def _bounds(config: InferenceConfig, served: Served) -> Bounds:
    return Bounds(
        queue=QueueLimits(config.max_waiting, config.max_waiting_tokens),
        slots=served.slots,
        stall_seconds=config.stall_seconds,
        check_seconds=_CHECK_SECONDS,
    )


@asynccontextmanager
async def ended_by(guard: Coroutine[Any, Any, Never]) -> AsyncIterator[None]:
    """Lets what is within run until `guard` raises, which then is raised here.

    So a dead engine takes its service down, and the process with it: who supervises it starts a
    new one, and nobody asks a service that can only say no.
    """
    within = asyncio.current_task()
    assert within is not None

    def end(_: object) -> None:
        within.cancel()

    task = asyncio.create_task(guard)
    task.add_done_callback(end)
    try:
        yield
    except asyncio.CancelledError:
        if not task.done():
            raise
        within.uncancel()
        task.result()
    finally:
        task.remove_done_callback(end)
        task.cancel()


SERVICE = Service("inference", InferenceConfig, build)
