import json
from typing import Any

import pytest
from referencing.exceptions import Unresolvable

from services.tool_runner.api import Failure
from services.tool_runner.arguments import ArgumentReader
from services.tool_runner.ports import ToolFailed

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2},
        "days": {"type": "integer"},
        "units": {"enum": ["c", "f"]},
        "where": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
        "any": {"type": ["string", "null"]},
    },
    "required": ["city"],
}


def _reader(schema: dict[str, Any] = SCHEMA, max_chars: int = 1000) -> ArgumentReader:
    return ArgumentReader(schema, max_chars=max_chars)


def _refusal(text: str, reader: ArgumentReader) -> str:
    with pytest.raises(ToolFailed) as caught:
        reader.read(text)
    assert caught.value.failure is Failure.INVALID_ARGUMENTS
    return caught.value.sentence


def test_reads_what_fits() -> None:
    read = _reader().read('{"city": "Ōsaka", "days": 2, "any": null}')
    assert read == {"city": "Ōsaka", "days": 2, "any": None}


def test_nothing_written_is_no_arguments() -> None:
    assert _reader({"type": "object"}).read("") == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, 'the argument "city" is missing'),
        ({"city": 1}, 'the argument "city" must be a text'),
        ({"city": "Rome", "days": "two"}, 'the argument "days" must be a whole number'),
        ({"city": "Rome", "days": 1.5}, 'the argument "days" must be a whole number'),
        ({"city": "Rome", "where": []}, 'the argument "where" must be an object'),
        ({"city": "Rome", "where": {"lat": "x"}}, 'the argument "where.lat" must be a number'),
        ({"city": "Rome", "where": {}}, 'the argument "where" does not fit the tool\'s schema'),
        ({"city": "Rome", "units": "k"}, 'the argument "units" does not fit the tool\'s schema'),
        ({"city": "Rome", "any": 1}, 'the argument "any" does not fit the tool\'s schema'),
        ({"city": "R"}, 'the argument "city" does not fit the tool\'s schema'),
        (
            {"city": "Rome", "dais": 1},
            'there is no argument "dais"; known are: "city", "days", "units", "where", "any"',
        ),
        ([], "the arguments must be a JSON object"),
        ("Rome", "the arguments must be a JSON object"),
        (None, "the arguments must be a JSON object"),
    ],
)
def test_says_which_argument_is_wrong(arguments: object, sentence: str) -> None:
    assert _refusal(json.dumps(arguments), _reader()) == sentence


def test_a_schema_may_allow_arguments_that_it_does_not_name() -> None:
    reader = _reader({"type": "object", "additionalProperties": True})
    assert reader.read('{"b": 1}') == {"b": 1}


def test_a_tool_without_arguments_takes_none() -> None:
    sentence = _refusal('{"b": 1}', _reader({"type": "object", "properties": {}}))
    assert sentence == 'there is no argument "b"; known are: none'


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        ({"allOf": [{"required": ["a"]}]}, 'the argument "a" is missing'),
        ({"minProperties": 1}, "the arguments do not fit the tool's schema"),
        (
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            "the arguments do not fit the tool's schema",
        ),
    ],
)
def test_rules_for_all_arguments_are_kept(schema: dict[str, Any], sentence: str) -> None:
    assert _refusal("{}", _reader(schema)) == sentence


def test_no_schema_is_fetched() -> None:
    reader = _reader({"properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}})
    with pytest.raises(Unresolvable):
        reader.read('{"a": 1}')


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{'city': 'Rome'}",
        '{"city": "Rome"} {}',
        '{"city": "Rome", "days": NaN}',
        '{"city": "\\ud800"}',
        '{"city": "\ud800"}',
        "[" * 900,
    ],
)
def test_takes_json_and_nothing_else(text: str) -> None:
    assert _refusal(text, _reader()) == "the arguments are not valid JSON"


def test_refuses_more_than_its_bound() -> None:
    text = json.dumps({"city": "R" * 80})
    sentence = _refusal(text, _reader(max_chars=50))
    assert sentence == "the arguments are longer than 50 characters"
