"""How items look in a database: JSON lists, since every assembly reads a whole path of them.

An item is `[kind, id, ...]` with its fields in the order of `api.py`; a field added there at the
end, with a default, is all that it takes to read older rows.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.context_assembly.api import Call, CallResult, Item, Reasoning, Text
from services.shared.chat import Role

_dump = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def items_out(items: Sequence[Item]) -> str:
    return _dump([*map(_item_out, items)])


def items_in(text: str) -> list[Item]:
    return [_READ[kind](*fields) for kind, *fields in json.loads(text)]


def ids_out(ids: Sequence[str]) -> str:
    return _dump([*ids])


def ids_in(text: str) -> list[str]:
    ids: list[str] = json.loads(text)
    return ids


def _item_out(item: Item) -> list[object]:
    match item:
        case Text():
            return ["text", item.id, item.role, item.text]
        case Call():
            return [
                *("call", item.id, item.call_id, item.name, item.arguments),
                *(item.own, item.output, item.failed, item.parallel),
            ]
        case CallResult():
            return ["result", item.id, item.call_id, item.output]
        case Reasoning():
            return ["reasoning", item.id, item.text]


def _text_in(item_id: str, role: str, text: str) -> Text:
    return Text(item_id, Role(role), text)


_READ: dict[str, Callable[..., Any]] = {
    "text": _text_in,
    "call": Call,
    "result": CallResult,
    "reasoning": Reasoning,
}
