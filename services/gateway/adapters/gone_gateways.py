"""Which gateways have ended, as Redis sees it."""

from collections.abc import Collection, Mapping
from typing import Any

from redis.asyncio import RedisCluster

from services.gateway.adapters.redis_channels import Channels
from services.shared.redis import RedisStore, Script

# A gateway that has looked within so many milliseconds lives: each looks every 250.
_LIVES = 400
# When a gateway has looked is forgotten after so many.
_FORGOTTEN = 60_000

# KEYS: gateways by when they have looked last. ARGV: who looks, and how long it is remembered. Says
# how long ago each has looked. Times are in milliseconds, the server's.
_LOOK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local ago = {}
local looked = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for place = 1, #looked, 2 do
    table.insert(ago, {looked[place], now - looked[place + 1]})
end
return ago
"""


class GoneGateways:
    """Gateways that listened to their channel, and neither listen nor look any more.

    When a process ends, however it does, its connections are closed with it, and Redis knows at
    once; its leases run out only later. A gateway that hangs, or whose machine is lost, keeps its
    connection for a while: of that one, only the leases tell. One whose connection breaks while it
    lives listens again soon, and goes on looking meanwhile.
    """

    def __init__(self, store: RedisStore, channels: Channels, *, gateway: str) -> None:
        self._store = store
        self._channels = channels
        self._gateway = gateway
        self._look = Script(store, _LOOK)
        self._key = store.key("{gateways}", "looked")
        # Those that have listened at some time, this one included.
        self._known: set[str] = set()
        self.found: set[str] = set()

    async def look(self) -> Collection[str]:
        """Also in `found`, from now on."""
        looked = await self._looked()
        listening = await self._of(self._known | {*looked})
        if self._gateway in listening:
            self._known |= listening
            silent = {name for name in self._known if looked.get(name, _FORGOTTEN) > _LIVES}
            self.found = silent - listening
        else:  # Redis is new, or this connection to it: it cannot be known who listened
            self._known, self.found = set(), set()
        return self.found

    def forget(self, gateways: Collection[str]) -> None:
        """They have left nothing behind any more."""
        self.found -= set(gateways)
        self._known -= set(gateways)

    async def _looked(self) -> Mapping[str, int]:
        told = await self._look([self._key], self._gateway, _FORGOTTEN)
        return {name.decode(): ago for name, ago in told}

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
