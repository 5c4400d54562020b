"""What every tool-runner does, the core and the client alike."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from prometheus_client import CollectorRegistry

from services.memory.adapters.in_memory import InMemoryFactStore
from services.shared.boundary import Boundary
from services.shared.metrics import RpcMetrics
from services.shared.scope import Scope
from services.shared.server import serving
from services.shared.tools import ToolCall
from services.shared.tracing import Tracer
from services.tool_runner.adapters.metered import MeteredToolRunner
from services.tool_runner.adapters.open_meteo import OpenMeteo
from services.tool_runner.api import Failure, Outcome, ToolRunner, UnknownTool
from services.tool_runner.client import connect_tool_runner
from services.tool_runner.runner import Runner, ToolLimits
from services.tool_runner.server import ToolRunnerServer
from services.tool_runner.tools.calculator import Calculator
from services.tool_runner.tools.clock import Clock
from services.tool_runner.tools.memory import Forget, Remember
from services.tool_runner.tools.weather import Weather
from tests.fakes.memory import WordEmbedder, keeper
from tests.fakes.tool_runner import WaitingTool, open_meteo_server, said, words

ANN = Scope("acme", "main", "ann")
NOBODY = Scope("acme", "main")
LIMITS = ToolLimits(timeout_seconds=5, max_arguments_chars=1000, max_output_chars=200)
HASTY = ToolLimits(timeout_seconds=0.01, max_arguments_chars=1000, max_output_chars=200)


@dataclass(frozen=True, slots=True)
class Subject:
    tool_runner: ToolRunner
    waiting: WaitingTool

    async def run(self, name: str, scope: Scope = ANN, **arguments: object) -> Outcome:
        return await self.tool_runner.run(scope, ToolCall("call_1", name, json.dumps(arguments)))


@pytest.fixture(params=["direct", "metered", "over gRPC"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:
        open_meteo = await stack.enter_async_context(open_meteo_server())
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        waiting = WaitingTool()
        memory = keeper(InMemoryFactStore(), WordEmbedder(), fact_chars=1_000)
        weather = OpenMeteo(
            http, geocoding_url=open_meteo.url, forecast_url=open_meteo.url, max_bytes=10_000
        )
        tools = (
            Calculator(),
            Clock(lambda: datetime(2026, 11, 22, 14, 5, 9, tzinfo=UTC)),
            Weather(weather),
            Remember(memory),
            Forget(memory),
            waiting,
        )
        core = Runner([*((tool, LIMITS) for tool in tools), (WaitingTool("hasty"), HASTY)])
        if request.param == "direct":
            yield Subject(core, waiting)
            return
        if request.param == "metered":
            yield Subject(MeteredToolRunner(core, [], CollectorRegistry()), waiting)
            return
        tracer = Tracer("test", otlp_endpoint="", sample_ratio=1)
        boundary = Boundary("tool-runner", tracer, RpcMetrics(CollectorRegistry()))
        port = await stack.enter_async_context(
            serving([ToolRunnerServer(core)], "localhost:0", grace=0, interceptors=[boundary])
        )
        client = await stack.enter_async_context(
            connect_tool_runner(f"localhost:{port}", timeout=5)
        )
        yield Subject(client, waiting)


async def test_lists_its_tools_with_their_schemas_in_order(subject: Subject) -> None:
    tools = await subject.tool_runner.list_tools(ANN)
    assert [tool.name for tool in tools][:5] == [
        "calculator",
        "clock",
        "weather",
        "remember",
        "forget",
    ]
    assert tools[2].description == "Current weather for a place."
    assert json.loads(tools[2].parameters) == {
        "type": "object",
        "properties": {"location": {"type": "string"}},
        "required": ["location"],
    }


async def test_shows_no_memory_to_a_scope_without_a_person(subject: Subject) -> None:
    names = {tool.name for tool in await subject.tool_runner.list_tools(NOBODY)}
    assert names == {"calculator", "clock", "weather", "wait", "hasty"}


@pytest.mark.parametrize("name", ["remember", "forget"])
async def test_runs_no_memory_for_a_scope_without_a_person(subject: Subject, name: str) -> None:
    with pytest.raises(UnknownTool):
        await subject.run(name, NOBODY, fact="My cat is called Tom")


async def test_an_unknown_tool_is_an_error_that_does_not_repeat_its_name(subject: Subject) -> None:
    with pytest.raises(UnknownTool) as caught:
        await subject.run("CANARY")
    assert "CANARY" not in caught.value.message


async def test_calculates(subject: Subject) -> None:
    assert await subject.run("calculator", expression="0.1 + 0.2") == said("0.3")


async def test_tells_the_time(subject: Subject) -> None:
    assert await subject.run("clock") == said("Sunday 2026-11-22 14:05:09 UTC")


async def test_tells_the_weather(subject: Subject) -> None:
    outcome = await subject.run("weather", location="paris")
    assert outcome == said("Paris, France: 12.3 °C, light rain, wind 14 km/h")


async def test_remembers_replaces_and_forgets(subject: Subject) -> None:
    told = [
        await subject.run("remember", fact="My dog is Rex"),
        await subject.run("remember", fact="My dog is Max"),
        await subject.run("forget", fact="Max"),
        await subject.run("forget", fact="Max"),
    ]
    assert told == [
        said("Saved: My dog is Rex"),
        said("Saved: My dog is Max (instead of: My dog is Rex)"),
        said("Forgotten: My dog is Max"),
        said("Nothing remembered matches: Max"),
    ]


async def test_one_persons_facts_are_not_anothers(subject: Subject) -> None:
    await subject.run("remember", fact="My dog is Rex")
    outcome = await subject.run("forget", Scope("acme", "main", "bob"), fact="Rex")
    assert outcome == said("Nothing remembered matches: Rex")


async def test_a_tool_that_fails_is_an_outcome(subject: Subject) -> None:
    outcome = await subject.run("calculator", expression="1/0")
    assert outcome == said("error: division by zero", Failure.FAILED)


async def test_arguments_that_do_not_fit_are_an_outcome(subject: Subject) -> None:
    outcome = await subject.run("weather", place="Paris")
    assert outcome.failure is Failure.INVALID_ARGUMENTS
    assert words(outcome).startswith("error: ")


async def test_a_tool_that_takes_too_long_is_an_outcome(subject: Subject) -> None:
    outcome = await subject.run("hasty")
    assert outcome == said("error: the tool took too long", Failure.TIMED_OUT)


async def test_output_is_cut_to_its_bound_and_says_so(subject: Subject) -> None:
    outcome = await subject.run("remember", fact="a" * 300)
    assert len(words(outcome)) == 200
    assert words(outcome).endswith("a\n[cut: the whole result has 307 characters]")


async def test_cancelling_a_call_cancels_its_tool(subject: Subject) -> None:
    call = asyncio.create_task(subject.run("wait"))
    await asyncio.wait_for(subject.waiting.started.wait(), 5)
    call.cancel()
    await asyncio.wait_for(subject.waiting.cancelled.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_calls_run_beside_each_other(subject: Subject) -> None:
    waiting = asyncio.create_task(subject.run("wait"))
    await asyncio.wait_for(subject.waiting.started.wait(), 5)
    assert await subject.run("calculator", expression="6x7") == said("42")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
