"""Each caller gets to what is theirs, and to nothing else."""

from contextlib import aclosing
from dataclasses import replace
from unittest.mock import AsyncMock

import pytest

from services.gateway.api import (
    Ask,
    Completed,
    EventsGone,
    InvalidKey,
    Response,
    ResponseNotFound,
    Started,
)
from services.gateway.front import KeySession
from services.shared.conversation import Role, said
from tests.fakes.mesh import BOUNDS, PERSON, Surroundings, says, surroundings

HELLO = Ask("demo", (said("msg_0", Role.USER, "hello"),))


async def answered(session: KeySession, ask: Ask = HELLO) -> Response:
    last = [numbered.event async for numbered in session.respond(ask)][-1]
    assert isinstance(last, Completed)
    return last.response


async def stranger(mesh: Surroundings) -> KeySession:
    account = replace(PERSON, id="acct_9")
    return await mesh.front.session(await mesh.authenticator.create_key(account))


async def test_nobody_gets_in_without_a_key() -> None:
    async with surroundings() as mesh:
        with pytest.raises(InvalidKey):
            await mesh.front.session("")


async def test_a_response_is_its_owners() -> None:
    async with surroundings(says("ok")) as mesh:
        session = await mesh.front.session(mesh.key)
        response = await answered(session)
        assert await session.get_response(response.id) == response
        other = await stranger(mesh)
        for attempt in (
            other.get_response(response.id),
            other.delete_response(response.id),
            anext(other.follow(response.id)),
        ):
            with pytest.raises(ResponseNotFound):
                await attempt
        assert await session.get_response(response.id) == response


async def test_whether_a_response_is_there_is_known_by_its_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All readers of a gateway that died ask it at the same time, of turns that said much."""
    script = says("much ", "was ", "said")
    script.pause_before = 2
    async with surroundings(script) as mesh:
        session, other = await mesh.front.session(mesh.key), await stranger(mesh)
        monkeypatch.setattr(mesh.front.live_turns, "so_far", AsyncMock(side_effect=AssertionError))
        async with aclosing(session.respond(HELLO)) as events:
            started = (await anext(events)).event
            assert isinstance(started, Started)
            await script.paused.wait()
            for _ in ("under way", "stored"):
                await session.check_response(started.response_id)
                for holder, response_id in ((other, started.response_id), (session, "resp_never")):
                    with pytest.raises(ResponseNotFound):
                        await holder.check_response(response_id)
                script.go_on.set()
                async for _ in events:
                    pass


async def test_events_that_are_gone_are_told_from_those_that_never_were() -> None:
    async with surroundings(says("kept"), says("not kept")) as mesh:
        session = await mesh.front.session(mesh.key)
        kept = await answered(session)
        unkept = await answered(session, replace(HELLO, store=False))
        mesh.clock.now += BOUNDS.kept_seconds + 1
        with pytest.raises(EventsGone):
            await anext(session.follow(kept.id))
        for response_id in (unkept.id, "resp_never"):
            with pytest.raises(ResponseNotFound):
                await anext(session.follow(response_id))


async def test_a_gateway_that_leaves_says_so() -> None:
    async with surroundings() as mesh:
        assert mesh.front.not_ready() == ""
        mesh.front.leave()
        assert mesh.front.not_ready() == "draining"


async def test_models_are_listed_and_found() -> None:
    async with surroundings() as mesh:
        session = await mesh.front.session(mesh.key)
        cards = await session.list_models()
        assert [await session.get_model(card.id) for card in cards] == list(cards)
