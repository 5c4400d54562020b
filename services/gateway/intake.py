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


def with_ids(ask: Ask, response_id: str, *, all_anew: bool = False) -> Ask:
    """The ask with ids for the items that have none: they hold the digits of its response.

    `all_anew`: the others get such ids too. A caller may give the same item to several turns of a
    conversation, where an id tells one item and its turn.
    """
    if not all_anew and all(item.id for item in ask.input):
        return ask
    items = (
        replace(item, id=make_item_id(_PREFIXES[type(item)], response_id))
        if all_anew or not item.id
        else item
        for item in ask.input
    )
    return replace(ask, input=tuple(items))
