"""Sockets that are open: how many a key has, and when they must close."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import (
    Draining,
    InvalidKey,
    Numbered,
    TextDelta,
    TooManyConnections,
)
from services.gateway.connections import Connections
from tests.fakes.mesh import PERSON


async def test_a_key_has_so_many_and_another_key_its_own() -> None:
    connections = Connections(max_per_key=2)
    with connections.opened("a"), connections.opened("a"), connections.opened("b"):
        with pytest.raises(TooManyConnections), connections.opened("a"):
            pass
        assert connections.open == 3
    with connections.opened("a"):
        assert connections.open == 1


async def test_sockets_of_a_key_that_was_revoked_must_close() -> None:
    accounts, connections = InMemoryAccounts(), Connections(max_per_key=2)
    await accounts.add_account(PERSON)
    for key in ("good", "bad"):
        await accounts.add_key(key, PERSON.id, b"")
    await accounts.revoke_key("bad")
    opened = connections.opened
    with opened("good") as good, opened("bad") as bad, opened("unknown") as unknown:
        await connections.stop_revoked(accounts)
        assert not good.ending.done()
        assert isinstance(bad.ending.result(), InvalidKey)
        assert isinstance(unknown.ending.result(), InvalidKey)


async def test_leaving_waits_until_all_have_closed_and_lets_none_in() -> None:
    connections = Connections(max_per_key=2)
    with connections.opened("a") as connection:
        leaving = asyncio.create_task(connections.stop(grace=30))
        why = await asyncio.wait_for(connection.ending, 5)
        assert isinstance(why, Draining)
        with pytest.raises(Draining), connections.opened("a"):
            pass
        assert not leaving.done()
    await asyncio.wait_for(leaving, 5)


async def test_leaving_waits_no_longer_than_its_grace() -> None:
    connections = Connections(max_per_key=2)
    with connections.opened("a"):
        await asyncio.wait_for(connections.stop(grace=0), 5)


class SilentTurn:
    """Says one word and then nothing, until it is left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def events(self) -> AsyncGenerator[Numbered, None]:
        try:
            yield Numbered(0, TextDelta(0, "msg", "word"))
            await asyncio.Event().wait()
        finally:
            self.left.set()


@pytest.mark.parametrize("revoked", [True, False])
async def test_a_reader_whose_key_was_revoked_reads_no_more(*, revoked: bool) -> None:
    accounts, connections, turn = InMemoryAccounts(), Connections(max_per_key=2), SilentTurn()
    await accounts.add_account(PERSON)
    await accounts.add_key("key", PERSON.id, b"")
    read = connections.reading("key", turn.events())
    assert await anext(read) == Numbered(0, TextDelta(0, "msg", "word"))
    second = asyncio.ensure_future(anext(read))
    await asyncio.sleep(0)
    if revoked:
        await accounts.revoke_key("key")
    await connections.stop_revoked(accounts)
    if revoked:
        with pytest.raises(InvalidKey):
            await asyncio.wait_for(second, 5)
        assert turn.left.is_set()
        return
    await asyncio.wait([second], timeout=0)
    assert not second.done()
    second.cancel()
    await asyncio.wait([second])
    await read.aclose()
    assert turn.left.is_set()


async def test_a_reader_reads_to_the_end() -> None:
    async def two() -> AsyncGenerator[Numbered, None]:
        for number in range(2):
            yield Numbered(number, TextDelta(0, "msg", "word"))

    read = Connections(max_per_key=2).reading("key", two())
    assert [each.number async for each in read] == [0, 1]
