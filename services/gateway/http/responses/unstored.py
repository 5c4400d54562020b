"""What one socket remembers of responses that are stored nowhere."""

from collections import OrderedDict
from dataclasses import dataclass

from services.gateway.api import Ask, Response
from services.gateway.sizes import items_size
from services.shared.conversation import Item

_MOST_RESPONSES = 64


@dataclass(frozen=True, slots=True)
class Unstored:
    """A response, as another one goes on from it."""

    # The stored turn behind it; empty: none.
    parent_id: str
    # All that was said since, its own output last.
    items: tuple[Item, ...]
    # In which lane of the socket it was made; None: the one without a name.
    lane: str | None


class UnstoredResponses:
    """The latest ones. The oldest is forgotten when there are too many, or too many bytes.

    Those that go on from each other share their items, and each is counted whole all the same.
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Unstored] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def keep(self, ask: Ask, response: Response, lane: str | None) -> None:
        items = (*ask.said, *response.output)
        self._kept[response.id] = Unstored(ask.continued_id, items, lane)
        self._sizes[response.id] = items_size(items)
        while len(self._kept) > _MOST_RESPONSES or sum(self._sizes.values()) > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def find(self, response_id: str) -> Unstored | None:
        return self._kept.get(response_id)

    def evict(self, response_id: str, lane: str | None) -> None:
        """After a turn of that lane that failed to go on from it.

        A turn of another lane takes nothing away from the lane in which the response was made.
        """
        if response_id in self._kept and self._kept[response_id].lane == lane:
            self._drop(response_id)

    def _drop(self, response_id: str) -> None:
        del self._kept[response_id], self._sizes[response_id]
