"""The list of a service's replicas, and who is told when it changes."""

import asyncio

import pytest

from services.shared.peers import Peer, Peers, followed

ONE, TWO = Peer("10.0.0.1:1", "pod-1"), Peer("10.0.0.2:1", "pod-2")


async def test_a_fixed_address_is_one_replica_that_may_be_restarted() -> None:
    async with followed("tokenizer.example:50052") as peers:
        assert peers.known == (Peer("tokenizer.example:50052"),)
        assert peers.patience_seconds > 0
        assert peers.coming == 0


async def test_a_change_is_told_once_also_when_it_came_before_the_question() -> None:
    peers = Peers([ONE])
    peers.become([TWO, ONE])
    assert peers.known == (ONE, TWO)
    await asyncio.wait_for(peers.changed(), 1)
    waiting = asyncio.create_task(peers.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    peers.become([TWO])
    await asyncio.wait_for(waiting, 1)


async def test_replicas_that_start_are_a_change_and_the_same_list_is_none() -> None:
    peers = Peers([ONE])
    peers.become([ONE], 0)
    waiting = asyncio.create_task(peers.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    peers.become([ONE], 1)
    await asyncio.wait_for(waiting, 1)
    assert peers.coming == 1


@pytest.mark.parametrize("given", [[ONE, TWO], [TWO, ONE]])
def test_the_order_in_which_replicas_are_told_means_nothing(given: list[Peer]) -> None:
    assert Peers(given).known == (ONE, TWO)
