"""A gateway whose process has ended is known before its leases run out; one that lives is not."""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import pytest

from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_journal import RedisJournal
from services.gateway.api import LeaseLost
from services.shared.background import every, in_background
from services.shared.redis import open_redis
from services.shared.scope import Scope
from tests.fakes.gateways import eventually
from tests.servers.redis import RedisServer, RedisServers, redis_servers

__all__ = ["redis_servers"]
ADA = Scope("acme", "main", "ada")
TURN = "resp_1"
LEASE_SECONDS = 30


class Process(AsyncExitStack):
    """A gateway's connections: closing it is what the end of its process does to them."""

    journal: RedisJournal
    # What it hears by, and what makes it look again and again.
    ears: AsyncExitStack
    eyes: AsyncExitStack

    async def start(self, url: str, name: str) -> "Process":
        store = await self.enter_async_context(open_redis(url))
        self.ears = await self.enter_async_context(AsyncExitStack())
        channels = await self.ears.enter_async_context(Channels.following(store))
        self.ears.enter_context(channels.taking(channels.of_gateway(name), lambda _: None))
        self.journal = RedisJournal(store, channels, gateway=name)
        self.eyes = await self.enter_async_context(AsyncExitStack())
        await self.eyes.enter_async_context(in_background(partial(every, 0.01, self._look)))
        return self

    async def _look(self) -> None:
        await self.journal._gone._looked()


@dataclass(slots=True)
class Two:
    """The first one has a turn, and the second one has heard of it."""

    first: Process
    second: Process
    server: RedisServer
    prefix: str

    def pass_time(self, part_of_lease: float) -> None:
        self.server.pass_time(self.prefix, part_of_lease * LEASE_SECONDS)

    async def listening(self) -> Collection[str]:
        return await self.second.journal._gone._of({"first", "second"})

    async def both_live(self) -> bool:
        looked = await self.second.journal._gone._looked()
        return {*looked} == await self.listening() == {"first", "second"}

    async def first_is_deaf(self) -> bool:
        return await self.listening() == {"second"}

    async def is_gone(self) -> bool:
        await self.second.journal.abandoned()
        return "first" in self.second.journal._gone.found

    async def claimed(self) -> int:
        return await self.second.journal.claim(TURN, ADA, seconds=LEASE_SECONDS, waited_for=False)


@pytest.fixture(params=["redis", "redis cluster"])
async def two(request: pytest.FixtureRequest, redis_servers: RedisServers) -> AsyncIterator[Two]:
    server = redis_servers(clustered="cluster" in request.param)
    url = server.own_url()
    async with Process() as first, Process() as second:
        here = Two(
            await first.start(url, "first"),
            await second.start(url, "second"),
            server,
            url.partition("prefix=")[2],
        )
        await first.journal.claim(TURN, ADA, seconds=LEASE_SECONDS, waited_for=False)
        await eventually(here.both_live)
        assert await here.second.journal.abandoned() == []
        yield here


async def test_the_turns_of_a_process_that_ended_are_free_before_their_leases_end(
    two: Two,
) -> None:
    await two.first.aclose()
    await eventually(two.first_is_deaf)
    two.pass_time(0.1)
    assert await two.second.journal.abandoned() == [TURN]
    assert await two.claimed() == 2
    assert await two.second.journal.abandoned() == []


async def test_a_connection_that_breaks_alone_takes_no_turns_away(two: Two) -> None:
    """It lives, and goes on looking."""
    await two.first.ears.aclose()
    await eventually(two.first_is_deaf)
    assert await two.second.journal.abandoned() == []
    with pytest.raises(LeaseLost):
        await two.claimed()
    await two.first.eyes.aclose()
    two.pass_time(0.1)
    assert await two.second.journal.abandoned() == [TURN]


async def test_a_process_that_hangs_has_its_whole_lease(two: Two) -> None:
    await two.first.eyes.aclose()
    two.pass_time(0.9)
    assert await two.second.journal.abandoned() == []
    with pytest.raises(LeaseLost):
        await two.claimed()
    two.pass_time(0.2)
    assert await two.second.journal.abandoned() == [TURN]


async def test_who_does_not_listen_itself_takes_nobody_for_gone(two: Two) -> None:
    """As after Redis has changed places: then all connections are new."""
    await two.second.ears.aclose()
    await two.first.aclose()
    two.pass_time(0.5)
    assert await two.second.journal.abandoned() == []
    assert two.second.journal._gone.found == set()


async def test_nothing_is_kept_of_a_gateway_that_has_left_no_turns(two: Two) -> None:
    await two.first.journal.finish(TURN, 1, keep_seconds=60)
    await two.first.aclose()

    async def is_forgotten() -> bool:
        await two.second.journal.abandoned()
        return two.second.journal._gone._known == {"second"}

    two.pass_time(0.1)
    await eventually(is_forgotten)
    assert two.second.journal._gone.found == set()
