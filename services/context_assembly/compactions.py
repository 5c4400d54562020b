"""What a store does to the items of a turn when something is erased; pure functions."""

from dataclasses import replace

from services.context_assembly.api import Turn
from services.shared.conversation import Compaction, Item


def stands_for_others(item: Item) -> bool:
    """Whether the model reads the item in the place of all that was said before it."""
    return isinstance(item, Compaction) and bool(item.text)


def compacts(turn: Turn) -> bool:
    return any(map(stands_for_others, (*turn.input, *turn.output)))


def uncompacted(turn: Turn) -> Turn:
    """The turn without its compaction items, which may hold words of what was erased above."""
    if not any(isinstance(item, Compaction) for item in (*turn.input, *turn.output)):
        return turn
    return replace(
        turn,
        input=[item for item in turn.input if not isinstance(item, Compaction)],
        output=[item for item in turn.output if not isinstance(item, Compaction)],
    )


def without_item(turn: Turn, item_id: str) -> Turn | None:
    """The turn without an item; None: it has no such item."""
    if all(item.id != item_id for item in (*turn.input, *turn.output)):
        return None
    return replace(
        turn,
        input=[item for item in turn.input if item.id != item_id],
        output=[item for item in turn.output if item.id != item_id],
    )
