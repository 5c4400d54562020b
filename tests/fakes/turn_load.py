"""Writers that add turn after turn to a store, and remember what it acknowledged."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from services.context_assembly.api import StoredConversation, Turn
from services.context_assembly.ports import TurnStore
from services.shared.background import end
from services.shared.errors import MeshError, Unavailable
from services.shared.ids import first_turn_of, make_conversation_id, make_response_id
from tests.fakes.context_assembly import SCOPE, assistant, user

_FAR = 10**9


@dataclass(slots=True)
class TurnLoad:
    """Each writer has a conversation of its own. What fails is written again with the same id."""

    store: TurnStore
    # By conversation, in the order in which they were acknowledged.
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    # When each failed, by the monotonic clock.
    failures: list[tuple[float, MeshError]] = field(default_factory=list)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    @asynccontextmanager
    async def running(self, writers: int) -> AsyncIterator[None]:
        self._tasks = {asyncio.create_task(self._write()) for _ in range(writers)}
        try:
            yield
        finally:
            await end(*self._tasks)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Raises what has ended a writer: none ends by itself."""
        waiting = asyncio.create_task(self._reached(reached))
        done, _ = await asyncio.wait({waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        for task in done:
            task.result()

    async def _reached(self, reached: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(reached)

    async def more(self, turns: int) -> None:
        """Until so many more have been acknowledged."""
        wanted = self.count + turns
        await self.until(lambda: self.count >= wanted)

    async def lost(self) -> list[str]:
        """The acknowledged turns that the store has not, or no longer in their conversation."""
        gone: list[str] = []
        for conversation_id, turn_ids in self.acknowledged.items():
            found = await self.store.conversation(SCOPE, conversation_id)
            path = await self.store.path(SCOPE, found.head, "m", _FAR) if found else None
            held = {turn.id for turn in path.turns} if path else set()
            gone += [turn_id for turn_id in turn_ids if turn_id not in held]
        return gone

    async def _write(self) -> None:
        conversation = _begun()
        turn = _first_of(conversation)
        await self._until_done(lambda: self.store.start(conversation, turn))
        turn_ids = self.acknowledged.setdefault(conversation.id, [turn.id])
        while True:
            following = _following(turn)
            await self._until_done(lambda: self._add(following))  # noqa: B023
            turn_ids.append(following.id)
            turn = following
            await self._tell()

    async def _add(self, turn: Turn) -> None:
        assert await self.store.add(turn), f"{turn.parent_id} was acknowledged, and is not there"

    async def _until_done(self, write: Callable[[], object]) -> None:
        while True:
            try:
                await write()  # type: ignore[misc]
                return
            except Unavailable as error:
                self.failures.append((time.monotonic(), error))
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _begun() -> StoredConversation:
    conversation_id = make_conversation_id()
    return StoredConversation(conversation_id, SCOPE, 1, {}, first_turn_of(conversation_id))


def _first_of(conversation: StoredConversation) -> Turn:
    return Turn(
        id=conversation.head,
        scope=SCOPE,
        parent_id="",
        created_at_ms=1,
        input=[user("hello")],
        output=[],
        memory_ids=[],
        document="",
        conversation_id=conversation.id,
    )


def _following(turn: Turn) -> Turn:
    return replace(
        turn, id=make_response_id(turn.id), parent_id=turn.id, output=[assistant("hello")]
    )
