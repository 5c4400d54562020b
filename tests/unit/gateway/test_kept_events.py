"""Events are kept a while after a turn's end; what was erased is told by none of them."""

import asyncio
from dataclasses import replace

import pytest

from services.gateway.api import (
    Ask,
    Completed,
    EventsGone,
    Failed,
    Numbered,
    Once,
    Response,
    ResponseNotFound,
    Started,
    TextDelta,
)
from services.gateway.front import KeySession
from services.shared.conversation import Role, said
from services.shared.errors import Unavailable
from tests.fakes.mesh import Script, Surroundings, says, surroundings

HELLO = Ask("demo", (said("", Role.USER, "hello"),), once=Once("k", b"digest"))
BACKGROUND = replace(HELLO, background=True)


async def answered(session: KeySession, ask: Ask) -> Response:
    last = [numbered.event async for numbered in session.respond(ask)][-1]
    assert isinstance(last, Completed)
    return last.response


async def followed(session: KeySession, response_id: str) -> list[Numbered]:
    return [numbered async for numbered in session.follow(response_id)]


async def begun_in(mesh: Surroundings) -> tuple[KeySession, str]:
    session = await mesh.front.session(mesh.key)
    nothing = Ask(model="", input=())
    return session, (await session.create_conversation(nothing, {})).id


async def test_an_erased_response_is_neither_followed_nor_repeated() -> None:
    async with surroundings(says("canary"), says("new")) as mesh:
        session = await mesh.front.session(mesh.key)
        first = await answered(session, HELLO)
        assert await answered(session, HELLO) == first  # the negative control
        await session.delete_response(first.id)
        with pytest.raises(ResponseNotFound):
            await followed(session, first.id)
        again = await answered(session, HELLO)
        assert (again.id != first.id, again.output[-1].text) == (True, "new")  # type: ignore[union-attr]


async def test_what_a_turn_had_said_before_it_was_erased_is_not_told() -> None:
    script = replace(says("canary ", "two"), pause_before=1)
    async with surroundings(script, says("new")) as mesh:
        session = await mesh.front.session(mesh.key)
        reading = session.respond(BACKGROUND)
        started = (await anext(reading)).event
        assert isinstance(started, Started)
        await asyncio.wait_for(script.paused.wait(), 5)
        await session.delete_response(started.response_id)
        await reading.aclose()
        with pytest.raises(ResponseNotFound):
            await followed(session, started.response_id)
        assert (await answered(session, BACKGROUND)).id != started.response_id


async def test_a_failed_response_is_told_until_it_is_erased() -> None:
    broken = Script(says("canary ", "two").pieces[:2], failure=Unavailable("gone"))
    async with surroundings(broken, says("new")) as mesh:
        session = await mesh.front.session(mesh.key)
        events = [numbered async for numbered in session.respond(BACKGROUND)]
        assert isinstance(events[0].event, Started)
        assert isinstance(events[-1].event, Failed)
        ident = events[0].event.response_id
        assert await followed(session, ident) == events
        await session.delete_response(ident)
        with pytest.raises(ResponseNotFound):
            await followed(session, ident)
        assert (await answered(session, BACKGROUND)).id != ident


async def test_a_stream_that_failed_is_followed_though_it_is_stored_nowhere() -> None:
    broken = Script(says("one ", "two").pieces[:2], failure=Unavailable("gone"))
    async with surroundings(broken) as mesh:
        session = await mesh.front.session(mesh.key)
        events = [numbered async for numbered in session.respond(replace(HELLO, store=False))]
        assert isinstance(events[0].event, Started)
        assert await followed(session, events[0].event.response_id) == events


async def test_a_stream_that_failed_is_told_until_it_is_erased_and_never_repeated() -> None:
    broken = [Script(says("canary ").pieces[:1], failure=Unavailable("gone")) for _ in range(2)]
    async with surroundings(*broken, says("new")) as mesh:
        session = await mesh.front.session(mesh.key)
        starts: list[str] = []
        for _ in broken:
            events = [numbered async for numbered in session.respond(HELLO)]
            assert isinstance(events[0].event, Started)
            starts.append(events[0].event.response_id)
            assert await followed(session, starts[-1]) == events
            mesh.clock.now += 10_000  # its events are gone; the response is kept
        assert starts[0] != starts[1]
        assert (await answered(session, HELLO)).output
        await session.delete_response(starts[1])
        with pytest.raises(ResponseNotFound):
            await followed(session, starts[1])


async def test_a_request_with_a_key_is_told_why_it_failed_before_it_was_read() -> None:
    """A turn that is not kept when it fails was not erased."""
    ask = replace(HELLO, tells_id=False)
    async with surroundings(Script((), failure=Unavailable("gone"))) as mesh:
        session = await mesh.front.session(mesh.key)
        reading = session.respond(ask)
        first = (await anext(reading)).event
        assert isinstance(first, Started)
        last = [numbered.event async for numbered in reading][-1]
        assert isinstance(last, Failed)
        assert last.reason == Unavailable.reason()


@pytest.mark.parametrize("store", [True, False])
async def test_a_turn_of_an_erased_conversation_is_told_to_nobody(store: bool) -> None:
    async with surroundings(says("canary")) as mesh:
        session, chat = await begun_in(mesh)
        ask = replace(HELLO, conversation=chat, store=store)
        response = await answered(session, ask)
        assert await followed(session, response.id)
        await session.delete_conversation(chat)
        with pytest.raises(ResponseNotFound):
            await followed(session, response.id)
        (last,) = [numbered.event async for numbered in session.respond(ask)]
        assert isinstance(last, Failed)
        assert last.status == "NOT_FOUND"


async def test_a_turn_that_loses_its_conversation_is_told_to_nobody() -> None:
    script = replace(says("canary ", "two"), pause_before=1)
    async with surroundings(script) as mesh:
        session, chat = await begun_in(mesh)
        reading = session.respond(replace(HELLO, conversation=chat))
        started = (await anext(reading)).event
        assert isinstance(started, Started)
        await asyncio.wait_for(script.paused.wait(), 5)
        await session.delete_conversation(chat)
        script.go_on.set()
        last = [numbered.event async for numbered in reading][-1]
        assert isinstance(last, Failed)
        with pytest.raises(ResponseNotFound):
            await followed(session, started.response_id)


async def test_a_response_is_told_again_without_an_item_that_was_erased() -> None:
    async with surroundings(says("canary", reasoning="thought")) as mesh:
        session, chat = await begun_in(mesh)
        ask = replace(HELLO, conversation=chat)
        response = await answered(session, ask)
        thought, reply = response.output
        await session.delete_item(chat, reply.id)
        with pytest.raises(EventsGone):
            await followed(session, response.id)
        events = [numbered.event async for numbered in session.respond(ask)]
        assert not any(isinstance(event, TextDelta) for event in events)
        assert isinstance(events[-1], Completed)
        assert (events[-1].response.id, events[-1].response.output) == (response.id, (thought,))
