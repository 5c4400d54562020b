"""Which tools there are, and what provides for them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
from prometheus_client import CollectorRegistry

from services.memory.client import connect_memory
from services.shared.process import Service
from services.shared.server import Servable
from services.tool_runner.adapters.metered import MeteredToolRunner
from services.tool_runner.adapters.open_meteo import OpenMeteo
from services.tool_runner.config import ToolRunnerConfig
from services.tool_runner.ports import RunnableTool
from services.tool_runner.runner import Runner, ToolLimits
from services.tool_runner.server import ToolRunnerServer
from services.tool_runner.tools.calculator import Calculator
from services.tool_runner.tools.clock import Clock
from services.tool_runner.tools.memory import Forget, Remember
from services.tool_runner.tools.weather import Weather

# The longest answer that is read from the weather service; real ones are a hundredth of it.
_MAX_BYTES = 1024 * 1024


@asynccontextmanager
async def build(
    config: ToolRunnerConfig, registry: CollectorRegistry
) -> AsyncIterator[Sequence[Servable]]:
    limits = ToolLimits(config.timeout_seconds, config.max_arguments_chars, config.max_output_chars)
    async with _tools(config) as tools:
        runner = Runner([(tool, limits) for tool in tools])
        names = [tool.declaration.name for tool in tools]
        yield [ToolRunnerServer(MeteredToolRunner(runner, names, registry))]


@asynccontextmanager
async def _tools(config: ToolRunnerConfig) -> AsyncIterator[Sequence[RunnableTool]]:
    """The tools that are on, in the order in which the demo model has learnt them."""
    async with (
        httpx.AsyncClient(timeout=config.weather_timeout_seconds, trust_env=False) as http,
        connect_memory(config.memory_address, timeout=config.timeout_seconds) as memory,
    ):
        weather = OpenMeteo(
            http,
            geocoding_url=config.weather_geocoding_url,
            forecast_url=config.weather_forecast_url,
            max_bytes=_MAX_BYTES,
        )
        tools: Sequence[RunnableTool] = (
            Calculator(),
            Clock(lambda: datetime.now(UTC)),
            Weather(weather),
            Remember(memory),
            Forget(memory),
        )
        yield [tool for tool in tools if tool.declaration.name in config.tools]


SERVICE = Service("tool-runner", ToolRunnerConfig, build)
