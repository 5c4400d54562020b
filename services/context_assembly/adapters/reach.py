"""How far back a path is read."""

from services.context_assembly.api import Call, CallResult, Item, Turn

# The limit moves by this part of itself at a time.
STEPS = 4


def characters(turn: Turn) -> int:
    """About how much of a prompt the turn takes."""
    return sum(map(_characters, (*turn.input, *turn.output)))


def unread(total: int, max_chars: int) -> int:
    """How many of a path's characters lie too far back."""
    step = max(1, max_chars // STEPS)
    return max(0, total - max_chars) // step * step


def _characters(item: Item) -> int:
    if isinstance(item, Call):
        return len(item.name) + len(item.arguments) + len(item.output)
    return len(item.output if isinstance(item, CallResult) else item.text)
