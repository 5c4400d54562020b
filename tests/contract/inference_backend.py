"""What every `Backend` of inference promises.

test_inference_backend.py holds the fakes to it, tests/live/test_inference.py holds vLLM to it.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from services.inference.api import FinishReason, Generation, Sampling
from services.inference.ports import Backend, Dialect, Output

TOKENS = 24


@dataclass(slots=True)
class BackendAtWork:
    """A backend, and a prompt to which it replies with `TOKENS` tokens or more."""

    backend: Backend[Any]
    dialect: Dialect[Any]
    prompt_ids: Sequence[int]
    # Leaves the length of the reply to `max_tokens`, and makes it the same each time.
    sampling: Sampling

    def generate(
        self, *, stream_interval: int = 1, choices: int = 1
    ) -> AsyncGenerator[Output, None]:
        sampling = replace(self.sampling, max_tokens=TOKENS, n=choices)
        generation = Generation("m", "gen", self.prompt_ids, sampling)
        request = self.dialect.request(generation)
        return self.backend.generate(generation, request, stream_interval=stream_interval)

    async def until_idle(self) -> None:
        stepped = asyncio.Event()
        self.backend.listen(stepped.set)
        async with asyncio.timeout(10):
            while self.backend.occupancy().running:
                await stepped.wait()
                stepped.clear()


def ids_of(outputs: Sequence[Output], index: int = 0) -> list[int]:
    return [
        id
        for output in outputs
        for delta in output.deltas
        for id in delta.ids
        if delta.index == index
    ]


def ends_of(outputs: Sequence[Output]) -> list[tuple[int, FinishReason]]:
    return sorted(
        (delta.index, delta.finish_reason)
        for output in outputs
        for delta in output.deltas
        if delta.finish_reason is not None
    )


class BackendPromises:
    """Needs a fixture `at_work`."""

    async def test_the_first_output_has_one_token(self, at_work: BackendAtWork) -> None:
        outputs = [output async for output in at_work.generate(stream_interval=4)]
        assert len(ids_of(outputs[:1])) == 1

    async def test_the_outputs_are_the_reply_and_the_last_tells_why_it_ends(
        self, at_work: BackendAtWork
    ) -> None:
        outputs = [output async for output in at_work.generate()]
        assert len(ids_of(outputs)) == TOKENS
        assert ends_of(outputs) == [(0, FinishReason.LENGTH)]
        assert outputs[-1].deltas[0].finish_reason is FinishReason.LENGTH

    async def test_several_tokens_come_at_once_where_that_is_asked_for(
        self, at_work: BackendAtWork
    ) -> None:
        outputs = [output async for output in at_work.generate(stream_interval=4)]
        assert len(ids_of(outputs)) == TOKENS
        assert len(outputs) <= TOKENS / 2

    async def test_every_output_tells_what_the_prompt_took(self, at_work: BackendAtWork) -> None:
        outputs = [output async for output in at_work.generate()]
        assert {output.prompt_tokens for output in outputs} == {len(at_work.prompt_ids)}

    async def test_nothing_is_lost_to_a_slow_consumer(self, at_work: BackendAtWork) -> None:
        quick = [output async for output in at_work.generate()]
        slow = []
        async with aclosing(at_work.generate()) as outputs:
            async for output in outputs:
                slow.append(output)
                for _ in range(50):
                    await asyncio.sleep(0)
        assert ids_of(slow) == ids_of(quick)
        assert ends_of(slow) == ends_of(quick)

    async def test_every_choice_ends_once(self, at_work: BackendAtWork) -> None:
        outputs = [output async for output in at_work.generate(choices=2)]
        assert ends_of(outputs) == [(0, FinishReason.LENGTH), (1, FinishReason.LENGTH)]
        assert [len(ids_of(outputs, index)) for index in (0, 1)] == [TOKENS, TOKENS]

    async def test_closing_aborts_the_generation(self, at_work: BackendAtWork) -> None:
        async with aclosing(at_work.generate()) as outputs:
            await anext(outputs)
        await at_work.until_idle()

    async def test_its_steps_are_heard(self, at_work: BackendAtWork) -> None:
        steps = 0

        def stepped() -> None:
            nonlocal steps
            steps += 1

        at_work.backend.listen(stepped)
        outputs = [output async for output in at_work.generate()]
        assert steps >= len(outputs) > 1

    async def test_it_is_alive(self, at_work: BackendAtWork) -> None:
        assert at_work.backend.alive
