"""vLLM's engine for one model, with the parsers that fit it."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import structlog
import torch
from vllm import envs
from vllm.config import ModelConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.platforms import current_platform
from vllm.tokenizers import TokenizerLike, cached_tokenizer_from_config
from vllm.tool_parsers.tool_strict_level import ToolStrictLevelName
from vllm.usage.usage_lib import UsageContext
from vllm.utils.cpu_resource_utils import get_memory_node_info
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core_client import MPClient

from services.inference.adapters import vllm_environment
from services.inference.adapters.served_model import ServedModel
from services.inference.adapters.vllm_backend import EngineSteps, VllmBackend
from services.inference.adapters.vllm_parsers import UnfitParser, VllmParsers
from services.inference.adapters.waiting_executor import WaitingExecutor
from services.inference.config import InferenceConfig
from services.inference.models import ModelFamily, Traits, family_of
from services.shared.errors import CannotStart

_log = structlog.get_logger()
Known = TypeVar("Known", str, bool)
_GIB = 1024**3
# The memory that the engine's processes take beside weights and KV cache.
_OVERHEAD_BYTES = 2 * _GIB
# The defaults of `vllm serve`.
LIKE_THE_SERVER = UsageContext.OPENAI_API_SERVER


def start(config: InferenceConfig, cancelled: Event) -> ServedModel:
    """Blocks until the engine serves. Raises `CannotStart`."""
    args = engine_args(config)
    model, tokenizer = _read_model(args)
    family = _family(config, model, tokenizer)
    speculates = args.speculative_config is not None
    parsers = _parsers(model, tokenizer, family, config.tool_strict_level, speculates=speculates)
    args.reasoning_parser = family.reasoning_parser
    if current_platform.is_cpu():
        vllm_environment.prepare_for_cpu()
        _check_kernels()
        _check_memory(config)
    if cancelled.is_set():
        raise CannotStart("told to stop while starting")
    with vllm_environment.reasons() as reasons:
        engine = _launch(args, reasons)
    _lighten(engine)
    return ServedModel(
        backend=VllmBackend(engine, parsers),
        dialect=parsers,
        family=family,
        # Read from the running engine, which may have fitted it to its memory.
        context_tokens=engine.model_config.max_model_len,
        slots=engine.vllm_config.scheduler_config.max_num_seqs,
        sees=_sees(engine),
        stop=partial(_stop, engine),
    )


def engine_args(config: InferenceConfig) -> AsyncEngineArgs:
    arguments: dict[str, Any] = {
        "model": config.model,
        "served_model_name": config.name,
        "max_model_len": config.max_model_len,
        "dtype": config.dtype,
        "tensor_parallel_size": config.tensor_parallel_size,
        "gpu_memory_utilization": config.gpu_memory_utilization,
        "block_size": config.block_size,
        "scheduling_policy": "priority",
        # Were blanks allowed between JSON's tokens, a small model might write them for ever.
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if current_platform.is_cpu():
        arguments["kv_cache_memory_bytes"] = int(config.cpu_kv_cache_gib * _GIB)
        # vLLM runs an engine over several nodes by its own executors alone.
        if config.engine_args.get("nnodes", 1) == 1:
            arguments["distributed_executor_backend"] = WaitingExecutor
        if not shutil.which("g++"):
            _log.warning("no C++ compiler (g++): the engine runs uncompiled, and slower")
            arguments["enforce_eager"] = True
    try:
        return AsyncEngineArgs(**(arguments | config.engine_args))
    except (TypeError, ValueError) as error:
        raise CannotStart(f"INFERENCE_ENGINE_ARGS: {_first_line(error)}") from error


def _read_model(args: AsyncEngineArgs) -> tuple[ModelConfig, TokenizerLike]:
    try:
        model = args.create_model_config()
        return model, cached_tokenizer_from_config(model)
    except (OSError, ValueError, RuntimeError) as error:
        raise CannotStart(f"{args.model} cannot be read: {_first_line(error)}") from error


def _family(config: InferenceConfig, model: ModelConfig, tokenizer: TokenizerLike) -> ModelFamily:
    template = getattr(tokenizer, "chat_template", None)
    found = family_of(
        Traits(config.name, model.architecture, template if isinstance(template, str) else "")
    )
    return replace(
        found,
        tool_parser=_said(config.tool_parser, found.tool_parser),
        reasoning_parser=_said(config.reasoning_parser, found.reasoning_parser),
        summarises=_said(config.summarises, found.summarises),
    )


def _said(said: Known | None, found: Known) -> Known:
    return found if said is None else said


def _parsers(
    model: ModelConfig,
    tokenizer: TokenizerLike,
    family: ModelFamily,
    strict_level: ToolStrictLevelName,
    *,
    speculates: bool,
) -> VllmParsers:
    try:
        return VllmParsers(
            model,
            tokenizer,
            tool_parser=family.tool_parser,
            reasoning_parser=family.reasoning_parser,
            tool_strict_level=strict_level,
            speculates=speculates,
        )
    except UnfitParser as error:
        raise CannotStart(
            f"{error}; set INFERENCE_TOOL_PARSER and INFERENCE_REASONING_PARSER, empty for none"
        ) from error


def _check_kernels() -> None:
    """Raises `CannotStart` where vLLM's kernels were not loaded.

    vLLM itself only warns then, and fails later for reasons that are hard to understand. It knows
    which library is for this processor: another one would end the process by SIGILL.
    """
    current_platform.import_kernels()
    if not hasattr(torch.ops._C, "rms_norm"):
        raise CannotStart(
            "vLLM's kernels cannot be loaded: its warning says why; Debian has libnuma in libnuma1"
        )


def _check_memory(config: InferenceConfig) -> None:
    """Raises `CannotStart` where the model does not fit into the machine's memory.

    Without an accelerator the system would otherwise kill some process when memory runs out.
    """
    weights = sum(path.stat().st_size for path in Path(config.model).glob("*.safetensors"))
    needed = weights + config.cpu_kv_cache_gib * _GIB + _OVERHEAD_BYTES
    available = get_memory_node_info().available_memory
    if needed > available:
        raise CannotStart(
            f"{config.name} needs about {needed / _GIB:.1f} GiB of memory and "
            f"{available / _GIB:.1f} GiB are free; INFERENCE_CPU_KV_CACHE_GIB bounds the cache"
        )


def _launch(args: AsyncEngineArgs, reasons: Path) -> AsyncLLM:
    try:
        with _without_interrupts(), vllm_environment.errors_to_log():
            return AsyncLLM.from_engine_args(
                args, usage_context=LIKE_THE_SERVER, stat_loggers=[EngineSteps]
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = reasons.read_text().partition("\n")[0] or _first_line(error)
        raise CannotStart(f"the engine did not start: {reason}") from error


def _lighten(engine: AsyncLLM) -> None:
    """Saves a third of the work that each token costs in this process."""
    # For each token vLLM reads several environment variables. Its other processes cache them, too.
    envs.enable_envs_cache()
    # Nobody reads vLLM's statistics of every token. Those of every step still come.
    engine.log_stats = False


def _sees(engine: AsyncLLM) -> bool:
    if not engine.model_config.supports_multimodal_inputs:
        return False
    limits = engine.renderer.get_mm_processor().info.allowed_mm_limits
    return bool(limits.get("image", 0))


async def _stop(engine: AsyncLLM) -> None:
    await asyncio.to_thread(engine.shutdown)
    # vLLM leaves this to the garbage collector, and Python then warns.
    assert isinstance(engine.engine_core, MPClient)
    engine.engine_core.resources.ctx.destroy(linger=0)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C.

    Ctrl-C reaches every process of a terminal, but the engine must live on while we drain. A
    process inherits which signals are blocked in the one that starts it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
