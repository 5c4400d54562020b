"""Words that come for a turn while it runs."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.gateway.api import Ask, Response, SteeringRefused, TooManySteers
from services.gateway.sizes import items_size
from services.shared.conversation import Item
from services.shared.errors import MeshError
from services.shared.ids import make_id

# So many may wait for one turn, and so many bytes of texts, pictures and files.
_MOST_WAITING = 8
_MOST_BYTES = 1024 * 1024


def _outcome() -> asyncio.Future[str]:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    # Whoever sent the words may have gone: then nobody asks what became of them.
    outcome.add_done_callback(lambda told: told.cancelled() or told.exception())
    return outcome


@dataclass(frozen=True, slots=True)
class Steer:
    """Words that one sender gave a turn."""

    words: tuple[Item, ...]
    id: str = field(default_factory=lambda: make_id("steer"))
    # The id of the response that answers them, or why there is none.
    outcome: asyncio.Future[str] = field(default_factory=_outcome)

    def taken_in(self, response_id: str) -> None:
        if not self.outcome.done():
            self.outcome.set_result(response_id)

    async def told(self) -> str:
        """The id of the response that answers the words. Raises why there is none.

        The words stay where they are when whoever waits does not wait any longer.
        """
        return await asyncio.shield(self.outcome)

    def refuse(self, why: MeshError) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(why)


class Inbox:
    """Words that wait for one turn. Whatever was put in is taken out once, or refused.

    No method waits: between closing it and looking at what it holds nothing comes in.
    """

    def __init__(self) -> None:
        self._waiting = deque[Steer]()
        self._closed_by: MeshError | None = None

    @property
    def waits(self) -> bool:
        """Whether there are words to take in."""
        return bool(self._waiting)

    def put(self, words: Sequence[Item]) -> Steer:
        """Raises `TooManySteers`, or why it is closed."""
        if self._closed_by:
            raise self._closed_by
        steer = Steer(tuple(words))
        size = sum(items_size(each.words) for each in (steer, *self._waiting))
        if len(self._waiting) >= _MOST_WAITING or size > _MOST_BYTES:
            raise TooManySteers(
                f"no more than {_MOST_WAITING} texts, of {_MOST_BYTES} bytes together,"
                " may wait for one response",
                code="too_many_pending_steers",
            )
        self._waiting.append(steer)
        return steer

    def take(self) -> Sequence[Steer]:
        """All that wait, in the order in which they came; nothing comes in any more."""
        self._closed_by = self._closed_by or over()
        taken, self._waiting = [*self._waiting], deque()
        return taken

    def close(self, why: MeshError) -> None:
        """Refuses all that wait, and all that come."""
        self._closed_by = self._closed_by or why
        while self._waiting:
            self._waiting.popleft().refuse(why)


def following(asked: Ask, response: Response, words: tuple[Item, ...]) -> Ask:
    """What the turn that answers the words is asked: all as before, after what was said.

    `asked` is what `response` answers, with all items in their places.
    """
    ask = replace(asked, input=words, references=(), previous_response_id=response.id, once=None)
    ask = replace(ask, tells_id=True)  # to whoever sent the words
    if asked.conversation:  # in which it comes next; nobody names the response before
        return replace(ask, previous_response_id="", parent_id=None, unstored=())
    if asked.store:
        return replace(ask, parent_id=response.id, unstored=())
    unstored = (*asked.said, *response.output)
    return replace(ask, parent_id=asked.continued_id, unstored=unstored)


def over() -> SteeringRefused:
    return SteeringRefused(
        "this response has ended: name it as `previous_response_id` of another one",
        code="response_already_completed",
    )


def unsupported() -> SteeringRefused:
    return SteeringRefused(
        "this response cannot take words in while it is made", code="steering_not_supported"
    )


def waits_for_caller() -> SteeringRefused:
    return SteeringRefused(
        "the response waits for what a function of yours returns: send the words with that",
        code="waiting_for_required_input",
    )


def unanswered(failure: MeshError) -> SteeringRefused:
    return SteeringRefused(
        f"no response to the words could be made: {failure.message}",
        code="successor_creation_failed",
    )
