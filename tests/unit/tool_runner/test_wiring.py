from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services.shared.process import running
from services.shared.scope import Scope
from services.shared.tools import ToolCall
from services.tool_runner.api import Failure, ToolRunner
from services.tool_runner.client import connect_tool_runner
from services.tool_runner.config import ToolRunnerConfig
from services.tool_runner.wiring import SERVICE
from tests.fakes.tool_runner import open_meteo_server, said, words

ANN = Scope("acme", "main", "ann")
ALL = "calculator,clock,weather,remember,forget"
NOWHERE = "127.0.0.1:1"


@asynccontextmanager
async def _served(**knobs: Any) -> AsyncIterator[ToolRunner]:
    """The whole service with a weather service; there is no memory."""
    async with open_meteo_server() as server:
        config = ToolRunnerConfig(
            address="127.0.0.1:0",
            memory_address=NOWHERE,
            weather_geocoding_url=server.url,
            weather_forecast_url=server.url,
            **{"tools": ALL} | knobs,
        )
        async with (
            running(SERVICE, config) as endpoint,
            connect_tool_runner(endpoint.address, timeout=10) as client,
        ):
            yield client


async def test_serves_all_tools_in_the_order_that_the_model_knows() -> None:
    async with _served() as tool_runner:
        names = [tool.name for tool in await tool_runner.list_tools(ANN)]
        assert names == ["calculator", "clock", "weather", "remember", "forget"]
        weather = await tool_runner.run(ANN, ToolCall("1", "weather", '{"location": "Paris"}'))
        clock = await tool_runner.run(ANN, ToolCall("2", "clock", "{}"))
    assert weather == said("Paris, France: 12.3 °C, light rain, wind 14 km/h")
    assert words(clock).endswith(" UTC")


async def test_tools_that_are_off_are_not_there() -> None:
    async with _served(tools="clock,calculator") as tool_runner:
        names = [tool.name for tool in await tool_runner.list_tools(ANN)]
    assert names == ["calculator", "clock"]


async def test_without_memory_its_tools_say_so_and_the_others_work() -> None:
    async with _served() as tool_runner:
        remember = await tool_runner.run(ANN, ToolCall("1", "remember", '{"fact": "a"}'))
        assert remember == said("error: the memory cannot be reached", Failure.UNREACHABLE)
        calculator = await tool_runner.run(ANN, ToolCall("2", "calculator", '{"expression":"1"}'))
        assert calculator == said("1")
