"""A gateway that is told to stop: which of its turns go on in another one, and who hears of it."""

import asyncio
import math
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

import pytest

from services.gateway.api import Ask, Failed, Numbered, Once, TurnMoved
from services.gateway.live_turns import LiveTurns
from tests.contract.test_gateways_together import (
    ALONE,
    HELLO,
    Opened,
    Two,
    around,
    begun,
    check_unbroken,
    opened,
    redis_servers,
)
from tests.fakes.gateways import ADA, eventually

__all__ = ["around", "opened", "redis_servers"]
AGAIN = replace(HELLO, once=Once("key", b"digest"))


async def read_until_moved(live: LiveTurns, response_id: str, into: list[Numbered]) -> None:
    """Raises what the reading ends with."""
    async with asyncio.timeout(20), aclosing(live.read(response_id)) as events:
        async for numbered in events:
            into += [numbered]


@dataclass(slots=True)
class Reading:
    """A turn, what its reader has seen, and the reader."""

    response_id: str
    seen: list[Numbered]
    task: asyncio.Task[None]


async def read_where_it_runs(two: Two, ask: Ask) -> Reading:
    """Returns when the engine waits before a word."""
    response_id = await two.first.live.start(ADA, ask)
    seen: list[Numbered] = []
    task = asyncio.create_task(read_until_moved(two.first.live, response_id, seen))
    await asyncio.wait_for(two.first.engine.paused.wait(), 10)
    return Reading(response_id, seen, task)


@pytest.mark.parametrize("ask", [HELLO, AGAIN, replace(AGAIN, steerable=False)])
async def test_a_turn_that_is_waited_for_is_handed_over(ask: Ask, opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    reading = await read_where_it_runs(two, ask)
    await two.first.live.stop(grace=0)
    with pytest.raises(TurnMoved):
        await reading.task
    assert two.first.admission.under_way == 0
    last = reading.seen[-1].number
    coming = asyncio.create_task(two.second.read(reading.response_id, after=last))
    await eventually(partial(two.second.elsewhere.attended, reading.response_id))
    await two.second.takeover.look()  # at once, without waiting for the lease
    check_unbroken([*reading.seen, *await coming], 60)
    assert two.second.engine.written < 60, "what was written is not written again"
    (entry,) = two.around.ledger.entries
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == (2, 60)


@pytest.mark.parametrize("ask", [replace(HELLO, steerable=False), replace(HELLO, store=False)])
async def test_what_nobody_can_come_again_for_ends_with_an_error(ask: Ask, opened: Opened) -> None:
    """Such as a chat completion, whose caller knows no id to come with."""
    two = await opened.two(60, pause_before=25)
    reading = await read_where_it_runs(two, ask)
    await two.first.live.stop(grace=0)
    await reading.task
    assert isinstance(failed := reading.seen[-1].event, Failed)
    assert failed.reason == "gateway.TurnStopped"
    await two.second.takeover.look()
    assert two.second.admission.under_way == 0
    assert len(two.around.ledger.entries) == 1


async def test_a_reader_that_is_cut_off_before_it_hears_of_it_stops_no_turn(opened: Opened) -> None:
    """As where the server cuts connections at the same moment."""
    two = await opened.two(60, pause_before=25)
    reading = await read_where_it_runs(two, HELLO)
    stopping = asyncio.create_task(two.first.live.stop(grace=0))
    await asyncio.sleep(0)
    reading.task.cancel()
    await asyncio.wait([stopping, reading.task])
    coming = asyncio.create_task(two.second.read(reading.response_id))
    await eventually(partial(two.second.elsewhere.attended, reading.response_id))
    await two.second.takeover.look()
    check_unbroken(await coming, 60)


async def test_a_gateway_that_stops_takes_nothing_over(opened: Opened) -> None:
    """Not its own turns either, which it has just let go."""
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, ALONE)
    await two.first.live.stop(grace=0)
    await two.first.takeover.look()
    assert two.first.admission.under_way == 0
    await two.second.takeover.look()
    check_unbroken(await two.second.read(response_id), 60)


async def test_a_reader_of_a_turn_that_runs_elsewhere_is_sent_there(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, ALONE)
    seen: list[Numbered] = []
    reading = asyncio.create_task(read_until_moved(two.second.live, response_id, seen))
    await eventually(partial(two.first.elsewhere.attended, response_id))
    await two.second.live.stop(grace=0)
    with pytest.raises(TurnMoved):
        await reading
    two.first.engine.go_on.set()
    check_unbroken(await two.first.read(response_id), 60)


async def test_who_reads_is_told_though_redis_is_lost(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    reading = await read_where_it_runs(two, HELLO)
    two.first.store._lost_until = math.inf
    await two.first.live.stop(grace=0)
    await asyncio.wait([reading.task])
    # It may have been found before that the turn is here alone.
    moved = isinstance(reading.task.exception(), TurnMoved)
    assert moved or isinstance(reading.seen[-1].event, Failed)
