"""How far back a path is read, counted in characters."""

from services.context_assembly.api import Turn
from services.shared.conversation import (
    Call,
    CallResult,
    Item,
    Message,
    Parts,
    Reasoning,
    Refusal,
    Text,
)

# A model that sees spends some hundred tokens on a picture. One that does not reads a few words.
_CHARS_OF_OTHER_PARTS = 1000
_BLOCKS = 4


def characters(turn: Turn) -> int:
    """About how long the turn is in a prompt."""
    return sum(map(_characters, (*turn.input, *turn.output)))


def block(max_chars: int) -> int:
    """Characters of a path are left out in blocks of this size, a quarter of the limit.

    If the limit moved with every turn, every prompt would begin with another turn, and the engine
    could not reuse what it has computed for the prompt before.
    """
    return max(1, max_chars // _BLOCKS)


def unread(total: int, max_chars: int) -> int:
    """How many of a path's characters, from the root on, are too far back to be read."""
    size = block(max_chars)
    return max(0, total - max_chars) // size * size


def _characters(item: Item) -> int:
    match item:
        case Call():
            outcome = _in_parts(item.outcome.parts) if item.outcome else 0
            return len(item.name) + len(item.arguments) + outcome
        case Message() | CallResult():
            return _in_parts(item.parts)
        case Reasoning():
            return len(item.text) + sum(map(len, item.summary))
    return len(item.text)


def _in_parts(parts: Parts) -> int:
    return sum(
        len(part.text) if isinstance(part, Text | Refusal) else _CHARS_OF_OTHER_PARTS
        for part in parts
    )
