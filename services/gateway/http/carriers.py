"""How a turn travels over HTTP: watched for callers who leave, in events that are never split."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.api import Started, TurnEvent
from services.gateway.http.errors import Failure, failure

Result = TypeVar("Result")

# Proxies drop what is silent for long; a comment is nothing to an SSE client. Seconds.
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": waiting\n\n"
_DONE = b"data: [DONE]\n\n"
# A reader that takes nothing for so long is gone. Seconds.
_STALL_SECONDS = 60.0


async def unless_left(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the caller hangs up first."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request.receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        await _end(working, leaving)


async def started(request: Request, events: AsyncGenerator[TurnEvent, None]) -> Started:
    """The turn's first event; what fails before it still has a status line."""

    async def first() -> TurnEvent:
        return await anext(events)

    event = await unless_left(request, first())
    assert isinstance(event, Started)
    return event


class EventStream(Response):
    """Server-sent events, each one `send`, until they end or the reader leaves.

    A failure on the way is told by what `on_failure` makes of it, the status line having left.
    """

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncGenerator[bytes, None], on_failure: Callable[[Failure], bytes]
    ) -> None:
        super().__init__(
            headers={"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._events = events
        self._on_failure = on_failure
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await self._beat(sending, leaving, send)
        finally:
            await _end(sending, leaving)
            await self._events.aclose()
        if not leaving.done() or leaving.cancelled():
            await send({"type": "http.response.body", "body": b""})

    async def _beat(
        self, sending: asyncio.Task[None], leaving: asyncio.Task[None], send: Send
    ) -> None:
        """Waits for the first of the two, and lets nobody think that the silence is for ever."""
        while True:
            sent = self._sent
            done, _ = await asyncio.wait(
                (sending, leaving),
                timeout=_HEARTBEAT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if sending in done:
                sending.result()
            if done:
                return
            if sent == self._sent:
                await self._send(send, _HEARTBEAT)

    async def _send_all(self, send: Send) -> None:
        async for event in self._events_and_failure():
            await self._send(send, event)
        await self._send(send, _DONE)

    async def _events_and_failure(self) -> AsyncGenerator[bytes, None]:
        try:
            async for event in self._events:
                yield event
        except Exception as error:  # noqa: BLE001 - here a failure leaves the mesh
            told = self._on_failure(failure(error))
        else:
            return
        yield told

    async def _send(self, send: Send, event: bytes) -> None:
        async with asyncio.timeout(_STALL_SECONDS):
            await send({"type": "http.response.body", "body": event, "more_body": True})
        self._sent += 1


async def _left(receive: Receive) -> None:
    """Returns when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
