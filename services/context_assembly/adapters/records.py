"""How a turn's items and ids look in a database; pure functions, both directions.

Items are JSON lists without field names, because every assembly reads a whole path of them. An item
is `[kind, id, ...]` and a part is `[kind, ...]`, with the fields in the order of `conversation.py`.
When a class there gets a field at its end, with a default, older rows can still be read.
"""

import json
import sys
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.shared.conversation import (
    Approval,
    Audio,
    Call,
    CallOutcome,
    CallResult,
    Compaction,
    File,
    Item,
    Message,
    Part,
    Parts,
    Phase,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
)

# `array`'s name for four bytes, which hold an id of any vocabulary.
_FOUR_BYTES = "I"

_dump = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def items_out(items: Sequence[Item]) -> str:
    return _dump([*map(_item_out, items)])


def items_in(text: str) -> list[Item]:
    return [_ITEMS[kind](*fields) for kind, *fields in json.loads(text)]


def names_out(names: Sequence[str]) -> str:
    """Ids that are strings, such as those of facts."""
    return _dump([*names])


def names_in(text: str) -> list[str]:
    names: list[str] = json.loads(text)
    return names


def token_ids_out(ids: Sequence[int]) -> bytes:
    """Four bytes an id, the lowest byte first. Raises OverflowError for an id of more."""
    return _little_endian(array(_FOUR_BYTES, ids)).tobytes()


def token_ids_in(packed: bytes) -> list[int]:
    return _little_endian(array(_FOUR_BYTES, packed)).tolist()


def _little_endian(ids: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        ids.byteswap()
    return ids


def _item_out(item: Item) -> list[object]:
    match item:
        case Message():
            return ["message", item.id, item.role, _parts_out(item.parts), item.phase]
        case Call():
            outcome = item.outcome and [_parts_out(item.outcome.parts), item.outcome.failed]
            return [
                *("call", item.id, item.call_id, item.name, item.arguments, item.run_by.value),
                *(item.server_label, item.approval.value, outcome, item.parallel),
                *_if_set(item.text_input),
            ]
        case CallResult():
            parts = _parts_out(item.parts)
            return ["result", item.id, item.call_id, parts, *_if_set(item.text_input)]
        case Reasoning():
            return ["reasoning", item.id, item.text, item.summary, item.opaque]
        case Compaction():
            return ["compaction", item.id, item.text, item.opaque]


def _if_set(last: bool) -> list[object]:
    """The last field of a row, which rows of earlier releases do not have."""
    return [True] if last else []


def _message_in(item_id: str, role: str, parts: list[Any], phase: str = "") -> Message:
    return Message(item_id, Role(role), _parts_in(parts), Phase(phase))


def _call_in(item_id: str, call_id: str, name: str, arguments: str, *fields: Any) -> Call:
    run_by, server_label, approval, outcome, *rest = fields
    return Call(
        *(item_id, call_id, name, arguments, RunBy(run_by), server_label, Approval(approval)),
        None if outcome is None else _outcome_in(*outcome),
        *rest,
    )


def _outcome_in(parts: list[Any], *rest: Any) -> CallOutcome:
    return CallOutcome(_parts_in(parts), *rest)


def _result_in(item_id: str, call_id: str, parts: list[Any], *rest: bool) -> CallResult:
    return CallResult(item_id, call_id, _parts_in(parts), *rest)


def _reasoning_in(item_id: str, text: str, summary: list[str], opaque: str) -> Reasoning:
    return Reasoning(item_id, text, tuple(summary), opaque)


def _parts_out(parts: Parts) -> list[list[object]]:
    return [*map(_part_out, parts)]


def _parts_in(parts: list[Any]) -> Parts:
    return tuple(_PARTS[kind](*fields) for kind, *fields in parts)


def _part_out(part: Part) -> list[object]:
    match part:
        case Text():
            return ["text", part.text]
        case Picture():
            content = _bytes_out(part.content)
            return ["picture", part.media_type, content, part.url, part.file_id, part.detail]
        case File():
            content = _bytes_out(part.content)
            return ["file", part.name, part.media_type, content, part.url, part.file_id]
        case Audio():
            return ["audio", part.media_type, _bytes_out(part.content)]
        case Refusal():
            return ["refusal", part.text]


def _picture_in(media_type: str, content: str, *rest: str) -> Picture:
    return Picture(media_type, b64decode(content), *rest)


def _file_in(name: str, media_type: str, content: str, *rest: str) -> File:
    return File(name, media_type, b64decode(content), *rest)


def _audio_in(media_type: str, content: str) -> Audio:
    return Audio(media_type, b64decode(content))


def _bytes_out(content: bytes) -> str:
    return b64encode(content).decode()


_ITEMS: dict[str, Callable[..., Item]] = {
    "message": _message_in,
    "call": _call_in,
    "result": _result_in,
    "reasoning": _reasoning_in,
    "compaction": Compaction,
}
_PARTS: dict[str, Callable[..., Part]] = {
    "text": Text,
    "picture": _picture_in,
    "file": _file_in,
    "audio": _audio_in,
    "refusal": Refusal,
}
