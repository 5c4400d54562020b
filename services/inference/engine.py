"""Admits generations, reads what the backend makes of them, and knows how busy it is."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Generic, Never

from services.inference.api import (
    CallDelta,
    Calling,
    EngineDead,
    Generation,
    Load,
    ModelCard,
    Parsed,
    ParsedCall,
    Piece,
    Report,
    Sampling,
    ToolsUnsupported,
    UnknownModel,
    UnsupportedParameter,
)
from services.inference.call_check import CallCheck
from services.inference.checked_calls import CheckedCalls
from services.inference.generation_queue import AdmittedGeneration, GenerationQueue, QueueLimits
from services.inference.pace import EnginePace
from services.inference.ports import Backend, Dialect, Output, Request
from services.inference.silence import BackendSilence
from services.inference.transcript import Transcript
from services.shared.signal import Signal
from services.shared.tools import ToolMode

# Load is told at most ten times a second.
_SECONDS_BETWEEN_REPORTS = 0.1


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How much the engine may take, and how long it may be silent."""

    queue: QueueLimits
    # How many sequences run at once at most.
    slots: int
    # The engine hangs when a generation waits for it and it takes no step for so long.
    stall_seconds: float
    # How often `guard` looks.
    check_seconds: float


class Engine(Generic[Request]):
    """One model's replica. `guard` must run beside it for as long as it serves."""

    def __init__(
        self,
        backend: Backend[Request],
        dialect: Dialect[Request],
        card: ModelCard,
        *,
        limits: EngineLimits,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._dialect = dialect
        self._card = card
        self._limits = limits
        self._clock = clock
        self._queue = GenerationQueue(limits.queue, clock)
        self._pace = EnginePace(clock)
        self._silence = BackendSilence(clock)
        self._changed = Signal()
        self._draining = False
        self._dead = False
        backend.listen(self._stepped)

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self._refuse(generation)
        request = self._dialect.request(generation)
        choices = generation.sampling.n
        with self._admitted(generation) as admitted, self._pace.timed(choices) as timer:
            interval = self._pace.stream_interval(self._queue.waiting + self._queue.running)
            transcript = self._transcript(generation, request)
            async with aclosing(
                self._backend.generate(generation, request, stream_interval=interval)
            ) as outputs:
                while output := await self._next(outputs):
                    admitted.output_came()
                    timer.output_came(output.deltas)
                    yield transcript.piece(output)

    async def _next(self, outputs: AsyncGenerator[Output, None]) -> Output | None:
        """None at the end. Only in here a generation waits for the backend."""
        with self._silence.awaited():
            return await anext(outputs, None)

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        generation = Generation(model, "", prompt_ids, Sampling(stop=stop), calling=calling)
        self._refuse_model(generation)
        request = self._dialect.request(generation)
        return await asyncio.to_thread(self._read, calling, request, prompt_ids, output_ids)

    def _read(
        self, calling: Calling, request: Request, prompt_ids: Sequence[int], ids: Sequence[int]
    ) -> Parsed:
        text = self._dialect.decode(request, prompt_ids, ids)
        reader = self._reader(calling, request, prompt_ids)
        if reader is None:
            return Parsed(text, "", ())
        read = reader.read(text, ids, finished=True)
        return Parsed(read.text, read.reasoning, _joined(read.calls))

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        """Ends when this replica has drained."""
        sent: Report | None = None
        while not (self._draining and self._queue.idle):
            report = self._report()
            if report == sent:
                await self._changed.wait()
                continue
            yield (sent := report)
            await asyncio.sleep(_SECONDS_BETWEEN_REPORTS)
        if (last := self._report()) != sent:
            yield last

    def drain(self) -> None:
        """Those who watch are told that this replica leaves. Generations that still come are
        served.
        """
        self._draining = True
        self._changed.notify()

    async def guard(self) -> Never:
        """Raises `EngineDead` once the engine has died or hangs; all that runs has failed then."""
        # No event tells of an engine that is silent, so it is looked at again and again.
        while self._backend.alive and not self._stalled():  # noqa: ASYNC110
            await asyncio.sleep(self._limits.check_seconds)
        self._dead = True
        await self._backend.kill()
        raise EngineDead(f"the engine of {self._card.id} is dead")

    def _refuse(self, generation: Generation) -> None:
        self._refuse_model(generation)
        if self._dead or not self._backend.alive:
            raise EngineDead(f"the engine of {self._card.id} is dead")
        tokens, window = len(generation.prompt_ids), self._card.context_tokens
        if not 0 < tokens < window:
            raise UnsupportedParameter(
                f"This model's maximum context length is {window} tokens. However, the prompt has "
                f"{tokens}: there must be one, and one must be left for the output",
                param="prompt_ids",
                code="context_length_exceeded",
            )
        several = generation.sampling.n > 1 or generation.format is not None
        if generation.begun_tokens and (several or generation.begun_tokens >= tokens):
            raise UnsupportedParameter(
                "only one free text can be gone on with, of which the prompt holds the beginning",
                param="begun_tokens",
            )
        if generation.pictures and not self._card.sees:
            raise UnsupportedParameter(f"{self._card.id} cannot look at pictures", param="pictures")

    def _refuse_model(self, generation: Generation) -> None:
        if generation.model != self._card.id:
            raise UnknownModel("no such model is served here")
        calling = generation.calling
        wanted = calling.tools and calling.choice.mode is not ToolMode.NONE
        if wanted and not self._card.calls_tools:
            raise ToolsUnsupported(f"no tool parser is known for {self._card.id}", param="tools")

    @contextmanager
    def _admitted(self, generation: Generation) -> Iterator[AdmittedGeneration]:
        try:
            with self._queue.admitted(
                generation.sampling.n, len(generation.prompt_ids)
            ) as admitted:
                self._changed.notify()
                yield admitted
        finally:
            self._changed.notify()

    def _transcript(self, generation: Generation, request: Request) -> Transcript:
        ids, choices = generation.prompt_ids, generation.sampling.n
        prompt_tokens = len(ids) - generation.begun_tokens
        prompt, begun = ids[:prompt_tokens], ids[prompt_tokens:]
        readers = [self._reader(generation.calling, request, prompt) for _ in range(choices)]
        if begun and readers[0]:
            # What it brings was told already.
            readers[0].read(self._dialect.decode(request, prompt, begun), begun, finished=False)
        return Transcript(choices, [reader for reader in readers if reader is not None])

    def _reader(
        self, calling: Calling, request: Request, prompt_ids: Sequence[int]
    ) -> CheckedCalls | None:
        reader = self._dialect.reader(request, prompt_ids)
        if reader is None:
            return None
        check = CallCheck(calling, self._clock)
        return CheckedCalls(reader, check, self._dialect.held(request), self._dialect.follows)

    def _stepped(self) -> None:
        self._silence.broken()
        self._changed.notify()

    def _stalled(self) -> bool:
        return self._silence.seconds > self._limits.stall_seconds

    def _report(self) -> Report:
        occupancy = self._backend.occupancy()
        load = Load(
            running=occupancy.running,
            waiting=self._waiting(occupancy.running),
            waiting_tokens=self._queue.waiting_tokens,
            slots=self._limits.slots,
            # Finer steps than per cent would be a report at every token.
            kv_cache_use=round(occupancy.kv_cache_use, 2),
            draining=self._draining,
        )
        return Report((self._card,), load)

    def _waiting(self, running: int) -> int:
        """How many generations have no first token and are not among the `running` ones.

        Those past their first token never count: the engine may have ended one long before its
        consumer has read it.
        """
        known = self._queue.running + self._queue.waiting
        return min(max(known - running, 0), self._queue.waiting)


def _joined(deltas: Iterable[CallDelta]) -> tuple[ParsedCall, ...]:
    """Whole calls from their pieces."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for delta in deltas:
        names[delta.index] = names.get(delta.index, "") + delta.name
        arguments[delta.index] = arguments.get(delta.index, "") + delta.arguments
    return tuple(ParsedCall(names[index], arguments[index]) for index in sorted(names))
