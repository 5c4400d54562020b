"""Several gateways in one process, which share a Redis and the services around them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.adapters.mirrored_journal import MirroredJournal
from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_gateways import RedisMail, RedisPresence
from services.gateway.adapters.redis_journal import RedisJournal
from services.gateway.admission import Admission
from services.gateway.api import Numbered
from services.gateway.authenticator import Principal
from services.gateway.elsewhere import Elsewhere
from services.gateway.guard import OutputModeration, guards
from services.gateway.lanes import Lanes
from services.gateway.letter_answers import LetterAnswers
from services.gateway.live_turns import LiveTurns
from services.gateway.ports import Neighbours
from services.gateway.resuming import ResumableTurns
from services.gateway.sealing import Sealer
from services.gateway.takeover import Takeover
from services.gateway.turn import TurnLoop
from services.shared.background import in_background
from services.shared.redis import RedisStore, open_redis
from tests.fakes.mesh import (
    BOUNDS,
    PERSON,
    CountedLedger,
    FewTools,
    WordContext,
    fleet_of,
    limits_of,
)
from tests.fakes.moderation import WordModeration
from tests.fakes.word_engine import WordEngine
from tests.servers.redis import RedisServer

ADA = Principal(PERSON, "key1", Sealer(b"secret", PERSON.id))


class Mortal:
    """A journal whose process may be stopped: from then on nothing of it is ever done."""

    shared = True

    def __init__(self, journal: MirroredJournal) -> None:
        self._journal = journal
        self.stopped = False
        # The turns that went on without Redis.
        self.went_alone: set[str] = set()
        self.resumed = asyncio.Event()

    def is_alone(self, response_id: str) -> bool:
        return self._journal.is_alone(response_id)

    def leave(self) -> None:
        self._journal.leave()

    def read(self, *asked: Any, **named: Any) -> Any:
        return self._journal.read(*asked, **named)

    def __getattr__(self, name: str) -> Any:
        wanted = getattr(self._journal, name)

        async def act(*asked: Any, **named: Any) -> Any:
            if self.stopped:
                await self.resumed.wait()
            try:
                return await wanted(*asked, **named)
            finally:
                if name == "append" and self._journal.is_alone(asked[0]):
                    self.went_alone.add(asked[0])

        return act


async def eventually(happened: Callable[[], Awaitable[bool]]) -> None:
    """Waits for what another gateway does and tells nobody."""
    async with asyncio.timeout(10):
        while not await happened():  # noqa: ASYNC110
            await asyncio.sleep(0)


@dataclass(slots=True)
class Around:
    """What all gateways share."""

    server: RedisServer
    url: str
    context: WordContext = field(default_factory=WordContext)
    tools: FewTools = field(default_factory=FewTools)
    ledger: CountedLedger = field(default_factory=CountedLedger)
    lease_seconds: float = 30
    patience_seconds: float = 30

    def pass_lease(self) -> None:
        self.server.pass_time(self.url.partition("prefix=")[2], self.lease_seconds + 1)


@dataclass(slots=True)
class Gateway:
    live: LiveTurns
    engine: WordEngine
    takeover: Takeover
    mortal: Mortal
    admission: Admission
    now: list[float]
    elsewhere: Elsewhere
    around: Around
    store: RedisStore

    async def lost_redis(self) -> bool:
        return self.store.lost

    async def is_idle(self) -> bool:
        return not self.admission.under_way

    async def read(self, response_id: str, after: int = -1) -> list[Numbered]:
        async with asyncio.timeout(20), aclosing(self.live.read(response_id, after)) as events:
            return [numbered async for numbered in events]

    def die(self) -> None:
        """As a process that is killed: nothing of it reaches Redis any more."""
        self.mortal.stopped = True


@asynccontextmanager
async def gateway(around: Around, engine: WordEngine, name: str) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_redis(around.url))
        channels = await stack.enter_async_context(Channels.following(store))
        memory = InMemoryJournal(time.monotonic, max_bytes=10_000_000)
        shared = RedisJournal(store, channels, gateway=name)
        mirrored = MirroredJournal(
            shared, memory, time.monotonic, patience_seconds=around.patience_seconds
        )
        journal: Any = Mortal(mirrored)
        mail = RedisMail(store, channels, gateway=name)
        elsewhere = Elsewhere(RedisPresence(store), mail, turn_seconds=30)
        moderation = WordModeration()
        fleet = fleet_of(engine)
        await stack.enter_async_context(in_background(fleet.follow))
        await asyncio.wait_for(fleet.wait_served(), 5)
        neighbours = Neighbours(moderation, around.context, engine, around.tools)
        loop_over = partial(
            TurnLoop,
            fleet=fleet,
            open_guard=guards(moderation, OutputModeration.BLOCK),
            lanes=Lanes(around.context),
            tool_rounds=8,
        )
        admission = Admission(max_turns=99)
        live = LiveTurns(
            ResumableTurns(neighbours, loop_over),
            journal,
            admission,
            around.ledger,
            elsewhere,
            limits=limits_of(),
            bounds=replace(BOUNDS, lease_seconds=around.lease_seconds),
        )
        now = [1000.0]
        takeover = Takeover(
            live,
            journal,
            elsewhere,
            lambda origin: ADA,
            CollectorRegistry(),
            clock=lambda: now[0],
            reader_seconds=10,
        )
        await stack.enter_async_context(
            in_background(partial(elsewhere.serve, LetterAnswers(live).answer))
        )
        await stack.enter_async_context(in_background(live.keep_leases))
        yield Gateway(live, engine, takeover, journal, admission, now, elsewhere, around, store)
        journal.resumed.set()
        await live.stop(grace=0)
