"""A shared journal of which this gateway keeps its own turns in memory too."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from services.gateway.adapters.in_memory_journal import InMemoryJournal
from services.gateway.adapters.redis_journal import RedisJournal, TurnForgotten
from services.gateway.api import EventsGone, LeaseLost, Numbered, TurnEvent
from services.shared.errors import MeshError
from services.shared.redis import RedisUnavailable
from services.shared.scope import Scope

_log = structlog.get_logger()
_AGAIN_SECONDS = 0.1


@dataclass(slots=True)
class _Own:
    """A turn that is written here."""

    waited_for: bool
    # Its epoch in memory; 0: another gateway began it, and its events are in Redis alone.
    epoch: int
    # Redis lacks some of its events, so that from there on it is here alone.
    alone: bool = False


class MirroredJournal:
    """A `Journal`. What is read of a turn that runs here costs Redis nothing.

    Where Redis is lost, a turn that somebody waits for goes on from memory, and cannot be read or
    gone on with elsewhere. One in the background shows nothing that Redis has not; it waits for
    `patience_seconds`, and then fails; so does a reader of a turn that runs elsewhere. When its
    lease has run out before, another gateway that reaches Redis may go on with it: the first word
    of Redis then says so.
    """

    shared = True

    def __init__(
        self,
        shared: RedisJournal,
        memory: InMemoryJournal,
        clock: Callable[[], float],
        *,
        patience_seconds: float,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._shared = shared
        self._memory = memory
        self._clock = clock
        self._own: dict[str, _Own] = {}

    def is_alone(self, response_id: str) -> bool:
        own = self._own.get(response_id)
        return own is not None and own.alone

    async def claim(
        self, response_id: str, scope: Scope, *, seconds: float, waited_for: bool
    ) -> int:
        alone = False
        try:
            epoch = await self._shared.claim(
                response_id, scope, seconds=seconds, waited_for=waited_for
            )
        except RedisUnavailable:
            if not waited_for:
                raise
            epoch, alone = 1, True
            self._tell_alone(response_id)
        memory_epoch = 0
        if epoch == 1:
            memory_epoch = await self._memory.claim(
                response_id, scope, seconds=0, waited_for=waited_for
            )
        self._own[response_id] = _Own(waited_for, memory_epoch, alone)
        return epoch

    async def renew(self, response_id: str, epoch: int, *, seconds: float) -> None:
        own = self._own.get(response_id)
        if own and own.alone:
            return
        try:
            await self._shared.renew(response_id, epoch, seconds=seconds)
        except TurnForgotten:
            if own is None:
                raise
            # Nobody else has the turn. One in the background fails with its next event.
            if own.waited_for:
                own.alone = True
                self._tell_alone(response_id)
        except LeaseLost:
            self._move(response_id)
            raise
        finally:
            if not seconds:
                self._move(response_id)

    def leave(self) -> None:
        self._shared.leave()

    async def append(self, response_id: str, epoch: int, number: int, event: TurnEvent) -> int:
        size = await self._kept(
            response_id, lambda: self._shared.append(response_id, epoch, number, event)
        )
        own = self._own.get(response_id)
        if own is None or not own.epoch:
            return size
        return max(size, await self._memory.append(response_id, own.epoch, number, event))

    async def note(self, response_id: str, epoch: int, step: bytes) -> None:
        if not self.is_alone(response_id):
            await self._shared.note(response_id, epoch, step)

    async def keep_notes(self, response_id: str, epoch: int) -> None:
        async def act() -> int:
            await self._shared.keep_notes(response_id, epoch)
            return 0

        await self._kept(response_id, act)

    async def notes(self, response_id: str) -> Sequence[bytes]:
        return await self._shared.notes(response_id)

    async def first_note(self, response_id: str) -> bytes:
        return await self._shared.first_note(response_id)

    async def abandoned(self) -> Sequence[str]:
        return await self._shared.abandoned()

    async def finish(self, response_id: str, epoch: int, *, keep_seconds: float) -> None:
        own = self._own.pop(response_id, None)
        if own and own.epoch:
            await self._memory.finish(response_id, own.epoch, keep_seconds=keep_seconds)
        # What Redis has of a turn that ended here alone is no use to anybody.
        kept = 0 if own and own.alone else keep_seconds
        try:
            await self._shared.finish(response_id, epoch, keep_seconds=kept)
        except (RedisUnavailable, TurnForgotten):
            if own is None or not own.epoch:
                raise

    async def owner(self, response_id: str) -> Scope:
        try:
            return await self._memory.owner(response_id)
        except EventsGone:
            return await self._shared.owner(response_id)

    async def so_far(self, response_id: str) -> Sequence[TurnEvent]:
        try:
            return await self._memory.so_far(response_id)
        except EventsGone:
            return await self._shared.so_far(response_id)

    async def ends(self, response_id: str) -> Sequence[TurnEvent]:
        try:
            return await self._memory.ends(response_id)
        except EventsGone:
            return await self._shared.ends(response_id)

    async def read(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        try:
            async with aclosing(self._memory.read(response_id, after)) as events:
                async for numbered in events:
                    after = numbered.number
                    yield numbered
            return
        except EventsGone:
            pass  # it is not here, or not any more
        async with aclosing(self._read_shared(response_id, after)) as events:
            async for numbered in events:
                yield numbered

    async def _read_shared(self, response_id: str, after: int) -> AsyncGenerator[Numbered, None]:
        """That Redis is lost does not end a turn that runs elsewhere: its reader waits a while."""
        until: float | None = None
        while True:
            try:
                async with aclosing(self._shared.read(response_id, after)) as events:
                    async for numbered in events:
                        after, until = numbered.number, None
                        yield numbered
                return
            except RedisUnavailable:
                until = until or self._clock() + self._patience_seconds
                if self._clock() >= until:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _kept(self, response_id: str, act: Callable[[], Awaitable[int]]) -> int:
        """What Redis says to it; 0 where the turn is here alone."""
        own = self._own.get(response_id)
        if own and own.alone:
            return 0
        until = self._clock() + self._patience_seconds
        while True:
            try:
                return await act()
            except (TurnForgotten, RedisUnavailable) as error:
                if own is None:
                    raise
                forgotten = isinstance(error, TurnForgotten)
                if own.waited_for or forgotten or self._clock() >= until:
                    own.alone = True
                    self._tell_alone(response_id)
                if own.alone and own.waited_for:
                    return 0
                if own.alone:
                    raise _lost(error) from None
            except LeaseLost:
                self._move(response_id)
                raise
            await asyncio.sleep(_AGAIN_SECONDS)

    def _move(self, response_id: str) -> None:
        """Whoever reads it goes on where it is written now."""
        self._own.pop(response_id, None)
        self._memory.drop(response_id)

    def _tell_alone(self, response_id: str) -> None:
        _log.warning(
            "redis is lost: the response cannot be resumed elsewhere", response_id=response_id
        )


def _lost(error: MeshError) -> MeshError:
    if isinstance(error, RedisUnavailable):
        return error
    return RedisUnavailable("redis has forgotten the response", service="redis")
