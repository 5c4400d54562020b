"""Turns under way: several readers, back-pressure, and who leaves last."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from services.gateway.api import TextDelta, TurnEvent
from services.gateway.journal import LiveTurn


class Source:
    """Writes numbered events as fast as it is let; tells how far it came."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.written = 0
        self.closed = asyncio.Event()

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        try:
            for number in range(self.count):
                self.written += 1
                yield TextDelta(0, "msg", str(number))
                await asyncio.sleep(0)
        finally:
            self.closed.set()


async def test_every_reader_gets_every_event_in_order() -> None:
    turn = LiveTurn(Source(500).events, seconds=30)

    async def read() -> list[str]:
        return [event.text async for event in turn.read()]  # type: ignore[union-attr]

    for texts in await asyncio.gather(read(), read(), read()):
        assert texts == [str(number) for number in range(500)]


async def test_the_writer_does_not_run_far_ahead_of_a_slow_reader() -> None:
    source = Source(10_000)
    turn = LiveTurn(source.events, seconds=30)
    async with aclosing(turn.read()) as events:
        await anext(events)
        for _ in range(2000):
            await asyncio.sleep(0)
        assert source.written < 300
        for _ in range(400):
            await anext(events)
        for _ in range(2000):
            await asyncio.sleep(0)
        assert 400 < source.written < 700


async def test_the_turn_goes_on_for_as_long_as_one_reader_stays() -> None:
    source = Source(1000)
    turn = LiveTurn(source.events, seconds=30)
    async with aclosing(turn.read()) as staying:
        await anext(staying)
        async with aclosing(turn.read()) as leaving:
            await anext(leaving)
        assert [event async for event in staying][-1] == TextDelta(0, "msg", "999")


async def test_the_last_reader_that_leaves_stops_it() -> None:
    source = Source(10_000)
    async with aclosing(LiveTurn(source.events, seconds=30).read()) as events:
        await anext(events)
    assert source.closed.is_set()


async def test_a_failure_reaches_the_reader_after_what_came_before_it() -> None:
    async def failing() -> AsyncGenerator[TurnEvent, None]:
        yield TextDelta(0, "msg", "first")
        raise OSError("broken")

    got: list[TurnEvent] = []

    async def read() -> None:
        async for event in LiveTurn(failing, seconds=30).read():
            got.append(event)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(OSError, match="broken"):
        await read()
    assert got == [TextDelta(0, "msg", "first")]
