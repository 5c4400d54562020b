"""About how many bytes items take in memory."""

from collections.abc import Iterable

from services.shared.conversation import Call, Item, Part


def item_size(item: Item) -> int:
    parts: tuple[Part, ...] = getattr(item, "parts", ())
    chars = len(getattr(item, "text", "")) + len(getattr(item, "opaque", ""))
    if isinstance(item, Call):
        chars += len(item.arguments)
        parts = item.outcome.parts if item.outcome else ()
        chars += len(item.outcome.text) if item.outcome else 0
    return chars + sum(len(getattr(part, "content", b"")) for part in parts)


def items_size(items: Iterable[Item]) -> int:
    return sum(map(item_size, items))
