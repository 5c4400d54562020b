"""What gateways that share a Redis tell each other.

Who reads a turn, what is asked of it, and what each gateway asks of pools and services.
"""

import asyncio
import json
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from pydantic import TypeAdapter, ValidationError

from services.gateway.adapters.redis_channels import Channels
from services.gateway.ports import AnswerMail, Demand
from services.shared.background import end
from services.shared.errors import Unavailable
from services.shared.redis import RedisStore, RedisUnavailable, Script
from services.shared.signal import Signal

_log = structlog.get_logger()
_DEMAND = TypeAdapter(Demand)
# For how long a gateway counts as there after it has told something.
_BELIEVED_SECONDS = 3.0

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

# KEYS: the gateways, by when they have gone, and what each has told. ARGV: gateway, for how long in
# milliseconds, what it tells, channel. Says who is there, what it told, for how long it is there.
_TELL = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE')) do
    redis.call('ZREM', KEYS[1], gone)
    redis.call('HDEL', KEYS[2], gone)
end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 2 * ARGV[2]) end
redis.call('PUBLISH', ARGV[4], ARGV[1] .. ' ' .. ARGV[3])
local there = {}
local ends = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for place = 1, #ends, 2 do
    local told = redis.call('HGET', KEYS[2], ends[place])
    table.insert(there, {ends[place], told, ends[place + 1] - now})
end
return there
"""
# KEYS as above. ARGV: gateway, channel.
_LEAVE = """
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[1])
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
        await self._store.ask("ZREM", self._key(response_id), reader)

    async def attended(self, response_id: str) -> bool:
        return bool(await self._attended([self._key(response_id)]))

    def _key(self, response_id: str) -> str:
        return self._store.key(f"{{{response_id}}}", "readers")


@dataclass(frozen=True, slots=True)
class _Told:
    """What another gateway has told; the number grows with everything that it tells."""

    number: int
    demand: Demand
    # By this process's clock.
    until: float


class RedisGateways:
    """`OtherGateways`, and how many there are. Redis lost, that stays as it was last known."""

    def __init__(
        self,
        store: RedisStore,
        channels: Channels,
        *,
        gateway: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._channels = channels
        self._gateway = gateway
        self._clock = clock
        self._tell = Script(store, _TELL)
        self._leave = Script(store, _LEAVE)
        self._keys = [store.key("{gateways}", "until"), store.key("{gateways}", "told")]
        self._channel = store.key("{gateways}")
        self._others: dict[str, _Told] = {}
        self._number = 0
        self._lost = False
        self.changed = Signal()
        # This one included.
        self.count = 1

    def demands(self) -> Sequence[Demand]:
        now = self._clock()
        return [told.demand for told in self._others.values() if told.until > now]

    async def tell(self, own: Demand) -> None:
        self._number += 1
        told = b"%d %s" % (self._number, _DEMAND.dump_json(own, exclude_defaults=True))
        believed = int(1000 * _BELIEVED_SECONDS)
        try:
            there = await self._tell(self._keys, self._gateway, believed, told, self._channel)
        except RedisUnavailable:
            if not self._lost:
                _log.warning("redis is lost: what other gateways are asked for is not known")
            self._lost = True
            raise
        self._lost = False
        for name, said, left in there:
            self._learn(name.decode(), said, left / 1000)
        names = {name.decode() for name, _, _ in there}
        self._others = {name: told for name, told in self._others.items() if name in names}
        self.count = len(names)

    async def hear(self) -> None:
        """Takes what the others tell, for ever."""

        def take(message: bytes) -> None:
            sender, _, said = message.partition(b" ")
            name = sender.decode()
            # The channel brings back what this one tells, too.
            if name == self._gateway:
                return
            if said:
                self._learn(name, said, _BELIEVED_SECONDS)
            else:
                self._others.pop(name, None)
            self.changed.notify()

        with self._channels.taking(self._channel, take):
            await asyncio.Event().wait()

    async def leave(self) -> None:
        """Nobody counts on this one any more. Raises `Unavailable`."""
        await self._leave(self._keys, self._gateway, self._channel)

    def _learn(self, name: str, said: bytes, seconds: float) -> None:
        if name == self._gateway:
            return
        number, _, demand = said.partition(b" ")
        known = self._others.get(name)
        # What was read from Redis may be older than what was heard meanwhile.
        if known is None or known.number <= int(number):
            self._others[name] = _Told(int(number), _read(demand), self._clock() + seconds)


def _read(demand: bytes) -> Demand:
    """Nothing, where another release has written it."""
    try:
        return _DEMAND.validate_json(demand)
    except ValidationError:
        return Demand()


class RedisMail:
    """`Mail`: a request goes to the channel of the gateway that the turn's lease names.

    Redis keeps no message: a request whose gateway has died has no answer.
    """

    def __init__(self, store: RedisStore, channels: Channels, *, gateway: str) -> None:
        self._store = store
        self._channels = channels
        self._gateway = gateway
        # By the request's id.
        self._asked: dict[str, asyncio.Future[bytes]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def ask(self, response_id: str, request: bytes, *, seconds: float) -> bytes:
        turn = self._store.key(f"{{{response_id}}}", "turn")
        gateway = await self._store.ask("HGET", turn, "gateway")
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

        try:
            with self._channels.taking(self._channels.of_gateway(self._gateway), take):
                await asyncio.Event().wait()
        finally:
            await end(*self._answering)

    async def _answer(self, letter: Mapping[str, str], answer: AnswerMail, content: bytes) -> None:
        said = await answer(content)
        await self._send(letter["from"], {"answers": letter["asks"]}, said)

    async def _send(self, gateway: str, of: Mapping[str, str], content: bytes) -> None:
        letter = {**of, "from": self._gateway, "content": b64encode(content).decode()}
        channel = self._channels.of_gateway(gateway)
        await self._store.ask("PUBLISH", channel, json.dumps(letter))


def _unanswered() -> Unavailable:
    return Unavailable(
        "the gateway in which the response is made does not answer: ask again",
        service="gateway",
        retry_after="1",
    )
