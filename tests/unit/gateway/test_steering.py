"""Words that come for a turn while it runs: taken in once, or refused with the reason."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from services.gateway.api import (
    Ask,
    Completed,
    Continued,
    Draining,
    Failed,
    InputBlocked,
    OwnTools,
    ResponseNotFound,
    Started,
    Status,
    SteeringRefused,
    TooManySteers,
    TurnEvent,
    TurnStopped,
)
from services.gateway.front import KeySession
from services.gateway.limits import Limit, Limits, Of
from services.gateway.ports import Account, AccountKind
from services.gateway.steering import Inbox
from services.inference.api import Sampling
from services.shared.conversation import Role, said
from services.shared.errors import MeshError
from services.shared.tools import Tool
from tests.fakes.mesh import Script, Surroundings, calls, limits_of, says, surroundings

HELLO = Ask("demo", (said("msg_0", Role.USER, "my secret, please"),), own_tools=OwnTools())
WORDS = (said("msg_w", Role.USER, "in French"),)
CITY = Tool("city", "Find a city.", '{"type": "object"}')


@dataclass(slots=True)
class Reading:
    """Somebody reads a turn, and what it goes on with."""

    mesh: Surroundings
    session: KeySession
    events: list[TurnEvent] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, ask: Ask) -> None:
        async for numbered in self.session.respond(ask):
            self.events.append(numbered.event)
            self.begun.set()

    @property
    def response_id(self) -> str:
        (first, *_) = self.events
        assert isinstance(first, Started)
        return first.response_id


@asynccontextmanager
async def reading(
    *scripts: Script, ask: Ask = HELLO, limits: Limits | None = None
) -> AsyncIterator[Reading]:
    """A turn that has just begun; it is read to its end unless somebody stops it."""
    async with surroundings(*scripts, limits=limits) as mesh:
        reads = Reading(mesh, await mesh.front.session(mesh.key))
        task = asyncio.create_task(reads.read(ask))
        await asyncio.wait_for(reads.begun.wait(), 5)
        try:
            yield reads
        finally:
            await asyncio.wait_for(asyncio.wait([task]), 5)


def three_tools() -> list[Script]:
    """Three rounds with a tool of the mesh's each, then words; and an answer to what may come."""
    own = [calls(("double", f'{{"n": {n}}}'), text="Let me see. ") for n in (1, 2, 3)]
    return [*own, says("It is 6. ", *["And so on. "] * 30), says("Bien ", "sûr.")]


def with_words(mesh: Surroundings) -> list[int]:
    """How often the words stand in each prompt that has them, whatever stands before."""
    told = [[item.id for item in each.input].count("msg_w") for each in mesh.context.assemblies]
    return [times for times in told if times]


async def test_words_at_every_place_of_a_turn_with_three_tools() -> None:
    """They come one step of the event loop later each time."""
    taken, refused = 0, 0
    for steps in count():
        async with reading(*three_tools()) as reads:
            for _ in range(steps):
                await asyncio.sleep(0)
            generations = len(reads.mesh.inference.generations)
            answer = await answer_of(reads)
        taken, refused = taken + bool(answer), refused + (not answer)
        if not answer:
            assert with_words(reads.mesh) == []
            if refused == 3:
                break
            continue
        check_taken(reads, answer, generations)
    assert taken >= 50, (taken, refused)


async def answer_of(reads: Reading) -> str:
    """The response that answers the words; empty, where they come too late."""
    steering = asyncio.create_task(reads.session.steer(reads.response_id, WORDS))
    await asyncio.wait_for(asyncio.wait([steering]), 5)
    if isinstance(error := steering.exception(), SteeringRefused):
        assert error.details["code"] == "response_already_completed"
        return ""
    return steering.result().response_id


def check_taken(reads: Reading, answer: str, generations: int) -> None:
    """The words are in the next prompt once, and in the record of the response that answers."""
    assert set(with_words(reads.mesh)) == {1}
    first, second = reads.mesh.context.recorded
    assert (second.id, second.parent_id) == (answer, first.id)
    assert [item.id for item in second.input] == ["msg_w"]
    assert "msg_w" not in {item.id for item in first.input}
    # No more than the round that ran then, or was about to begin, was still without them.
    ids = [each.request_id.partition(".")[0] for each in reads.mesh.inference.generations]
    assert ids.index(answer) <= generations + 1
    kinds = [type(event) for event in reads.events]
    assert kinds.count(Completed) == kinds.count(Started) == 2
    (told,) = (event for event in reads.events if isinstance(event, Continued))
    assert told == Continued(answer, WORDS)
    assert reads.mesh.front.admission.under_way == 0
    assert len(reads.mesh.accounts.entries) == 2


