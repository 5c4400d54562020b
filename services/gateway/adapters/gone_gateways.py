"""Which gateways have ended, as Redis sees it."""

from collections.abc import Collection
from typing import Any

from redis.asyncio import RedisCluster

from services.gateway.adapters.redis_channels import Channels
from services.gateway.adapters.redis_gateways import until_key
from services.shared.redis import RedisStore


class GoneGateways:
    """Gateways that listened to their channel, and do so no more.

    When a process ends, however it does, its connections are closed with it, and Redis knows at
    once; its leases run out only later. A gateway that hangs, or whose machine is lost, keeps its
    connection for a while: of that one, only the leases tell. One whose connection broke comes
    again, so that whoever is found here may live.
    """

    def __init__(self, store: RedisStore, channels: Channels, *, gateway: str) -> None:
        self._store = store
        self._channels = channels
        self._gateway = gateway
        self._listening: set[str] = set()
        self.found: set[str] = set()

    async def look(self) -> Collection[str]:
        """Also in `found`, from now on."""
        client: Any = self._store.client
        known = await self._store.run(client.zrange(until_key(self._store), 0, -1))
        names = {self._gateway, *self._listening, *(name.decode() for name in known)}
        listening = await self._of(names)
        if self._gateway in listening:
            self.found = (self.found | self._listening) - listening
            self._listening = listening
        else:  # Redis is new, or this connection to it: it cannot be known who listened
            self.found, self._listening = set(), set()
        return self.found

    def forget(self, gateways: Collection[str]) -> None:
        """They have left nothing behind any more."""
        self.found -= set(gateways)

    async def _of(self, names: Collection[str]) -> set[str]:
        """Those that listen. In a cluster every node is asked: each knows its own listeners."""
        by_channel = {self._channels.of_gateway(name): name for name in names}
        client: Any = self._store.client
        everywhere = {}
        if isinstance(client, RedisCluster):
            everywhere = {"target_nodes": RedisCluster.ALL_NODES}
        command = client.execute_command("PUBSUB NUMSUB", *by_channel, **everywhere)
        counted = await self._store.run(command)
        return {by_channel[channel.decode()] for channel, number in counted if number}
