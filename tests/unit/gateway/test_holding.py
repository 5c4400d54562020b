"""Whoever waits for a turn's first words is told when the turn is held for want of a replica."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from services.gateway import holding
from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.admission import Admission
from services.gateway.api import Ask, Response, Started, TurnEvent
from services.gateway.authenticator import Principal
from services.gateway.fleet import Fleet, Pool
from services.gateway.live_turns import LiveTurns
from services.gateway.ports import Inference
from services.gateway.reply import TurnProgress
from services.gateway.sealing import Sealer
from services.shared.conversation import Role, said
from services.shared.peers import Peer, Peers
from tests.fakes.mesh import BOUNDS, PERSON, CountedLedger, alone, limits_of

ADA = Principal(PERSON, "key1", Sealer(b"secret", PERSON.id))
HELLO = Ask("demo", (said("msg_0", Role.USER, "hello"),))


class Picking:
    """`Turns` that begin, and then ask for a replica."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def run(
        self, principal: Principal, ask: Ask, progress: TurnProgress
    ) -> AsyncGenerator[TurnEvent, None]:
        yield Started(progress.response_id, 1, ask.model)
        await self._fleet.pick(ask.model, 1)

    async def count(self, principal: Principal, ask: Ask) -> int:
        return 1

    async def record_failed(self, progress: TurnProgress, response: Response) -> None:
        """It has nowhere to keep it."""


def live_over(fleet: Fleet) -> LiveTurns:
    return LiveTurns(
        Picking(fleet),
        InMemoryJournal(time.monotonic, max_bytes=1_000_000),
        Admission(max_turns=8),
        CountedLedger(),
        alone(),
        limits=limits_of(),
        bounds=BOUNDS,
    )


def empty(pool: Pool) -> Fleet:
    """The pool has no replica."""

    @asynccontextmanager
    async def followed(_: str) -> AsyncIterator[Peers]:
        yield Peers([])

    @asynccontextmanager
    async def opened(_: Peer) -> AsyncIterator[Inference]:
        raise AssertionError("there is no replica")
        yield

    return Fleet([pool], followed, opened)


async def test_a_turn_that_waits_for_a_replica_tells_at_once() -> None:
    live = live_over(empty(Pool("only", "x", model="demo", context_tokens=9, hold_seconds=60)))
    held = holding.watched()
    async with aclosing(live.read(await live.start(ADA, HELLO))) as events:
        assert isinstance((await anext(events)).event, Started)
        await asyncio.wait_for(held.wait(), 5)
    await live.stop(grace=0)


async def test_one_that_is_begun_by_another_caller_tells_nothing() -> None:
    live = live_over(empty(Pool("only", "x", model="demo", context_tokens=9, hold_seconds=60)))
    first = holding.watched()
    second = holding.watched()
    async with aclosing(live.read(await live.start(ADA, HELLO))) as events:
        await anext(events)
        await asyncio.wait_for(second.wait(), 5)
    assert not first.is_set()
    await live.stop(grace=0)


async def test_a_turn_that_is_refused_at_once_was_not_held() -> None:
    live = live_over(empty(Pool("only", "x", model="demo", context_tokens=9)))
    held = holding.watched()
    async with aclosing(live.read(await live.start(ADA, HELLO))) as events:
        assert len([numbered async for numbered in events]) == 2
    assert not held.is_set()
    await live.stop(grace=0)
