"""The words in a tool's description and in a call's arguments, and others in their places."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from services.shared.json_text import read_json
from services.shared.tools import Tool

# What stands under these in a JSON Schema is no prose, unless it is a schema itself or has blanks.
_SIGNS = frozenset({"$anchor", "$id", "$ref", "$schema", "format", "pattern", "required", "type"})
# The members of these bear names that the schema's author gave.
_NAMING = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_NONE = frozenset[str]()
_BLANK = " "


def tool_words(tool: Tool) -> str:
    """What the model reads of a tool, beside its name and what every schema has."""
    return "\n".join(_of_tool(tool))


def with_tool_words(tool: Tool, text: str) -> Tool:
    """The tool with the words of such a text in the places of its own. Names stay as they are."""
    other = _in_places_of(_of_tool(tool), text)
    description = other(tool.description)
    parameters = _mapped(_read(tool.parameters), other, _SIGNS)
    return replace(tool, description=description, parameters=_written(parameters))


def argument_words(arguments: str) -> str:
    """What stands in a call's arguments. What is not JSON is words as a whole."""
    return "\n".join(_of_arguments(arguments))


def with_argument_words(arguments: str, text: str) -> str:
    """The arguments with the words of such a text in the places of their own, as JSON."""
    return _written(_mapped(_read(arguments), _in_places_of(_of_arguments(arguments), text), _NONE))


def _of_tool(tool: Tool) -> Sequence[str]:
    schema = _read(tool.parameters)
    return [tool.description, *_values(schema, _SIGNS), *_given_names(schema)]


def _of_arguments(arguments: str) -> Sequence[str]:
    value = _read(arguments)
    return [*_values(value, _NONE), *_names(value)]


def _read(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError:
        return text


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _values(value: Any, signs: frozenset[str]) -> Sequence[str]:
    """Every string that stands in a value."""
    found: list[str] = []

    def take(text: str) -> str:
        found.append(text)
        return text

    _mapped(value, take, signs)
    return found


def _mapped(value: Any, other: Callable[[str], str], signs: frozenset[str]) -> Any:
    """The value with other strings; those under signs stay."""
    if isinstance(value, str):
        return other(value)
    if isinstance(value, list):
        return [_mapped(each, other, signs) for each in value]
    if isinstance(value, dict):
        return {
            name: each if name in signs and _is_sign(each) else _mapped(each, other, signs)
            for name, each in value.items()
        }
    return value


def _is_sign(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_sign, value))
    return not isinstance(value, dict) and not (isinstance(value, str) and _BLANK in value)


def _names(value: Any) -> Iterator[str]:
    """The names of all members, however deep."""
    for each in value.values() if isinstance(value, dict) else _items(value):
        yield from _names(each)
    if isinstance(value, dict):
        yield from value


def _given_names(schema: Any) -> Iterator[str]:
    """The names that the author of a schema gave: no word of JSON Schema's own has blanks."""
    for name, each in schema.items() if isinstance(schema, dict) else ():
        if name in _NAMING and isinstance(each, dict):
            yield from each
        elif _BLANK in name:
            yield name
        yield from _given_names(each)
    for each in _items(schema):
        yield from _given_names(each)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _in_places_of(words: Sequence[str], text: str) -> Callable[[str], str]:
    """Gives, for word after word, what stands in its place in the text, where all are joined.

    Nothing, where the text has other line breaks than the words: then no place is sure.
    """
    lines = text.split("\n")
    if len(lines) != sum(word.count("\n") + 1 for word in words):
        return lambda _: ""
    left = iter(lines)
    return lambda word: "\n".join(islice(left, word.count("\n") + 1))
