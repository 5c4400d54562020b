"""Sockets that are open: how many a key has, and when they must close."""

import asyncio

import pytest

from services.gateway.adapters.in_memory import InMemoryAccounts
from services.gateway.api import Draining, InvalidKey, TooManyConnections
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
