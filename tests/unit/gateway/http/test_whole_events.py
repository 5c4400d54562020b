"""Each event of a stream leaves the application in one `send`, its blank line included.

Some readers, Open Responses' own among them, lose an event whose end comes in another piece.
"""

import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.guard import OutputModeration
from services.gateway.http.app import application
from services.inference.api import EngineDead
from services.shared.tracing import Tracer
from tests.fakes.mesh import Script, calls, says, surroundings

BACKGROUND: dict[str, Any] = {"model": "demo", "input": "hello", "background": True}
STREAMED = {
    "/v1/responses": {"model": "demo", "input": "hello", "stream": True},
    "/v1/chat/completions": {
        "model": "demo",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
}
TOOLS = {
    "/v1/responses": {"type": "function", "name": "city"},
    "/v1/chat/completions": {"type": "function", "function": {"name": "city"}},
}
# Longer than a piece of any server's buffers.
LONG = "word " * 40_000
DONE = b"data: [DONE]\n\n"


@dataclass(slots=True)
class Recorded:
    """An application, and the bodies that it has sent."""

    app: ASGIApp
    bodies: list[bytes] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def recording(message: Message) -> None:
            if message["type"] == "http.response.body":
                self.bodies.append(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, recording)


@dataclass(slots=True)
class Caller:
    http: httpx.AsyncClient
    recorded: Recorded

    async def stream(self, path: str, **fields: object) -> list[bytes]:
        """What was sent, in pieces, of a stream that is asked for."""
        return await self._sent(self.http.post(path, json={**STREAMED[path], **fields}))

    async def read(self, response_id: str, **query: int) -> list[bytes]:
        """The same of one that is read again."""
        asked: dict[str, str | int] = {"stream": "true", **query}
        return await self._sent(self.http.get(f"/v1/responses/{response_id}", params=asked))

    async def _sent(self, asked: Coroutine[Any, Any, httpx.Response]) -> list[bytes]:
        self.recorded.bodies.clear()
        got = await asked
        assert got.headers["content-type"].startswith("text/event-stream"), got.text
        assert b"".join(self.recorded.bodies) == got.content
        return [*self.recorded.bodies]


@asynccontextmanager
async def calling(*scripts: Script) -> AsyncIterator[Caller]:
    async with surroundings(*scripts, mode=OutputModeration.OFF) as mesh:
        app = application(
            mesh.front,
            CollectorRegistry(),
            Tracer("test", otlp_endpoint="", sample_ratio=0),
            version="0",
            max_body_bytes=200_000,
            body_seconds=5,
        )
        recorded = Recorded(app)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(recorded),
            base_url="http://mesh",
            headers={"authorization": f"Bearer {mesh.key}", "origin": "http://page"},
        ) as http:
            yield Caller(http, recorded)


def check_whole(pieces: list[bytes]) -> list[bytes]:
    """The events, each of which is whole in its piece."""
    events = []
    for piece in pieces:
        if not piece:
            continue
        assert piece.endswith(b"\n\n")
        for event in piece.removesuffix(b"\n\n").split(b"\n\n"):
            *_, told = event.split(b"\n")
            if told != DONE.strip():
                json.loads(told.removeprefix(b"data: "))
            events.append(event)
    assert events[-1] == DONE.strip()
    return events


@pytest.mark.parametrize("path", STREAMED)
async def test_of_a_turn_with_text_and_calls(path: str) -> None:
    script = calls(("city", '{"q": "Ulm"}'), text="I look.")
    async with calling(script) as caller:
        events = check_whole(await caller.stream(path, tools=[TOOLS[path]]))
    assert len(events) > 6


@pytest.mark.parametrize("path", STREAMED)
async def test_of_an_event_that_is_long(path: str) -> None:
    async with calling(says(LONG)) as caller:
        events = check_whole(await caller.stream(path))
    assert max(map(len, events)) > len(LONG)


@pytest.mark.parametrize("path", STREAMED)
async def test_of_a_turn_that_fails_in_its_middle(path: str) -> None:
    script = Script(says("one ", "two").pieces[:2], failure=EngineDead("the engine has died"))
    async with calling(script) as caller:
        events = check_whole(await caller.stream(path))
    assert sum(b"the engine has died" in event for event in events) >= 1


async def test_of_a_response_that_is_read_again_or_from_its_middle() -> None:
    async with calling(says("one ", "two ", LONG)) as caller:
        made = (await caller.http.post("/v1/responses", json=BACKGROUND)).json()
        whole = check_whole(await caller.read(made["id"]))
        resumed = check_whole(await caller.read(made["id"], starting_after=4))
    assert resumed == whole[5:]
    assert b"event: response.completed" in whole[-2]
