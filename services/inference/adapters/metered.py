"""Measures what generations cost and how they end."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.inference.api import Calling, Generation, Inference, Parsed, Piece, Report, Usage
from services.inference.pace import GenerationTimer
from services.shared.errors import MeshError

# Seconds.
_FIRST_TOKEN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_NEXT_TOKEN_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 5)


class _Meters:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "chatmesh_inference_waiting", "Generations without a first token.", registry=registry
        )
        self.running = Gauge(
            "chatmesh_inference_running", "Generations past their first token.", registry=registry
        )
        self.ended = Counter(
            "chatmesh_inference_generations",
            "Generations ended: finished, aborted, bug, or the error's class.",
            ["outcome"],
            registry=registry,
        )
        self.first_token = Histogram(
            "chatmesh_inference_first_token_seconds",
            "From the call to the first token.",
            buckets=_FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        self.next_token = Histogram(
            "chatmesh_inference_next_token_seconds",
            "The engine's mean time between tokens, in a finished generation.",
            buckets=_NEXT_TOKEN_BUCKETS,
            registry=registry,
        )
        self.tokens = Counter(
            "chatmesh_inference_tokens",
            "Tokens of finished generations: prompt, cached (of the prompt's), generated.",
            ["kind"],
            registry=registry,
        )


class MeteredInference:
    """An `Inference` whose generations are measured."""

    def __init__(
        self,
        inference: Inference,
        registry: CollectorRegistry,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._inference = inference
        self._meters = _Meters(registry)
        self._clock = clock

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        with self._measured(generation.sampling.n) as measured:
            async with aclosing(self._inference.generate(generation)) as pieces:
                async for piece in pieces:
                    measured.piece_came(piece)
                    yield piece

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        return await self._inference.parse(model, prompt_ids, output_ids, calling, stop)

    def watch_load(self) -> AsyncGenerator[Report, None]:
        return self._inference.watch_load()

    @contextmanager
    def _measured(self, choices: int) -> Iterator["_MeasuredGeneration"]:
        measured = _MeasuredGeneration(self._meters, choices, self._clock)
        outcome = "bug"
        try:
            yield measured
            outcome = "finished"
        except MeshError as error:
            outcome = type(error).__name__
            raise
        except (GeneratorExit, asyncio.CancelledError):
            outcome = "aborted"
            raise
        finally:
            measured.ended()
            self._meters.ended.labels(outcome).inc()


class _MeasuredGeneration:
    def __init__(self, meters: _Meters, choices: int, clock: Callable[[], float]) -> None:
        self._meters = meters
        self._clock = clock
        self._timer = GenerationTimer(choices, clock)
        self._started = clock()
        self._first = 0.0
        meters.waiting.inc()

    def piece_came(self, piece: Piece) -> None:
        self._timer.output_came(piece.deltas)
        if not self._first:
            self._first = self._clock()
            self._meters.waiting.dec()
            self._meters.running.inc()
            self._meters.first_token.observe(self._first - self._started)
        if piece.usage is not None:
            self._finished(piece.usage)

    def _finished(self, usage: Usage) -> None:
        self._meters.tokens.labels("prompt").inc(usage.prompt_tokens)
        self._meters.tokens.labels("cached").inc(usage.cached_tokens)
        self._meters.tokens.labels("generated").inc(usage.completion_tokens)
        if (seconds := self._timer.seconds_per_token) is not None:
            self._meters.next_token.observe(seconds)

    def ended(self) -> None:
        (self._meters.running if self._first else self._meters.waiting).dec()
