"""One suite for every limiter: windows that slide, all buckets at once, settled at the end."""

import asyncio
import heapq
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from services.gateway.adapters.fallback_limiter import FallbackLimiter
from services.gateway.adapters.in_memory_limiter import InMemoryLimiter
from services.gateway.adapters.redis_limiter import RedisLimiter
from services.gateway.ports import Bucket, Limiter, Reservation
from services.shared.redis import open_redis
from tests.servers.redis import RedisServers, redis_servers

__all__ = ["redis_servers"]
# Midday of the 29th of November 2026, in UTC.
NOON = 1_795_953_600.0
FREE = Bucket("key:one", 0, 0, 0, 0, 0)

Open = Callable[[], AsyncIterator[Limiter]]


@pytest.fixture(params=["in memory", "redis", "redis cluster"])
async def limiter(
    request: pytest.FixtureRequest, redis_servers: RedisServers
) -> AsyncIterator[Limiter]:
    if request.param == "in memory":
        yield InMemoryLimiter()
        return
    server = redis_servers(clustered="cluster" in request.param)
    async with open_redis(server.own_url()) as store:
        yield RedisLimiter(store)


def wanted(ident: str, *buckets: Bucket, tokens: int = 10) -> Reservation:
    return Reservation(ident, "acme", buckets, tokens, seconds=600)


async def taken(
    limiter: Limiter, count: int, bucket: Bucket, now: float, tokens: int = 10
) -> list[bool]:
    """Whether each of so many turns was let in, a second apart."""
    return [
        (await limiter.reserve(wanted(f"{now}-{each}", bucket, tokens=tokens), now + each)).allowed
        for each in range(count)
    ]


async def test_no_more_requests_than_allowed_in_any_minute(limiter: Limiter) -> None:
    bucket = replace(FREE, requests_per_minute=5)
    assert await taken(limiter, 7, bucket, NOON) == [True] * 5 + [False] * 2
    refused = await limiter.reserve(wanted("late", bucket), NOON + 10)
    assert refused.what == "requests per minute"
    assert refused.refused_by == "key"
    assert refused.retry_after == pytest.approx(50, abs=0.01)
    early = await limiter.reserve(wanted("early", bucket), NOON + 59.9)
    assert not early.allowed
    # The first is out of the window then, and only the first.
    assert await taken(limiter, 2, bucket, NOON + 60.01) == [True, True]
    assert not (await limiter.reserve(wanted("x", bucket), NOON + 61.5)).allowed


async def test_tokens_are_reserved_and_settled(limiter: Limiter) -> None:
    bucket = replace(FREE, tokens_per_minute=1000)
    first, second = wanted("1", bucket, tokens=800), wanted("2", bucket, tokens=300)
    assert (await limiter.reserve(first, NOON)).allowed
    refused = await limiter.reserve(second, NOON + 1)
    assert (refused.allowed, refused.what) == (False, "tokens per minute")
    assert refused.retry_after == pytest.approx(59, abs=0.01)
    await limiter.settle(replace(first, tokens=100), NOON + 2)
    await limiter.settle(replace(first, tokens=0), NOON + 2)  # again, it changes nothing
    let_in = await limiter.reserve(second, NOON + 3)
    assert let_in.allowed
    assert let_in.tokens
    assert (let_in.tokens.limit, let_in.tokens.left) == (1000, 600)
    assert let_in.tokens.reset == pytest.approx(60, abs=0.01)


async def test_what_is_used_beyond_the_reservation_counts(limiter: Limiter) -> None:
    bucket = replace(FREE, tokens_per_minute=1000)
    first = wanted("1", bucket, tokens=100)
    await limiter.reserve(first, NOON)
    await limiter.settle(replace(first, tokens=950), NOON + 1)
    assert not (await limiter.reserve(wanted("2", bucket, tokens=100), NOON + 2)).allowed


