"""What every tool is for the runner: the mesh's own ones and the tests'."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from jsonschema import Draft202012Validator

from services.memory.adapters.in_memory import InMemoryFactStore
from services.memory.keeper import Keeper
from services.shared.scope import Scope
from services.tool_runner.ports import RunnableTool
from services.tool_runner.tools.calculator import Calculator
from services.tool_runner.tools.clock import Clock
from services.tool_runner.tools.memory import Forget, Remember
from services.tool_runner.tools.weather import Weather
from tests.fakes.memory import WordEmbedder, keeper
from tests.fakes.tool_runner import EchoTool, FakeWeatherService, WaitingTool

ANN = Scope("acme", "main", "ann")
TOOLS: dict[str, tuple[Callable[[], RunnableTool], dict[str, str]]] = {
    "calculator": (Calculator, {"expression": "6x7"}),
    "clock": (lambda: Clock(lambda: datetime(2026, 11, 22, tzinfo=UTC)), {}),
    "weather": (lambda: Weather(FakeWeatherService()), {"location": "Paris"}),
    "remember": (lambda: Remember(memory()), {"fact": "my dog is called Rex"}),
    "forget": (lambda: Forget(memory()), {"fact": "my dog is called Rex"}),
    "echo": (EchoTool, {"text": "again"}),
    "wait": (WaitingTool, {}),
}


def memory() -> Keeper:
    return keeper(InMemoryFactStore(), WordEmbedder())


@pytest.mark.parametrize("name", TOOLS)
def test_declares_itself_with_the_schema_of_an_object(name: str) -> None:
    make, arguments = TOOLS[name]
    declaration = make().declaration
    assert declaration.name == name
    assert declaration.description
    assert declaration.parameters["type"] == "object"
    Draft202012Validator.check_schema(declaration.parameters)
    Draft202012Validator(declaration.parameters).validate(arguments)
    assert json.loads(json.dumps(declaration.parameters)) == declaration.parameters


@pytest.mark.parametrize("name", [name for name in TOOLS if name != "wait"])
async def test_answers_to_arguments_that_fit_its_schema(name: str) -> None:
    make, arguments = TOOLS[name]
    assert await asyncio.wait_for(make().run(ANN, arguments), 5)


async def test_stops_when_it_is_cancelled() -> None:
    tool = WaitingTool()
    running = asyncio.create_task(tool.run(ANN, {}))
    await asyncio.wait_for(tool.started.wait(), 5)
    running.cancel()
    await asyncio.wait_for(tool.cancelled.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await running
