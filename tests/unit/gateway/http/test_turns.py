"""A turn over HTTP in any protocol; a toy one shows what adding a protocol takes.

Files of the toy: `toy/request.py` and `toy/events.py`, and the one line `TOY` below. For a real
protocol that line stands in `PROTOCOLS` in `http/app.py`. No other file knows of the toy.
"""

import asyncio
import json
from typing import Any

import pytest

from services.gateway.api import (
    EventsGone,
    Failed,
    InputBlocked,
    InvalidRequest,
    TextDelta,
    TooManyTurns,
    TurnEvent,
    TurnStopped,
)
from services.gateway.http.app import PROTOCOLS
from services.gateway.http.turns import TurnProtocol
from services.inference.api import QueueFull, UnsupportedParameter
from services.shared.errors import InternalError, MeshError, Unavailable
from tests.unit.gateway.http.played import PlayedFront, playing, turn
from tests.unit.gateway.http.toy.events import ToyPresenter
from tests.unit.gateway.http.toy.request import ToyRequest

TOY = TurnProtocol("/v1/toy", ToyRequest, ToyPresenter)
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "demo", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses": {"model": "demo", "input": "hi"},
    "/v1/toy": {"question": "hi"},
}
EVERY = (*PROTOCOLS, TOY)
each_protocol = pytest.mark.parametrize("path", [protocol.path for protocol in EVERY])


async def test_a_third_protocol_streams() -> None:
    front = PlayedFront(turn())
    async with playing(front, EVERY) as http:
        got = await http.post(TOY.path, json={"question": "what?", "stream": True})
    assert got.text == (
        'event: word\ndata: {"type":"word","number":1,"text":"It"}\n\n'
        'event: word\ndata: {"type":"word","number":2,"text":" is "}\n\n'
        'event: word\ndata: {"type":"word","number":3,"text":"42."}\n\n'
        'event: end\ndata: {"type":"end","number":4}\n\n'
        "data: [DONE]\n\n"
    )
    assert front.asks[0].input[0].text == "what?"  # type: ignore[union-attr]


async def test_a_third_protocol_answers_at_once() -> None:
    async with playing(PlayedFront(turn()), EVERY) as http:
        got = await http.post(TOY.path, json={"question": "what?"})
        described = (await http.get("/openapi.json")).json()["paths"][TOY.path]["post"]
    assert got.json() == {"answer": "It is 42."}
    assert "question" in json.dumps(described) or "ToyRequest" in json.dumps(described)


async def test_a_third_protocol_is_guarded_and_checked_as_the_others() -> None:
    async with playing(PlayedFront([]), EVERY) as http:
        stranger = await http.post(TOY.path, json={}, headers={"authorization": ""})
        wrong = await http.post(TOY.path, json={})
    assert stranger.status_code == 401
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "question")


async def test_a_failure_names_the_field_by_the_callers_name() -> None:
    async with playing(PlayedFront([Failed.with_error(_wrong())]), EVERY) as http:
        got = [await http.post(path, json=body) for path, body in BODIES.items()]
    errors = [each.json()["error"] for each in got]
    assert [error["param"] for error in errors] == ["messages[0]", "input", "question"]
    assert [error["message"].partition(":")[0] for error in errors] == [
        *("messages[0]", "input", "question"),
    ]


@pytest.mark.parametrize(
    ("param", "fields"),
    [("format", ["response_format", "text.format"]), ("tools", ["tools", "tools"])],
)
async def test_a_schema_that_cannot_be_kept_is_told_by_field_and_keyword(
    param: str, fields: list[str]
) -> None:
    unkept = UnsupportedParameter("the schema has `not`, which no grammar keeps", param=param)
    async with playing(PlayedFront([Failed.with_error(unkept)]), EVERY) as http:
        got = [await http.post(path, json=body) for path, body in BODIES.items()][:2]
    assert [each.status_code for each in got] == [400, 400]
    assert [each.json()["error"]["param"] for each in got] == fields
    assert [each.json()["error"]["message"] for each in got] == [
        f"{field}: the schema has `not`, which no grammar keeps" for field in fields
    ]


def _wrong() -> MeshError:
    return InvalidRequest("is wrong", param="input[0]")


FAILURES = [
    (InputBlocked("blocked", category="violence"), 400, "content_policy_violation"),
    (TooManyTurns("too many", retry_after="2"), 429, "rate_limit_exceeded"),
    (TurnStopped("stopped"), 409, "turn_stopped"),
    (EventsGone("gone"), 410, "events_gone"),
    (InternalError("internal error"), 500, "internal_error"),
]


