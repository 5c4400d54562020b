"""Nodes and servers that die or hang while turns are written, and come back."""

import asyncio
import time

import pytest

from services.context_assembly.adapters.cassandra import open_cassandra_turns
from services.context_assembly.adapters.mongodb import migrate_mongodb_turns, open_mongodb_turns
from services.shared.ids import make_response_id
from tests.fakes.turn_load import TurnLoad
from tests.servers.cassandra import PASSWORD, Node, empty_keyspace, nodes
from tests.servers.ferretdb import start_server

# By then the driver has left a dead node.
_LEFT_SECONDS = 2.0


class Killed:
    """Its connections end."""

    def befall(self, node: Node) -> None:
        node.kill()

    async def leave(self, node: Node) -> None:
        node.start()
        await asyncio.to_thread(node.wait, nodes().port)


class Hung:
    """Its connections stay, and nothing answers on them."""

    def befall(self, node: Node) -> None:
        node.hang()

    async def leave(self, node: Node) -> None:
        node.go_on()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", [Killed(), Hung()], ids=["killed", "hung"])
async def test_one_node_of_three_may_fail_and_of_two_nothing_is_lost(fault: Killed | Hung) -> None:
    url = await empty_keyspace()
    _, second, third = nodes().nodes
    async with open_cassandra_turns(url, erased_within_seconds=60) as store:
        load = TurnLoad(store)
        async with load.running(4):
            await load.more(40)
            assert not load.failures
            fault.befall(third)
            failed = time.monotonic()
            await load.until(lambda: time.monotonic() > failed + _LEFT_SECONDS)
            await load.more(40)
            assert [error for at, error in load.failures if at > failed + _LEFT_SECONDS] == []
            known = len(load.failures)
            fault.befall(second)
            # Too few are left: what is written now is refused.
            await load.until(lambda: len(load.failures) >= known + 8)
            refused = load.count
            await load.until(lambda: len(load.failures) >= known + 16)
            assert load.count <= refused + 4
            for node in (second, third):
                await fault.leave(node)
            await load.more(40)
        assert await load.lost() == []
        assert all(PASSWORD not in str(error) for _, error in load.failures)
        load.acknowledged[next(iter(load.acknowledged))].append(never := make_response_id(""))
        assert await load.lost() == [never]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("hangs", [False, True], ids=["killed", "hung"])
async def test_a_server_of_mongodb_may_fail_and_nothing_is_lost(*, hangs: bool) -> None:
    server = start_server()
    url = server.url("faults")
    await migrate_mongodb_turns(url)
    async with open_mongodb_turns(url, erased_within_seconds=60) as store:
        load = TurnLoad(store)
        async with load.running(4):
            await load.more(40)
            assert not load.failures
            for _ in range(1 if hangs else 3):
                befall, leave = (
                    (server.hang, server.go_on) if hangs else (server.kill, server.start)
                )
                befall()
                known = len(load.failures)
                await load.until(lambda: len(load.failures) > known)  # noqa: B023
                leave()
                await load.more(20)
        assert await load.lost() == []
        load.acknowledged[next(iter(load.acknowledged))].append(never := make_response_id(""))
        assert await load.lost() == [never]
