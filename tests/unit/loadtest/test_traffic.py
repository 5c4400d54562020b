"""A client that reads on where its stream broke off."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from loadtest.traffic import follow

Event = Mapping[str, Any]
WORDS: Sequence[Event] = [
    {"type": "response.output_text.delta", "sequence_number": number, "delta": f"w{number} "}
    for number in range(1, 9)
]
CREATED: Event = {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1"}}
COMPLETED: Event = {"type": "response.completed", "sequence_number": 9}
EVENTS = [CREATED, *WORDS, COMPLETED]


class Gateways:
    """They refuse the first of each, break the stream off after so many events, then serve."""

    def __init__(self, cut: int) -> None:
        self._cut = cut
        self.posted = self.read_on = 0

    async def post(self, request: web.Request) -> web.StreamResponse:
        self.posted += 1
        if self.posted == 1:
            return web.Response(status=503)
        return await self._stream(request, EVENTS[: self._cut])

    async def get(self, request: web.Request) -> web.StreamResponse:
        self.read_on += 1
        if self.read_on == 1:
            return web.Response(status=503)
        return await self._stream(request, EVENTS[int(request.query["starting_after"]) + 1 :])

    async def _stream(self, request: web.Request, events: Sequence[Event]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in events:
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        if COMPLETED not in events and request.transport:
            request.transport.close()
        return response


@pytest.fixture
async def gateways() -> AsyncIterator[tuple[Gateways, str]]:
    made = Gateways(cut=4)
    app = web.Application()
    app.router.add_post("/v1/responses", made.post)
    app.router.add_get("/v1/responses/resp_1", made.get)
    async with TestServer(app) as server:
        yield made, str(server.make_url("/v1/responses"))


async def test_every_word_is_read_once(gateways: tuple[Gateways, str]) -> None:
    made, url = gateways
    async with ClientSession() as session:
        turn = await follow(session, url, {}, patience=60)
    assert (turn.words, turn.resumed, turn.broken, turn.refused) == (len(WORDS), 1, "", "")
    assert (made.posted, made.read_on) == (2, 2)


async def test_without_patience_it_says_why(gateways: tuple[Gateways, str]) -> None:
    _, url = gateways
    async with ClientSession() as session:
        turn = await follow(session, url, {}, patience=0)
    assert turn.refused.startswith("Refused: 503")
