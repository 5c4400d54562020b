"""An engine of which every token is known: the i-th of a reply is `w<i> `."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from services.inference.api import (
    CallDelta,
    Calling,
    Delta,
    FinishReason,
    Generation,
    Load,
    ModelCard,
    Parsed,
    Piece,
    Report,
    Usage,
)
from tests.fakes.mesh import CARD

FIRST_ID = 1_000_000


def word(number: int) -> str:
    return f"w{number} "


@dataclass(slots=True)
class WordEngine:
    """`Inference` that goes on where the prompt's last ids end. First it may call tools."""

    words: int
    # So many rounds call `double` before it speaks.
    calls: int = 0
    # Before which word it waits, and for what.
    pause_before: int = -1
    seconds_per_word: float = 0
    card: ModelCard = CARD
    # The function that it calls below the words of its first round; empty: none.
    calls_then: str = ""
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    generations: list[Generation] = field(default_factory=list)
    # How many words it has written, in all.
    written: int = 0

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        self.generations.append(generation)
        prompt = len(generation.prompt_ids)
        round_number = int(generation.request_id.split(".")[1])
        if round_number < self.calls:
            call = CallDelta(0, "double", f'{{"n": {round_number}}}')
            yield Piece((Delta(0, (1,), calls=(call,)),))
            last = Delta(0, finish_reason=FinishReason.TOOL_CALLS)
            yield Piece((last,), Usage(prompt, 0, 1))
            return
        begun = sum(1 for token in generation.prompt_ids if token >= FIRST_ID)
        assert generation.sampling.max_tokens
        for number in range(begun, self.words):
            if number == self.pause_before:
                self.paused.set()
                await self.go_on.wait()
            self.written += 1
            yield Piece((Delta(0, (FIRST_ID + number,), word(number)),))
            await self._pace()
        usage = Usage(prompt, 0, self.words - begun)
        finish = FinishReason.STOP
        if self.calls_then and not round_number:
            yield Piece((Delta(0, (1,), calls=(CallDelta(0, self.calls_then, '{"n": 7}'),)),))
            usage, finish = Usage(prompt, 0, self.words - begun + 1), FinishReason.TOOL_CALLS
        yield Piece((Delta(0, finish_reason=finish),), usage)

    async def _pace(self) -> None:
        if not self.seconds_per_word:
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds_per_word):
                await asyncio.Event().wait()

    async def parse(
        self,
        model: str,
        prompt_ids: Sequence[int],
        output_ids: Sequence[int],
        calling: Calling,
        stop: tuple[str, ...] = (),
    ) -> Parsed:
        return Parsed("".join(word(token - FIRST_ID) for token in output_ids), "", ())

    async def watch_load(self) -> AsyncGenerator[Report, None]:
        yield Report((self.card,), Load(0, 0, 0, slots=1000, kv_cache_use=0.0, draining=False))
        await asyncio.Event().wait()
