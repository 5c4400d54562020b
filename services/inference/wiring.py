"""One engine, and what stands around it."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Never

from prometheus_client import CollectorRegistry

from services.inference.adapters.metered import MeteredInference
from services.inference.adapters.served_model import ServedModel
from services.inference.adapters.vllm_start import started
from services.inference.api import ModelCard
from services.inference.config import InferenceConfig
from services.inference.engine import Engine, EngineLimits
from services.inference.generation_queue import QueueLimits
from services.inference.server import InferenceServer
from services.shared.background import end
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
            limits=_limits(config, served),
            clock=time.monotonic,
        )
        async with ended_by(engine.guard()):
            yield [InferenceServer(MeteredInference(engine, registry), engine.drain)]


def _card(config: InferenceConfig, served: ServedModel) -> ModelCard:
    return ModelCard(
        id=config.name,
        context_tokens=served.context_tokens,
        calls_tools=bool(served.family.tool_parser),
        reasons=bool(served.family.reasoning_parser),
        summarises=served.family.summarises,
        created_at=int(time.time()),
        sees=served.sees,
    )


def _limits(config: InferenceConfig, served: ServedModel) -> EngineLimits:
    return EngineLimits(
        queue=QueueLimits(config.max_waiting, config.max_waiting_tokens),
        slots=served.slots,
        stall_seconds=config.stall_seconds,
        check_seconds=_CHECK_SECONDS,
    )


@asynccontextmanager
async def ended_by(guard: Coroutine[Any, Any, Never]) -> AsyncIterator[None]:
    """Ends what runs within as soon as `guard` raises, and raises the guard's error.

    A dead engine so takes its service down, and the process with it. Its supervisor then starts a
    new process. Otherwise callers would go on asking a service that can only refuse.
    """
    within = asyncio.current_task()
    assert within is not None

    def cut(_: object) -> None:
        within.cancel()

    task = asyncio.create_task(guard)
    task.add_done_callback(cut)
    try:
        yield
    except asyncio.CancelledError:
        if not task.done():
            raise
        within.uncancel()
        task.result()
    finally:
        task.remove_done_callback(cut)
        await end(task)


SERVICE = Service("inference", InferenceConfig, build)
