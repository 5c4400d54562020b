"""What the core does beyond its contract (tests/contract/test_inference.py)."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Never

import pytest

from services.inference.api import EngineDead, Generation, Piece, Sampling
from services.inference.engine import Engine
from tests.fakes.clock import Clock
from tests.fakes.inference import (
    CARD,
    LIMITS,
    EagerBackend,
    Script,
    ScriptedBackend,
    ScriptedDialect,
)
from tests.fakes.tiny_model import make_tokenizer

SCRIPTS = {
    "long": Script(" ".join(["sunny"] * 30)),
    "hold": Script("It is sunny.", hold_after=1),
}


@dataclass(slots=True)
class Bench:
    """An engine with its clock in hand."""

    backend: ScriptedBackend
    engine: Engine[Generation]
    clock: Clock
    tasks: list[asyncio.Task[list[Piece]]] = field(default_factory=list)

    def generate(self, prompt: str) -> AsyncGenerator[Piece, None]:
        asked = Generation(CARD.id, "gen", self.backend.ids(prompt), Sampling())
        return self.engine.generate(asked)

    async def collect(self, prompt: str) -> list[Piece]:
        async with aclosing(self.generate(prompt)) as pieces:
            return [piece async for piece in pieces]

    async def hold(self) -> asyncio.Task[list[Piece]]:
        self.tasks.append(asyncio.create_task(self.collect("hold")))
        await asyncio.wait_for(self.backend.holding.wait(), 5)
        return self.tasks[-1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def bench(model: Path) -> Bench:
    return bench_with(ScriptedBackend(model, SCRIPTS.__getitem__), model)


@pytest.fixture
def eager(model: Path) -> Bench:
    """Its engine generates on while nobody reads."""
    return bench_with(EagerBackend(model, SCRIPTS.__getitem__), model)


def bench_with(backend: ScriptedBackend, model: Path) -> Bench:
    clock = Clock()
    engine = Engine(backend, ScriptedDialect(model), CARD, limits=LIMITS, clock=clock)
    return Bench(backend, engine, clock)


async def test_the_guard_tells_that_the_engine_died(bench: Bench) -> None:
    guard = asyncio.create_task(bench.engine.guard())
    running = await bench.hold()
    bench.backend.die()
    for ended in (guard, running):
        with pytest.raises(EngineDead):
            await asyncio.wait_for(ended, 5)


async def test_an_engine_that_hangs_is_killed_and_what_ran_fails(bench: Bench) -> None:
    guard = asyncio.create_task(bench.engine.guard())
    running = await bench.hold()
    bench.clock.now += LIMITS.stall_seconds + 1
    for ended in (guard, running):
        with pytest.raises(EngineDead):
            await asyncio.wait_for(ended, 5)
    assert not bench.backend.alive


async def guarded_for_a_while(bench: Bench) -> bool:
    """Whether the guard is content through several looks."""
    guard = asyncio.create_task(bench.engine.guard())
    content = await still_runs(guard)
    await ended(guard)
    return content


async def still_runs(guard: asyncio.Task[Never]) -> bool:
    """Whether the guard looks several times and finds nothing."""
    done, _ = await asyncio.wait([guard], timeout=5 * LIMITS.check_seconds)
    return not done


async def ended(guard: asyncio.Task[Never]) -> None:
    guard.cancel()
    with suppress(asyncio.CancelledError, EngineDead):
        await guard


async def test_an_engine_without_work_may_be_silent(bench: Bench) -> None:
    bench.clock.now += 10 * LIMITS.stall_seconds
    assert await guarded_for_a_while(bench)


async def test_the_time_of_an_idle_engine_starts_with_its_first_work(bench: Bench) -> None:
    bench.clock.now += 10 * LIMITS.stall_seconds
    await bench.hold()
    assert await guarded_for_a_while(bench)
    bench.backend.release()
    await asyncio.gather(*bench.tasks)


async def test_an_engine_is_not_blamed_for_a_consumer_that_reads_nothing(bench: Bench) -> None:
    guard = asyncio.create_task(bench.engine.guard())
    async with aclosing(bench.generate("long")) as pieces:
        await anext(pieces)
        bench.clock.now += 10 * LIMITS.stall_seconds
        assert await still_runs(guard)
        # The engine has its whole time again, once it is asked for more.
        rest = [piece async for piece in pieces]
    assert rest[-1].usage is not None
    await ended(guard)


async def test_an_engine_that_hangs_is_killed_though_another_consumer_reads_nothing(
    bench: Bench,
) -> None:
    guard = asyncio.create_task(bench.engine.guard())
    async with aclosing(bench.generate("long")) as unread:
        await anext(unread)
        running = await bench.hold()
        bench.clock.now += LIMITS.stall_seconds + 1
        for task in (guard, running):
            with pytest.raises(EngineDead):
                await asyncio.wait_for(task, 5)
    assert not bench.backend.alive


async def test_a_step_is_progress_even_without_a_token(bench: Bench) -> None:
    await bench.hold()
    bench.clock.now += LIMITS.stall_seconds + 1
    bench.backend.step()
    assert await guarded_for_a_while(bench)
    bench.backend.release()
    await asyncio.gather(*bench.tasks)


async def test_the_load_is_told_at_most_ten_times_a_second(bench: Bench) -> None:
    async def change_for_ever() -> None:
        while True:
            await bench.collect("long")

    changing = asyncio.create_task(change_for_ever())
    times = []
    async with aclosing(bench.engine.watch_load()) as reports:
        async for _ in reports:
            times.append(asyncio.get_running_loop().time())
            if len(times) == 4:
                break
    changing.cancel()
    assert min(later - earlier for earlier, later in pairwise(times)) > 0.09


async def test_when_many_run_their_tokens_come_several_at_a_time(bench: Bench) -> None:
    bench.clock.tick = 0.01
    await bench.collect("long")
    alone = bench.backend.intervals[-1]
    await asyncio.gather(*(bench.collect("long") for _ in range(20)))
    assert alone == 1
    assert bench.backend.intervals[-1] > 1


async def test_a_consumer_that_reads_nothing_does_not_make_the_engine_look_slow(
    eager: Bench,
) -> None:
    eager.clock.tick = 0.001
    await eager.collect("long")
    eager.clock.tick = 0
    for _ in range(20):
        async with aclosing(eager.generate("long")) as pieces:
            await anext(pieces)
            await asyncio.wait_for(eager.backend.idle.wait(), 5)
            eager.clock.now += 1000
            _ = [piece async for piece in pieces]
    eager.clock.tick = 0.001
    await asyncio.gather(*(eager.collect("long") for _ in range(20)))
    assert eager.backend.intervals[-1] > 1


async def test_what_the_engine_has_done_does_not_wait_for_it(eager: Bench) -> None:
    async with aclosing(eager.generate("long")) as pieces:
        await anext(pieces)
        await asyncio.wait_for(eager.backend.idle.wait(), 5)
        async with aclosing(eager.engine.watch_load()) as reports:
            load = (await anext(reports)).load
        assert (load.running, load.waiting) == (0, 0)
        _ = [piece async for piece in pieces]
