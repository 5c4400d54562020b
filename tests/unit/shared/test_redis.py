"""URLs of Redis in their forms, and what is told when it is not there."""

import asyncio

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import TimeoutError as RedisTimeout

from services.shared.errors import CannotStart
from services.shared.redis import RedisUnavailable, Script, open_redis


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://user:hunter2@host",
        "redis://user:hunter2@one,two:6379",
        "redis://user:hunter2@host/first",
        "redis://user:hunter2@host:port/0",
        "redis://user:hunter2@host?no_such=hunter2",
        "redis+sentinel://user:hunter2@host:26379",
    ],
)
async def test_a_wrong_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(CannotStart) as refused:
        async with open_redis(url):
            pass
    assert "hunter2" not in str(refused.value)
    assert "user" not in str(refused.value)


async def test_each_form_gives_its_client() -> None:
    async with open_redis("rediss://:hunter2@host/3?prefix=mine") as store:
        assert isinstance(store.client, Redis)
        named = store.client.connection_pool.connection_kwargs
        assert (named["host"], named["port"], named["db"]) == ("host", 6379, 3)
        assert named["password"] == "hunter2"
        assert store.key("a", "b") == "mine:a:b"
    async with open_redis("redis+cluster://one:7000,two?tls=true") as store:
        assert isinstance(store.client, RedisCluster)
    async with open_redis("redis+sentinel://one,two:26380/main/1") as store:
        assert isinstance(store.client, Redis)
        assert store.client.connection_pool.connection_kwargs["db"] == 1


async def test_a_server_that_is_away_is_told_without_its_url_and_not_tried_again_at_once() -> None:
    async with open_redis("redis://user:hunter2@127.0.0.1:1") as store:
        assert not store.lost
        script = Script(store, "return 1")
        for said in ("ConnectionError", "not tried again yet"):
            with pytest.raises(RedisUnavailable, match=said) as told:
                await script([])
            assert "hunter2" not in f"{told.value}{told.value.details}{told.value.__cause__}"
        assert store.lost


async def test_who_asked_in_the_round_of_the_close_does_not_wait_for_ever() -> None:
    async with open_redis("redis://127.0.0.1:1") as store:
        asking = asyncio.create_task(store.ask("GET", "key"))
        await asyncio.sleep(0)
    await asyncio.wait([asking], timeout=5)
    assert asking.done()


async def test_sentinels_are_closed_where_the_master_does_not_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[Redis] = []

    async def close(client: Redis) -> None:
        closed.append(client)
        raise RedisTimeout("Timed out closing connection")

    monkeypatch.setattr(Redis, "aclose", close)
    async with open_redis("redis+sentinel://one,two:26380/main") as store:
        master = store.client
    assert closed[0] is master
    assert len(closed) == 3
