"""What the backend asks of vLLM's engine, and what it makes of its outputs."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services.inference.adapters import vllm_environment
from services.inference.api import FinishReason, Generation, Sampling
from services.inference.ports import Output
from tests.fakes.tiny_model import make_model
from tests.fakes.vllm_dialect import needs_vllm, vllm_dialect

pytestmark = list(needs_vllm)
TWICE = Generation("m", "gen_1", [1, 2], Sampling(n=2, temperature=0.0, max_tokens=5))


class OneTokenEngine:
    """Writes one token for each choice that it is asked for; as much of `AsyncLLM` as is used."""

    def __init__(self) -> None:
        vllm_environment.prepare()
        from services.inference.adapters.vllm_backend import EngineSteps  # noqa: PLC0415

        self.model_config = SimpleNamespace(max_model_len=100)
        self.logger_manager = SimpleNamespace(stat_loggers=[EngineSteps()])
        self.asked: list[Any] = []

    async def generate(self, prompt: Any, params: Any, *_: Any, **__: Any) -> AsyncGenerator[Any]:
        from vllm.outputs import CompletionOutput, RequestOutput  # noqa: PLC0415

        self.asked.append(params)
        choices = [
            CompletionOutput(index, "hm", [7], None, None, finish_reason="stop")
            for index in range(params.n)
        ]
        yield RequestOutput("gen_1", None, prompt["prompt_token_ids"], None, choices, finished=True)


async def outputs(engine: OneTokenEngine, directory: Path, generation: Generation) -> list[Output]:
    from services.inference.adapters.vllm_backend import VllmBackend  # noqa: PLC0415

    dialect = vllm_dialect(directory)
    backend = VllmBackend(engine, dialect)  # type: ignore[arg-type]
    made = backend.generate(generation, dialect.request(generation), stream_interval=1)
    return [output async for output in made]


@pytest.mark.parametrize(("temperature", "generated"), [(0.0, 1), (1.0, 2)])
async def test_several_choices_need_no_chance(
    tmp_path: Path, temperature: float, generated: int
) -> None:
    """Those that say the same are generated once."""
    engine = OneTokenEngine()
    sampling = replace(TWICE.sampling, temperature=temperature)
    (output,) = await outputs(engine, make_model(tmp_path), replace(TWICE, sampling=sampling))
    assert [params.n for params in engine.asked] == [generated]
    said = [(delta.index, delta.text, delta.ids, delta.finish_reason) for delta in output.deltas]
    assert said == [(index, "hm", [7], FinishReason.STOP) for index in range(2)]
