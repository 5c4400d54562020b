"""vLLM's `AsyncLLM` in this process; its EngineCore is a process of its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.exceptions import GracefulHTTPError
from vllm.inputs import tokens_input
from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.loggers import PrometheusStatLogger
from vllm.v1.metrics.stats import SchedulerStats

from services.inference.adapters.vllm_parsers import VllmParsers
from services.inference.adapters.vllm_requests import refusals
from services.inference.api import (
    Delta,
    EngineDead,
    FinishReason,
    Generation,
    QueueFull,
    TokenLogprob,
)
from services.inference.ports import Occupancy, Output

_FINISH = {
    "length": FinishReason.LENGTH,
    "stop": FinishReason.STOP,
    "repetition": FinishReason.STOP,
}
# JSON has no infinity; OpenAI's lowest.
_LEAST_LOGPROB = -9999.0


class Steps(PrometheusStatLogger):
    """Hears of every step of the engine.

    It takes the place of vLLM's own Prometheus metrics, which would cost as much as they tell and
    sit in a registry that nobody reads.
    """

    def __init__(self, *_: object, **__: object) -> None:
        self.occupancy = Occupancy(running=0, kv_cache_use=0)
        self.stepped: Callable[[], None] = lambda: None

    def record(self, scheduler_stats: SchedulerStats | None, *_: object, **__: object) -> None:
        if scheduler_stats is not None:
            self.occupancy = Occupancy(
                scheduler_stats.num_running_reqs, scheduler_stats.kv_cache_usage
            )
        self.stepped()

    def log_engine_initialized(self) -> None:
        pass

    def record_sleep_state(self, sleep: int = 0, level: int = 0) -> None:
        pass

    def record_admission_rejection(self, reason: str) -> None:
        pass


class VllmBackend:
    """The `Backend` that runs."""

    def __init__(self, engine: AsyncLLM, parsers: VllmParsers) -> None:
        self._engine = engine
        self._parsers = parsers
        assert engine.logger_manager is not None
        (self._steps,) = (s for s in engine.logger_manager.stat_loggers if isinstance(s, Steps))

    @property
    def alive(self) -> bool:
        return not self._engine.errored

    def occupancy(self) -> Occupancy:
        return self._steps.occupancy

    def listen(self, stepped: Callable[[], None]) -> None:
        self._steps.stepped = stepped

    async def generate(
        self, generation: Generation, request: ChatCompletionRequest, *, stream_interval: int
    ) -> AsyncGenerator[Output, None]:
        with refusals(generation), _failures():
            request.stream_interval = stream_interval
            params = self._sampling_params(generation, request)
            outputs = self._engine.generate(
                tokens_input(list(generation.prompt_ids), cache_salt=request.cache_salt),
                params,
                generation.request_id,
                priority=generation.priority,
                reasoning_ended=request.resolve_reasoning_ended(None, []),
            )
            async with aclosing(outputs):
                async for output in outputs:
                    yield _output(output, generation.sampling.top_logprobs or 0)

    async def kill(self) -> None:
        # Not the engine's own `shutdown`: that would leave whoever waits for an output waiting.
        await asyncio.to_thread(self._engine.engine_core.shutdown, 0)

    def _sampling_params(
        self, generation: Generation, request: ChatCompletionRequest
    ) -> SamplingParams:
        max_tokens = get_max_tokens(
            self._engine.model_config.max_model_len,
            request.max_completion_tokens,
            len(generation.prompt_ids),
            self._parsers.defaults,
        )
        return self._parsers.sampling_params(request, max_tokens=max_tokens)


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except EngineDeadError:
        raise EngineDead("the engine has died") from None
    except GracefulHTTPError:
        raise QueueFull("the engine's queue is full", retry_after="1") from None


def _output(output: RequestOutput, top_logprobs: int) -> Output:
    deltas = tuple(_delta(choice, top_logprobs) for choice in output.outputs)
    return Output(deltas, output.num_cached_tokens or 0)


def _delta(output: CompletionOutput, top_logprobs: int) -> Delta:
    return Delta(
        index=output.index,
        ids=output.token_ids,
        text=output.text,
        logprobs=() if output.logprobs is None else _logprobs(output, top_logprobs),
        finish_reason=None if output.finish_reason is None else _finish(output.finish_reason),
    )


def _finish(reason: str) -> FinishReason:
    if reason not in _FINISH:
        # "abort" and "error": the engine's doing, not the caller's.
        raise EngineDead("the engine gave the generation up")
    return _FINISH[reason]


def _logprobs(output: CompletionOutput, top: int) -> tuple[TokenLogprob, ...]:
    assert output.logprobs is not None
    return tuple(
        _logprob(id, position or {}, top)
        for id, position in zip(output.token_ids, output.logprobs, strict=True)
    )


def _logprob(id: int, position: Mapping[int, Logprob], top: int) -> TokenLogprob:
    """vLLM gives the chosen token and the likeliest ones as one mapping."""
    entries = [_entry(likely, position[likely]) for likely in position]
    entries.sort(key=lambda entry: -entry.logprob)
    chosen = position[id]
    return TokenLogprob(id, chosen.decoded_token or "", _bounded(chosen), tuple(entries[:top]))


def _entry(id: int, logprob: Logprob) -> TokenLogprob:
    return TokenLogprob(id, logprob.decoded_token or "", _bounded(logprob))


def _bounded(logprob: Logprob) -> float:
    return max(logprob.logprob, _LEAST_LOGPROB)
