"""However and wherever a turn ends: its place is given back, its bill is written, all is idle."""

import asyncio
import gc
from dataclasses import replace
from itertools import count

import pytest

from services.gateway.api import Ask, Completed, Failed, OwnTools, TurnEvent
from services.gateway.guard import OutputModeration
from services.gateway.reply import TurnProgress
from services.inference.api import Piece, QueueFull
from services.shared.conversation import Role, said
from services.shared.errors import Unavailable
from services.shared.tools import Tool
from tests.fakes.mesh import BOUNDS, Script, Surroundings, calls, says, surroundings

HELLO = Ask("demo", (said("msg_0", Role.USER, "my secret, please"),), own_tools=OwnTools())
CITY = Tool("city", "Find a city.", '{"type": "object"}')


async def read(mesh: Surroundings, ask: Ask) -> list[TurnEvent]:
    session = await mesh.front.session(mesh.key)
    return [numbered.event async for numbered in session.respond(ask)]


def check_given_back(mesh: Surroundings) -> int:
    """Says how many tokens the bill has."""
    assert mesh.front.admission.under_way == 0
    assert mesh.inference.running == 0
    assert mesh.moderation.watching == 0
    (entry,) = mesh.accounts.entries
    return entry.usage.completion_tokens


def scripts() -> list[Script]:
    """A turn with every step: a masked input, two own calls, words before and after."""
    doubled = calls(("double", '{"n": 1}'), ("double", '{"n": 2}'), text="Let me see, then. ")
    return [doubled, says("It is 2, ", "and the secret ", "is 4, as you see.")]


@pytest.mark.parametrize("mode", [OutputModeration.BLOCK, OutputModeration.PARALLEL])
async def test_a_reader_that_leaves_at_any_moment(mode: OutputModeration) -> None:
    """Walks through the turn: its reader leaves one step of the event loop later each time."""
    bills = []
    for steps in count():
        async with surroundings(*scripts(), mode=mode) as mesh:
            reading = asyncio.create_task(read(mesh, HELLO))
            for _ in range(steps):
                await asyncio.sleep(0)
            whole = reading.done()
            reading.cancel()
            await asyncio.wait([reading])
            if mesh.accounts.entries or mesh.context.assemblies:
                bills.append(check_given_back(mesh))
            if whole:
                assert isinstance(reading.result()[-1], Completed)
                break
    # That it was really stopped in the middle, often, and with many amounts on the bill.
    assert len(bills) > 25, bills
    assert bills == sorted(bills)
    assert len(set(bills)) > 7


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_a_gateway_that_stops_at_any_moment(steps: int) -> None:
    async with surroundings(*scripts()) as mesh:
        reading = asyncio.create_task(read(mesh, HELLO))
        for _ in range(steps):
            await asyncio.sleep(0)
        await mesh.front.live_turns.stop(grace=0)
        await asyncio.wait([reading])
        assert mesh.front.admission.under_way == 0
        assert mesh.inference.running == mesh.moderation.watching == 0
        assert len(mesh.accounts.entries) == bool(mesh.context.assemblies)


async def test_an_engine_that_fails_in_the_middle() -> None:
    script = Script(says("one ", "two ").pieces[:2], failure=Unavailable("gone"))
    async with surroundings(script) as mesh:
        last = (await read(mesh, HELLO))[-1]
        assert isinstance(last, Failed)
        assert last.reason == "shared.Unavailable"
        assert check_given_back(mesh) == 2


async def test_an_engine_that_takes_nothing_has_used_nothing() -> None:
    async with surroundings(Script((), failure=QueueFull("full", retry_after="2"))) as mesh:
        last = (await read(mesh, HELLO))[-1]
        assert isinstance(last, Failed)
        assert check_given_back(mesh) == 0
        assert mesh.accounts.entries[0].usage.prompt_tokens == 0


async def test_leaving_after_many_tokens_costs_them() -> None:
    """As long as the bill was written at the end of a turn, leaving just before it was free."""
    script = replace(says(*["word "] * 500), pause_before=499)
    async with surroundings(script) as mesh:
        reading = asyncio.create_task(read(mesh, HELLO))
        await asyncio.wait_for(script.paused.wait(), 5)
        reading.cancel()
        await asyncio.wait([reading])
        assert check_given_back(mesh) == 499
        assert mesh.accounts.entries[0].usage.prompt_tokens == 3


async def test_a_record_that_fails() -> None:
    async with surroundings(says("one ", "two ")) as mesh:
        mesh.context.failure = Unavailable("the store is away")
        last = (await read(mesh, HELLO))[-1]
        assert isinstance(last, Failed)
        assert last.message == "the store is away"
        assert check_given_back(mesh) == 2


async def test_a_record_that_fails_by_a_bug() -> None:
    async with surroundings(says("one ", "two ")) as mesh:
        mesh.context.failure = KeyError("the user's own words")
        last = (await read(mesh, HELLO))[-1]
        assert last == Failed("shared.InternalError", "INTERNAL", "internal error")
        assert check_given_back(mesh) == 2


async def test_a_deadline() -> None:
    script = replace(says("one ", "two ", "three"), pause_before=2)
    async with surroundings(script, bounds=replace(BOUNDS, turn_seconds=0.05)) as mesh:
        last = (await read(mesh, HELLO))[-1]
        assert isinstance(last, Failed)
        assert last.status == "DEADLINE_EXCEEDED"
        assert check_given_back(mesh) == 2


async def test_a_turn_of_too_many_events_keeps_what_was_shown_and_runs_no_tool() -> None:
    pieces: list[Piece] = [*says(*["word "] * 200).pieces[:-1]]
    async with surroundings(
        Script(pieces), mode=OutputModeration.OFF, bounds=replace(BOUNDS, event_bytes=5000)
    ) as mesh:
        events = await read(mesh, HELLO)
        assert isinstance(events[-1], Completed)
        response = events[-1].response
        assert response.status.value == "too_many_events"
        (item,) = response.output
        assert 5 < check_given_back(mesh) < 200
        (kept,) = mesh.context.recorded
        assert kept.output == (item,)
        assert mesh.inference.aborted == 1


async def test_a_turn_that_has_ended_is_held_by_nothing() -> None:
    """Not even by the timer that would have stopped it if nobody had come to read it."""
    async with surroundings(says("It is 4.")) as mesh:
        events = await read(mesh, HELLO)
        assert isinstance(completed := events[-1], Completed)
        gc.collect()
        # By their type alone: to ask some objects of torch what they are is a warning.
        turns = [each for each in gc.get_objects() if type(each) is TurnProgress]
        assert completed.response.id not in {each.response_id for each in turns}
