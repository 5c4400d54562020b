"""How soon the engine is free after a client has left."""

import asyncio
import re
import statistics
import time

import aiohttp

from loadtest.processes import SevenProcesses
from loadtest.prompts import Questions, chat_body, never_ends
from loadtest.report import progress, table
from tests.fakes.tool_runner import OpenMeteoServer, open_meteo_server

_RUNNING = re.compile(r"^chatmesh_inference_running(?:\{[^}]*\})? ([\d.]+)$", re.MULTILINE)
_LONG = 2_000
_WEATHER = "what is the weather in Paris"


async def freed(mesh: SevenProcesses, weather_port: int, *, times: int) -> str:
    rows = []
    for name, stream in (("streamed", True), ("not streamed", False)):
        progress(f"leaving: {name}")
        seen = [await _leave(mesh, text, stream=stream) for text in Questions().take(times)]
        rows.append(("no generation runs", name, statistics.median(seen), max(seen)))
    async with open_meteo_server(weather_port) as weather:
        for name, stream in (("streamed", True), ("not streamed", False)):
            seen = [await _leave_tool(mesh, weather, stream=stream) for _ in range(times)]
            rows.append(("the tool is cancelled", name, statistics.median(seen), max(seen)))
    return table(
        f"From the client's hang-up until ..., ms, {times} times each",
        ("...", "request", "p50", "max"),
        rows,
    )


async def _leave_tool(mesh: SevenProcesses, weather: OpenMeteoServer, *, stream: bool) -> float:
    """The weather's service, which the tool waits for, sees it go."""
    weather.hold()
    body = chat_body(_WEATHER, 100) | {"stream": stream}
    if not stream:
        del body["stream_options"]
    async with aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {mesh.api_key}"}
        asking = asyncio.create_task(_ask(session, mesh, body, headers))
        await asyncio.wait_for(weather.reached.wait(), 30)
        asking.cancel()
        left = time.perf_counter()
        await asyncio.wait([asking])
        await session.close()
        await asyncio.wait_for(weather.left.wait(), 30)
        return 1000 * (time.perf_counter() - left)


async def _leave(mesh: SevenProcesses, text: str, *, stream: bool) -> float:
    # The demo model would end by itself: its end-of-turn token is made unlikely.
    body = chat_body(text, _LONG) | {"stream": stream, "logit_bias": never_ends()}
    if not stream:
        del body["stream_options"]
    async with aiohttp.ClientSession() as session, aiohttp.ClientSession() as watching:
        headers = {"authorization": f"Bearer {mesh.api_key}"}
        asking = asyncio.create_task(_ask(session, mesh, body, headers))
        await _until(watching, mesh, 1)
        asking.cancel()
        left = time.perf_counter()
        await asyncio.wait([asking])
        await session.close()
        await _until(watching, mesh, 0)
        return 1000 * (time.perf_counter() - left)


async def _ask(
    session: aiohttp.ClientSession, mesh: SevenProcesses, body: object, headers: dict[str, str]
) -> None:
    url = f"{mesh.base_url}/chat/completions"
    async with session.post(url, json=body, headers=headers) as response:
        async for _ in response.content:
            pass
    raise RuntimeError(f"the reply ended by itself with {response.status}")


async def _until(watching: aiohttp.ClientSession, mesh: SevenProcesses, running: int) -> None:
    """Reads the engine's gauge until it says so."""
    due = time.perf_counter() + 30
    while time.perf_counter() < due:
        async with watching.get(mesh.metrics_url("inference")) as response:
            match = _RUNNING.search(await response.text())
        if match and float(match[1]) == running:
            return
    raise TimeoutError(f"{running} generations never ran")