async def test_a_turn_ends_at_the_end_of_a_tool_and_another_goes_on() -> None:
    scripts = [calls(("double", '{"n": 1}')), says("Deux.")]
    async with reading(*scripts) as reads:
        steered = await reads.session.steer(reads.response_id, WORDS)
    first, second = (event for event in reads.events if isinstance(event, Completed))
    assert first.response.status is Status.STEERED
    assert [type(item).__name__ for item in first.response.output] == ["Call"]
    assert second.response.id == steered.response_id
    assert second.response.previous_response_id == first.response.id
    stored = await reads.session.get_response(first.response.id)
    assert stored.status is Status.STEERED


async def test_a_turn_that_has_its_last_word_is_complete_and_another_goes_on() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, says("deux")) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
        await asyncio.wait_for(steer.told(), 5)
    first, second = (event for event in reads.events if isinstance(event, Completed))
    assert first.response.status is second.response.status is Status.COMPLETED


async def test_a_turn_that_answers_words_counts_as_any_other() -> None:
    limits = limits_of(Limit(Of.ORGANISATION, requests_per_minute=1))
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, says("deux"), limits=limits) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
        with pytest.raises(SteeringRefused, match="limit of requests per minute"):
            await asyncio.wait_for(steer.told(), 5)
    assert len(reads.mesh.accounts.entries) == 1


async def test_several_words_come_in_their_order_to_one_response() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, says("deux")) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        more = (said("msg_x", Role.USER, "and short"),)
        steers = [await reads.session.offer(reads.response_id, each) for each in (WORDS, more)]
        script.go_on.set()
        answers = {await asyncio.wait_for(steer.told(), 5) for steer in steers}
    assert len(answers) == 1
    assert [item.id for item in reads.mesh.context.recorded[1].input] == ["msg_w", "msg_x"]


async def test_what_is_not_stored_is_remembered_for_the_turn_that_goes_on() -> None:
    scripts = [calls(("double", '{"n": 1}')), says("Deux.")]
    async with reading(*scripts, ask=replace(HELLO, store=False)) as reads:
        await reads.session.steer(reads.response_id, WORDS)
    assert not reads.mesh.context.recorded
    last = reads.mesh.context.assemblies[-1]
    assert last.parent_id == ""
    assert [item.id for item in last.input][::2] == ["msg_0", "msg_w"]
    # It was masked by moderation before, and stays so.
    assert "secret" not in str(last.input)


async def test_words_wait_for_no_function_of_the_caller() -> None:
    script = replace(calls(("city", "{}")), pause_before=1)
    async with reading(script, ask=replace(HELLO, functions=(CITY,))) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
        with pytest.raises(SteeringRefused) as refused:
            await asyncio.wait_for(steer.told(), 5)
    assert refused.value.details["code"] == "waiting_for_required_input"


@pytest.mark.parametrize(
    "ask",
    [
        replace(HELLO, own_tools=None, sampling=Sampling(n=2)),
        replace(HELLO, steerable=False),
    ],
)
async def test_a_turn_that_cannot_be_steered_says_so(ask: Ask) -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, ask=ask) as reads:
        with pytest.raises(SteeringRefused) as refused:
            await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
    assert refused.value.details["code"] == "steering_not_supported"


async def test_words_are_read_by_moderation_before_they_are_accepted() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, says("deux")) as reads:
        with pytest.raises(InputBlocked):
            await reads.session.steer(
                reads.response_id, (said("msg_w", Role.USER, "a forbidden wish"),)
            )
        masked = (said("msg_w", Role.USER, "my secret"),)
        await reads.session.offer(reads.response_id, masked)
        script.go_on.set()
    assert "secret" not in str(reads.mesh.context.recorded[1].input)


async def test_too_many_words_are_refused_and_those_before_them_are_not() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script, says("deux")) as reads:
        steers = [await reads.session.offer(reads.response_id, WORDS) for _ in range(8)]
        long = (said("msg_l", Role.USER, "x" * 2_000_000),)
        for words in (WORDS, long):
            with pytest.raises(TooManySteers):
                await reads.mesh.front.live_turns.steer(reads.response_id, words)
        script.go_on.set()
        assert len({await asyncio.wait_for(steer.told(), 5) for steer in steers}) == 1


