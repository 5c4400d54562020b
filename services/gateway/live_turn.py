"""One turn under way: its task and what belongs to it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.gateway.api import Ask, Response, TurnEvent
from services.gateway.authenticator import Principal
from services.gateway.reply import TurnProgress
from services.gateway.steering import Steer
from services.shared.errors import MeshError
from services.shared.scope import Scope
from services.shared.signal import Signal

# How far a turn may run ahead of its foremost reader, in events. Beyond that it waits, and
# inference merges what the engine writes meanwhile.
MOST_AHEAD = 256


@dataclass(slots=True)
class LiveTurn:
    """A turn's task and what belongs to it."""

    principal: Principal
    ask: Ask
    scope: Scope
    progress: TurnProgress
    epoch: int
    # How many events were appended.
    length: int = 0
    # How many events each reader has taken.
    readers: dict[object, int] = field(default_factory=dict)
    reader_moved: Signal = field(default_factory=Signal)
    # Whether anybody has begun to read it.
    joined: bool = False
    # Why it is being stopped.
    stopped_by: MeshError | None = None
    # Whether its caller has erased it: nothing of it is kept then.
    erased: bool = False
    # Whether the task has begun: a task that is cancelled before would never give anything back.
    begun: bool = False
    # The loop is over; what is left to do must not be interrupted.
    ending: bool = False
    settled: bool = False
    # Its last word, once it has completed.
    response: Response | None = None
    # What its input is made of, where it goes on with words that came for another turn.
    answers: Sequence[Steer] = ()
    # The events that another gateway had shown before this one took the turn over.
    shown: Sequence[TurnEvent] = ()
    # It has said all of these again, or has ended.
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    # Another gateway shall go on with it, or does so already.
    given_up: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self.progress.response_id

    @property
    def ahead(self) -> int:
        """By how many events it is ahead of its foremost reader, where it waits for one at all."""
        if self.ask.background:
            return 0
        return self.length - max(self.readers.values(), default=self.length)


def moved(turn: LiveTurn, reader: object, taken: int) -> None:
    waits = turn.ahead >= MOST_AHEAD
    turn.readers[reader] = taken
    if waits:
        turn.reader_moved.notify()


async def stopped(turn: LiveTurn, why: MeshError) -> None:
    """Stops the turn and returns when it has ended; it may just be about to."""
    stop(turn, why)
    await ended(turn)


async def ended(turn: LiveTurn) -> None:
    assert turn.task
    await asyncio.wait([turn.task])


def stop(turn: LiveTurn, why: MeshError) -> None:
    if turn.ending or turn.stopped_by:
        return
    turn.stopped_by = why
    turn.progress.inbox.close(why)
    if turn.begun and turn.task:
        turn.task.cancel()
