"""What is a call: JSON that follows the schema of a function on offer."""

import json
from collections.abc import Callable
from itertools import count

import pytest

from services.inference.api import Calling
from services.inference.call_check import CallCheck
from services.shared.tools import Tool, ToolChoice, ToolMode

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def still() -> float:
    return 0.0


def holds(schema: object, arguments: str, clock: Callable[[], float] = still) -> bool:
    tool = Tool("weather", "", json.dumps(schema))
    return CallCheck(Calling((tool,)), clock).holds(tool, arguments)


@pytest.mark.parametrize("arguments", ['{"city": "Óbidos 🌞"}', '{"city":"a","more":[1e5]}'])
def test_what_has_the_schema_is_a_call(arguments: str) -> None:
    assert holds(CITY, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        *("", "{", "[]", "null", '"{}"', "{}", '{"city": 7}', '{"city": "a"', '{"city": "a"}}'),
        *('{"city": "a", "city": "b"}', '{"city": "a", "x": {"y": 1, "y": 2}}'),
        *('{"city": "a", "x": NaN}', '{"city": "a", "x": 1e999}', '{"city": "a", "x": 1.}'),
        *('{"city": "a\nb"}', '{"city": "a", "x": ' + "[" * 100_000, "9" * 5000),
    ],
)
def test_all_else_is_none(arguments: str) -> None:
    assert not holds(CITY, arguments)


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"not": {"required": ["a"]}}, {}, {"a": 1}),
        (
            {"properties": {"a": {"oneOf": [{"minimum": 3}, {"type": "integer"}]}}},
            {"a": 1},
            {"a": 4},
        ),
        ({"properties": {"a": {"uniqueItems": True}}}, {"a": [1]}, {"a": [1, 1]}),
        ({"properties": {"a": {"pattern": "^a+$"}}}, {"a": "aa"}, {"a": "ab"}),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"x1": 1, "y": ""}, {"x1": ""}),
        (
            {
                "patternProperties": {"^x": {}},
                "properties": {"a": {}},
                "additionalProperties": False,
            },
            {"xa": 1, "a": 1},
            {"b": 1},
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"required": ["a"]}}}, {"a": 1}, {}),
        ({"properties": {"a": {"exclusiveMinimum": 3}}}, {"a": 3.5}, {"a": 3}),
        ({"properties": {"a": {"const": "é"}}}, {"a": "é"}, {"a": "e"}),
        ({"properties": {"a": {"enum": [1, None]}}}, {"a": None}, {"a": True}),
    ],
)
def test_keywords_that_no_grammar_keeps_are_kept(
    schema: object, right: object, wrong: object
) -> None:
    assert holds(schema, json.dumps(right))
    assert not holds(schema, json.dumps(wrong))


def test_a_schema_elsewhere_is_not_fetched_and_allows_anything() -> None:
    outside = {"properties": {"a": {"$ref": "https://example.com/schema.json"}}, "required": ["b"]}
    assert holds(outside, '{"a": 1, "b": 2}')
    assert not holds(outside, '{"a": 1}')
    assert holds({"properties": {"a": {"$ref": "#/$defs/nope"}}}, '{"a": 1}')


def test_a_check_that_does_not_end_is_ended() -> None:
    """Each name needs both schemas of the one before it, so there are 2**40 ways through."""
    names = {f"n{n}": {"anyOf": [{"$ref": f"#/$defs/n{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/n0", "$defs": {**names, "n40": {"required": ["a"]}}}
    ticks = count()
    assert not holds(schema, "{}", clock=lambda: next(ticks) / 1000)
    assert next(ticks) < 1000
    assert not holds({"$ref": "#"}, "{}")


def test_a_pattern_that_does_not_end_is_ended() -> None:
    """Its reader knows no other clock than its own, and needs hours for these thirty letters."""
    schema = {"properties": {"a": {"pattern": "^(a|a|b?a)+$"}}}
    assert not holds(schema, json.dumps({"a": "a" * 40 + "!"}))


def test_only_what_is_offered_and_chosen_is_known() -> None:
    tools = (Tool("a", "", "{}"), Tool("b", "", "{}"))
    check = CallCheck(Calling(tools), still)
    assert [check.tool(name) for name in ("a", "b", "c")] == [*tools, None]
    named = CallCheck(Calling(tools, ToolChoice(ToolMode.NAMED, "b")), still)
    assert [named.tool(name) for name in ("a", "b")] == [None, tools[1]]
