"""What a protocol says of a turn comes from the turn's events alone."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from services.gateway.api import Completed, Failed, Started, TextDelta, TurnEvent
from services.gateway.http.app import PROTOCOLS
from services.gateway.http.presenting import PresentedTurn, Presenter
from services.gateway.http.sse import frame
from services.gateway.http.turns import TurnProtocol
from services.shared.errors import Unavailable
from tests.unit.gateway.http.played import PlayedFront, playing, turn
from tests.unit.gateway.http.test_turns import BODIES, EVERY, TOY

FAILED = [*turn()[:7], Failed.with_error(Unavailable("no engine is left", retry_after="2"))]
each_presenter = pytest.mark.parametrize(
    "make", [protocol.presenter for protocol in EVERY], ids=[each.path for each in EVERY]
)
each_turn = pytest.mark.parametrize(
    "events",
    [turn('{"include_usage": true, "temperature": 0.5}'), FAILED, FAILED[-1:]],
    ids=["whole", "failed", "not started"],
)


def presented(make: Callable[[], Presenter], events: Sequence[TurnEvent]) -> list[bytes]:
    presenter = make()
    return [frame(shown) for event in events for shown in presenter.present(event)]


@each_presenter
@each_turn
def test_presenting_again_gives_the_same_bytes(
    make: Callable[[], Presenter], events: list[TurnEvent]
) -> None:
    first = presented(make, events)
    assert first
    assert presented(make, events) == first


@each_presenter
def test_who_comes_later_reads_what_is_missing(make: Callable[[], Presenter]) -> None:
    """A resumed stream presents everything, and leaves out what the reader has seen."""
    whole = presented(make, turn())
    for seen in range(len(turn())):
        before = presented(make, turn()[:seen])
        assert whole[: len(before)] == before


@each_presenter
def test_two_turns_beside_each_other_do_not_mix(make: Callable[[], Presenter]) -> None:
    one, other = make(), make()
    both = [(one.present(event), other.present(event)) for event in turn()]
    assert [shown for shown, _ in both] == [shown for _, shown in both]
    assert [frame(each) for shown, _ in both for each in shown] == presented(make, turn())


@pytest.mark.parametrize("protocol", EVERY, ids=lambda protocol: protocol.path)
async def test_what_was_streamed_is_presented_again_without_the_request(
    protocol: TurnProtocol,
) -> None:
    """All that a presenter needs of the request stands in the turn's first event."""
    asked = PlayedFront(turn())
    body = {**BODIES[protocol.path], "stream": True}
    if protocol is PROTOCOLS[0]:
        body["stream_options"] = {"include_usage": True}
    if protocol is PROTOCOLS[1]:
        body["instructions"] = "Be kind."
    async with playing(asked, EVERY) as http:
        await http.post(protocol.path, json=body)
    (ask,) = asked.asks
    front = PlayedFront(turn(ask.echo))
    async with playing(front, EVERY) as http:
        streamed = await http.post(protocol.path, json=body)
    again = presented(protocol.presenter, turn(ask.echo))
    assert streamed.content == b"".join(again) + b"data: [DONE]\n\n"
    if protocol is not TOY:
        assert again != presented(protocol.presenter, turn())


@each_presenter
def test_deltas_carry_all_the_text(make: Callable[[], Presenter]) -> None:
    words = [event.text for event in turn() if isinstance(event, TextDelta)]
    shown = b"".join(presented(make, turn())).decode()
    places = [shown.index(f'"{word}"') for word in words]
    assert places == sorted(places)


async def test_a_presented_turn_is_left_once_it_is_closed() -> None:
    front = PlayedFront(turn(), pause_before=2)
    reading = PresentedTurn(front.respond(None), TOY.presenter())  # type: ignore[arg-type]
    await reading.begin()
    assert await anext(reading) == ()
    await asyncio.wait_for(reading.aclose(), 5)
    assert front.left.is_set()


async def test_who_waits_for_the_second_event_can_leave() -> None:
    front = PlayedFront(turn(), pause_before=1)
    reading = PresentedTurn(front.respond(None), TOY.presenter())  # type: ignore[arg-type]
    await reading.begin()
    await reading.go_on(0, asyncio.Event())
    await asyncio.wait_for(reading.aclose(), 5)
    assert front.left.is_set()


async def test_a_turn_that_is_held_is_not_waited_for() -> None:
    held = asyncio.Event()
    front = PlayedFront(turn(), pause_before=1)
    reading = PresentedTurn(front.respond(None), TOY.presenter())  # type: ignore[arg-type]
    await reading.begin()
    held.set()
    await asyncio.wait_for(reading.go_on(3600, held), 5)
    await reading.aclose()


async def test_waiting_for_the_second_event_loses_none() -> None:
    reading = PresentedTurn(PlayedFront(turn()).respond(None), TOY.presenter())  # type: ignore[arg-type]
    await reading.begin()
    await reading.go_on(5, asyncio.Event())
    words = [shown["text"] async for each in reading for shown in each if "text" in shown]
    assert words == ["It", " is ", "42."]


def test_the_turn_of_these_tests_has_the_first_and_the_last_event() -> None:
    assert isinstance(turn()[0], Started)
    assert isinstance(turn()[-1], Completed)
