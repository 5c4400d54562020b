"""Admits generations, reads what the backend makes of them, and knows how busy it is."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Generic, Never

from services.inference.admission import Admission, QueueLimits, Stay
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
from services.inference.ports import Backend, Dialect, Request
from services.inference.transcript import Transcript
from services.shared.chat import ToolMode
from services.shared.signal import Signal

# Load is told at most ten times a second.
_SECONDS_BETWEEN_REPORTS = 0.1


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the engine may take and how long it may be silent."""

    queue: QueueLimits
    # Most sequences that run at once.
    slots: int
    # An engine with work that takes no step for so long hangs.
    stall_seconds: float
    # How often that is looked at.
    check_seconds: float


class Engine(Generic[Request]):
    """One model's replica. `guard` must run beside it for as long as it serves."""

    def __init__(
        self,
        backend: Backend[Request],
        dialect: Dialect[Request],
        card: ModelCard,
        *,
        bounds: Bounds,
        clock: Callable[[], float],
    ) -> None:
        self._backend = backend
        self._dialect = dialect
        self._card = card
        self._bounds = bounds
        self._clock = clock
        self._admission = Admission(bounds.queue, clock)
        self._changed = Signal()
        self._progress = clock()
        self._draining = False
        self._dead = False
        backend.listen(self._stepped)

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self._refuse(generation)
        request = self._dialect.request(generation)
        with self._stay(generation) as stay:
            interval = self._admission.stream_interval()
            transcript = self._transcript(generation, request)
            async with aclosing(
                self._backend.generate(generation, request, stream_interval=interval)
            ) as outputs:
                async for output in outputs:
                    stay.grown(sum(len(delta.ids) for delta in output.deltas))
                    yield transcript.piece(output)

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
        return await asyncio.to_thread(self._read, request, prompt_ids, output_ids)

    def _read(self, request: Request, prompt_ids: Sequence[int], ids: Sequence[int]) -> Parsed:
        text = self._dialect.decode(request, prompt_ids, ids)
        reader = self._dialect.reader(request, prompt_ids)
        if reader is None:
            return Parsed(text, "", ())
        reading = reader.read(text, ids, finished=True)
        return Parsed(reading.text, reading.reasoning, _joined(reading.calls))

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        """Ends when this replica has drained."""
        told: Report | None = None
        while not (self._draining and self._admission.idle):
            report = self._report()
            if report == told:
                await self._changed.wait()
                continue
            yield (told := report)
            await asyncio.sleep(_SECONDS_BETWEEN_REPORTS)
        if (last := self._report()) != told:
            yield last

    def drain(self) -> None:
        """Tells who watches that this replica leaves; what still comes is served."""
        self._draining = True
        self._changed.notify()

    async def guard(self) -> Never:
        """Raises `EngineDead` once the engine has died or hangs, after failing all that runs."""
        # Silence is no event that could be waited for.
        while self._backend.alive and not self._stalled():  # noqa: ASYNC110
            await asyncio.sleep(self._bounds.check_seconds)
        self._dead = True
        await self._backend.kill()
        raise EngineDead(f"the engine of {self._card.id} is dead")

    def _refuse(self, generation: Generation) -> None:
        self._refuse_model(generation)
        if self._dead or not self._backend.alive:
            raise EngineDead(f"the engine of {self._card.id} is dead")
        if not 0 < len(generation.prompt_ids) < self._card.context_tokens:
            raise UnsupportedParameter(
                f"the prompt has {len(generation.prompt_ids)} tokens; the model's window of "
                f"{self._card.context_tokens} must hold at least one and leave one for the output",
                param="prompt_ids",
            )

    def _refuse_model(self, generation: Generation) -> None:
        if generation.model != self._card.id:
            raise UnknownModel("no such model is served here")
        calling = generation.calling
        wanted = calling.tools and calling.choice.mode is not ToolMode.NONE
        if wanted and not self._card.calls_tools:
            raise ToolsUnsupported(f"no tool parser is known for {self._card.id}", param="tools")

    @contextmanager
    def _stay(self, generation: Generation) -> Iterator[Stay]:
        if self._admission.idle:
            # What was silent for want of work starts its time now.
            self._progress = self._clock()
        try:
            with self._admission.admitted(
                generation.sampling.n, len(generation.prompt_ids)
            ) as stay:
                self._changed.notify()
                yield stay
        finally:
            self._changed.notify()

    def _transcript(self, generation: Generation, request: Request) -> Transcript:
        prompt, choices = generation.prompt_ids, generation.sampling.n
        readers = [self._dialect.reader(request, prompt) for _ in range(choices)]
        return Transcript(len(prompt), choices, [r for r in readers if r is not None])

    def _stepped(self) -> None:
        self._progress = self._clock()
        self._changed.notify()

    def _stalled(self) -> bool:
        silent = self._clock() - self._progress
        return not self._admission.idle and silent > self._bounds.stall_seconds

    def _report(self) -> Report:
        occupancy = self._backend.occupancy()
        known = self._admission.running + self._admission.waiting
        load = Load(
            running=occupancy.running,
            waiting=max(known - occupancy.running, 0),
            waiting_tokens=self._admission.waiting_tokens,
            slots=self._bounds.slots,
            # Finer steps than per cent would be a report at every token.
            kv_cache_use=round(occupancy.kv_cache_use, 2),
            draining=self._draining,
        )
        return Report((self._card,), load)


def _joined(deltas: Iterable[CallDelta]) -> tuple[ParsedCall, ...]:
    """Whole calls from their pieces."""
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for delta in deltas:
        names[delta.index] = names.get(delta.index, "") + delta.name
        arguments[delta.index] = arguments.get(delta.index, "") + delta.arguments
    return tuple(ParsedCall(names[index], arguments[index]) for index in sorted(names))