async def test_a_gateway_that_leaves_refuses_what_waits_and_what_comes() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await reads.session.offer(reads.response_id, WORDS)
        stopping = asyncio.create_task(reads.mesh.front.live_turns.stop(grace=5))
        with pytest.raises(Draining):
            await asyncio.wait_for(steer.told(), 5)
        with pytest.raises(Draining):
            await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
        await stopping
    assert isinstance(reads.events[-1], Completed)


async def test_a_turn_that_is_stopped_refuses_what_waits() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with surroundings(script) as mesh:
        session = await mesh.front.session(mesh.key)
        reads = Reading(mesh, session)
        task = asyncio.create_task(reads.read(HELLO))
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await session.offer(reads.response_id, WORDS)
        task.cancel()
        await asyncio.wait([task])
        with pytest.raises(TurnStopped):
            await asyncio.wait_for(steer.told(), 5)


async def test_a_turn_that_fails_refuses_what_waits_with_its_reason() -> None:
    script = Script(says("one ", "two").pieces[:2], pause_before=1, failure=DeadEngine("gone"))
    async with reading(script) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await reads.session.offer(reads.response_id, WORDS)
        script.go_on.set()
        with pytest.raises(DeadEngine):
            await asyncio.wait_for(steer.told(), 5)
    assert isinstance(reads.events[-1], Failed)


class DeadEngine(MeshError):
    status = "UNAVAILABLE"


async def test_words_that_no_response_can_answer_are_refused() -> None:
    """What came does not fit into the window."""
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script) as reads:
        await asyncio.wait_for(script.paused.wait(), 5)
        long = (said("msg_w", Role.USER, "word " * 5000),)
        steer = await reads.session.offer(reads.response_id, long)
        script.go_on.set()
        with pytest.raises(SteeringRefused) as refused:
            await asyncio.wait_for(steer.told(), 5)
    assert refused.value.details["code"] == "successor_creation_failed"
    assert isinstance(reads.events[-1], Failed)


async def test_a_turn_of_somebody_else_is_not_there() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with reading(script) as reads:
        other = Account("acct_2", "Eve", AccountKind.PERSONAL)
        key = await reads.mesh.authenticator.create_key(other)
        theirs = await reads.mesh.front.session(key)
        for response_id in (reads.response_id, "resp_none", ""):
            with pytest.raises(ResponseNotFound):
                await theirs.steer(response_id, WORDS)
        script.go_on.set()


async def test_a_turn_that_only_gets_ready_takes_no_words() -> None:
    async with reading(ask=replace(HELLO, generate=False)) as reads:
        with pytest.raises(SteeringRefused):
            await reads.session.offer(reads.response_id, WORDS)
    (completed,) = (event for event in reads.events if isinstance(event, Completed))
    assert completed.response.output == ()


async def test_an_inbox_holds_what_came_until_it_is_taken_or_refused() -> None:
    inbox = Inbox()
    taken = inbox.put(WORDS)
    assert inbox.waits
    assert inbox.take() == [taken]
    assert not inbox.waits
    with pytest.raises(SteeringRefused):
        inbox.put(WORDS)
    assert inbox.take() == []


async def test_an_inbox_that_is_closed_says_why_to_all() -> None:
    inbox = Inbox()
    waiting = inbox.put(WORDS)
    inbox.close(TurnStopped("stopped"))
    inbox.close(Draining("later"))
    with pytest.raises(TurnStopped):
        await waiting.told()
    with pytest.raises(TurnStopped):
        inbox.put(WORDS)


async def test_in_a_conversation_the_words_are_its_next_turn() -> None:
    script = replace(says("one ", "two"), pause_before=1)
    async with surroundings(script, says("deux")) as mesh:
        session = await mesh.front.session(mesh.key)
        card = await session.create_conversation(Ask("", ()), {})
        reads = Reading(mesh, session)
        task = asyncio.create_task(reads.read(replace(HELLO, conversation=card.id)))
        await asyncio.wait_for(script.paused.wait(), 5)
        steer = await session.offer(reads.response_id, WORDS)
        script.go_on.set()
        steered = await asyncio.wait_for(steer.told(), 5)
        await asyncio.wait_for(task, 5)
        first, second = (each.response for each in reads.events if isinstance(each, Completed))
        assert (second.id, second.previous_response_id) == (steered, "")
        assert first.conversation == second.conversation == card.id
        assert [turn.parent_id for turn in mesh.context.recorded][-1] == first.id
