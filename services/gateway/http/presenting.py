"""What a turn looks like from outside: its events in the words of one protocol.

A carrier (`sse.py`) sends these words, and knows nothing of protocols.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Protocol

from services.gateway.api import Failed, Numbered, Started, TurnEvent, TurnMoved
from services.shared.background import end
from services.shared.errors import MeshError

# An object that is ready to become JSON.
JsonObject = dict[str, Any]


class Presenter(Protocol):
    """Says a turn's events in the words of one protocol; one presenter for one reading of a turn.

    What it says depends on nothing but the events. So whoever presents them again, from the first
    on, gets the same objects with the same numbers in them, today or later, here or elsewhere.
    """

    # Whether a reader whose stream breaks off can read on from another gateway.
    resumes: bool

    def present(self, event: TurnEvent) -> Sequence[JsonObject]:
        """The protocol's events for the turn's next one; empty when the protocol shows nothing."""

    @staticmethod
    def whole(events: Iterable[TurnEvent]) -> JsonObject:
        """The one answer that stands for all events of a turn that did not fail."""


class PresentedTurn:
    """The events of a turn, presented as they come.

    `begin` comes first. Whoever has a `PresentedTurn` closes it: closing is leaving the turn.
    """

    def __init__(self, events: AsyncGenerator[Numbered, None], presenter: Presenter) -> None:
        self._events = events
        self._presenter = presenter
        # The first event, from when it was read until it is presented.
        self._first: TurnEvent | None = None
        # Reads the second event, from when it was waited for until it is presented.
        self._second: asyncio.Task[TurnEvent] | None = None

    async def begin(self) -> None:
        """Waits for the first event. Raises what the turn failed with before it started."""
        first = (await anext(self._events)).event
        if isinstance(first, Failed):
            raise first.error()
        self._first = first

    @property
    def started(self) -> Started:
        """The first event, once `begin` has read it."""
        assert isinstance(self._first, Started)
        return self._first

    async def go_on(self, seconds: float, held: asyncio.Event) -> None:
        """Waits for the second event, but not for long, and not for a turn that is held.

        Raises what the turn failed with by then: a replica that is full, or none, is told before
        the model's first word.
        """
        self._second = asyncio.create_task(self._read())
        holds = asyncio.create_task(held.wait())
        try:
            await asyncio.wait(
                [self._second, holds], timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            holds.cancel()
        if self._second.done() and isinstance(second := self._second.result(), Failed):
            raise second.error()

    def __aiter__(self) -> "PresentedTurn":
        return self

    async def __anext__(self) -> Sequence[JsonObject]:
        """Raises `TurnMoved` where the reader can read on elsewhere."""
        return self._presenter.present(await self._next())

    async def whole(self) -> JsonObject:
        """The one answer to the whole turn, at its end. Raises what the turn failed with."""
        assert self._first is not None
        events = [self._first, *[numbered.event async for numbered in self._events]]
        if isinstance(events[-1], Failed):
            raise events[-1].error()
        return self._presenter.whole(events)

    async def aclose(self) -> None:
        if self._second:
            await end(self._second)
        await self._events.aclose()

    async def _next(self) -> TurnEvent:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return await (self._read() if self._second is None else self._second)
        except TurnMoved as moved:
            if self._presenter.resumes:
                raise
            return Failed.with_error(moved)
        except MeshError as error:  # the reading failed, not the turn; the caller is told the same
            return Failed.with_error(error)
        finally:
            self._second = None

    async def _read(self) -> TurnEvent:
        return (await anext(self._events)).event
