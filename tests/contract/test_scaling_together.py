"""Three gateways on one Redis: KEDA hears the same from each, and any of them wakes a pool."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from structlog.testing import capture_logs

from services.gateway.activity import Activity
from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_gateways import RedisGateways
from services.gateway.admission import Admission
from services.gateway.ports import Demand, PoolDemand
from services.gateway.scaling.scaler import Scaler
from services.gateway.scaling.sharing import DemandSharing
from services.shared.background import failure_of, in_background
from services.shared.errors import Unavailable
from services.shared.redis import open_redis
from tests.fakes.gateways import eventually
from tests.servers.redis import RedisServer, RedisServers, redis_server, redis_servers
from tests.unit.gateway.test_fleet import LOAD, WAKING, A, Site, site

__all__ = ["redis_servers"]
POOL = {"pool": "only"}
SERVICES = [{"service": name} for name in ("gateway", "tokenizer", "moderation", "tool-runner")]


@dataclass(slots=True)
class Gateway:
    """What of a gateway answers KEDA."""

    site: Site
    others: RedisGateways
    scaler: Scaler
    admission: Admission
    activity: Activity
    now: list[float]
    # What is left when it leaves in order.
    leaving: AsyncExitStack = field(default_factory=AsyncExitStack)
    sharing: AsyncExitStack = field(default_factory=AsyncExitStack)

    def answers(self) -> Sequence[object]:
        return [
            self.scaler.active(POOL),
            self.scaler.metrics(POOL),
            *map(self.scaler.metrics, SERVICES),
        ]

    async def knows_two_others(self) -> bool:
        return self.others.count == 3 and len(self.others.demands()) == 2

    async def die(self) -> None:
        await self.sharing.aclose()


@asynccontextmanager
async def gateway(url: str, name: str) -> AsyncIterator[Gateway]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context(site(pool=WAKING))
        store = await stack.enter_async_context(open_redis(url))
        channels = await stack.enter_async_context(Channels.following(store))
        now, admission, activity = [0.0], Admission(max_turns=9), Activity(lambda: now[0])
        others = RedisGateways(store, channels, gateway=name, clock=lambda: now[0])
        scaler = Scaler(here.fleet, admission, activity, others, clock=lambda: now[0])
        sharing = DemandSharing(scaler, here.fleet, others)
        one = Gateway(here, others, scaler, admission, activity, now)
        stack.push_async_exit(one.sharing)
        for work in (others.hear, sharing.tell, sharing.hear):
            await one.sharing.enter_async_context(in_background(work))
        yield one


class Opened(AsyncExitStack):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    async def three(self) -> Sequence[Gateway]:
        names = ("one", "two", "three")
        found = [await self.enter_async_context(gateway(self.url, name)) for name in names]
        for each in found:
            await eventually(each.knows_two_others)
        return found


@pytest.fixture(params=["redis", "redis cluster"])
def server(request: pytest.FixtureRequest, redis_servers: RedisServers) -> RedisServer:
    return redis_servers(clustered="cluster" in request.param)


@pytest.fixture
async def opened(server: RedisServer) -> AsyncIterator[Opened]:
    async with Opened(server.own_url()) as here:
        yield here


@asynccontextmanager
async def held(here: Gateway) -> AsyncIterator["asyncio.Task[str]"]:
    """A request that waits there for the pool."""
    asking = asyncio.create_task(here.site.said())
    async with asyncio.timeout(5):
        while not here.site.fleet.pools["only"].held:
            await here.site.fleet.changed.wait()
    try:
        yield asking
    finally:
        asking.cancel()
        await asyncio.wait([asking])


async def test_keda_hears_the_same_from_each_gateway_and_nothing_when_all_is_over(
    opened: Opened,
) -> None:
    first, second, third = three = await opened.three()
    idle = first.answers()
    with ExitStack() as busy:
        busy.enter_context(first.admission.admitted())
        busy.enter_context(second.admission.admitted())
        busy.enter_context(third.activity.tool())
        second.activity.tokens.add(100)
        third.activity.tokens.add(50)
        first.activity.characters.add(200)
        async with aclosing(third.scaler.activity(POOL)) as asked, held(first), held(second):
            assert await anext(asked) in {True, False}

            async def all_answer() -> bool:
                return all(each.answers() == said for each in three)

            said: Sequence[object] = [
                True,
                {"queuedTokens": 6, "slotsPercent": 25, "kvPercent": 0},
                {"turns": 2},
                {"tokensPerSecond": 15},
                {"charactersPerSecond": 20},
                {"runningTools": 1},
            ]
            await eventually(all_answer)
    for each in three:
        each.now[0] += 10.1  # out of the rates' window
    said = idle
    assert said[0] is False
    await eventually(all_answer)


async def test_a_request_held_at_one_gateway_wakes_the_pool_by_another(opened: Opened) -> None:
    first, second, _ = await opened.three()
    async with asyncio.timeout(10), aclosing(second.scaler.activity(POOL)) as changes:
        assert not await anext(changes)
        async with held(first) as asking:
            assert await anext(changes)
            # The scaler follows the pool at the second gateway: the first one waits for it.

            async def heard() -> bool:
                waiting = first.site.fleet.pools["only"]
                return (waiting.scalers, waiting.scalers_elsewhere) == (0, 1)

            await eventually(heard)
            first.site.replicas[A].tell(LOAD)
            first.site.peers.become([A])
            assert await asking == "pod-a"
        first.site.peers.become([])
        assert not await anext(changes)


async def test_generations_of_all_gateways_count_at_a_replica(opened: Opened) -> None:
    three = await opened.three()
    with ExitStack() as running:
        for each in three:
            each.site.peers.become([A])
            each.site.replicas[A].tell(replace(LOAD, slots=4))
            await each.site.until(A)
            running.enter_context(each.site.known()[0].working())
            each.site.fleet.changed.notify()

        async def all_count() -> bool:
            return all(each.scaler.metrics(POOL)["slotsPercent"] == 75 for each in three)

        await eventually(all_count)


async def test_a_gateway_that_died_is_forgotten(opened: Opened, server: RedisServer) -> None:
    first, second, third = await opened.three()
    async with held(first):

        async def all_awake() -> bool:
            return second.scaler.active(POOL) and third.scaler.active(POOL)

        await eventually(all_awake)
        await first.die()
    assert second.scaler.active(POOL), "it left without a word"
    prefix = opened.url.partition("prefix=")[2]
    server.client.zincrby(f"{prefix}:{{gateways}}:until", -10_000, "one")

    async def forgotten() -> bool:
        two = (second, third)
        return not any(each.scaler.active(POOL) for each in two) and second.others.count == 2

    await eventually(forgotten)


async def test_a_gateway_that_leaves_is_forgotten_at_once(opened: Opened) -> None:
    first, second, _ = await opened.three()
    await first.die()
    known = second.others.demands()
    await first.others.leave()

    async def left() -> bool:
        return len(second.others.demands()) == len(known) - 1

    await eventually(left)


async def test_without_redis_a_gateway_answers_for_itself(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        async with Opened(server.own_url()) as opened:
            first, second, _ = await opened.three()
            async with held(second):

                async def awake() -> bool:
                    return first.scaler.active(POOL)

                await eventually(awake)
                with capture_logs() as logs:
                    server.stop()
                    for _ in range(2):
                        assert isinstance(
                            await failure_of(first.others.tell(Demand())), Unavailable
                        )
                first.now[0] += 4
                assert first.others.demands() == []
                assert not first.scaler.active(POOL)
                assert second.scaler.active(POOL)
                # By that it shares limits.
                assert first.others.count == 3
            told = [each for each in logs if "other gateways" in each["event"]]
            assert 1 <= len(told) <= 3, "each gateway says it once"
            server.start()
            await eventually(first.knows_two_others)


async def test_what_was_told_before_does_not_take_the_place_of_what_came_after(
    redis_servers: RedisServers,
) -> None:
    async with open_redis(redis_servers().own_url()) as store, Channels.following(store) as news:
        first, second = (RedisGateways(store, news, gateway=name) for name in ("one", "two"))
        async with in_background(second.hear):
            older = Demand(pools={"only": PoolDemand(held=1, in_flight={"a:1": 2})})
            await first.tell(older)
            await second.tell(Demand())
            assert second.demands() == [older]
            await first.tell(Demand(turns=2))
            await second.tell(Demand())
            second._learn("one", b"1 {}", 3)
            assert second.demands() == [Demand(turns=2)]
            second._learn("one", b"9 what another release says", 3)
            assert second.demands() == [Demand()]


async def test_what_a_gateway_tells_itself_does_not_wake_it(redis_servers: RedisServers) -> None:
    async with open_redis(redis_servers().own_url()) as store, Channels.following(store) as news:
        first, second = (RedisGateways(store, news, gateway=name) for name in ("one", "two"))
        async with in_background(first.hear), in_background(second.hear):
            heard = asyncio.ensure_future(second.changed.wait())
            told_itself = asyncio.ensure_future(first.changed.wait())

            async def heard_by_another() -> bool:
                await first.tell(Demand())
                return heard.done()

            await eventually(heard_by_another)
            # Both have one connection, so the first has had its own words back by now.
            assert not told_itself.done()
            await second.tell(Demand(turns=2))
            await asyncio.wait_for(told_itself, 5)
            assert first.demands() == [Demand(turns=2)]
