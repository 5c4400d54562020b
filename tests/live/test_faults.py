"""Every service killed once in the middle of a turn; seven real processes, real vLLM.

Each kill is shown to bite: the turn was under way in that service, or needed it next. The turn that
nobody disturbs is the control.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
from openai.types.responses import Response

from loadtest.processes import SevenProcesses, seven_processes
from services.inference.config import InferenceConfig
from tests.fakes.tool_runner import OpenMeteoServer, open_meteo_server
from tests.fakes.vllm_dialect import needs_vllm

pytestmark = [*needs_vllm, pytest.mark.timeout(400)]
# What the client allows a turn; the mesh itself would allow more.
DEADLINE_SECONDS = 30
QUESTION = "what is the weather in Paris"


@dataclass(slots=True)
class Site:
    mesh: SevenProcesses
    weather: OpenMeteoServer
    sdk: openai.AsyncOpenAI

    async def ask(self) -> str:
        return (await self.respond()).output_text

    async def respond(self) -> Response:
        """One turn of two rounds with a tool between them, all seven services in it."""
        answer = await self.sdk.responses.create(
            model=InferenceConfig().name,
            input=QUESTION,
            tools=[{"type": "mcp", "server_label": "chatmesh"}],
            stream=True,
        )
        async with answer:
            async for event in answer:
                if event.type == "response.completed":
                    return event.response
        raise AssertionError("the stream ended without an end")

    async def restart(self, name: str) -> None:
        await asyncio.to_thread(self.mesh.restart, name)
        await asyncio.to_thread(self.mesh.wait_ready)


@pytest.fixture(scope="module")
async def weather() -> AsyncIterator[OpenMeteoServer]:
    async with open_meteo_server() as server:
        yield server


@pytest.fixture(scope="module")
def mesh(
    tmp_path_factory: pytest.TempPathFactory, weather: OpenMeteoServer
) -> Iterator[SevenProcesses]:
    folder: Path = tmp_path_factory.mktemp("seven")
    there = {
        "TOOL_RUNNER_WEATHER_GEOCODING_URL": weather.url,
        "TOOL_RUNNER_WEATHER_FORECAST_URL": weather.url,
    }
    with seven_processes(folder, {"tool_runner": there}) as started:
        yield started


@pytest.fixture
async def site(mesh: SevenProcesses, weather: OpenMeteoServer) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        sdk = openai.AsyncOpenAI(
            base_url=mesh.base_url, api_key=mesh.api_key, max_retries=0, timeout=DEADLINE_SECONDS
        )
        await stack.enter_async_context(sdk)
        stack.callback(weather.go_on)
        yield Site(mesh, weather, sdk)


async def held(site: Site) -> "asyncio.Task[Response]":
    """A turn whose tool waits for its answer: its first round is over, its second to come."""
    site.weather.hold()
    turn = asyncio.create_task(site.respond())
    waiting = asyncio.create_task(site.weather.reached.wait())
    await asyncio.wait((turn, waiting), return_when=asyncio.FIRST_COMPLETED)
    assert waiting.done(), turn.result()
    return turn


def end_of_turn() -> int:
    config = json.loads((Path(InferenceConfig().model) / "generation_config.json").read_text())
    end: int = config["eos_token_id"]
    return end


def kill(site: Site, name: str) -> None:
    process = site.mesh.processes[name]
    assert process.alive
    process.signal(signal.SIGKILL)
    process.wait(10)


async def test_an_undisturbed_turn_answers(site: Site) -> None:
    turn = await held(site)
    site.weather.go_on()
    assert "12.3" in (await asyncio.wait_for(turn, DEADLINE_SECONDS)).output_text


@pytest.mark.parametrize("name", ["tokenizer", "moderation", "context_assembly", "inference"])
async def test_a_killed_service_fails_the_turn_with_its_error_and_not_the_next(
    site: Site, name: str
) -> None:
    turn = await held(site)
    kill(site, name)
    site.weather.go_on()
    with pytest.raises(openai.APIError) as told:
        await asyncio.wait_for(turn, DEADLINE_SECONDS)
    assert told.value.code == "service_unavailable"
    await site.restart(name)
    assert "12.3" in await asyncio.wait_for(site.ask(), DEADLINE_SECONDS)


async def test_a_killed_tool_runner_is_told_to_the_model_and_the_turn_goes_on(site: Site) -> None:
    """Nobody knows whether the tool has run, so it is not called again."""
    turn = await held(site)
    kill(site, "tool_runner")
    site.weather.go_on()
    response = await asyncio.wait_for(turn, DEADLINE_SECONDS)
    [call] = [item for item in response.output if item.type == "mcp_call"]
    assert "not known whether the tool has run" in str(call.error)
    await site.restart("tool_runner")
    assert "12.3" in await asyncio.wait_for(site.ask(), DEADLINE_SECONDS)


async def test_an_engine_killed_while_it_speaks_is_told_in_the_stream(site: Site) -> None:
    """The demo model would end by itself, so its end of turn is made unlikely.

    It is killed once the stream has begun, which is after a second at most, and would speak for
    longer. On a busy machine the first words come through only when it has ended.
    """
    stream = await site.sdk.chat.completions.create(
        model=InferenceConfig().name,
        messages=[{"role": "user", "content": "tell me a story"}],
        max_tokens=3000,
        n=8,
        logit_bias={str(end_of_turn()): -100},
        stream=True,
    )
    async with stream:
        kill(site, "inference")
        with pytest.raises(openai.APIError, match="inference"):
            async for _ in stream:
                pass
    await site.restart("inference")
    assert "12.3" in await asyncio.wait_for(site.ask(), DEADLINE_SECONDS)


async def test_without_memory_the_turn_goes_on(site: Site) -> None:
    turn = await held(site)
    kill(site, "memory")
    site.weather.go_on()
    assert "12.3" in (await asyncio.wait_for(turn, DEADLINE_SECONDS)).output_text
    await site.restart("memory")
    assert "12.3" in await asyncio.wait_for(site.ask(), DEADLINE_SECONDS)


async def test_a_killed_gateway_breaks_the_stream_and_not_the_next(site: Site) -> None:
    turn = await held(site)
    kill(site, "gateway")
    site.weather.go_on()
    with pytest.raises((openai.APIConnectionError, openai.APIError, ConnectionError)):
        await asyncio.wait_for(turn, DEADLINE_SECONDS)
    await site.restart("gateway")
    assert "12.3" in await asyncio.wait_for(site.ask(), DEADLINE_SECONDS)
