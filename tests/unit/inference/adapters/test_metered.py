"""What is measured of generations."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.inference.adapters.metered import MeteredInference
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
    "hello": Script("It is sunny."),
    "die": Script("It is sunny.", fail_after=1),
}


class Meters:
    def __init__(self, model: Path, backend: ScriptedBackend) -> None:
        self.registry = CollectorRegistry()
        self.backend = backend
        self.clock = Clock()
        engine = Engine(backend, ScriptedDialect(model), CARD, limits=LIMITS, clock=self.clock)
        self.inference = MeteredInference(engine, self.registry, self.clock)

    def generate(self, prompt: str) -> AsyncGenerator[Piece, None]:
        asked = Generation(CARD.id, "gen", self.backend.ids(prompt), Sampling())
        return self.inference.generate(asked)

    def read(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"chatmesh_inference_{name}", labels)


@pytest.fixture
async def meters(tmp_path: Path) -> Meters:
    model = make_tokenizer(tmp_path)
    return Meters(model, ScriptedBackend(model, SCRIPTS.__getitem__))


async def test_a_finished_generation_is_counted_with_its_tokens(meters: Meters) -> None:
    pieces = [piece async for piece in meters.generate("hello")]
    usage = pieces[-1].usage
    assert usage is not None
    assert meters.read("generations_total", outcome="finished") == 1
    assert meters.read("tokens_total", kind="generated") == usage.completion_tokens
    assert meters.read("tokens_total", kind="prompt") == usage.prompt_tokens
    assert meters.read("first_token_seconds_count") == 1
    assert meters.read("next_token_seconds_count") == 1


async def test_what_runs_is_shown_until_it_ends(meters: Meters) -> None:
    async with aclosing(meters.generate("hello")) as pieces:
        await anext(pieces)
        assert (meters.read("waiting"), meters.read("running")) == (0, 1)
    assert (meters.read("waiting"), meters.read("running")) == (0, 0)
    assert meters.read("generations_total", outcome="aborted") == 1


async def test_an_error_is_counted_by_its_class(meters: Meters) -> None:
    with pytest.raises(EngineDead):
        _ = [piece async for piece in meters.generate("die")]
    assert meters.read("generations_total", outcome="EngineDead") == 1
    assert meters.read("running") == 0


async def test_a_consumer_that_reads_nothing_does_not_make_the_engine_look_slow(
    tmp_path: Path,
) -> None:
    model = make_tokenizer(tmp_path)
    meters = Meters(model, EagerBackend(model, SCRIPTS.__getitem__))
    meters.clock.tick = 0.001
    _ = [piece async for piece in meters.generate("hello")]
    async with aclosing(meters.generate("hello")) as pieces:
        await anext(pieces)
        await asyncio.wait_for(meters.backend.idle.wait(), 5)
        meters.clock.now += 1000
        _ = [piece async for piece in pieces]
    assert meters.read("generations_total", outcome="finished") == 2
    measured = meters.read("next_token_seconds_sum")
    assert measured is not None
    assert 0 < measured < 1
