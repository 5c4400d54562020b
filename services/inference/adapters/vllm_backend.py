"""vLLM's `AsyncLLM` in this process; its EngineCore is a process of its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.serve.utils.api_utils import get_max_tokens
from vllm.exceptions import GracefulHTTPError
from vllm.inputs import MultiModalInput, TokensInput, tokens_input
from vllm.logprobs import Logprob
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.sampling_params import SamplingParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.loggers import PrometheusStatLogger
from vllm.v1.metrics.stats import SchedulerStats

from services.inference.adapters.vllm_parsers import VllmParsers
from services.inference.adapters.vllm_pictures import prompt_with_pictures
from services.inference.adapters.vllm_requests import equal_choices, refusals
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
# The lowest that OpenAI reports. It stands for minus infinity, which JSON cannot write.
_LEAST_LOGPROB = -9999.0


class EngineSteps(PrometheusStatLogger):
    """Hears of every step of the engine.

    It stands in for vLLM's own Prometheus metrics. Those cost time at every token, and nobody reads
    the registry in which they are.
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
    """The `Backend` of a running vLLM engine."""

    def __init__(self, engine: AsyncLLM, parsers: VllmParsers) -> None:
        self._engine = engine
        self._parsers = parsers
        assert engine.logger_manager is not None
        loggers = engine.logger_manager.stat_loggers
        (self._steps,) = (logger for logger in loggers if isinstance(logger, EngineSteps))

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
            equal = equal_choices(request, self._parsers.defaults)
            request.n = generation.sampling.n // equal
            prompt = await self._prompt(generation, request.cache_salt)
            outputs = self._engine.generate(
                prompt,
                self._sampling_params(request, len(prompt["prompt_token_ids"])),
                generation.request_id,
                priority=generation.priority,
                reasoning_ended=request.resolve_reasoning_ended(None, []),
            )
            async with aclosing(outputs):
                async for output in outputs:
                    yield _output(output, generation.sampling.top_logprobs or 0, equal)

    async def kill(self) -> None:
        # The engine's own `shutdown` would leave those waiting who wait for an output.
        await asyncio.to_thread(self._engine.engine_core.shutdown, 0)

    async def _prompt(
        self, generation: Generation, cache_salt: str | None
    ) -> TokensInput | MultiModalInput:
        if not generation.pictures:
            return tokens_input(list(generation.prompt_ids), cache_salt=cache_salt)
        return await prompt_with_pictures(
            self._engine.renderer,
            generation,
            cache_salt=cache_salt,
            window_tokens=self._engine.model_config.max_model_len,
        )

    def _sampling_params(
        self, request: ChatCompletionRequest, prompt_tokens: int
    ) -> SamplingParams:
        max_tokens = get_max_tokens(
            self._engine.model_config.max_model_len,
            request.max_completion_tokens,
            prompt_tokens,
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


def _output(output: RequestOutput, top_logprobs: int, equal: int) -> Output:
    """Choices that say the same are generated once, and told and counted as `equal` ones."""
    deltas = tuple(_delta(choice, top_logprobs) for choice in output.outputs)
    if equal > 1:
        deltas = tuple(replace(delta, index=index) for delta in deltas for index in range(equal))
    return Output(
        deltas,
        prompt_tokens=len(output.prompt_token_ids or ()),
        cached_tokens=output.num_cached_tokens or 0,
    )


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
        # "abort" and "error": the engine ended it, not the caller.
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