async def test_a_wait_that_is_told_is_long_enough_and_not_longer(limiter: Limiter) -> None:
    """Several small turns have to leave the window before a large one fits."""
    bucket = replace(FREE, tokens_per_minute=1000)
    assert all(await taken(limiter, 10, bucket, NOON, tokens=100))
    refused = await limiter.reserve(wanted("big", bucket, tokens=450), NOON + 20)
    again = NOON + 20 + refused.retry_after
    assert not (await limiter.reserve(wanted("big", bucket, tokens=450), again - 0.1)).allowed
    assert (await limiter.reserve(wanted("big", bucket, tokens=450), again + 0.01)).allowed
    assert again == pytest.approx(NOON + 64, abs=0.01)


async def test_turns_at_once(limiter: Limiter) -> None:
    bucket = replace(FREE, turns=2)
    assert await taken(limiter, 3, bucket, NOON) == [True, True, False]
    await limiter.settle(wanted(f"{NOON}-0", bucket, tokens=1), NOON + 100)
    assert await taken(limiter, 2, bucket, NOON + 100) == [True, False]
    # Those that nobody settles do not count for ever.
    assert await taken(limiter, 3, bucket, NOON + 701) == [True, True, False]


async def test_budgets_end_with_the_day_and_the_month(limiter: Limiter) -> None:
    bucket = replace(FREE, tokens_per_day=100, tokens_per_month=250)
    spent = wanted("1", bucket, tokens=90)
    assert (await limiter.reserve(spent, NOON)).allowed
    refused = await limiter.reserve(wanted("2", bucket, tokens=20), NOON + 300)
    assert refused.budget == "day"
    assert refused.retry_after == pytest.approx(12 * 3600 - 300)
    await limiter.settle(replace(spent, tokens=40), NOON + 301)
    assert (await limiter.reserve(wanted("3", bucket, tokens=60), NOON + 302)).allowed
    tomorrow = NOON + 86_400
    assert (await limiter.reserve(wanted("4", bucket, tokens=100), tomorrow)).allowed
    refused = await limiter.reserve(wanted("5", bucket, tokens=60), tomorrow + 43_100)
    assert refused.budget in {"day", "month"}
    december = NOON + 2 * 86_400
    assert (await limiter.reserve(wanted("6", bucket, tokens=60), december)).allowed


async def test_a_turn_is_let_in_by_all_buckets_or_counts_in_none(limiter: Limiter) -> None:
    key, person = replace(FREE, requests_per_minute=2), Bucket("person:ada", 5, 0, 0, 0, 0)
    for number in range(2):
        assert (await limiter.reserve(wanted(f"{number}", key, person), NOON)).allowed
    for number in range(2, 9):
        refused = await limiter.reserve(wanted(f"{number}", key, person), NOON)
        assert (refused.allowed, refused.refused_by) == (False, "key")
    other = replace(key, name="key:two")
    verdict = await limiter.reserve(wanted("9", other, person), NOON)
    assert verdict.allowed
    assert verdict.requests
    assert verdict.requests.left == 1  # of the tightest: the key's, not the person's


async def test_organisations_have_nothing_to_do_with_each_other(limiter: Limiter) -> None:
    bucket = replace(FREE, requests_per_minute=1)
    assert (await limiter.reserve(wanted("1", bucket), NOON)).allowed
    assert (await limiter.reserve(replace(wanted("2", bucket), organisation="b"), NOON)).allowed


async def test_two_at_once_do_not_both_get_the_last_place(limiter: Limiter) -> None:
    bucket = replace(FREE, requests_per_minute=10)
    verdicts = await asyncio.gather(
        *(limiter.reserve(wanted(f"{number}", bucket), NOON) for number in range(50))
    )
    assert sum(verdict.allowed for verdict in verdicts) == 10


