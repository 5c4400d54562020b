"""Server-sent events: how a turn that is presented travels over HTTP."""

import asyncio
from contextlib import aclosing

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.api import TurnMoved
from services.gateway.http.leaving import left
from services.gateway.http.presenting import JsonObject, PresentedTurn
from services.shared.background import end

# Proxies close a connection on which nothing is sent for long. So a comment is sent in a pause;
# clients skip comments. Seconds.
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": waiting\n\n"
_DONE = b"data: [DONE]\n\n"
# A reader who does not even take a comment within this time is treated as gone. Seconds.
_STALL_SECONDS = 60.0


def frame(shown: JsonObject) -> bytes:
    """An object as one event. Its `type`, where the protocol gives it one, is the event's name."""
    body = orjson.dumps(shown)
    if kind := shown.get("type"):
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), body)
    return b"data: %b\n\n" % body


class EventStream(Response):
    """Sends a turn's events until the turn ends or the reader leaves, and closes it.

    An event is never split: some readers lose one whose blank line comes in another piece. The
    stream of a turn that goes to another gateway breaks off without its end, as when a gateway has
    died: nobody takes it for the whole.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        turn: PresentedTurn,
        *,
        heartbeat_seconds: float = _HEARTBEAT_SECONDS,
        stall_seconds: float = _STALL_SECONDS,
    ) -> None:
        super().__init__(
            headers={"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._turn = turn
        self._heartbeat_seconds = heartbeat_seconds
        self._stall_seconds = stall_seconds
        # How many pieces of the turn were sent.
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        async with aclosing(self._turn):
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            try:
                whole = await self._send_until_left(receive, send)
            except TurnMoved:
                whole = False
        if whole:
            await send({"type": "http.response.body", "body": b""})

    async def _send_until_left(self, receive: Receive, send: Send) -> bool:
        """Returns whether all was sent: false when the reader has left or takes nothing."""
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(left(receive))
        try:
            await self._until_either(sending, leaving, send)
            if sending.done():
                sending.result()
            return sending.done() and not leaving.done()
        finally:
            await end(sending, leaving)

    async def _until_either(
        self, sending: asyncio.Task[None], leaving: asyncio.Task[None], send: Send
    ) -> None:
        """Waits until one of the two has ended, and sends a comment in every long pause.

        The comment also tells whether the reader still takes anything: if not, this returns.
        """
        while True:
            sent = self._sent
            done, _ = await asyncio.wait(
                (sending, leaving),
                timeout=self._heartbeat_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return
            if sent == self._sent:
                try:
                    async with asyncio.timeout(self._stall_seconds):
                        await _send(send, _HEARTBEAT)
                except TimeoutError:
                    return

    async def _send_all(self, send: Send) -> None:
        async for shown in self._turn:
            if shown:
                await _send(send, b"".join(map(frame, shown)))
                self._sent += 1
        await _send(send, _DONE)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
