"""What a request brings, as the turn takes it in and keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from services.gateway.api import Ask, InvalidRequest
from services.gateway.sealing import BrokenSeal, Sealer
from services.shared.conversation import (
    Call,
    CallResult,
    Compaction,
    Item,
    Message,
    Reasoning,
)
from services.shared.ids import make_item_id, response_of

# Under which kind reasoning is sealed.
_REASONING = "reasoning"
# The prefix of an item's id, by its kind.
_PREFIXES: Mapping[type[Item], str] = {
    Message: "msg",
    Call: "fc",
    CallResult: "fco",
    Reasoning: "rs",
    Compaction: "cmp",
}


def seal(sealer: Sealer, thought: str) -> str:
    """What the model thought, for a caller that keeps it."""
    return sealer.seal(_REASONING, thought)


def with_unsealed(ask: Ask, sealer: Sealer) -> Ask:
    """The ask with the reasoning that was sealed here, for the model to read again.

    Raises `InvalidRequest` for what was sealed elsewhere, or changed since.
    """
    return replace(
        ask, unstored=_all_unsealed(ask.unstored, sealer), input=_all_unsealed(ask.input, sealer)
    )


def _all_unsealed(items: Sequence[Item], sealer: Sealer) -> tuple[Item, ...]:
    return tuple(
        _unsealed(item, place, sealer) if isinstance(item, Reasoning) and item.opaque else item
        for place, item in enumerate(items)
    )


def _unsealed(thought: Reasoning, place: int, sealer: Sealer) -> Reasoning:
    try:
        return replace(thought, text=sealer.open(_REASONING, thought.opaque))
    except BrokenSeal:
        raise InvalidRequest(
            "was not sealed here, or has been changed: leave the item out",
            param=f"input[{place}].encrypted_content",
            code="invalid_encrypted_content",
        ) from None


def with_ids(ask: Ask, response_id: str, *, all_anew: bool = False) -> Ask:
    """The ask with ids for the items that have none: they hold the digits of its response.

    An id tells one item of a request: who comes again under the same one gets such an id too.

    `all_anew`: items with other ids get such ids too. A caller may give the same item to several
    turns of a conversation, where an id tells one item and its turn.
    """
    repeated = _repeated(ask.input)
    if not all_anew and not repeated and all(item.id for item in ask.said):
        return ask
    given = tuple(
        replace(item, id="")
        if place in repeated or (all_anew and response_of(item.id) != response_id)
        else item
        for place, item in enumerate(ask.input)
    )
    return replace(
        ask,
        unstored=tuple(_with_id(item, response_id) for item in ask.unstored),
        input=tuple(_with_id(item, response_id) for item in given),
    )


def _repeated(items: Sequence[Item]) -> frozenset[int]:
    """The places of items whose id an earlier one has."""
    first: dict[str, int] = {}
    return frozenset(
        place for place, item in enumerate(items) if first.setdefault(item.id, place) != place
    )


def _with_id(item: Item, response_id: str) -> Item:
    return item if item.id else replace(item, id=make_item_id(_PREFIXES[type(item)], response_id))
