"""Several gateways on one Redis: any of them reads and stops a turn, and goes on with it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial

import pytest

from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_gateways import RedisMail
from services.gateway.api import Ask, Completed, Failed, Numbered, OwnTools, TextDelta
from services.shared.background import in_background
from services.shared.conversation import Call, Role, said
from services.shared.errors import Unavailable
from services.shared.redis import open_redis
from tests.fakes.gateways import ADA, Around, Gateway, eventually, gateway
from tests.fakes.word_engine import FIRST_ID, WordEngine, word
from tests.servers.redis import RedisServers, redis_servers

__all__ = ["redis_servers"]
HELLO = Ask("demo", (said("msg_0", Role.USER, "hello you"),))
ALONE = replace(HELLO, background=True)
WITH_TOOLS = replace(ALONE, own_tools=OwnTools())


@dataclass(slots=True)
class Two:
    first: Gateway
    second: Gateway
    around: Around


@pytest.fixture(params=["redis", "redis cluster"])
def around(request: pytest.FixtureRequest, redis_servers: RedisServers) -> Around:
    server = redis_servers(clustered="cluster" in request.param)
    return Around(server, server.own_url())


class Opened(AsyncExitStack):
    def __init__(self, around: Around) -> None:
        super().__init__()
        self._around = around

    async def one(self, name: str, words: int) -> Gateway:
        return await self.enter_async_context(gateway(self._around, WordEngine(words), name))

    async def two(self, words: int, pause_before: int, calls: int = 0) -> Two:
        """The first one's engine waits before a word; the second one's does not."""
        first, second = [
            await self.enter_async_context(
                gateway(self._around, WordEngine(words, calls, pause), name)
            )
            for name, pause in (("first", pause_before), ("second", -1))
        ]
        return Two(first, second, self._around)


@pytest.fixture
async def opened(around: Around) -> AsyncIterator[Opened]:
    async with Opened(around) as here:
        yield here


def text(events: Sequence[Numbered]) -> str:
    return "".join(each.event.text for each in events if isinstance(each.event, TextDelta))


def whole(words: int) -> str:
    return "".join(map(word, range(words)))


def check_unbroken(events: Sequence[Numbered], words: int) -> None:
    assert [each.number for each in events] == list(range(len(events)))
    assert text(events) == whole(words)
    assert isinstance(events[-1].event, Completed)
    assert events[-1].event.response.output[-1].text == whole(words)  # type: ignore[union-attr]


async def begun(two: Two, ask: Ask) -> str:
    response_id = await two.first.live.start(ADA, ask)
    await asyncio.wait_for(two.first.engine.paused.wait(), 10)
    return response_id


async def die_one_after_the_other(two: Two, third: Gateway, ask: Ask) -> str:
    """The second one when it has gone on for a while. Says which turn the third one has now."""
    two.second.engine.pause_before = 40
    response_id = await begun(two, ask)
    two.first.die()
    two.around.pass_lease()
    await two.second.takeover.look()
    await asyncio.wait_for(two.second.engine.paused.wait(), 10)
    two.second.die()
    two.around.pass_lease()
    await third.takeover.look()
    return response_id


async def test_a_turn_is_read_in_another_gateway_as_it_comes(opened: Opened) -> None:
    two = await opened.two(40, pause_before=20)
    response_id = await begun(two, ALONE)
    async with asyncio.timeout(20), aclosing(two.second.live.read(response_id)) as reading:
        async for numbered in reading:
            if isinstance(numbered.event, TextDelta):
                break
    two.first.engine.go_on.set()
    check_unbroken(await two.second.read(response_id), 40)
    assert await two.second.read(response_id, after=5) == (await two.first.read(response_id))[6:]


async def test_a_turn_is_cancelled_and_erased_from_another_gateway(opened: Opened) -> None:
    two = await opened.two(40, pause_before=20)
    response_id = await begun(two, ALONE)
    assert await two.second.live.input_of(response_id) == await two.first.live.input_of(response_id)
    await two.second.live.cancel(response_id)
    events = await two.second.read(response_id)
    assert isinstance(events[-1].event, Failed)
    assert events[-1].event.reason == "gateway.TurnCancelled"
    assert two.first.admission.under_way == 0
    two.first.engine.paused.clear()
    erased = await begun(two, ALONE)
    await two.second.live.erase(erased)
    assert two.first.admission.under_way == 0


async def test_a_letter_that_is_being_answered_ends_with_its_gateway(around: Around) -> None:
    """Its answer would connect to Redis once more, after the connection is closed."""
    taken, ended = asyncio.Event(), asyncio.Event()

    async def never(_: bytes) -> bytes:
        taken.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return b""

    async with open_redis(around.url) as store, Channels.following(store) as channels:
        mail = RedisMail(store, channels, gateway="one")
        await store.ask("HSET", store.key("{resp_1}", "turn"), "gateway", "one")

        async def ask() -> bool:
            """Until its channel is heard: Redis keeps no letter."""
            with suppress(Unavailable):
                await mail.ask("resp_1", b"words?", seconds=0.1)
            return taken.is_set()

        async with in_background(partial(mail.serve, never)):
            await eventually(ask)
            assert not ended.is_set()
        assert ended.is_set()


async def test_words_for_a_turn_come_through_another_gateway(opened: Opened) -> None:
    two = await opened.two(40, pause_before=20)
    response_id = await begun(two, ALONE)
    steer = await two.second.live.steer(response_id, (said("msg_1", Role.USER, "and now?"),))

    async def arrived() -> bool:
        return two.first.live.words_wait_for(response_id)

    await eventually(arrived)
    two.first.engine.go_on.set()
    answer_id = await asyncio.wait_for(steer.told(), 10)
    assert answer_id != response_id
    check_unbroken(await two.second.read(answer_id), 40)


async def test_a_reader_in_another_gateway_keeps_a_turn_running(opened: Opened) -> None:
    two = await opened.two(40, pause_before=20)
    response_id = await two.first.live.start(ADA, HELLO)
    async with aclosing(two.first.live.read(response_id)) as here:
        await anext(here)
        await asyncio.wait_for(two.first.engine.paused.wait(), 10)
        elsewhere = two.second.live.read(response_id)
        await anext(elsewhere)
        await eventually(partial(two.first.elsewhere.attended, response_id))
    two.first.engine.go_on.set()
    async with asyncio.timeout(10), aclosing(elsewhere):
        rest = [numbered async for numbered in elsewhere]
    assert isinstance(rest[-1].event, Completed)


async def test_another_gateway_goes_on_in_the_middle_of_a_text(opened: Opened) -> None:
    """One generation in all: what was written is not written again, and one bill."""
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, ALONE)
    reading = asyncio.create_task(two.second.read(response_id))
    two.first.die()
    await two.second.takeover.look()
    assert two.second.admission.under_way == 0  # the lease has not run out
    two.around.pass_lease()
    await two.second.takeover.look()
    check_unbroken(await reading, 60)
    (generation,) = two.second.engine.generations
    before = len(generation.prompt_ids) - 2
    assert 0 < before <= 25
    assert list(generation.prompt_ids[2:]) == [FIRST_ID + each for each in range(before)]
    assert two.second.engine.written == 60 - before
    (entry,) = two.around.ledger.entries
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == (2, 60)
    (turn,) = two.around.context.recorded
    assert turn.id == response_id


async def test_a_gateway_that_wakes_up_again_changes_nothing(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, ALONE)
    two.first.die()
    two.around.pass_lease()
    await two.second.takeover.look()
    events = await two.second.read(response_id)
    two.first.mortal.stopped = False
    two.first.mortal.resumed.set()
    two.first.engine.go_on.set()
    await eventually(two.first.is_idle)
    assert two.first.engine.written > 25  # it did try
    assert await two.second.read(response_id) == events
    check_unbroken(events, 60)
    assert len(two.around.ledger.entries) == 1


async def test_a_turn_that_is_handed_over_twice(opened: Opened, around: Around) -> None:
    two = await opened.two(60, pause_before=25)
    third = await opened.one("third", 60)
    response_id = await die_one_after_the_other(two, third, ALONE)
    check_unbroken(await third.read(response_id), 60)
    (entry,) = around.ledger.entries
    assert (entry.usage.prompt_tokens, entry.usage.completion_tokens) == (2, 60)


async def test_a_gateway_that_stops_hands_its_background_turns_over(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, ALONE)
    await two.first.live.stop(grace=0)
    await two.second.takeover.look()  # at once, without waiting for the lease
    check_unbroken(await two.second.read(response_id), 60)
    assert len(two.around.ledger.entries) == 1


async def test_a_turn_that_is_waited_for_goes_on_when_its_reader_comes(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, HELLO)
    two.first.die()
    two.around.pass_lease()
    await two.second.takeover.look()
    assert two.second.admission.under_way == 0
    reading = asyncio.create_task(two.second.read(response_id, after=3))
    await eventually(partial(two.second.elsewhere.attended, response_id))
    await two.second.takeover.look()
    events = await reading
    assert [each.number for each in events] == list(range(4, 4 + len(events)))
    assert isinstance(events[-1].event, Completed)


async def test_a_turn_whose_reader_does_not_come_ends_with_an_error(opened: Opened) -> None:
    two = await opened.two(60, pause_before=25)
    response_id = await begun(two, HELLO)
    two.first.die()
    two.around.pass_lease()
    await two.second.takeover.look()
    two.second.now[0] += 11
    await two.second.takeover.look()
    events = await two.second.read(response_id)
    assert isinstance(events[-1].event, Failed)
    assert events[-1].event.details["code"] == "stream_interrupted"
    assert whole(60).startswith(text(events))
    (entry,) = two.around.ledger.entries
    assert 0 < entry.usage.completion_tokens <= 25
    assert two.second.engine.generations == []


@pytest.mark.parametrize("dies_in", ["begin", "run", "outcome"])
async def test_no_tool_runs_twice_when_the_gateway_dies(dies_in: str, opened: Opened) -> None:
    """Five tools, one a round; the gateway dies before, in, or after the third one."""
    two = await opened.two(30, pause_before=-1, calls=5)
    run, tools = two.around.tools.run, two.around.tools
    died = asyncio.Event()

    async def dying(scope: object, call: object) -> object:
        if len(tools.ran) == 2 and not died.is_set():
            died.set()
            if dies_in == "begin":
                two.first.die()
                await asyncio.Event().wait()
            outcome = await run(scope, call)  # type: ignore[arg-type]
            two.first.die()
            if dies_in == "run":
                await asyncio.Event().wait()
            return outcome
        return await run(scope, call)  # type: ignore[arg-type]

    tools.run = dying  # type: ignore[method-assign, assignment]
    response_id = await two.first.live.start(ADA, WITH_TOOLS)
    await asyncio.wait_for(died.wait(), 10)
    two.around.pass_lease()
    await two.second.takeover.look()
    events = await two.second.read(response_id)
    check_unbroken(events, 30)
    ran = [call.id for call in tools.ran]
    assert len(ran) == len(set(ran)), "a tool ran twice"
    assert len(ran) == 5 - (dies_in == "begin")
    completed = events[-1].event
    assert isinstance(completed, Completed)
    calls = [item for item in completed.response.output if isinstance(item, Call)]
    assert len(calls) == 5
    unknown = [call for call in calls if call.outcome and "not known" in call.outcome.text]
    assert len(unknown) == 1, "of the third nobody knows whether it has run"
    assert len(two.around.ledger.entries) == 1
