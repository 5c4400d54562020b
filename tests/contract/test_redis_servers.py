"""Real Redis servers over TLS, and behind Sentinels whose master is killed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from services.gateway.adapters.redis_limiter import RedisLimiter
from services.gateway.api import Ask, Completed
from services.gateway.ports import Bucket, Reservation
from services.shared.conversation import Role, said
from services.shared.errors import CannotStart
from services.shared.redis import RedisUnavailable, Script, open_redis
from tests.fakes.gateways import ADA, Around, Gateway, gateway
from tests.fakes.word_engine import WordEngine
from tests.servers.authority import certified_folder
from tests.servers.redis import RedisServer, redis_server
from tests.servers.redis_sentinel import PASSWORD, Sentinels, redis_sentinels

ALONE = Ask("demo", (said("msg_0", Role.USER, "hello you"),), background=True)
NOON = 1_795_953_600.0
TWO_TURNS = Bucket("key:one", turns=2)


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified_folder(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified_folder(tmp_path_factory.mktemp("strangers"))


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory, ours: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis"), certified=ours) as server:
        yield server


@pytest.fixture(params=["plain", "over TLS"])
def sentinels(request: pytest.FixtureRequest, tmp_path: Path, ours: Path) -> Iterator[Sentinels]:
    with redis_sentinels(tmp_path, ours if "TLS" in request.param else None) as watched:
        yield watched


def turn(number: int) -> Reservation:
    return Reservation(f"turn-{number}", "acme", [TWO_TURNS], tokens=10, seconds=600)


async def check_journal(first: Gateway, second: Gateway) -> None:
    """A turn that one gateway writes is read whole at another, as it comes."""
    response_id = await first.live.start(ADA, ALONE)
    events = await second.read(response_id)
    assert isinstance(events[-1].event, Completed)
    assert [each.number for each in events] == list(range(len(events)))


async def check_limiter(url: str) -> None:
    """Two gateways count together."""
    async with open_redis(url) as one, open_redis(url) as other:
        first, second = RedisLimiter(one), RedisLimiter(other)
        assert (await first.reserve(turn(1), NOON)).allowed
        assert (await second.reserve(turn(2), NOON)).allowed
        assert not (await first.reserve(turn(3), NOON)).allowed
        await second.settle(replace(turn(1), tokens=1), NOON)
        assert (await first.reserve(turn(4), NOON)).allowed


async def test_journal_and_limits_over_tls(with_tls: RedisServer, ours: Path) -> None:
    url = f"rediss://localhost:{with_tls.tls_port}?sslrootcert={ours}/ca.crt"
    around = Around(with_tls, url)
    async with (
        gateway(around, WordEngine(20, 0, -1), "first") as first,
        gateway(around, WordEngine(20, 0, -1), "second") as second,
    ):
        await check_journal(first, second)
    await check_limiter(url)


@pytest.mark.parametrize("scheme", ["rediss", "redis"])
async def test_a_server_that_a_stranger_signed_is_refused(
    scheme: str, with_tls: RedisServer, ours: Path, strangers: Path
) -> None:
    """And so is one that is asked without TLS at the port that has it."""
    trusting = f"?sslrootcert={strangers}/ca.crt" if scheme == "rediss" else ""
    async with open_redis(f"{scheme}://localhost:{with_tls.tls_port}{trusting}") as store:
        with pytest.raises(RedisUnavailable):
            await store.run(store.client.get("key"))
    # The same server, by the authority that signed it.
    known = f"rediss://localhost:{with_tls.tls_port}?sslrootcert={ours}/ca.crt"
    async with open_redis(known) as store:
        assert await store.run(store.client.get("key")) is None


async def test_an_authority_that_is_no_file_is_told_at_the_start() -> None:
    with pytest.raises(CannotStart):
        async with open_redis("rediss://localhost:1?sslrootcert=/nowhere.crt"):
            pass


async def test_a_wrong_command_of_ours_is_no_loss_of_redis(with_tls: RedisServer) -> None:
    async with open_redis(f"redis://127.0.0.1:{with_tls.port}") as store:
        for wrong in (Script(store, "return nowhere.known"), Script(store, "return redis.call()")):
            with pytest.raises(ResponseError):
                await wrong([])
        await store.run(store.client.set("a text", "words"))
        with pytest.raises(ResponseError):
            await store.run(store.client.lpush("a text", "more"))
        assert not store.lost
        await store.run(store.client.config_set("min-replicas-to-write", 1))
        try:
            with pytest.raises(RedisUnavailable):
                await store.run(store.client.set("a text", "words"))
            assert store.lost
        finally:
            await store.client.config_set("min-replicas-to-write", 0)


async def test_a_store_that_is_closed_connects_no_more(with_tls: RedisServer) -> None:
    """Such a connection nobody would close."""
    async with open_redis(f"redis://127.0.0.1:{with_tls.port}") as store:
        await store.ask("GET", "key")
    client = with_tls.client
    before = client.info("stats")["total_connections_received"]
    script = Script(store, "return 1")
    for late in (store.ask("GET", "key"), store.run(store.client.get("key")), script([])):
        with pytest.raises(RedisUnavailable, match="closed"):
            await late
    assert client.info("stats")["total_connections_received"] == before


async def test_commands_of_one_moment_need_one_connection(with_tls: RedisServer) -> None:
    """Who takes over a gateway's turns asks of all at once. To connect costs more than to ask."""
    async with open_redis(f"redis://127.0.0.1:{with_tls.port}?prefix=one") as store:
        key = store.key("counted")
        alone = len(await store.client.client_list())
        await asyncio.gather(*(store.ask("INCR", key) for _ in range(100)))
        assert await store.ask("GET", key) == b"100"
        assert len(await store.client.client_list()) == alone


async def in_time(happened: Callable[[], Awaitable[bool]]) -> None:
    """Within what Sentinels take to find a master dead and choose another one."""
    async with asyncio.timeout(90):
        while not await happened():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_after_a_failover_all_goes_on_at_the_new_master(sentinels: Sentinels) -> None:
    around = Around(sentinels.servers[0], f"{sentinels.url}")
    async with (
        gateway(around, WordEngine(20, 0, -1), "first") as first,
        gateway(around, WordEngine(20, 0, -1), "second") as second,
    ):
        await check_journal(first, second)
        killed = sentinels.master()
        alone = f"redis://:{PASSWORD}@127.0.0.1:{killed.port}"
        killed.stop()

        async def works_again() -> bool:
            try:
                await check_journal(first, second)
            except RedisUnavailable:
                return False
            return True

        await in_time(works_again)
        assert sentinels.master() is not killed
        # Who knows the killed server alone is still without one.
        async with open_redis(alone) as store:
            with pytest.raises(RedisUnavailable):
                await store.run(store.client.get("key"))
    await check_limiter(sentinels.url)


async def test_scripts_that_go_together_are_answered_each(with_tls: RedisServer) -> None:
    """Also those that the server does not know yet, and beside one that fails."""
    async with open_redis(with_tls.own_url()) as store:
        echo, wrong = (
            Script(store, "return ARGV[1]"),
            Script(store, "return redis.error_reply('WRONGTYPE no')"),
        )
        with_tls.client.script_flush()
        asked = [echo([store.key("a")], number) for number in range(50)]
        *answers, failure = await asyncio.gather(*asked, wrong([]), return_exceptions=True)
        assert answers == [b"%d" % number for number in range(50)]
        assert isinstance(failure, ResponseError)
        assert await asyncio.gather(*(echo([], number) for number in range(3))) == [
            b"0",
            b"1",
            b"2",
        ]
