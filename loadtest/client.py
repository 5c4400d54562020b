"""A lean streaming client, the same for the mesh and for bare vLLM, and what it saw."""

import asyncio
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_DATA = b"data: "


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, and whose it is."""

    url: str
    api_key: str


@dataclass(slots=True)
class Answer:
    """One streamed answer; times in seconds from its request's start."""

    # Since the epoch, as spans tell it.
    began_at: float = field(default_factory=time.time)
    # Names the request's spans.
    trace_id: str = field(default_factory=lambda: secrets.token_hex(16))
    first_token: float = 0
    end: float = 0
    prompt_tokens: int = 0
    tokens: int = 0
    finish_reason: str = ""
    # Whether the stream told of a call of a function.
    called: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """Many answers, in the order of their requests, as they came in `seconds`."""

    answers: Sequence[Answer]
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds

    def first_token_ms(self, share: float) -> float:
        return 1000 * quantile([answer.first_token for answer in self.answers], share)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so many are at most: `share` of them."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


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
    answer, texts = Answer(), list[str]()
    headers = {
        "authorization": f"Bearer {target.api_key}",
        "traceparent": f"00-{answer.trace_id}-{secrets.token_hex(8)}-01",
    }
    async with session.post(target.url, json=body, headers=headers) as response:
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if not line.startswith(_DATA) or line.startswith(b"data: [DONE]"):
                continue
            text = _read(json.loads(line[len(_DATA) :]), answer)
            if text:
                answer.first_token = answer.first_token or time.perf_counter() - began
                texts.append(text)
    answer.end = time.perf_counter() - began
    answer.text = "".join(texts)
    return answer


def _read(event: Mapping[str, Any], answer: Answer) -> str:
    """Takes over what an event of either kind of completion tells; returns its words."""
    if "error" in event:
        raise RuntimeError(f"in the stream: {event['error']}")
    if event.get("usage"):
        answer.prompt_tokens = event["usage"]["prompt_tokens"]
        answer.tokens = event["usage"]["completion_tokens"]
    for choice in event["choices"]:
        delta = choice.get("delta") or {}
        answer.called = answer.called or bool(delta.get("tool_calls"))
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        return choice.get("text") or delta.get("content") or ""
    return ""


async def load(target: Target, bodies: Sequence[Mapping[str, Any]], *, streams: int) -> Load:
    """Asks all, so many at once, and takes the time."""
    waiting = iter(enumerate(bodies))
    answers = dict[int, Answer]()

    async def stream(session: aiohttp.ClientSession) -> None:
        for number, body in waiting:
            answers[number] = await ask(session, target, body)

    async with connected(streams) as session:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(stream(session))
        seconds = time.perf_counter() - began
    return Load([answers[number] for number in range(len(bodies))], seconds)
