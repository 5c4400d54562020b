"""Finds the items that a request names by their ids alone."""

from dataclasses import replace

from services.context_assembly.api import ContextAssembly, TurnNotFound
from services.gateway.api import Ask, InvalidRequest
from services.shared.conversation import Item
from services.shared.ids import response_of
from services.shared.scope import Scope


async def with_referenced(ask: Ask, context: ContextAssembly, scope: Scope) -> Ask:
    """The ask with the stored items in their places.

    Raises `InvalidRequest` for an item that is not there, which is how those of others look too.
    """
    if not ask.references:
        return ask
    items = list(ask.input)
    unstored = {item.id: item for item in ask.unstored}
    kept: dict[str, dict[str, Item]] = {}
    for place in ask.references:
        item_id = items[place].id
        response_id = response_of(item_id)
        if item_id not in unstored and response_id not in kept:
            kept[response_id] = await _items(response_id, context, scope)
        found = unstored.get(item_id) or kept[response_id].get(item_id)
        if found is None:
            raise InvalidRequest(
                "names an item that is not there: only those of stored responses are kept",
                param=f"input[{place}]",
            )
        items[place] = found
    return replace(ask, input=tuple(items), references=())


async def _items(response_id: str, context: ContextAssembly, scope: Scope) -> dict[str, Item]:
    """The input and output of a stored response, by id; nothing, where there is none."""
    if not response_id:
        return {}
    try:
        turn = await context.get_turn(scope, response_id)
    except TurnNotFound:
        return {}
    return {item.id: item for item in (*turn.input, *turn.output)}
