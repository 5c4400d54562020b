"""A lean streaming client, the same for the mesh and for bare vLLM, and what it saw."""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

_DATA = b"data: "


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, and what stands in it beside the prompt."""

    url: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One streamed answer, times in seconds from its request's start."""

    first_token: float
    end: float
    tokens: int
    text: str


@dataclass(frozen=True, slots=True)
class Load:
    """Many answers, as they came in `seconds`."""

    answers: Sequence[Answer]
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds

    @property
    def first_token_p50(self) -> float:
        return statistics.median(answer.first_token for answer in self.answers)


@asynccontextmanager
async def connected(streams: int) -> AsyncIterator[aiohttp.ClientSession]:
    """Connections for so many streams at once, kept open between requests."""
    connector = aiohttp.TCPConnector(limit=streams, force_close=False)
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield session


async def ask(session: aiohttp.ClientSession, target: Target, body: Mapping[str, Any]) -> Answer:
    """Streams one answer; raises on a status, or an error in the stream."""
    began = time.perf_counter()
    first, tokens, texts = 0.0, 0, list[str]()
    headers = {"authorization": f"Bearer {target.api_key}"}
    async with session.post(target.url, json=body, headers=headers) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if not line.startswith(_DATA) or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[len(_DATA) :])
            if "error" in event:
                raise RuntimeError(f"in the stream: {event['error']}")
            text = _text(event)
            if text:
                first = first or time.perf_counter() - began
                texts.append(text)
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    return Answer(first, time.perf_counter() - began, tokens, "".join(texts))


def _text(event: Mapping[str, Any]) -> str:
    """The words of a chunk of either kind of completion."""
    for choice in event["choices"]:
        text = choice.get("text") or choice.get("delta", {}).get("content") or ""
        return str(text)
    return ""


async def load(target: Target, bodies: Sequence[Mapping[str, Any]], *, streams: int) -> Load:
    """Asks all, so many at once, and takes the time."""
    waiting = iter(bodies)
    answers: list[Answer] = []

    async def stream(session: aiohttp.ClientSession) -> None:
        for body in waiting:
            answers.append(await ask(session, target, body))  # noqa: PERF401 - in turn

    async with connected(streams) as session:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(stream(session))
        return Load(answers, time.perf_counter() - began)
