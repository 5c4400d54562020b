"""Starts and stops vLLM beside the event loop."""

import asyncio
import multiprocessing
import re
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import structlog

from services.inference.adapters import vllm_environment
from services.inference.adapters.served_model import ServedModel
from services.inference.api import Generation, Sampling
from services.inference.config import InferenceConfig
from services.shared.errors import CannotStart

_log = structlog.get_logger()
# What vLLM reads of a directory. It reads no GGUF, and no state of a training.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pt")
_OF_TRAINING = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.pt", "scaler.pt")
_WARM_UP_TOKENS = 256
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@asynccontextmanager
async def started(config: InferenceConfig) -> AsyncIterator[ServedModel]:
    """Starts the model's engine, and ends it on leaving. Raises `CannotStart`."""
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


async def _started_aside(config: InferenceConfig) -> ServedModel:
    cancelled = threading.Event()
    try:
        return await asyncio.to_thread(_start, config, cancelled)
    except asyncio.CancelledError:
        cancelled.set()
        _give_up()
        raise


def _start(config: InferenceConfig, cancelled: threading.Event) -> ServedModel:
    vllm_environment.prepare()
    # Imported here: it takes seconds, and vLLM reads the environment that was just prepared.
    from services.inference.adapters import vllm_engine  # noqa: PLC0415

    _log.info("engine imported", model=config.name)
    return vllm_engine.start(config, cancelled)


async def _warm_up(model: str, served: ServedModel) -> None:
    """Generates a token before anybody hears that the engine serves.

    vLLM makes some things only when they are first used, which would slow the first caller. On
    processors with AMX its kernels even crash when the very first prompt has only a few tokens.
    """
    prompt = [1] * min(_WARM_UP_TOKENS, served.context_tokens - 1)
    first = Generation(model, "warm-up", prompt, Sampling(max_tokens=1), cache_salt="warm-up")
    request = served.dialect.request(first)
    outputs = served.backend.generate(first, request, stream_interval=1)
    async with aclosing(outputs):
        async for _ in outputs:
            pass


def _give_up() -> None:
    """Kills the engine that is being started.

    The thread that starts it cannot be stopped, but it fails at once when its engine is gone.
    """
    for process in multiprocessing.active_children():
        if process.name.startswith("EngineCore"):
            process.kill()


def check_model(model: str) -> None:
    """Raises `CannotStart` for what is no model. The engine would say so late and at length."""
    directory = Path(model)
    if not directory.is_dir():
        if directory.exists() or directory.is_absolute() or not _HUB_NAME.fullmatch(model):
            raise CannotStart(f"{model} is neither a model's directory nor a name on the hub")
        return
    if not (directory / "config.json").is_file():
        raise CannotStart(f"{model} is not a model: it has no config.json")
    found = [file.name for pattern in _WEIGHTS for file in directory.glob(pattern)]
    if not any(not name.endswith(_OF_TRAINING) for name in found):
        gguf = any(True for _ in directory.glob("*.gguf"))
        why = "only weights as GGUF, which vLLM does not read: take safetensors"
        raise CannotStart(f"{model} is not a whole model: it has {why if gguf else 'no weights'}")
