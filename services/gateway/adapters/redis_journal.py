"""Turns' events in Redis, for any number of gateways.

All keys of a turn hold its id in braces, so that one script may use them in a cluster too:

- `...:{id}:turn`: whose it is, its lease and epoch, and whether it is complete
- `...:{id}:events` and `...:{id}:notes`: lists
- `...:leases`: until when each turn is leased that is not complete, and by which gateway. It may
  say too much, never too little: who finds a turn there asks the turn itself.

Times are the server's.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager, suppress
from zlib import crc32

from chatmesh.gateway.v1 import gateway_pb2 as pb

from services.gateway import codec
from services.gateway.adapters import redis_scripts as lua
from services.gateway.adapters.gone_gateways import GoneGateways
from services.gateway.adapters.redis_channels import Channels
from services.gateway.api import EventsGone, LeaseLost, Numbered, TurnEvent, TurnMoved
from services.shared.redis import RedisStore, Script
from services.shared.scope import Scope

# The most events that a reader takes at once.
_PAGE = 256
# A reader looks again after so long, whatever it was told: what Redis publishes may get lost.
_LOOK_AGAIN_SECONDS = 1.0
# How long a turn is kept whose gateway died and that nobody has taken over, in seconds.
_ABANDONED_SECONDS = 3600
# So many abandoned turns are told at once.
_MOST_ABANDONED = 256


class TurnForgotten(LeaseLost):
    """Redis knows nothing of a turn that was written there: it was emptied."""


class RedisJournal:
    """A `Journal`. Notes wait here for the next event, and go with it."""

    shared = True
    appending = lua.APPEND

    def __init__(self, store: RedisStore, channels: Channels, *, gateway: str) -> None:
        self.store = store
        self._channels = channels
        self._gateway = gateway
        self._gone = GoneGateways(store, channels, gateway=gateway)
        self._claim = Script(store, lua.CLAIM)
        self._renew = Script(store, lua.RENEW)
        self._append = Script(store, self.appending)
        self._finish = Script(store, lua.FINISH)
        self._page = Script(store, lua.PAGE)
        self._ends = Script(store, lua.ENDS)
        self._overdue = Script(store, lua.OVERDUE)
        self._standing = Script(store, lua.STANDING)
        self._leaving = False
        # Of each reader, what wakes it.
        self._readers: set[asyncio.Event] = set()
        # By turn: how many notes are kept, and those that are not yet.
        self._kept_notes: dict[str, int] = {}
        self._waiting: dict[str, list[bytes]] = {}

    def is_alone(self, response_id: str) -> bool:  # noqa: ARG002
        return False

    async def claim(
        self,
        response_id: str,
        scope: Scope,
        *,
        seconds: float,
        waited_for: bool,  # noqa: ARG002
    ) -> int:
        epoch, until, notes, before = await self._claim(
            self._keys(response_id),
            scope.organisation,
            scope.project,
            scope.person,
            self._gateway,
            int(seconds * 1000),
            _ABANDONED_SECONDS * 1000,
            secrets.token_hex(8),
            *self._gone.found,
        )
        self._check(epoch)
        self._kept_notes[response_id], self._waiting[response_id] = notes, []
        await self._list_lease(response_id, until)
        if before and before.decode() != self._gateway:
            await self._unlist_lease(response_id, before.decode())
        return int(epoch)

    async def renew(self, response_id: str, epoch: int, *, seconds: float) -> None:
        lease, kept = int(seconds * 1000), _ABANDONED_SECONDS * 1000
        until = self._check(await self._renew(self._keys(response_id), epoch, lease, kept))
        await self._list_lease(response_id, until)

    def leave(self) -> None:
        self._leaving = True
        for grown in self._readers:
            grown.set()

    async def append(self, response_id: str, epoch: int, number: int, event: TurnEvent) -> int:
        packed = codec.event_out(Numbered(number, event)).SerializeToString()
        return await self._write(response_id, epoch, number, packed)

    async def note(self, response_id: str, epoch: int, step: bytes) -> None:  # noqa: ARG002
        if response_id not in self._waiting:
            raise lost()
        self._waiting[response_id].append(step)

    async def keep_notes(self, response_id: str, epoch: int) -> None:
        await self._write(response_id, epoch, -1, b"")

    async def _write(self, response_id: str, epoch: int, number: int, event: bytes) -> int:
        if response_id not in self._waiting:
            raise lost()
        notes = [*self._waiting[response_id]]
        kept = self._kept_notes[response_id]
        written = await self._append(
            self._keys(response_id),
            epoch,
            number,
            event,
            self._channels.of_turn(response_id),
            _ABANDONED_SECONDS * 1000,
            kept,
            *notes,
        )
        size = self._check(written, number)
        if response_id in self._waiting:
            del self._waiting[response_id][: len(notes)]
            self._kept_notes[response_id] = kept + len(notes)
        return size

    async def notes(self, response_id: str) -> Sequence[bytes]:
        found = await self.store.ask("LRANGE", self._keys(response_id)[2], 0, -1)
        if not found:
            await self.owner(response_id)
        return list(found)

    async def first_note(self, response_id: str) -> bytes:
        found = await self.store.ask("LINDEX", self._keys(response_id)[2], 0)
        if found is None:
            await self.owner(response_id)
        return found or b""

    async def abandoned(self) -> Sequence[str]:
        leases = self.store.key("leases")
        listed = await self._overdue([leases], _MOST_ABANDONED)
        if gone := await self._gone.look():
            every = await self.store.ask("ZRANGE", leases, 0, -1)
            left = [each for each in every if _holder(each)[1] in gone]
            self._gone.forget(set(gone) - {_holder(each)[1] for each in left})
            listed += left[:_MOST_ABANDONED]
        # Each gateway has an order of its own, so that not all want the same turn first.
        ordered = sorted(set(listed), key=lambda lease: crc32(self._gateway.encode() + lease))
        held = [_holder(each) for each in ordered]
        free = await asyncio.gather(*(self._is_free(*each) for each in held))
        return [turn for (turn, _), is_free in zip(held, free, strict=True) if is_free]

    async def _is_free(self, response_id: str, gateway: str) -> bool:
        """What is complete, gone or another's is taken from the list: somebody died before."""
        turn = self._keys(response_id)[:1]
        is_held, is_free = await self._standing(turn, gateway, *self._gone.found)
        if not is_held:
            await self._unlist_lease(response_id, gateway)
        return bool(is_free)

    async def finish(self, response_id: str, epoch: int, *, keep_seconds: float) -> None:
        channel = self._channels.of_turn(response_id)
        keep = int(keep_seconds * 1000)
        try:
            self._check(await self._finish(self._keys(response_id), epoch, keep, channel))
        finally:
            self._waiting.pop(response_id, None)
            self._kept_notes.pop(response_id, None)
        await self._unlist_lease(response_id, self._gateway)

    async def owner(self, response_id: str) -> Scope:
        names = ("organisation", "project", "person")
        found = await self.store.ask("HMGET", self._keys(response_id)[0], *names)
        if found[0] is None:
            raise gone()
        return Scope(*(each.decode() for each in found))

    async def so_far(self, response_id: str) -> Sequence[TurnEvent]:
        exists, _, packed = await self._page(self._keys(response_id), 0, -1)
        if not exists:
            raise gone()
        return [_event(each) for each in packed]

    async def ends(self, response_id: str) -> Sequence[TurnEvent]:
        exists, packed = await self._ends(self._keys(response_id))
        if not exists:
            raise gone()
        return [_event(each) for each in packed]

    async def read(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        number = after + 1
        channel = self._channels.of_turn(response_id)
        with self._woken() as grown, self._channels.taking(channel, lambda _: grown.set()):
            while not self._leaving:
                grown.clear()
                keys = self._keys(response_id)
                exists, complete, packed = await self._page(keys, number, number + _PAGE - 1)
                if not exists:
                    raise gone()
                for each in packed:
                    yield Numbered(number, _event(each))
                    number += 1
                if len(packed) == _PAGE:
                    continue
                if complete:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_SECONDS):
                        await grown.wait()
        raise moved()

    @contextmanager
    def _woken(self) -> Iterator[asyncio.Event]:
        grown = asyncio.Event()
        self._readers.add(grown)
        try:
            yield grown
        finally:
            self._readers.discard(grown)

    def _keys(self, response_id: str) -> list[str]:
        tag = f"{{{response_id}}}"
        return [self.store.key(tag, each) for each in ("turn", "events", "notes")]

    def _check(self, written: int, number: int = 0) -> int:
        """What a script has said, or what is wrong."""
        if written == lua.LOST:
            raise lost()
        if written == lua.FORGOTTEN:
            raise TurnForgotten("nothing is known of this turn's events any more")
        if written <= lua.GAP:
            raise ValueError(f"event {number} would follow event {lua.GAP - written - 1}")
        return int(written)

    async def _list_lease(self, response_id: str, until: int) -> None:
        lease = f"{response_id} {self._gateway}"
        await self.store.ask("ZADD", self.store.key("leases"), until, lease)

    async def _unlist_lease(self, response_id: str, gateway: str) -> None:
        leases = self.store.key("leases")
        await self.store.ask("ZREM", leases, f"{response_id} {gateway}")


def _holder(lease: bytes) -> tuple[str, str]:
    """A turn, and the gateway that is said to make it."""
    response_id, _, gateway = lease.decode().partition(" ")
    return response_id, gateway


def _event(packed: bytes) -> TurnEvent:
    return codec.event_in(pb.Event.FromString(packed))


def lost() -> LeaseLost:
    return LeaseLost("somebody else writes this turn's events")


def moved() -> TurnMoved:
    said = "another gateway goes on with this response, as this one is shutting down"
    return TurnMoved(said, retry_after="1")


def gone() -> EventsGone:
    return EventsGone("the events of this response are not kept (any more)", param="response_id")
