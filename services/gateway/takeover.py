"""Goes on with the turns of gateways that have died."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from prometheus_client import CollectorRegistry, Counter

from services.gateway.api import EventsGone, StreamInterrupted
from services.gateway.authenticator import Principal
from services.gateway.elsewhere import Elsewhere
from services.gateway.live_turns import LiveTurns
from services.gateway.plain import past_from
from services.gateway.ports import Journal
from services.gateway.steps import Origin
from services.shared.background import every, failure_of
from services.shared.errors import Unavailable

# So many turns are taken over at the same time: each takes CPU, and those that run already must not
# be late with their signs of life. A turn counts until it has said again what was shown, so that
# readers of the first ones hear on soon, and not all of them when the last turn has come as far.
_AT_ONCE = 8
# But no longer than this: one may have to wait for others, such as a tool.
_CATCHING_UP_SECONDS = 1.0
_log = structlog.get_logger()


class Takeover:
    """Looks for turns whose lease has run out. Of several gateways, the first one gets each.

    A turn in the background goes on. One that its caller waits for goes on when a reader comes
    within `reader_seconds`; after that it ends with what it has said.
    """

    def __init__(
        self,
        live_turns: LiveTurns,
        journal: Journal,
        elsewhere: Elsewhere,
        principal_of: Callable[[Origin], Principal],
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float],
        reader_seconds: float,
    ) -> None:
        self._live_turns = live_turns
        self._journal = journal
        self._elsewhere = elsewhere
        self._principal_of = principal_of
        self._clock = clock
        self._reader_seconds = reader_seconds
        self._places = asyncio.Semaphore(_AT_ONCE)
        # When each turn that waits for a reader was first seen.
        self._seen: dict[str, float] = {}
        # Turns that are being taken over, or looked at for that.
        self._taking: set[str] = set()
        self._taken = Counter(
            "chatmesh_turns_taken_over",
            "Turns of other gateways that went on here, or only ended here.",
            ["goes_on"],
            registry=registry,
        )

    async def look(self) -> None:
        """Takes over what there is now."""
        await asyncio.gather(*[self._taken_or_left(*each) for each in await self._found()])

    async def watch(self, seconds: float) -> None:
        """Never returns: looks every so many seconds.

        What is being taken over keeps no look waiting: a turn may have become free just after the
        one before, or its reader may have come.
        """
        async with asyncio.TaskGroup() as takings:

            async def look() -> None:
                for each in await self._found():
                    takings.create_task(self._taken_or_left(*each))

            await every(seconds, look)

    async def _found(self) -> Sequence[tuple[str, float]]:
        """Turns that nobody makes now, each with when it was first seen so."""
        try:
            abandoned = await self._journal.abandoned()
        except Unavailable:  # told elsewhere
            return ()
        self._seen = {each: self._seen.get(each, self._clock()) for each in abandoned}
        found = [each for each in self._seen.items() if each[0] not in self._taking]
        self._taking.update(response_id for response_id, _ in found)
        return found

    async def _taken_or_left(self, response_id: str, seen: float) -> None:
        try:
            failure = await failure_of(self._take_or_leave(response_id, seen))
        finally:
            self._taking.discard(response_id)
        if failure is not None and not isinstance(failure, EventsGone | StreamInterrupted):
            _log.warning("a turn could not be taken over now", reason=failure.reason())

    async def _take_or_leave(self, response_id: str, seen: float) -> None:
        origin = past_from([await self._journal.first_note(response_id)]).origin
        background = origin is not None and origin.ask.background
        goes_on = background or await self._elsewhere.attended(response_id)
        waits = self._clock() < seen + self._reader_seconds
        if not goes_on and origin is not None and waits:
            return
        async with self._places:
            taken = await self._live_turns.adopt(response_id, self._principal_of, goes_on=goes_on)
            await self._live_turns.caught_up(response_id, _CATCHING_UP_SECONDS)
        if taken:
            self._taken.labels(str(goes_on).lower()).inc()
            _log.info("a turn was taken over", response_id=response_id, goes_on=goes_on)
