"""The fakes of inference's backend keep the promises of the real one."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from services.inference.api import EngineDead, Sampling
from tests.contract.inference_backend import BackendAtWork, BackendPromises
from tests.fakes.inference import EagerBackend, Script, ScriptedBackend, ScriptedDialect
from tests.fakes.tiny_model import make_tokenizer

REPLY = " ".join(["sunny"] * 30)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(params=[ScriptedBackend, EagerBackend])
def at_work(request: pytest.FixtureRequest, model: Path) -> BackendAtWork:
    backend: ScriptedBackend = request.param(model, lambda _: Script(REPLY))
    ids = backend.ids("the weather is")
    return BackendAtWork(backend, ScriptedDialect(model), ids, Sampling())


class TestFakes(BackendPromises):
    async def test_what_runs_fails_when_it_is_killed(self, at_work: BackendAtWork) -> None:
        async with aclosing(at_work.generate()) as outputs:
            await anext(outputs)
            await at_work.backend.kill()
            with pytest.raises(EngineDead):
                async with asyncio.timeout(5):
                    _ = [output async for output in outputs]
        assert not at_work.backend.alive
