"""Starts and stops vLLM beside the event loop."""

import asyncio
import multiprocessing
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from services.inference.adapters import vllm_environment
from services.inference.api import Generation, Sampling
from services.inference.config import InferenceConfig
from services.inference.models import Family
from services.inference.ports import Backend, Dialect
from services.shared.errors import CannotStart

_log = structlog.get_logger()
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.gguf")
_WARM_UP_TOKENS = 256
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Served:
    """A model that runs."""

    backend: Backend[Any]
    dialect: Dialect[Any]
    family: Family
    context_tokens: int
    slots: int
    stop: Callable[[], Awaitable[None]]


@asynccontextmanager
async def started(config: InferenceConfig) -> AsyncIterator[Served]:
    """The engine from its start to its end. Raises `CannotStart`."""
    check_model(config.model)
    begun = time.monotonic()
    _log.info("engine starting", model=config.name)
    served = await _started_aside(config)
    try:
        await _warm_up(config.name, served)
        _log.info(
            "engine ready",
            model=config.name,
            seconds=round(time.monotonic() - begun, 1),
            tool_parser=served.family.tool_parser,
            reasoning_parser=served.family.reasoning_parser,
        )
        yield served
    finally:
        await served.stop()


async def _started_aside(config: InferenceConfig) -> Served:
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(_start, config, cancelled)
    except asyncio.CancelledError:
        cancelled.set()
        _give_up()
        raise


def _start(config: InferenceConfig, cancelled: threading.Event) -> Served:
    vllm_environment.prepare()
    # Here, for it takes seconds and vLLM reads the environment while it is imported.
    from services.inference.adapters import vllm_engine  # noqa: PLC0415

    _log.info("engine imported", model=config.name)
    return vllm_engine.start(config, cancelled)


async def _warm_up(model: str, served: Served) -> None:
    """A first token, before anybody hears that the engine serves.

    What is made on first use is made here; on processors with AMX, vLLM's kernels even die of a
    first prompt of a few tokens, when nothing larger has come before.
    """
    prompt = [1] * min(_WARM_UP_TOKENS, served.context_tokens - 1)
    first = Generation(model, "warm-up", prompt, Sampling(max_tokens=1), cache_salt="warm-up")
    request = served.dialect.request(first)
    outputs = served.backend.generate(first, request, stream_interval=1)
    async with aclosing(outputs):
        async for _ in outputs:
            pass


def _give_up() -> None:
    """The thread that starts an engine cannot be stopped; without its engine it fails at once."""
    for process in multiprocessing.active_children():
        if process.name.startswith("EngineCore"):
            process.kill()


def check_model(model: str) -> None:
    """Says at once what the engine would say late and at length."""
    directory = Path(model)
    if not directory.is_dir():
        if directory.exists() or directory.is_absolute() or not _HUB_NAME.fullmatch(model):
            raise CannotStart(f"{model} is neither a model's directory nor a name on the hub")
        return
    if not (directory / "config.json").is_file():
        raise CannotStart(f"{model} is not a model: it has no config.json")
    if not any(True for pattern in _WEIGHTS for _ in directory.glob(pattern)):
        raise CannotStart(f"{model} is not a whole model: it has no weights")
