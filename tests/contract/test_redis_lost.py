"""What goes on, and what does not, while Redis is killed, emptied, paused or takes no writes."""

import asyncio
import math
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from services.gateway.api import Ask, Completed, Failed, Once, Started
from services.shared.conversation import Role, said
from services.shared.redis import RedisUnavailable
from tests.fakes.gateways import ADA, Around, Gateway, eventually, gateway
from tests.fakes.word_engine import WordEngine
from tests.servers.redis import RedisServer, redis_server

HELLO = Ask("demo", (said("msg_0", Role.USER, "hello you"),))
ALONE = replace(HELLO, background=True)
ONCE = replace(HELLO, once=Once("key", b"digest"))


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def kill(server: RedisServer) -> None:
    server.stop()


def empty(server: RedisServer) -> None:
    server.client.flushall()


def pause(server: RedisServer) -> None:
    assert server.process
    server.process.send_signal(signal.SIGSTOP)


def refuse_writes(server: RedisServer) -> None:
    server.client.config_set("min-replicas-to-write", 1)


def repair(server: RedisServer) -> None:
    if server.process is None:
        server.start()
    server.process.send_signal(signal.SIGCONT)  # type: ignore[union-attr]
    server.client.config_set("min-replicas-to-write", 0)


LOSSES = [kill, empty, pause, refuse_writes]
Loss = Callable[[RedisServer], None]


@asynccontextmanager
async def one(
    server: RedisServer, *, pause_before: int = -1, patience_seconds: float = 0.5
) -> AsyncIterator[Gateway]:
    around = Around(server, server.own_url(), lease_seconds=0.5, patience_seconds=patience_seconds)
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(
            gateway(around, WordEngine(60, 0, pause_before), "one")
        )
        repair(server)


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_turn_that_somebody_waits_for_goes_on(lose: Loss, server: RedisServer) -> None:
    async with one(server, pause_before=25) as here:
        response_id = await here.live.start(ADA, HELLO)
        async with asyncio.timeout(20), aclosing(here.live.read(response_id)) as reading:
            events = [await anext(reading)]
            await here.engine.paused.wait()
            lose(server)
            here.engine.go_on.set()
            events += [numbered async for numbered in reading]
        assert [each.number for each in events] == list(range(len(events)))
        assert isinstance(events[-1].event, Completed)
        assert here.mortal.went_alone == {response_id}


@pytest.mark.parametrize("lose", [kill, pause, refuse_writes])
async def test_chats_begin_and_what_has_to_be_shared_does_not(
    lose: Loss, server: RedisServer
) -> None:
    async with one(server) as here:
        lose(server)
        for _ in range(20):
            events = await here.read(await here.live.start(ADA, HELLO))
            assert isinstance(events[-1].event, Completed)
        for ask in (ALONE, ONCE):
            with pytest.raises(RedisUnavailable):
                await here.live.start(ADA, ask)
        assert here.admission.under_way == 0
        repair(server)

        async def shared_again() -> bool:
            try:
                response_id = await here.live.start(ADA, ALONE)
            except RedisUnavailable:
                return False
            return isinstance((await here.read(response_id))[-1].event, Completed)

        await eventually(shared_again)


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_turn_in_the_background_ends_with_an_error(lose: Loss, server: RedisServer) -> None:
    """It shows nothing that Redis has not. Its caller finds the error where it is stored."""
    async with one(server, pause_before=25) as here:
        response_id = await here.live.start(ADA, ALONE)
        await asyncio.wait_for(here.engine.paused.wait(), 10)
        lose(server)
        here.engine.go_on.set()
        events = await here.read(response_id)
        assert isinstance(events[0].event, Started)
        last = events[-1].event
        assert isinstance(last, Failed)
        assert last.reason == "shared.RedisUnavailable"
        (turn,) = here.around.context.recorded
        assert turn.id == response_id
        assert len(here.around.ledger.entries) == 1


@pytest.mark.parametrize("lose", [pause, refuse_writes])
async def test_a_short_loss_is_nothing_to_a_turn_in_the_background(
    lose: Loss, server: RedisServer
) -> None:
    """Longer than its lease; nobody else has taken it over meanwhile."""
    async with one(server, pause_before=25, patience_seconds=30) as here:
        response_id = await here.live.start(ADA, ALONE)
        await asyncio.wait_for(here.engine.paused.wait(), 10)
        lose(server)
        here.engine.go_on.set()
        await eventually(here.lost_redis)
        repair(server)
        assert isinstance((await here.read(response_id))[-1].event, Completed)


async def test_a_short_loss_is_nothing_to_who_reads_elsewhere(server: RedisServer) -> None:
    """The turn goes on, so that its reader must not be told that it has failed."""
    around = Around(server, server.own_url())
    async with (
        gateway(around, WordEngine(60, 0, 25), "maker") as maker,
        gateway(around, WordEngine(60), "reader") as here,
    ):
        response_id = await maker.live.start(ADA, ALONE)
        reading = asyncio.create_task(here.read(response_id))
        await asyncio.wait_for(maker.engine.paused.wait(), 10)
        await eventually(partial(maker.elsewhere.attended, response_id))
        pause(server)
        await eventually(here.lost_redis)
        repair(server)
        maker.engine.go_on.set()
        events = await reading
    assert [each.number for each in events] == list(range(len(events)))
    assert isinstance(events[-1].event, Completed)


def cut_off(gateway: Gateway) -> None:
    """This one alone does not reach Redis any more."""
    gateway.store._lost_until = math.inf


async def test_a_turn_that_has_failed_without_redis_is_not_completed_by_another(
    server: RedisServer,
) -> None:
    around = Around(server, server.own_url(), patience_seconds=0.2)
    async with (
        gateway(around, WordEngine(60, 0, 25), "first") as first,
        gateway(around, WordEngine(60), "second") as second,
    ):
        response_id = await first.live.start(ADA, ALONE)
        await asyncio.wait_for(first.engine.paused.wait(), 10)
        cut_off(first)
        first.engine.go_on.set()
        told = (await first.read(response_id))[-1].event
        assert isinstance(told, Failed)
        around.pass_lease()
        await second.takeover.look()
        assert (await second.read(response_id))[-1].event == told
        assert second.engine.generations == []
    assert len({entry.response_id for entry in around.ledger.entries}) == 1


async def test_the_end_that_was_recorded_first_is_the_end(server: RedisServer) -> None:
    """It fails in one gateway while another goes on with it."""
    around = Around(server, server.own_url(), patience_seconds=0.2)
    async with (
        gateway(around, WordEngine(60, 0, 25), "first") as first,
        gateway(around, WordEngine(60, 0, 40), "second") as second,
    ):
        response_id = await first.live.start(ADA, ALONE)
        await asyncio.wait_for(first.engine.paused.wait(), 10)
        cut_off(first)
        around.pass_lease()
        await second.takeover.look()
        await asyncio.wait_for(second.engine.paused.wait(), 10)
        first.engine.go_on.set()
        told = (await first.read(response_id))[-1].event
        assert isinstance(told, Failed)
        second.engine.go_on.set()
        assert (await second.read(response_id))[-1].event == told
        assert second.engine.written > 40 - 25, "it did go on to its end"
