"""What a request brings, as the turn takes it in and keeps it."""

from collections.abc import Mapping
from dataclasses import replace

from services.gateway.api import Ask
from services.shared.conversation import (
    Call,
    CallResult,
    Compaction,
    Item,
    Message,
    Reasoning,
)
from services.shared.ids import make_item_id

# The prefix of an item's id, by its kind.
_PREFIXES: Mapping[type[Item], str] = {
    Message: "msg",
    Call: "fc",
    CallResult: "fco",
    Reasoning: "rs",
    Compaction: "cmp",
}


def with_ids(ask: Ask, response_id: str) -> Ask:
    """The ask with ids for the items that have none: they hold the digits of its response."""
    if all(item.id for item in ask.said):
        return ask
    unstored = tuple(_with_id(item, response_id) for item in ask.unstored)
    return replace(
        ask, unstored=unstored, input=tuple(_with_id(item, response_id) for item in ask.input)
    )


def _with_id(item: Item, response_id: str) -> Item:
    return item if item.id else replace(item, id=make_item_id(_PREFIXES[type(item)], response_id))
