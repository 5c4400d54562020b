"""Words in JSON, and others in their places."""

import json

import pytest

from services.gateway.json_words import (
    argument_words,
    tool_words,
    with_argument_words,
    with_tool_words,
)
from services.shared.tools import Tool

SCHEMA = {
    "type": "object",
    "title": "Order",
    "properties": {
        "city": {"type": ["string", "null"], "description": "Where\nto", "format": "city"},
        "type": {"enum": ["fast", 3], "default": "fast"},
    },
    "required": ["city"],
    "$defs": {"n": {"$ref": "#/$defs/n", "anyOf": [{"description": "deep"}]}},
}
SHIP = Tool("ship", "Ship it.", json.dumps(SCHEMA), strict=True)


def test_a_tools_words_are_what_its_author_wrote() -> None:
    words = ["Ship it.", "Order", "Where", "to", "fast", "fast", "deep", "city", "type", "n"]
    assert tool_words(SHIP).split("\n") == words


def test_words_where_no_prose_belongs_are_words_too() -> None:
    schema = {
        "type": ["string", "a wish"],
        "pattern": "^[a-z]+$",
        "$id": "an id",
        "required": ["x", "y"],
        "x-my wish": True,
        "properties": {"q": {"format": "my format", "$ref": "#/q"}},
    }
    tool = Tool("f", "", json.dumps(schema))
    words = ["", "string", "a wish", "an id", "my format", "x-my wish", "q"]
    assert tool_words(tool).split("\n") == words
    changed = json.loads(with_tool_words(tool, tool_words(tool).upper()).parameters)
    assert changed["properties"]["q"] == {"format": "MY FORMAT", "$ref": "#/q"}


def test_other_words_stand_in_the_places_of_the_old_and_names_stay() -> None:
    changed = with_tool_words(SHIP, tool_words(SHIP).upper())
    schema = json.loads(changed.parameters)
    assert (changed.name, changed.description, changed.strict) == ("ship", "SHIP IT.", True)
    assert schema["properties"]["city"] == {
        "type": ["string", "null"],
        "description": "WHERE\nTO",
        "format": "city",
    }
    assert schema["properties"]["type"] == {"enum": ["FAST", 3], "default": "FAST"}
    assert schema["$defs"]["n"] == {"$ref": "#/$defs/n", "anyOf": [{"description": "DEEP"}]}


def test_where_the_places_are_not_sure_nothing_stands_there() -> None:
    changed = with_tool_words(SHIP, "[masked]")
    assert changed.description == ""
    assert json.loads(changed.parameters)["title"] == ""


def test_arguments_are_read_with_the_names_of_their_members() -> None:
    arguments = json.dumps({"a": "x\ny", "b": [{"c": "z"}, 5]})
    assert argument_words(arguments).split("\n") == ["x", "y", "z", "c", "a", "b"]
    changed = json.loads(with_argument_words(arguments, argument_words(arguments).upper()))
    assert changed == {"a": "X\nY", "b": [{"c": "Z"}, 5]}


def test_what_is_no_json_is_words_as_a_whole() -> None:
    assert argument_words('{"a": ') == '{"a": '
    assert json.loads(with_argument_words('{"a": ', "b")) == "b"
    assert argument_words("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize("levels", [150, 600, 900])
def test_what_is_nested_too_deeply_is_words_as_a_whole(levels: int) -> None:
    deep = "[" * levels + '"a"' + "]" * levels
    assert argument_words(deep) == deep
    assert json.loads(with_argument_words(deep, "b")) == "b"


def test_half_a_character_becomes_a_sign() -> None:
    """No service could carry it."""
    halves = r'{"\udfff": "a\ud800"}'
    assert argument_words(halves).split("\n") == ["a\ufffd", "\ufffd"]
    assert json.loads(with_argument_words(halves, "b\n-")) == {"\ufffd": "b"}
