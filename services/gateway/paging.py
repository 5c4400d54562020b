"""One page of a list, by the item behind which it begins."""

from collections.abc import Sequence

from services.context_assembly.api import ConversationItems, Paging
from services.gateway.api import InvalidRequest
from services.shared.conversation import Item


def page_of(items: Sequence[Item], page: Paging) -> ConversationItems:
    """`items` are in the order in which they came. Raises `InvalidRequest` for an unknown item."""
    ordered = list(reversed(items)) if page.newest_first else list(items)
    begin = 0
    if page.after:
        places = [place for place, item in enumerate(ordered) if item.id == page.after]
        if not places:
            raise InvalidRequest("after: names an item that is not in this list", param="after")
        begin = places[0] + 1
    chosen = ordered[begin : begin + page.limit]
    return ConversationItems(tuple(chosen), begin + len(chosen) < len(ordered))