async def test_where_redis_is_lost_each_gateway_has_its_share(redis_servers: RedisServers) -> None:
    bucket = replace(FREE, requests_per_minute=30, tokens_per_minute=2)
    async with open_redis("redis://127.0.0.1:1") as nowhere:
        limiter = FallbackLimiter(RedisLimiter(nowhere), lambda: 3)
        assert sum(await taken(limiter, 20, bucket, NOON, tokens=0)) == 10
        await limiter.settle(wanted(f"{NOON}-0", bucket, tokens=0), NOON)
        # Nothing is shut for all: a share of 2 tokens is still 1.
        small = replace(FREE, name="key:small", tokens_per_minute=2)
        assert (await limiter.reserve(wanted("small", small, tokens=1), NOON)).allowed


@dataclass(slots=True)
class Hour:
    """What 20 clients were given in an hour: when, and how many tokens they used."""

    used: list[tuple[float, int]]
    refused: int

    def most_in_a_minute(self) -> tuple[int, int]:
        requests = tokens = 0
        for place, (at, _) in enumerate(self.used):
            window = [had for then, had in self.used[place:] if then < at + 60]
            requests, tokens = max(requests, len(window)), max(tokens, sum(window))
        return requests, tokens


async def an_hour(
    limiters: Sequence[Limiter], bucket: Bucket, tokens: int, seconds: float = 3600
) -> Hour:
    """Simulated: each client asks again as soon as it may, and uses less than it reserves."""
    chance = random.Random(7)
    # When each client does something next: it asks, or its turn ends.
    agenda: list[tuple[float, int, Reservation | None]] = [
        (NOON + chance.random(), client, None) for client in range(20)
    ]
    heapq.heapify(agenda)
    hour, number = Hour([], 0), 0
    while agenda and agenda[0][0] < NOON + seconds:
        now, client, running = heapq.heappop(agenda)
        limiter = limiters[chance.randrange(len(limiters))]
        if running:
            await limiter.settle(running, now)
            heapq.heappush(agenda, (now + 0.05, client, None))
            continue
        number += 1
        asked = wanted(f"turn-{number}", bucket, tokens=int(tokens * chance.uniform(0.8, 1.2)))
        verdict = await limiter.reserve(asked, now)
        if not verdict.allowed:
            hour.refused += 1
            again = now + verdict.retry_after + chance.uniform(0, 4)  # as SDKs do
            heapq.heappush(agenda, (again, client, None))
            continue
        used = int(asked.tokens * chance.uniform(0.5, 1))
        hour.used.append((now, used))
        ended = replace(asked, tokens=used)
        heapq.heappush(agenda, (now + chance.uniform(0.5, 4), client, ended))
    return hour


@asynccontextmanager
async def three(servers: RedisServers) -> AsyncIterator[Sequence[Limiter]]:
    url = servers().own_url()
    async with AsyncExitStack() as stack:
        yield [RedisLimiter(await stack.enter_async_context(open_redis(url))) for _ in range(3)]


@pytest.mark.parametrize(("tokens", "binding"), [(300, "requests"), (1500, "tokens")])
async def test_three_gateways_keep_one_limit_for_an_hour(
    tokens: int, binding: str, redis_servers: RedisServers
) -> None:
    bucket = replace(FREE, requests_per_minute=100, tokens_per_minute=50_000)
    async with three(redis_servers) as limiters:
        hour = await an_hour(limiters, bucket, tokens)
    requests, most_tokens = hour.most_in_a_minute()
    assert requests <= 100
    assert most_tokens <= 50_000
    assert hour.refused > 100, "nobody came up against the limit"
    whole = len(hour.used) / 6000
    if binding == "tokens":
        whole = sum(used for _, used in hour.used) / 3_000_000
    assert whole >= 0.95


async def test_three_gateways_that_count_apart_let_in_too_many() -> None:
    """The test above sees it when they do not count together."""
    bucket = replace(FREE, requests_per_minute=100, tokens_per_minute=50_000)
    hour = await an_hour([InMemoryLimiter() for _ in range(3)], bucket, 300, seconds=120)
    assert hour.most_in_a_minute()[0] > 100