@each_protocol
@pytest.mark.parametrize("stream", [True, False])
async def test_what_fails_before_the_first_event_has_a_status(path: str, stream: bool) -> None:
    """Whether the turn says so in its first event, or its reading raises it."""
    front = PlayedFront([])
    async with playing(front, EVERY) as http:
        for error, status, code in FAILURES:
            for events, failure in (([Failed.with_error(error)], None), ([], error)):
                front.left.clear()
                front.events, front.failure = events, failure
                got = await http.post(path, json={**BODIES[path], "stream": stream})
                assert (got.status_code, got.json()["error"]["code"]) == (status, code)
                assert front.left.is_set()


async def test_clients_are_told_not_to_ask_again_for_what_was_stopped() -> None:
    """OpenAI's SDKs try a 409 again by themselves, and the turn was stopped on purpose."""
    async with playing(PlayedFront([Failed.with_error(TurnStopped("stopped"))])) as http:
        got = await http.post("/v1/responses", json=BODIES["/v1/responses"])
    assert got.headers["x-should-retry"] == "false"


@each_protocol
@pytest.mark.parametrize("raised", [True, False])
async def test_what_fails_before_the_first_word_has_its_status_in_a_stream(
    path: str, raised: bool
) -> None:
    full = QueueFull("9 generations wait", retry_after="4")
    events = turn()[:1] if raised else [*turn()[:1], Failed.with_error(full)]
    front = PlayedFront(events, failure=full if raised else None)
    async with playing(front, EVERY) as http:
        got = await http.post(path, json={**BODIES[path], "stream": True})
    assert (got.status_code, got.headers["retry-after"]) == (503, "4")
    assert got.json()["error"]["code"] == "overloaded"
    assert front.left.is_set()


@each_protocol
async def test_a_turn_that_says_nothing_yet_has_its_status_after_a_second(path: str) -> None:
    front = PlayedFront(turn(), pause_before=1)
    async with (
        playing(front, EVERY) as http,
        asyncio.timeout(5),
        http.stream("POST", path, json={**BODIES[path], "stream": True}) as got,
    ):
        assert got.status_code == 200
        front.go_on.set()
        assert (await got.aread()).endswith(b"data: [DONE]\n\n")


@each_protocol
async def test_what_fails_later_fails_an_answer_at_once_by_its_status(path: str) -> None:
    late = Failed.with_error(Unavailable("no engine", retry_after="3"))
    front = PlayedFront([*turn()[:6], late])
    async with playing(front, EVERY) as http:
        got = await http.post(path, json=BODIES[path])
    assert (got.status_code, got.headers["retry-after"]) == (503, "3")
    assert front.left.is_set()


@each_protocol
async def test_what_fails_later_is_told_in_the_stream(path: str) -> None:
    """The turn says it in its last event, or its reading fails: the caller reads the same."""
    error = Unavailable("no engine is left")
    body = {**BODIES[path], "stream": True}
    front = PlayedFront([*turn()[:6], Failed.with_error(error)])
    async with playing(front, EVERY) as http:
        told = await http.post(path, json=body)
        front.left.clear()
        front.events, front.failure = turn()[:6], error
        raised = await http.post(path, json=body)
    assert front.left.is_set()
    assert told.text == raised.text
    assert "no engine is left" in told.text
    assert told.text.endswith("\n\ndata: [DONE]\n\n")


@each_protocol
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "pause_before", [0, 1, 7], ids=["before the first event", "before a word", "in the turn"]
)
async def test_hanging_up_leaves_the_turn(path: str, stream: bool, pause_before: int) -> None:
    front = PlayedFront(turn(), pause_before=pause_before)
    async with playing(front, EVERY) as http:
        body = {**BODIES[path], "stream": stream}
        asking = asyncio.create_task(http.post(path, json=body, timeout=30))
        await asyncio.wait_for(front.paused.wait(), 5)
        asking.cancel()
        await asyncio.wait_for(front.left.wait(), 5)


@each_protocol
async def test_a_stream_begins_with_the_first_event(path: str) -> None:
    """Nobody waits for the end: what is there is sent."""
    events: list[TurnEvent] = turn()
    assert isinstance(events[6], TextDelta)
    front = PlayedFront(events, pause_before=6)
    async with (
        playing(front, EVERY) as http,
        http.stream("POST", path, json={**BODIES[path], "stream": True}) as got,
    ):
        pieces = got.aiter_raw()
        read = b""
        async with asyncio.timeout(5):
            while b'"It"' not in read:
                read += await anext(pieces)
        assert front.paused.is_set() or await asyncio.wait_for(front.paused.wait(), 5)
        front.go_on.set()
        rest = [piece async for piece in pieces]
    assert b"".join(rest).endswith(b"data: [DONE]\n\n")
