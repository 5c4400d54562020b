"""How the HTTP endpoint leaves."""

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from services.gateway.http.server import serving_http
from services.shared.server import PortTaken


class Slow:
    """Answers when it is allowed to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def test_what_runs_has_the_grace_to_end_and_nothing_more_comes_in() -> None:
    app = Slow()
    async with serving_http(app, "127.0.0.1:0") as server, httpx.AsyncClient() as http:
        asking = asyncio.create_task(http.get(server.url))
        await asyncio.wait_for(app.asked.wait(), 5)
        stopping = asyncio.create_task(server.stop(grace=30))
        async with asyncio.timeout(5):
            while True:
                try:
                    _, writer = await asyncio.open_connection(*server.url[7:].split(":"))
                except ConnectionError:
                    break
                writer.close()
        assert not stopping.done()
        app.go_on.set()
        assert (await asyncio.wait_for(asking, 5)).status_code == 204
        await asyncio.wait_for(stopping, 5)


async def test_what_still_runs_after_the_grace_is_cancelled() -> None:
    app = Slow()
    async with serving_http(app, "127.0.0.1:0") as server, httpx.AsyncClient() as http:
        asking = asyncio.create_task(http.get(server.url))
        await asyncio.wait_for(app.asked.wait(), 5)
        await asyncio.wait_for(server.stop(grace=0), 5)
        assert app.cancelled
        assert (await asyncio.wait_for(asking, 5)).status_code == 500


async def test_a_port_that_is_taken_is_told() -> None:
    async with serving_http(Slow(), "127.0.0.1:0") as server:
        with pytest.raises(PortTaken, match="cannot be listened on"):
            async with serving_http(Slow(), server.url.removeprefix("http://")):
                pass
