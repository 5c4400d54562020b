"""How a presented turn is sent: in whole events, with comments in pauses, until somebody leaves."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

import pytest

from services.gateway.api import Numbered, TurnMoved
from services.gateway.http.presenting import PresentedTurn, Presenter
from services.gateway.http.responses.events import ResponsesPresenter
from services.gateway.http.sse import EventStream, frame
from tests.unit.gateway.http.played import PlayedFront, turn
from tests.unit.gateway.http.toy.events import ToyPresenter

DONE = b"data: [DONE]\n\n"


class Reader:
    """The other side of the connection: takes what is sent until `stalls`, and may leave."""

    def __init__(self, *, takes: int = 1000) -> None:
        self.pieces: list[bytes] = []
        self.took = asyncio.Event()
        self.left = asyncio.Event()
        self.ended = False
        self._takes = takes

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] != "http.response.body":
            return
        if not message.get("more_body"):
            self.ended = True
            return
        if len(self.pieces) >= self._takes:
            await asyncio.Event().wait()
        self.pieces.append(message["body"])
        self.took.set()

    async def receive(self) -> MutableMapping[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}


async def stream(front: PlayedFront, **seconds: float) -> EventStream:
    reading = PresentedTurn(front.respond(None), ToyPresenter())  # type: ignore[arg-type]
    await reading.begin()
    return EventStream(reading, **seconds)


def test_an_object_with_a_type_names_its_event_by_it() -> None:
    assert frame({"type": "word", "text": "é"}) == (
        'event: word\ndata: {"type":"word","text":"é"}\n\n'.encode()
    )
    assert frame({"choices": []}) == b'data: {"choices":[]}\n\n'


async def test_every_piece_is_of_whole_events_and_the_last_says_done() -> None:
    reader, front = Reader(), PlayedFront(turn())
    await (await stream(front))({}, reader.receive, reader.send)
    assert all(piece.endswith(b"\n\n") for piece in reader.pieces)
    assert len(reader.pieces) == 3 + 1 + 1
    assert (reader.pieces[-1], reader.ended, front.left.is_set()) == (DONE, True, True)


async def test_a_long_pause_is_filled_with_comments() -> None:
    reader, front = Reader(), PlayedFront(turn(), pause_before=7)
    sent = await stream(front, heartbeat_seconds=0.001)
    sending = asyncio.create_task(sent({}, reader.receive, reader.send))
    async with asyncio.timeout(5):
        while reader.pieces.count(b": waiting\n\n") < 2:
            reader.took.clear()
            await reader.took.wait()
        front.go_on.set()
        await sending
    told = [piece for piece in reader.pieces if not piece.startswith(b":")]
    assert [piece.partition(b"\n")[0] for piece in told[:-1]] == [
        *[b"event: word"] * 3,
        b"event: end",
    ]
    assert told[-1] == DONE


async def test_a_reader_who_leaves_ends_it() -> None:
    reader, front = Reader(), PlayedFront(turn(), pause_before=7)
    sending = asyncio.create_task((await stream(front))({}, reader.receive, reader.send))
    await asyncio.wait_for(front.paused.wait(), 5)
    reader.left.set()
    await asyncio.wait_for(sending, 5)
    assert (front.left.is_set(), reader.ended) == (True, False)


@pytest.mark.parametrize("takes", [0, 2])
async def test_a_reader_who_takes_nothing_is_treated_as_gone(takes: int) -> None:
    reader, front = Reader(takes=takes), PlayedFront(turn())
    sent = await stream(front, heartbeat_seconds=0.001, stall_seconds=0.001)
    await asyncio.wait_for(sent({}, reader.receive, reader.send), 5)
    assert len(reader.pieces) == takes
    assert (front.left.is_set(), reader.ended) == (True, False)


async def test_a_connection_that_breaks_at_once_leaves_the_turn() -> None:
    async def broken(message: MutableMapping[str, Any]) -> None:
        raise OSError("broken")

    front = PlayedFront(turn())
    sent = await stream(front)
    with pytest.raises(OSError, match="broken"):
        await sent({}, Reader().receive, broken)
    assert front.left.is_set()


async def moved_after(count: int) -> AsyncGenerator[Numbered, None]:
    for number, event in enumerate(turn()[:count]):
        yield Numbered(number, event)
    raise TurnMoved("another gateway goes on with this response")


async def sent_of(presenter: Presenter) -> Reader:
    reader, reading = Reader(), PresentedTurn(moved_after(5), presenter)
    await reading.begin()
    await EventStream(reading)({}, reader.receive, reader.send)
    return reader


async def test_a_turn_that_moves_breaks_its_stream_off_where_it_can_be_read_on() -> None:
    """It is not ended: nobody takes it for the whole."""
    reader = await sent_of(ResponsesPresenter())
    assert reader.pieces
    assert not reader.ended
    sent = b"".join(reader.pieces)
    assert b"event: error" not in sent
    assert b"event: response.failed" not in sent
    assert reader.pieces[-1] != DONE


async def test_a_turn_that_moves_ends_with_an_error_where_nobody_can_read_on() -> None:
    reader = await sent_of(ToyPresenter())
    assert b"another gateway goes on" in reader.pieces[-2]
    assert (reader.pieces[-1], reader.ended) == (DONE, True)
