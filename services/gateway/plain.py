"""Our own values as JSON and back, for what one gateway keeps so that another can go on with it.

Each value carries its class's name, and only classes that are listed here are made again. A gateway
of another release that lacks a class or a field says so with `NotPlain`.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from inspect import getmembers, isclass
from typing import Any

import orjson

from services.context_assembly import api as context_api
from services.gateway import api, ports
from services.gateway.letters import LETTERS
from services.gateway.steps import STEPS, Heard, Past, past_of
from services.inference import api as inference_api
from services.shared import conversation, tools
from services.tool_runner import api as tool_api

# The key under which a value's class stands; no field has this name.
_KIND = "="
# The types that JSON has itself.
_AS_IT_IS = frozenset({type(None), bool, int, float, str})


class NotPlain(Exception):
    """The text was not written here, or by another release."""


def dumped(value: object) -> bytes:
    return orjson.dumps(_short(value) if _is_text(value) else _out(value))


def loaded(text: bytes) -> Any:
    """Raises `NotPlain`."""
    try:
        read = orjson.loads(text)
        return _from_short(read) if isinstance(read, list) else _in(read)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotPlain(f"a kept step cannot be read: {type(error).__name__}") from None


def _is_text(value: object) -> bool:
    """Whether it is a step that says nothing but some words of the model's in one choice.

    Nearly all are. Each token passes here, and whoever goes on with a turn reads all of its steps
    at once: these are written short.
    """
    if type(value) is not Heard or value.piece.usage is not None or len(value.piece.deltas) != 1:
        return False
    delta = value.piece.deltas[0]
    more = delta.reasoning or delta.calls or delta.logprobs
    return not more and delta.finish_reason is None


def _short(heard: Any) -> object:
    delta = heard.piece.deltas[0]
    return [heard.round, delta.index, [*delta.ids], delta.text]


def _from_short(read: list[Any]) -> Heard:
    number, index, ids, text = read
    return Heard(number, inference_api.Piece((inference_api.Delta(index, tuple(ids), text),)))


def past_from(notes: Iterable[bytes]) -> Past:
    """What was kept of a turn; nothing, where another release has kept it."""
    try:
        return past_of([loaded(note) for note in notes])
    except NotPlain:
        return Past()


def _out(value: Any) -> Any:
    kind: Any = type(value)
    return _writer(kind)(value)


@cache
def _writer(kind: type) -> Callable[[Any], object]:  # noqa: PLR0911 - one for each kind
    """How values of a class become what JSON has; found once, as every token passes here."""
    if is_dataclass(kind):
        return _fields_writer(kind)
    if issubclass(kind, Enum):
        return lambda value: {_KIND: kind.__name__, "name": value.name}
    if issubclass(kind, str | int | float | None):
        return lambda value: value
    if issubclass(kind, bytes):
        return lambda value: {_KIND: "bytes", "base64": b64encode(value).decode()}
    if issubclass(kind, Mapping):
        return lambda value: {
            _KIND: "mapping",
            "pairs": [[_out(key), _out(it)] for key, it in value.items()],
        }
    if issubclass(kind, frozenset):
        return lambda value: {_KIND: "frozenset", "members": sorted(value)}
    if issubclass(kind, Sequence):  # also one of protobuf's
        return lambda value: [it if type(it) in _AS_IT_IS else _out(it) for it in value]
    raise TypeError(f"{kind.__name__} is no plain value")


def _fields_writer(kind: Any) -> Callable[[Any], object]:
    """What has its default value need not be kept."""
    known = [(each.name, each.default) for each in fields(kind)]
    name = kind.__name__

    def write(value: object) -> object:
        written: dict[str, object] = {_KIND: name}
        for field, default in known:
            if (it := getattr(value, field)) is not default:
                written[field] = it if type(it) in _AS_IT_IS else _out(it)
        return written

    return write


def _in(read: Any) -> Any:  # noqa: PLR0911 - one for each kind
    if isinstance(read, list):
        return tuple([each if type(each) in _AS_IT_IS else _in(each) for each in read])
    if not isinstance(read, dict):
        return read
    kind = read.pop(_KIND)
    if kind == "bytes":
        return b64decode(read["base64"])
    if kind == "mapping":
        return {_in(key): _in(value) for key, value in read["pairs"]}
    if kind == "frozenset":
        return frozenset(read["members"])
    known = _KNOWN[kind]
    if issubclass(known, Enum):
        return known[read["name"]]
    return known(**{name: it if type(it) in _AS_IT_IS else _in(it) for name, it in read.items()})


def _values(module: object) -> Iterator[tuple[str, type]]:
    for name, kind in getmembers(module, isclass):
        if is_dataclass(kind) or issubclass(kind, Enum):
            yield name, kind


_MODULES = (context_api, inference_api, conversation, tools, tool_api, api)
_KNOWN: Mapping[str, type] = {
    name: kind for module in _MODULES for name, kind in _values(module)
} | {kind.__name__: kind for kind in (ports.Account, ports.AccountKind, *STEPS, *LETTERS)}
