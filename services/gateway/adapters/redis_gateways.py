"""What gateways that share a Redis tell each other: who reads a turn, and what is asked of it."""

import asyncio
import json
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from services.gateway.adapters.redis_channels import Channels
from services.gateway.ports import AnswerMail
from services.shared.background import failure_of
from services.shared.errors import Unavailable
from services.shared.redis import RedisStore, Script

# How often a gateway tells that it is there; it is believed for three times as long.
_COUNT_SECONDS = 2.0

# KEYS: a turn's readers, by when they have gone. ARGV: reader and for how long, in milliseconds.
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
"""
_ATTEND = f"""
{_NOW}
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[2])
"""
_ATTENDED = f"""
{_NOW}
return redis.call('ZCARD', KEYS[1])
"""


class RedisPresence:
    """`Presence`."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._attend = Script(store, _ATTEND)
        self._attended = Script(store, _ATTENDED)

    async def attend(self, response_id: str, reader: str, *, seconds: float) -> None:
        await self._attend([self._key(response_id)], reader, int(seconds * 1000))

    async def leave(self, response_id: str, reader: str) -> None:
        client: Any = self._store.client
        await self._store.run(client.zrem(self._key(response_id), reader))

    async def attended(self, response_id: str) -> bool:
        return bool(await self._attended([self._key(response_id)]))

    def _key(self, response_id: str) -> str:
        return self._store.key(f"{{{response_id}}}", "readers")


class GatewayCount:
    """How many gateways share a Redis. When it is lost, as many as there were last."""

    def __init__(self, store: RedisStore, gateway: str) -> None:
        self._attend = Script(store, _ATTEND)
        self._attended = Script(store, _ATTENDED)
        self._keys = [store.key("gateways")]
        self._gateway = gateway
        self.known = 1

    async def follow(self) -> None:
        """Never returns: tells that this one is there, and counts."""
        while True:
            await failure_of(self._count())
            await asyncio.sleep(_COUNT_SECONDS)

    async def _count(self) -> None:
        await self._attend(self._keys, self._gateway, int(3000 * _COUNT_SECONDS))
        self.known = max(1, await self._attended(self._keys))


class RedisMail:
    """`Mail`: a request goes to the channel of the gateway that the turn's lease names.

    Redis keeps no message: a request whose gateway has died has no answer.
    """

    def __init__(self, store: RedisStore, channels: Channels, *, gateway: str) -> None:
        self._store = store
        self._channels = channels
        self._gateway = gateway
        self._client: Any = store.client
        # By the request's id.
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(self, response_id: str, request: bytes, *, seconds: float) -> bytes:
        turn = self._store.key(f"{{{response_id}}}", "turn")
        gateway = await self._store.run(self._client.hget(turn, "gateway"))
        if gateway is None:
            raise _unanswered()
        number = secrets.token_hex(8)
        answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answered
        try:
            async with asyncio.timeout(seconds):
                await self._send(gateway.decode(), {"asks": number}, request)
                return await answered
        except TimeoutError:
            raise _unanswered() from None
        finally:
            del self._asked[number]

    async def serve(self, answer: AnswerMail) -> None:
        def take(message: bytes) -> None:
            letter = json.loads(message)
            content = b64decode(letter["content"])
            if waiting := self._asked.get(letter.get("answers", "")):
                if not waiting.done():
                    waiting.set_result(content)
            elif "asks" in letter:
                task = asyncio.create_task(self._answer(letter, answer, content))
                self._answering.add(task)
                task.add_done_callback(self._answering.discard)

        with self._channels.taking(self._channels.of_gateway(self._gateway), take):
            await asyncio.Event().wait()

    async def _answer(self, letter: Mapping[str, str], answer: AnswerMail, content: bytes) -> None:
        said = await answer(content)
        await self._send(letter["from"], {"answers": letter["asks"]}, said)

    async def _send(self, gateway: str, of: Mapping[str, str], content: bytes) -> None:
        letter = {**of, "from": self._gateway, "content": b64encode(content).decode()}
        channel = self._channels.of_gateway(gateway)
        await self._store.run(self._client.publish(channel, json.dumps(letter)))


def _unanswered() -> Unavailable:
    return Unavailable(
        "the gateway in which the response is made does not answer: ask again",
        service="gateway",
        retry_after="1",
    )
