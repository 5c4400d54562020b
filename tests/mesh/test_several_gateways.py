"""A gateway that is killed or told to stop under a stream, and another one that goes on."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from services.gateway.config import GatewayConfig
from services.gateway.ports import Account, AccountKind
from services.gateway.wiring import open_authenticator
from services.inference.config import DEMO_DIRECTORY
from services.local.mesh import Mesh, Settings, mesh
from services.local.preflight import free_port
from tests.fakes.inference import CARD, Script, ScriptedBackend
from tests.fakes.scripted_mesh import Play, call, scripted_services
from tests.servers.redis import redis_server

# Each gateway is a process of its own, which takes its time to start.
pytestmark = pytest.mark.timeout(600)
HOST = "127.0.0.1"
TEXT = "I look at the sky, then at the map, and only then I say what I know of it."
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
OWN: Any = {"type": "mcp", "server_label": "chatmesh"}
Event = dict[str, Any]


class GoingOn(Play):
    """Of a reply that was begun, the model says what is left."""

    def __call__(self, prompt: str) -> Script:
        script = super().__call__(prompt)
        begun = prompt.rpartition("<|im_start|>assistant\n")[2]
        if not begun or not script.text.startswith(begun):
            return script
        return replace(script, text=script.text.removeprefix(begun), hold_after=None)


@dataclass(slots=True)
class Several:
    """A mesh whose gateway lives on, and what another gateway needs to stand beside it."""

    url: str
    config: GatewayConfig
    key: str
    play: Play
    backend: ScriptedBackend
    folder: Path

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(headers=self.headers, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
async def several(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Several]:
    data = tmp_path_factory.mktemp("several")
    play, backends = GoingOn(), list[ScriptedBackend]()
    settings = Settings(data, HOST, free_port(HOST), free_port(HOST), str(DEMO_DIRECTORY), CARD.id)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(redis_server(data))
        configs = settings.configs()
        shared = {"streams_url": redis.url, "output_moderation": "off", "grace_seconds": 2.0}
        gateway = GatewayConfig(**{**configs["gateway"].model_dump(), **shared})
        services = scripted_services(play, backends, CARD)
        made: Mesh = await stack.enter_async_context(mesh(lambda *_: None))
        await made.start({**configs, "gateway": gateway}, lambda *_: None, services)
        async with open_authenticator(gateway) as authenticator:
            key = await authenticator.create_key(Account("acct_a", "ada", AccountKind.PERSONAL))
        url = f"http://{HOST}:{settings.port}"
        here = Several(url, gateway, key, play, backends[0], data)
        await ready(here, url)
        yield here


async def ready(here: Several, url: str) -> None:
    async with asyncio.timeout(120), here.client() as http:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"{url}/readyz")).status_code == 200:
                    return


@dataclass(slots=True)
class Victim:
    """A gateway that is a process of its own."""

    url: str
    process: "subprocess.Popen[bytes]"


def started(log: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "services.gateway"]
    with log.open("ab") as writing:
        told = {**os.environ, **environment}
        return subprocess.Popen(command, env=told, stdout=writing, stderr=writing)


@asynccontextmanager
async def another_gateway(here: Several) -> AsyncIterator[Victim]:
    port, config = free_port(HOST), here.config
    told = {
        **{
            name: getattr(config, name)
            for name in ("moderation_address", "context_assembly_address", "tool_runner_address")
        },
        "inference_pools": json.dumps(
            [{"name": "local", "address": config.inference_pools[0].address}]
        ),
        "address": f"{HOST}:{free_port(HOST)}",
        "http_address": f"{HOST}:{port}",
        "accounts_url": config.accounts_url.get_secret_value(),
        "pepper_file": str(config.pepper_file),
        "streams_url": config.streams_url.get_secret_value(),
        "output_moderation": "off",
        "grace_seconds": "2",
    }
    environment = {f"GATEWAY_{name.upper()}": value for name, value in told.items()}
    process = started(here.folder / "victim.log", environment)
    victim = Victim(f"http://{HOST}:{port}", process)
    try:
        await ready(here, victim.url)
        yield victim
    finally:
        process.kill()
        process.wait()
        here.backend.release()


async def events_of(response: httpx.Response) -> AsyncGenerator[Event, None]:
    async for line in response.aiter_lines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


@dataclass(slots=True)
class Heard:
    events: list[Event] = field(default_factory=list)
    text: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: Event) -> None:
        self.events.append(event)
        if event.get("type") == "response.output_text.delta" or event.get("choices"):
            self.text.set()


@asynccontextmanager
async def told_in_mid_text(
    here: Several, victim: Victim, number: signal.Signals
) -> AsyncIterator[Heard]:
    """The gateway gets the signal when its model holds in the middle, and a text was heard."""
    heard = Heard()

    async def tell() -> None:
        await here.backend.holding.wait()
        await heard.text.wait()
        victim.process.send_signal(number)

    telling = asyncio.create_task(tell())
    try:
        yield heard
    finally:
        telling.cancel()


async def until_it_breaks(
    here: Several, path: str, body: Event, number: signal.Signals
) -> tuple[list[Event], str]:
    """The events that came, and how the stream ended."""
    here.backend.hold()
    async with another_gateway(here) as victim, here.client() as http, asyncio.timeout(120):
        asking = http.stream("POST", f"{victim.url}{path}", json={"model": CARD.id, **body})
        async with told_in_mid_text(here, victim, number) as heard, asking as response:
            assert response.status_code == 200
            try:
                async with aclosing(events_of(response)) as coming:
                    async for event in coming:
                        heard.hear(event)
            except httpx.RemoteProtocolError:
                return heard.events, "broken"
            return heard.events, "ended"


async def gone_on_with(here: Several, events: list[Event]) -> list[Event]:
    """All events, those of the other gateway after those that were seen."""
    response_id, last = events[0]["response"]["id"], events[-1]["sequence_number"]
    url = f"{here.url}/v1/responses/{response_id}?stream=true&starting_after={last}"
    here.backend.release()
    async with here.client() as http, http.stream("GET", url) as response:
        assert response.status_code == 200
        async with asyncio.timeout(60), aclosing(events_of(response)) as coming:
            whole = [*events, *[event async for event in coming]]
    assert [event["sequence_number"] for event in whole] == [*range(len(whole))]
    return whole


def text_of(events: list[Event]) -> str:
    return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")


def holding(text: str) -> Script:
    return Script(text, hold_after=6)


async def check_killed_in_mid_text(here: Several, asked: str, tools: list[Any]) -> list[Event]:
    body = {"input": asked, "stream": True, "tools": tools}
    before = len(here.backend.asked)
    events, how = await until_it_breaks(here, "/v1/responses", body, signal.SIGKILL)
    assert how == "broken"
    assert 0 < len(text_of(events)) < len(TEXT)
    whole = await gone_on_with(here, events)
    assert whole[-1]["type"] == "response.completed"
    going_on = here.backend.asked[before + 1]
    assert going_on.begun_tokens > 0
    assert going_on.calling.tools, "the tools are on offer still"
    return whole


async def test_a_text_is_gone_on_with_though_tools_are_on_offer(several: Several) -> None:
    several.play.when("tell me of the sky", holding(TEXT))
    whole = await check_killed_in_mid_text(several, "tell me of the sky", [WEATHER])
    assert text_of(whole) == TEXT
    (message,) = whole[-1]["response"]["output"]
    assert message["content"][0]["text"] == TEXT
    ids = several.backend.ids(TEXT)
    assert abs(whole[-1]["response"]["usage"]["output_tokens"] - len(ids) - 1) <= 1


async def test_a_call_follows_the_text_that_was_gone_on_with(several: Several) -> None:
    script = TEXT + "\n" + call("weather", '{"city": "Ulm"}')
    several.play.when("ask of the weather", holding(script))
    whole = await check_killed_in_mid_text(several, "ask of the weather", [WEATHER])
    message, asked = whole[-1]["response"]["output"]
    assert message["content"][0]["text"].strip() == text_of(whole).strip() == TEXT
    assert (asked["name"], json.loads(asked["arguments"])) == ("weather", {"city": "Ulm"})


async def test_a_tool_of_the_mesh_runs_after_the_text_that_was_gone_on_with(
    several: Several,
) -> None:
    script = TEXT + "\n" + call("calculator", '{"expression": "6*7"}')
    several.play.when("what is six times seven", holding(script))
    several.play.when("42", "It is 42.")
    whole = await check_killed_in_mid_text(several, "what is six times seven", [OWN])
    output = whole[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["message", "mcp_call", "message"]
    assert output[1]["output"] == "42"
    assert output[2]["content"][0]["text"] == "It is 42."


async def test_a_stream_that_is_waited_for_goes_on_when_its_gateway_is_told_to_stop(
    several: Several,
) -> None:
    """It breaks off, with no event that would end it, and is read on elsewhere."""
    several.play.when("tell me slowly", holding(TEXT))
    body = {"input": "tell me slowly", "stream": True}
    events, how = await until_it_breaks(several, "/v1/responses", body, signal.SIGTERM)
    assert how == "broken"
    assert events[-1]["type"] == "response.output_text.delta"
    whole = await gone_on_with(several, events)
    assert text_of(whole) == TEXT
    assert whole[-1]["type"] == "response.completed"


async def test_a_chat_completion_ends_with_an_error_when_its_gateway_is_told_to_stop(
    several: Several,
) -> None:
    """Its caller knows no id with which to come again."""
    several.play.when("chat slowly", holding(TEXT))
    body = {"messages": [{"role": "user", "content": "chat slowly"}], "stream": True}
    events, how = await until_it_breaks(several, "/v1/chat/completions", body, signal.SIGTERM)
    assert how == "ended"
    assert events[-1]["error"]["code"] == "turn_stopped"


async def test_a_socket_closes_and_its_response_goes_on_elsewhere(several: Several) -> None:
    several.play.when("talk slowly", holding(TEXT))
    several.backend.hold()
    message = {"type": "response.create", "model": CARD.id, "input": "talk slowly"}
    async with another_gateway(several) as victim, asyncio.timeout(120):
        url = victim.url.replace("http", "ws", 1) + "/v1/responses"
        async with (
            told_in_mid_text(several, victim, signal.SIGTERM) as heard,
            connect(url, additional_headers=several.headers, proxy=None) as socket,
        ):
            await socket.send(json.dumps(message))
            with pytest.raises(ConnectionClosed):
                while True:
                    heard.hear(json.loads(await socket.recv()))
            assert socket.close_code == 1012
    assert heard.events[-1]["type"] == "response.output_text.delta"
    assert text_of(await gone_on_with(several, heard.events)) == TEXT
