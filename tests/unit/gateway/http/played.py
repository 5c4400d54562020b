"""Turns that a test has written down, behind the real HTTP application."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import httpx
from prometheus_client import CollectorRegistry

from services.gateway.api import (
    ArgumentsDelta,
    Ask,
    CallStarted,
    ChoiceEnded,
    Completed,
    Finish,
    ItemDone,
    Numbered,
    ReasoningDelta,
    Response,
    Started,
    Status,
    TextDelta,
    TurnEvent,
)
from services.gateway.front import Front
from services.gateway.http.app import PROTOCOLS, application
from services.gateway.http.server import serving_http
from services.gateway.http.turns import TurnProtocol
from services.inference.api import TokenLogprob, Usage
from services.shared.conversation import (
    Call,
    CallOutcome,
    Reasoning,
    Role,
    RunBy,
    Text,
    said,
)
from services.shared.tracing import Tracer

_THOUGHT = Reasoning("rs_1", "twice 21")
_OWN = Call("mcp_1", "call_1", "double", '{"n": 21}', run_by=RunBy.MESH)
_OWN_RUN = Call(
    "mcp_1",
    "call_1",
    "double",
    '{"n": 21}',
    run_by=RunBy.MESH,
    outcome=CallOutcome((Text("42"),)),
)
_SAID = said("msg_1", Role.ASSISTANT, "It is 42.")
_CALL = Call("fc_1", "call_2", "tell", '{"who": "Ada"}')


def started(echo: str = "") -> Started:
    return Started("resp_1", 1_700_000_000_000, "demo", echo=echo)


def ended(status: Status = Status.COMPLETED, echo: str = "") -> Completed:
    response = Response(
        id="resp_1",
        model="demo",
        previous_response_id="",
        created_at_ms=1_700_000_000_000,
        completed_at_ms=1_700_000_001_000,
        status=status,
        output=(_THOUGHT, _OWN_RUN, _SAID, _CALL),
        usage=Usage(10, 4, 7, 2),
        echo=echo,
    )
    return Completed(response)


def turn(echo: str = "") -> list[TurnEvent]:
    """A turn with one event of every kind, and more of some."""
    logprob = TokenLogprob(1, "It", -0.5, (TokenLogprob(1, "It", -0.5),))
    return [
        started(echo),
        ReasoningDelta(0, "rs_1", "twice 21"),
        ItemDone(0, _THOUGHT),
        CallStarted(0, _OWN),
        ItemDone(0, _OWN_RUN),
        TextDelta(0, "msg_1", "It", (logprob,)),
        TextDelta(0, "msg_1", " is "),
        TextDelta(0, "msg_1", "42."),
        ItemDone(0, _SAID),
        CallStarted(0, Call("fc_1", "call_2", "tell", "")),
        ArgumentsDelta(0, "fc_1", '{"who": '),
        ArgumentsDelta(0, "fc_1", '"Ada"}'),
        ItemDone(0, _CALL),
        ChoiceEnded(0, Finish.FUNCTION_CALLS),
        ended(echo=echo),
    ]


class PlayedFront:
    """`Front` and `KeySession` in one: plays the events to whoever asks for whatever."""

    def __init__(
        self,
        events: Sequence[TurnEvent],
        *,
        pause_before: int = -1,
        failure: Exception | None = None,
    ) -> None:
        self.events = events
        self._pause_before = pause_before
        # What reading the events fails with, after the last of them.
        self.failure = failure
        self.asks: list[Ask] = []
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()

    async def session(self, api_key: str) -> "PlayedFront":
        return self

    def not_ready(self) -> str:
        return ""

    def lacking(self) -> str:
        return ""

    async def respond(self, ask: Ask) -> AsyncGenerator[Numbered, None]:
        self.asks.append(ask)
        try:
            for number, event in enumerate(self.events):
                if number == self._pause_before:
                    self.paused.set()
                    await self.go_on.wait()
                yield Numbered(number, event)
            if self.failure:
                raise self.failure
        finally:
            self.left.set()


@asynccontextmanager
async def playing(
    front: PlayedFront,
    protocols: Sequence[TurnProtocol] = PROTOCOLS,
    *,
    cors_origins: Sequence[str] = ("*",),
) -> AsyncIterator[httpx.AsyncClient]:
    app = application(
        cast("Front", front),
        CollectorRegistry(),
        Tracer("test", otlp_endpoint="", sample_ratio=0),
        version="0",
        max_body_bytes=200_000,
        body_seconds=5,
        cors_origins=cors_origins,
        protocols=protocols,
    )
    async with (
        serving_http(app, "127.0.0.1:0") as server,
        httpx.AsyncClient(
            base_url=server.url, headers={"authorization": "Bearer x"}, trust_env=False
        ) as http,
    ):
        yield http
