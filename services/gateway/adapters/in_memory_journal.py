"""Turns' events in this process alone; gone when it ends."""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from services.gateway.api import (
    ArgumentsDelta,
    CallStarted,
    Completed,
    Continued,
    EventsGone,
    ItemDone,
    LeaseLost,
    Numbered,
    ReasoningDelta,
    TextDelta,
    TurnEvent,
)
from services.gateway.sizes import item_size, items_size
from services.shared.scope import Scope
from services.shared.signal import Signal

# What an event takes beside its text, about: Python's objects, or a frame around it elsewhere.
_EVENT_BYTES = 200
_LOGPROB_BYTES = 60


@dataclass(slots=True)
class _Record:
    """One turn's events."""

    scope: Scope
    epoch: int
    leased_until: float
    events: list[TurnEvent] = field(default_factory=list)
    notes: list[bytes] = field(default_factory=list)
    bytes: int = 0
    complete: bool = False
    dropped: bool = False
    changed: Signal = field(default_factory=Signal)


class InMemoryJournal:
    """A `Journal`; `max_bytes` bounds what is kept of turns that have ended, the oldest go first.

    `clock` is in seconds and never runs backwards.
    """

    shared = False

    def __init__(self, clock: Callable[[], float], *, max_bytes: int) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._records: dict[str, _Record] = {}
        # Of turns that have ended, in the order in which they did: when each is dropped.
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._ended_bytes = 0

    def is_alone(self, response_id: str) -> bool:  # noqa: ARG002
        return True

    async def claim(
        self,
        response_id: str,
        scope: Scope,
        *,
        seconds: float,
        waited_for: bool,  # noqa: ARG002
    ) -> int:
        self._drop_old()
        record = self._records.get(response_id)
        until = self._clock() + seconds
        if record is None:
            self._records[response_id] = _Record(scope, epoch=1, leased_until=until)
            return 1
        if record.complete or record.leased_until > self._clock():
            raise LeaseLost("somebody else writes this turn's events")
        record.epoch += 1
        record.leased_until = until
        return record.epoch

    async def renew(self, response_id: str, epoch: int, *, seconds: float) -> None:
        self._leased(response_id, epoch).leased_until = self._clock() + seconds

    def leave(self) -> None:
        """Nobody else writes here."""

    async def append(self, response_id: str, epoch: int, number: int, event: TurnEvent) -> int:
        record = self._leased(response_id, epoch)
        if number > len(record.events):
            raise ValueError(f"event {number} would follow event {len(record.events) - 1}")
        if number == len(record.events):
            record.events.append(event)
            record.bytes += size(event)
            record.changed.notify()
        return record.bytes

    async def note(self, response_id: str, epoch: int, step: bytes) -> None:
        self._leased(response_id, epoch).notes.append(step)

    async def keep_notes(self, response_id: str, epoch: int) -> None:
        self._leased(response_id, epoch)

    async def notes(self, response_id: str) -> Sequence[bytes]:
        return tuple(self._record(response_id).notes)

    async def first_note(self, response_id: str) -> bytes:
        return next(iter(self._record(response_id).notes), b"")

    async def abandoned(self) -> Sequence[str]:
        now = self._clock()
        return [
            response_id
            for response_id, record in self._records.items()
            if not record.complete and record.leased_until <= now
        ]

    async def finish(self, response_id: str, epoch: int, *, keep_seconds: float) -> None:
        record = self._leased(response_id, epoch)
        record.complete = True
        record.changed.notify()
        self._ended[response_id] = self._clock() + keep_seconds
        self._ended_bytes += record.bytes
        self._drop_old()

    async def owner(self, response_id: str) -> Scope:
        return self._record(response_id).scope

    async def so_far(self, response_id: str) -> Sequence[TurnEvent]:
        return tuple(self._record(response_id).events)

    async def ends(self, response_id: str) -> Sequence[TurnEvent]:
        events = self._record(response_id).events
        return (*events[:1], *events[1:][-2:])

    async def read(self, response_id: str, after: int = -1) -> AsyncGenerator[Numbered, None]:
        record = self._record(response_id)
        number = after + 1
        while True:
            if record.dropped:
                raise _gone()
            if number < len(record.events):
                yield Numbered(number, record.events[number])
                number += 1
            elif record.complete:
                return
            else:
                await record.changed.wait()

    def drop(self, response_id: str) -> None:
        """Keeps nothing any more of a turn that has not ended."""
        record = self._records.get(response_id)
        if record and not record.complete:
            del self._records[response_id]
            record.dropped = True
            record.changed.notify()

    def _record(self, response_id: str) -> _Record:
        self._drop_old()
        try:
            return self._records[response_id]
        except KeyError:
            raise _gone() from None

    def _leased(self, response_id: str, epoch: int) -> _Record:
        record = self._records.get(response_id)
        if record is None or record.complete or record.epoch != epoch:
            raise LeaseLost("somebody else writes this turn's events")
        return record

    def _drop_old(self) -> None:
        while self._ended:
            response_id, due = next(iter(self._ended.items()))
            if due > self._clock() and self._ended_bytes <= self._max_bytes:
                return
            del self._ended[response_id]
            record = self._records.pop(response_id)
            self._ended_bytes -= record.bytes
            record.dropped = True
            record.changed.notify()


def size(event: TurnEvent) -> int:
    """About how many bytes an event takes."""
    return _EVENT_BYTES + _content_size(event)


def _content_size(event: TurnEvent) -> int:
    match event:
        case TextDelta():
            return len(event.text) + _LOGPROB_BYTES * _logprobs(event)
        case ReasoningDelta(text=text) | ArgumentsDelta(arguments=text):
            return len(text)
        case CallStarted(call=item) | ItemDone(item=item):
            return item_size(item)
        case Continued():
            return items_size(event.input)
        case Completed():
            return items_size(event.response.output)
    return 0


def _logprobs(event: TextDelta) -> int:
    return sum(1 + len(each.top) for each in event.logprobs)


def _gone() -> EventsGone:
    return EventsGone("the events of this response are not kept (any more)", param="response_id")
