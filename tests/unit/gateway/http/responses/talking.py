"""A client of the Responses API's WebSocket, and checks of what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from openai.types.responses import ResponsesServerEvent
from pydantic import TypeAdapter
from websockets.asyncio.client import ClientConnection

from tests.unit.gateway.http.conftest import Site

Event = dict[str, Any]
_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponsesServerEvent)
ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


class Caller:
    """Sends messages and reads events; every event is one of OpenAI's types."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, message: object) -> None:
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def create(self, input: object = "hello", **fields: object) -> None:
        await self.say({"type": "response.create", "model": "demo", "input": input, **fields})

    async def steer(self, response_id: object, input: object) -> None:
        message = {"type": "response.steer", "previous_response_id": response_id, "input": input}
        await self.say(message)

    async def next(self) -> Event:
        text = await asyncio.wait_for(self.socket.recv(), 5)
        assert isinstance(text, str)
        event: Event = json.loads(text)
        _EVENTS.validate_python(_typed(event))
        return event

    async def until(self, *kinds: str) -> list[Event]:
        """The events up to the first one of these kinds; to the end of a response, if none."""
        events = [await self.next()]
        while events[-1]["type"] not in (kinds or ENDS):
            events.append(await self.next())
        return events

    async def answer(self, input: object = "hello", **fields: object) -> Event:
        """The response to a message; or the error, as it is told."""
        await self.create(input, **fields)
        last = (await self.until())[-1]
        told: Event = last if last["type"] == "error" else last["response"]
        return told


def _typed(event: Event) -> Event:
    """Words that were refused are given back as they came, which may have been of no type."""
    if event["type"] != "response.steer.failed":
        return event
    return {**event, "steer": {**event["steer"], "input": "refused"}}


@asynccontextmanager
async def calling(site: Site) -> AsyncIterator[Caller]:
    async with site.socket() as socket:
        yield Caller(socket)


def text(response: Event) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )
