"""The events of a turn are kept a while after its end, whatever was erased of it meanwhile."""

from collections.abc import Sequence

from services.context_assembly.api import ContextAssembly, TurnNotFound
from services.gateway.api import (
    Completed,
    Continued,
    EventsGone,
    Failed,
    NoSuchConversation,
    ResponseErased,
    ResponseNotFound,
    Started,
    TurnEvent,
)
from services.gateway.live_turns import LiveTurns
from services.shared.conversation import Item
from services.shared.scope import Scope

# What a turn fails with when it, or its conversation, is erased under way.
_ERASED = {ResponseErased.reason(), NoSuchConversation.reason()}


class KeptEvents:
    """Knows which of them may be told again."""

    def __init__(self, live_turns: LiveTurns, context: ContextAssembly) -> None:
        self._live_turns = live_turns
        self._context = context

    async def check(self, scope: Scope, response_id: str) -> None:
        """Raises `ResponseNotFound` where the response was erased.

        Raises `EventsGone` where items of it were erased: what is left is told from the store.
        """
        if self._live_turns.is_under_way(response_id):
            return
        events = await self._live_turns.ends(response_id)
        if not events:
            return
        last = events[-1]
        if isinstance(last, Failed) and last.reason in _ERASED:
            raise absent()
        if not _is_stored(events[0], last):
            return
        try:
            stored = await self._context.get_turn(scope, response_id)
        except TurnNotFound:
            raise absent() from None
        for event in events[-2:]:
            if isinstance(event, Completed) and _ids(event.response.output) != _ids(stored.output):
                raise EventsGone("an item of this response was erased", param="response_id")

    async def may_be_told(self, scope: Scope, response_id: str) -> bool:
        """Whether all or some of the response is there still."""
        try:
            await self.check(scope, response_id)
        except ResponseNotFound:
            return False
        except EventsGone:
            return True
        return True


def absent() -> ResponseNotFound:
    return ResponseNotFound("there is no such response", param="response_id")


def _is_stored(first: TurnEvent, last: TurnEvent) -> bool:
    """Whether the store has the turn, unless it was erased. Of what fails, a conversation alone
    keeps nothing.
    """
    if not isinstance(first, Started):
        return False
    if isinstance(last, Failed):
        return first.stored
    kept = first.stored or bool(first.conversation)
    return kept and isinstance(last, Completed | Continued)


def _ids(items: Sequence[Item]) -> Sequence[str]:
    return [item.id for item in items]
