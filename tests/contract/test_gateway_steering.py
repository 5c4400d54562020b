"""Words for a turn that runs, in process and over the public gRPC endpoint."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from services.gateway.api import (
    Completed,
    Continued,
    ResponseNotFound,
    Started,
    SteeringRefused,
    TurnEvent,
)
from services.shared.conversation import CallResult, Role, Text, said
from services.shared.errors import Malformed
from tests.contract.test_gateway import HELLO, Transport
from tests.fakes.mesh import says

WORDS = (said("msg_w", Role.USER, "in French"),)


@pytest.fixture(params=["direct", "over gRPC"])
def transport(request: pytest.FixtureRequest) -> Transport:
    return Transport(request.param == "over gRPC")


async def test_words_begin_another_response_and_whoever_reads_goes_on(
    transport: Transport,
) -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with transport.open(script, says("deux")) as here:
        events: list[TurnEvent] = []
        async with aclosing(here.session.respond(HELLO)) as turn:
            events.append((await anext(turn)).event)
            (started,) = events
            assert isinstance(started, Started)
            steering = asyncio.create_task(here.session.steer(started.response_id, WORDS))
            async with asyncio.timeout(5):
                while not here.mesh.front.live_turns.words_wait_for(started.response_id):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            script.go_on.set()
            events += [numbered.event async for numbered in turn]
        steered = await asyncio.wait_for(steering, 5)
    ends = [event.response for event in events if isinstance(event, Completed)]
    assert [response.id for response in ends] == [started.response_id, steered.response_id]
    assert [event for event in events if isinstance(event, Continued)] == [
        Continued(steered.response_id, WORDS)
    ]
    assert steered.id.startswith("steer_")


async def test_refusals_are_of_their_class(transport: Transport) -> None:
    async with transport.open(says("one")) as here:
        async with aclosing(here.session.respond(HELLO)) as turn:
            events = [numbered.event async for numbered in turn]
        assert isinstance(events[0], Started)
        with pytest.raises(SteeringRefused) as refused:
            await here.session.steer(events[0].response_id, WORDS)
        assert refused.value.details["code"] == "response_already_completed"
        with pytest.raises(ResponseNotFound):
            await here.session.steer("resp_none", WORDS)
        await here.session.delete_response(events[0].response_id)
        with pytest.raises(ResponseNotFound):
            await here.session.steer(events[0].response_id, WORDS)


async def test_grpc_takes_only_what_a_user_says() -> None:
    result = CallResult("fco_1", "call_1", (Text("x"),))
    for words in ((), (result,), (said("msg_1", Role.ASSISTANT, "x"),)):
        async with Transport(over_grpc=True).open() as here:
            with pytest.raises(Malformed):
                await here.session.steer("resp_1", words)
